"""The grid of what all bundled models do: counted per action and set, and nothing is asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import scamo
from training.data.sentences import kept_apart
from training.measure import asked
from training.measure.action_checks import BY_ACTION
from training.measure.prompt_checks import PLAIN


class StandingModel:
    """Whatever it is asked, it stands still."""

    questions = 0

    def generate_batch(self, prompts: list[str], seeds: list[int]) -> list[SimpleNamespace]:
        from tests.test_training_action_checks import STAND

        StandingModel.questions += len(prompts)
        return [SimpleNamespace(motion=SimpleNamespace(joints=STAND)) for _ in prompts]


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    cards = [SimpleNamespace(name=name, sha256=name, source="bundled") for name in ("1024-4M", "256-1M")]
    cards.append(SimpleNamespace(name="mine", sha256="mine", source="local"))
    monkeypatch.setattr(scamo, "models", lambda: cards)
    monkeypatch.setattr(scamo, "load", lambda card: StandingModel())
    return cards


def test_a_model_that_stands_does_one_of_all_actions(bundled: list[Any], tmp_path: Path) -> None:
    args = asked.Args(seeds=2, kept_apart_seeds=1, out=tmp_path / "asked")
    asked.main(args)
    written = json.loads((tmp_path / "asked.json").read_text(encoding="utf-8"))
    assert [row["model"] for row in written["rows"]] == ["256-1M", "1024-4M"]
    for row in written["rows"]:
        assert row["plain"].keys() == {*PLAIN, "two actions"}
        assert row["plain"]["stand"] == [2, 2] and row["plain"]["walk"] == [0, 2]
        assert row["kept_apart"]["stand"] == [len(kept_apart()["stand"])] * 2
        assert row["second_set"].keys() == BY_ACTION.keys()
    only = asked.share(written["rows"][0]["plain"])
    assert 1 / 40 <= only < 3 / 40
    assert f"| 256-1M | {100 * only:.0f} % |" in (tmp_path / "asked.md").read_text(encoding="utf-8")

    before = StandingModel.questions
    asked.main(args)
    assert StandingModel.questions == before  # both are known
    bundled[0].sha256 = "trained again"
    asked.main(args)
    assert StandingModel.questions == before + (before // 2)


def test_the_share_is_a_mean_over_actions() -> None:
    assert asked.share({"a": (1, 1), "b": (0, 9)}) == pytest.approx(0.5)
    assert np.isfinite(asked.share({"a": (0, 2)}))
