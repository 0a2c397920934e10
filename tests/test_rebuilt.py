"""Rebuilt checkpoints beside the bundled ones: the cards' numbers, and what seeds differ by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scamo import checkpoint
from training import rebuilt


def card(folder: Path, name: str, seed: int, **metrics: float) -> None:
    facts = {"kind": "tokenizer", "name": name, "metrics": metrics, "training": {"seed": seed}}
    checkpoint.write(folder, {"w": torch.zeros(1)}, facts)


def test_numbers_stand_beside_those_of_the_same_model(tmp_path: Path) -> None:
    card(tmp_path / "bundled" / "tokenizer-64", "tokenizer-64", 0, mpjpe_mm=33.0, l1=0.5)
    card(tmp_path / "bundled" / "tokenizer-256", "tokenizer-256", 0, mpjpe_mm=30.0)
    card(tmp_path / "a" / "runs" / "tokenizer-64" / "model", "tokenizer-64", 0, mpjpe_mm=32.5, l1=0.25)
    card(tmp_path / "b" / "runs" / "tokenizer-64" / "model", "tokenizer-64", 1, mpjpe_mm=34.25, l1=0.5)
    rows = rebuilt.compared([tmp_path / "a", tmp_path / "b"], tmp_path / "bundled")
    assert rows[0] == {
        "model": "tokenizer-64", "metric": "mpjpe_mm", "bundled": 33.0, "rebuilt": {"0": 32.5, "1": 34.25}
    }  # fmt: skip
    assert len(rows) == 2
    assert "| tokenizer-64 | mpjpe_mm | 33.00 | 32.50 | 34.25 | 1.75 |" in rebuilt.markdown(rows)
    assert "| 0.5000 | 0.2500 | – |" in rebuilt.markdown(rebuilt.compared([tmp_path / "a"], tmp_path / "bundled"))
    with pytest.raises(ValueError, match="the same seed"):
        rebuilt.compared([tmp_path / "a", tmp_path / "a"], tmp_path / "bundled")
    with pytest.raises(ValueError, match="No bundled model"):
        rebuilt.compared([tmp_path / "c"], tmp_path / "bundled")
