"""The queue that answers requests of one kind together."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("gradio")

from scamo.ui.jobs import batch_queue
from scamo.ui.jobs.batch_queue import BatchQueue


class Slow:
    """Answers with what it was asked, in the company it came in, once it is let go."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        self.batches: list[tuple[str, list[int]]] = []

    def __call__(self, kind: str, asked: list[int]) -> list[int]:
        self.batches.append((kind, list(asked)))
        self.begun.set()
        assert self.go.wait(60)
        if kind == "wrong":
            raise ValueError("no such model")
        return [-one for one in asked]


@pytest.fixture
def slow() -> Iterator[Slow]:
    one = Slow()
    yield one
    one.go.set()


def test_what_waits_for_one_kind_is_answered_together(slow):
    queue = BatchQueue(slow, limit=3)
    first = queue.submit("a", 0)
    assert slow.begun.wait(60)  # from now on the others wait
    others = [queue.submit(kind, number) for number, kind in enumerate("abaaab", 1)]
    assert others[3].cancel()  # left before its turn
    slow.go.set()
    assert first.result(60) == 0
    assert [one.result(60) for one in others if not one.cancelled()] == [-1, -2, -3, -5, -6]
    assert slow.batches == [("a", [0]), ("a", [1, 3]), ("b", [2, 6]), ("a", [5])]


def test_a_fault_reaches_those_it_concerns(slow):
    queue = BatchQueue(slow)
    slow.go.set()
    with pytest.raises(ValueError, match="no such model"):
        queue.submit("wrong", 1).result(60)
    assert queue.submit("right", 1).result(60) == -1


def test_one_request_too_many_is_refused(slow, monkeypatch):
    monkeypatch.setattr(batch_queue, "MAX_WAITING", 2)
    queue = BatchQueue(slow)
    queue.submit("a", 0)
    assert slow.begun.wait(60)
    assert [queue.submit("a", 1), queue.submit("b", 1)]
    with pytest.raises(ValueError, match="busy"):
        queue.submit("a", 2)
