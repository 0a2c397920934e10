"""The soak sees an answer to another question, knows the documented refusals, and finds a slope."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

pytest.importorskip("gradio")

from benchmarks import soak
from benchmarks.page_process import ROOT
from benchmarks.soak_answers import SECONDS, Question
from benchmarks.soak_clients import KINDS, REFUSALS, Client, Mixed, Refused, Unexpected
from scamo.ui.jobs.batch_queue import BUSY

QUESTION = Question("a person walks", 3, "1M · actions")
TOKENS = [1, 2, 3]


def client(answer: Any, status: int = 200) -> Client:
    """A client of a page that gives one answer to /generate."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            words = {"detail": answer} if status != 200 else {"event_id": "1"}
            return httpx.Response(status, json=words)
        kind = "error" if "error" in answer else "complete"
        data = answer if kind == "error" else [None, {"url": ""}, {"url": ""}, answer]
        return httpx.Response(200, text=f"event: {kind}\ndata: {json.dumps(data)}\n\n")

    expected: Any = SimpleNamespace(questions=[QUESTION], tokens={QUESTION: TOKENS}, sizes=["1M · actions"])
    return Client("http://here/", expected, {}, 1, httpx.Client(transport=httpx.MockTransport(handle)))


def recipe(**other: Any) -> dict[str, Any]:
    return {"prompt": QUESTION.prompt, "seed": 3, "size": "1M", "tokens": TOKENS, "seconds": SECONDS} | other


def test_the_own_answer_is_taken_and_any_other_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.Random.random", lambda self: 0.9)  # without the file
    client(recipe()).generate()
    for other in ({"prompt": "a person runs"}, {"seed": 4}, {"tokens": [1, 2, 4]}, {"size": "4M"}):
        with pytest.raises(Mixed):
            client(recipe(**other)).generate()


@pytest.mark.parametrize(("words", "status"), [(BUSY, 503), ({"error": BUSY}, 200)])
def test_a_documented_refusal_is_one(words: Any, status: int) -> None:
    with pytest.raises(Refused):
        client(words, status).generate()


@pytest.mark.parametrize(("words", "status"), [("Internal error", 503), ({"error": None}, 200), ("", 500)])
def test_other_words_are_unexpected(words: Any, status: int) -> None:
    with pytest.raises(Unexpected):
        client(words, status).generate()


def test_every_kind_is_a_method_and_every_refusal_is_documented() -> None:
    assert all(callable(getattr(Client, kind)) for kind in KINDS)
    documented = " ".join((ROOT / "docs" / "programs.md").read_text(encoding="utf-8").split())
    assert all(words.split(". ")[0] in documented for words in REFUSALS)


def test_the_slope_is_that_after_the_warm_up() -> None:
    rising = [(second, 500 + (second if second < 180 else 180 + (second - 180) / 60)) for second in range(0, 600, 5)]
    assert soak.slope(rising) == pytest.approx(1.0)
    assert soak.slope(rising[:10]) is None
    visited = [(second, mb + 60 * (second > 400 and second % 25 == 0)) for second, mb in rising]  # by ffmpeg, late
    assert soak.slope(visited) == pytest.approx(1.0, abs=0.3)


def test_a_broken_promise_is_named() -> None:
    tally = soak.Tally(memory=[(float(second), 500.0) for second in range(0, 300, 5)])
    tally.waits["open"] += [0.1] * 99 + [3.0]
    assert soak.summary(tally)["broken"] == []
    tally.mixed.append("compare: another")
    tally.waits["open"] += [3.0] * 20
    report = soak.summary(tally)
    assert report["broken"] == ["mixed", "open_p95"] and "| mixed | 1.00 | 0 |" in soak.table(report)
