"""Counting steps, jumps, bows and kicks on joints."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scamo.motion import features_from_joints
from tests import motions
from training.data.dataset import DatasetWriter
from training.measure import counts
from training.measure.joint_measures import ANKLES, HEAD, TOES

FRAMES = np.arange(60)


def bump(middles: tuple[int, ...], height: float, width: int = 8) -> np.ndarray:
    """Rises of a curve at frames: float [60]."""
    rises = [np.cos(np.clip((FRAMES - middle) / width, -1, 1) * np.pi / 2) ** 2 for middle in middles]
    return height * np.sum([np.zeros(60), *rises], axis=0)


def standing() -> np.ndarray:
    return np.repeat(motions.walk(1), 60, axis=0)


@pytest.mark.parametrize("middles", [(), (12,), (12, 30), (12, 30, 48)])
def test_what_happens_so_often_is_counted_so_often(middles: tuple[int, ...]) -> None:
    jumping, bowing, kicking = standing(), standing(), standing()
    jumping[..., 1] += bump(middles, 0.4)[:, None]
    bowing[:, HEAD, 1] -= bump(middles, 0.5)
    kicking[:, [ANKLES[0], TOES[0]], 1] += bump(middles, 0.8)[:, None]
    many = len(middles)
    assert (counts.jumps(jumping), counts.bows(bowing), counts.kicks(kicking)) == (many, many, many)
    assert counts.jumps(kicking) == 0  # one foot stays


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_steps_are_changes_of_the_foot_in_front(number: int) -> None:
    walking = standing()
    swing = 0.3 * np.cos(FRAMES / 59 * np.pi * number)
    walking[:, ANKLES[0], 2] = walking[:, 0, 2] + swing
    walking[:, ANKLES[1], 2] = walking[:, 0, 2] - swing
    assert counts.steps(walking) == number


def test_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    twice = standing()
    twice[..., 1] += bump((12, 40), 0.4)[:, None]
    with DatasetWriter(tmp_path / "data", about={"name": "jumps"}) as dataset:
        for name in ("repeated-0", "repeated-1", "joined-0"):
            dataset.add(name, features_from_joints(twice), "train", ["jump"], contents=["jump", "jump"])

    def generate_batch(prompts: list[str], seeds: Any) -> list[SimpleNamespace]:
        return [SimpleNamespace(motion=SimpleNamespace(joints=twice)) for _ in prompts]

    pipeline = SimpleNamespace(card=SimpleNamespace(name="always-twice"), generate_batch=generate_batch)
    monkeypatch.setattr(counts.scamo, "load", lambda **_: pipeline)
    counts.main(counts.Args(tmp_path / "data", seeds=2, out=tmp_path / "counts"))
    assert "| jumps | 100 % of 2 | 33 % of 6 | 100 % | 1: 0 %, 2: 100 %, 3: 0 % |" in capsys.readouterr().out
    row = next(row for row in json.loads((tmp_path / "counts.json").read_text())["rows"] if row["asked"] == "jumps")
    assert row["real_clips"] == 2 and row["by_number"]["2"] == 1.0
