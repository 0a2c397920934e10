"""A generation in progress: an iterator over its steps that can be stopped, and the clock that measures computing."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Counts = Generator[int, None, T]  # yields the number of tokens so far, returns a result


@dataclass(frozen=True)
class Step(Generic[T]):
    """One step of a stream: the tokens so far, the most there will be, and the result where this step is the last."""

    count: int
    total: int
    result: T | None = None


class Stream(Generic[T]):
    """A generation in progress. Iterate over it; the last step has the result. Close it to stop.

    for step in pipeline.stream("a person walks", seconds=4):
        print(step.count, step.total)
    step.result  # a Generation
    """

    def __init__(self, counts: Counts[T], total: int) -> None:
        self._counts = counts
        self._finished = False
        self.count = 0
        self.total = total

    def __iter__(self) -> Iterator[Step[T]]:
        return self

    def __next__(self) -> Step[T]:
        if self._finished:
            raise StopIteration
        try:
            self.count = next(self._counts)
        except StopIteration as end:
            self._finished = True
            return Step(self.count, self.total, end.value)
        except BaseException:
            self._finished = True
            raise
        return Step(self.count, self.total)

    def close(self) -> None:
        """Stop: no further token is sampled, and no result comes."""
        self._finished = True
        self._counts.close()

    def finish(self, on_token: Callable[[int], None] | None = None) -> T:
        """Run to the end and return the result. on_token(count) is called after every new token and may raise."""
        for step in self:
            if step.result is not None:
                return step.result
            if on_token is not None:
                on_token(step.count)
        raise ValueError("this stream was closed or is used up; start the generation again")


class Clock:
    """Measures computing time; what the caller does between two tokens is not counted."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._since = time.perf_counter()

    def around(self, counts: Counts[T]) -> Counts[T]:
        """Pass the counts on, with the clock stopped while the caller has one."""
        with closing(counts):
            while True:
                try:
                    count = next(counts)
                except StopIteration as end:
                    return end.value
                self._sum += time.perf_counter() - self._since
                try:
                    yield count
                finally:
                    self._since = time.perf_counter()

    def elapsed(self) -> float:
        """Seconds of computing so far."""
        return self._sum + time.perf_counter() - self._since
