"""Following a generation: reports for the page a few times a second, and a deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Protocol, TypeVar

from scamo.stream import Step
from scamo.ui.jobs.drawing import tokens_first

MAX_ELAPSED = 600.0  # seconds of computing for one click
REFRESH = 0.2  # seconds between two reports to the page

T = TypeVar("T")


class Steps(Protocol[T]):
    """Steps of a generation: a Stream, or what makes something else of its result."""

    def __iter__(self) -> Iterator[Step[T]]:
        """The steps; the last one has the result."""
        ...

    def close(self) -> None:
        """Stop the generation."""
        ...


class Deadline:
    """Keeps the time that one click may take."""

    def __init__(self) -> None:
        self._end = time.monotonic() + MAX_ELAPSED

    def check(self) -> None:
        """Raises ValueError when the time is over."""
        if time.monotonic() > self._end:
            raise ValueError("This took too long; choose a smaller model or a shorter length.")


def follow(steps: Steps[T], deadline: Deadline | None = None) -> Iterator[Step[T]]:
    """The steps that are worth showing: one in REFRESH seconds, and the last one with the result.

    The steps are closed when the iterator is. Raises ValueError when the deadline is over.
    """
    deadline, shown = deadline or Deadline(), 0.0
    with tokens_first.sampling(), closing(steps):
        for step in steps:
            if step.result is not None:
                yield step
                return
            deadline.check()
            if time.monotonic() - shown > REFRESH:
                yield step
                shown = time.monotonic()
