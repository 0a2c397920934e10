"""The charts of the paper's tables, with the models of this page."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("gradio")

import torch

from scamo import checkpoint, registry
from scamo.ui.components import scaling_charts
from scamo.ui.model_pool import ModelPool


@pytest.fixture(scope="module")
def cards():
    """The bundled models', as measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(registry.MODELS_VARIABLE, raising=False)
        return ModelPool().cards


@pytest.mark.parametrize("metric", scaling_charts.TOKENIZER_METRICS)
def test_every_tokenizer_of_the_paper_and_of_this_page_is_a_dot(metric, cards):
    measured = scaling_charts.measured_tokenizers(cards)
    families = {(card.codebook, card.name.removesuffix(f"{card.codebook}-{card.size}")) for card in cards}
    assert sorted(row["codebook"] for row in measured) == sorted(codebook for codebook, _ in families)
    rows = [*scaling_charts.published()["tokenizers"], *measured]
    shown = scaling_charts.tokenizer_chart(metric, measured)
    assert shown.count("<circle") == sum(row.get(metric) is not None for row in rows)


def test_tokenizers_in_folders_and_from_the_hub_are_measured_too(cards, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / "c0ffee"
    for number, folder in enumerate((tmp_path / "own", snapshot)):
        for place, kind in ((folder, {"tokenizer": "tokenizer"}), (folder / "tokenizer", {})):
            metrics = {"metrics": {"mpjpe_mm": 12.5 + number}, "data": "mine"}
            checkpoint.write(place, {"weight": torch.zeros(2)}, {"name": f"{number}", **metrics, **kind})
    card = next(card for card in cards if card.codebook == 1024)
    own = dataclasses.replace(card, source="local", location=str(tmp_path / "own"))
    hub, gone = (dataclasses.replace(card, source="hub", location=f"owner/{name}@c0ffee") for name in ("name", "gone"))
    measured = scaling_charts.measured_tokenizers([card, own, hub, gone])
    shown = scaling_charts.tokenizer_chart("mpjpe_mm", measured)
    assert [row["data"] for row in measured[1:]] == ["mine", "mine"]
    assert "FSQ, here (2), 1024: 12.5" in shown and "FSQ, here (3), 1024: 13.5" in shown
    assert "here (2)" not in scaling_charts.tokenizer_chart("usage", measured)


def test_the_figures_of_table_3_are_readable():
    assert "FSQ, MotionUnion, 65536: 36.6" in scaling_charts.tokenizer_chart("mpjpe_mm", [])
    assert "VQ, MotionUnion, 32768: 22,286.32" in scaling_charts.tokenizer_chart("entropy", [])
    assert "FSQ, HumanML3D, 65536: 76.4" in scaling_charts.tokenizer_chart("usage", [])


def test_the_figures_of_table_4_are_readable_and_others_stand_below(cards):
    shown = scaling_charts.generation_chart("fid", cards)
    assert shown.count("<circle") == 42
    assert "65536, 3B: 0.101" in shown
    assert "MotionLLM (Gemma-2b) 0.491" in shown
    assert "real motions" in scaling_charts.generation_chart("r_precision_1", cards)


def test_models_measured_here_are_drawn_by_size_and_by_compute(cards):
    for metric in ("normalised_loss", "compute"):
        shown = scaling_charts.generation_chart(metric, cards)
        assert shown.count("<circle") == len(cards) + 2 * (metric == "compute")
        for card in cards:
            assert f"{card.codebook}, here" in shown
            assert f": {card.metrics['normalised_loss']:.4g}" in shown
    twin = dataclasses.replace(cards[0], metrics={"normalised_loss": -1.0})
    assert "here (2)" in scaling_charts.generation_chart("normalised_loss", [cards[0], twin])
    with pytest.raises(ValueError, match="None of the models"):
        scaling_charts.generation_chart("normalised_loss", [])
    with pytest.raises(ValueError, match="how long"):
        scaling_charts.generation_chart("compute", [])
