"""A queue that answers requests of one kind together, where many take nearly the time of one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

MAX_BATCH = 16
MAX_WAITING = 32  # requests; further ones are refused
BUSY = "This page is busy: too many requests wait already. Try again in a few seconds."

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


class BatchQueue(Generic[_Request, _Answer]):
    """Collects requests while one batch is computed; the next batch takes those of the oldest request's kind.

    answer: computes the answers to requests of one kind. No request waits for a batch to fill: one that comes alone is
    computed alone, at once.
    """

    def __init__(self, answer: Callable[[Any, Sequence[_Request]], Sequence[_Answer]], limit: int = MAX_BATCH) -> None:
        self._answer, self._limit = answer, limit
        self._waiting: list[tuple[Hashable, _Request, Future[_Answer]]] = []
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")

    def submit(self, kind: Hashable, request: _Request) -> Future[_Answer]:
        """The answer to come. Raises ValueError where too many requests wait already."""
        future: Future[_Answer] = Future()
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                raise ValueError(BUSY)
            self._waiting.append((kind, request, future))
        self._thread.submit(self._compute_batch)
        return future

    def _compute_batch(self) -> None:
        with self._lock:
            kind = self._waiting[0][0] if self._waiting else None
            taken = [entry for entry in self._waiting if entry[0] == kind][: self._limit]
            futures = {future for _, _, future in taken}
            self._waiting = [entry for entry in self._waiting if entry[2] not in futures]
        running = [(request, future) for _, request, future in taken if future.set_running_or_notify_cancel()]
        if not running:  # an earlier batch has answered this request, or its sender has left
            return
        try:
            answers = self._answer(kind, [request for request, _ in running])
        except Exception as error:
            for _, future in running:
                future.set_exception(error)
        else:
            for (_, future), answer in zip(running, answers, strict=True):
                future.set_result(answer)
