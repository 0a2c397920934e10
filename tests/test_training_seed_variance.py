"""Rebuilt checkpoints beside the bundled ones: the numbers of their cards, and how seeds differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scamo import checkpoint
from training.measure.seed_variance import compare_cards, is_within, markdown


def card(folder: Path, name: str, seed: int, **metrics: float) -> None:
    facts = {"kind": "tokenizer", "name": name, "metrics": metrics, "training": {"seed": seed}}
    checkpoint.write(folder, {"w": torch.zeros(1)}, facts)


def test_numbers_stand_beside_those_of_the_same_model(tmp_path: Path) -> None:
    card(tmp_path / "bundled" / "tokenizer-64", "tokenizer-64", 0, mpjpe_mm=33.0, l1=0.5)
    card(tmp_path / "bundled" / "tokenizer-256", "tokenizer-256", 0, mpjpe_mm=30.0)
    builds = [tmp_path / name for name in "abc"]
    for seed, (build, mpjpe, l1) in enumerate(zip(builds, (32.5, 34.25, 33.0), (0.25, 0.26, 0.27), strict=True), 1):
        card(build / "runs" / "tokenizer-64" / "model", "tokenizer-64", seed, mpjpe_mm=mpjpe, l1=l1)
    rows = compare_cards(builds[:2], tmp_path / "bundled")
    assert rows[0] == {
        "model": "tokenizer-64", "metric": "mpjpe_mm", "bundled": 33.0, "rebuilt": {"1": 32.5, "2": 34.25},
        "noise": None,
    }  # fmt: skip
    assert len(rows) == 2
    assert "| tokenizer-64 | mpjpe_mm | 33.00 | 32.50 | 34.25 | 33.38 | 1.24 | – | – |" in markdown(rows)
    # s of 0.25, 0.26, 0.27 is 0.01; t of two degrees of freedom is 4.3027; sqrt(4 / 3) is 1.1547.
    error, loss = compare_cards(builds, tmp_path / "bundled")
    assert loss["noise"] == pytest.approx(4.3027 * 0.01 * 1.1547, rel=1e-4)
    assert is_within(error) and not is_within(loss)
    table = markdown([error, loss])
    assert "| 0.5000 | 0.2500 | 0.2600 | 0.2700 | 0.2600 | 0.0100 | ± 0.0497 | no |" in table


def test_builds_that_say_nothing_are_refused(tmp_path: Path) -> None:
    card(tmp_path / "bundled" / "tokenizer-64", "tokenizer-64", 0, l1=0.5)
    for name, seed in (("a", 0), ("b", 1)):
        card(tmp_path / name / "runs" / "tokenizer-64" / "model", "tokenizer-64", seed, l1=0.25)
    for builds, words in (("c", "No bundled model"), ("bb", "the same seed"), ("ab", "seed 0 too")):
        with pytest.raises(ValueError, match=words):
            compare_cards([tmp_path / name for name in builds], tmp_path / "bundled")
