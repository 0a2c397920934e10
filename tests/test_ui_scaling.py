"""The tab "Scaling": its figures, its calculators, and a browser that reads a value and asks for a plan."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
import torch

from scamo import checkpoint, flops, registry
from scamo.tokenizer import LEVELS
from scamo.transformer import SIZES, Size
from scamo.ui.components import chart
from scamo.ui.model_pool import Studio
from scamo.ui.tabs import scaling
from tests.test_flops import FORWARD


@pytest.fixture(scope="module")
def cards():
    """The bundled models', as measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(registry.MODELS_VARIABLE, raising=False)
        return Studio().cards


def test_places_are_shares_of_the_picture_and_names_are_escaped():
    x, y = chart.Axis("x", str, ticks={0: "zero", 4: "four"}), chart.Axis("y", str)
    shown = chart.chart(x, y, [chart.Series("<b>", {0: 0, 1: 10, 4: 20})], rule=("real", 5))
    assert re.findall(r'cx="([\d.]+)%" cy="([\d.]+)%"', shown) == [
        ("0.00", "100.00"), ("25.00", "50.00"), ("100.00", "0.00"),
    ]  # fmt: skip
    assert "<b>" not in shown and "&lt;b&gt;, 1: 10" in shown
    assert 'x="0" y="75.00%" dy="-5">real' in shown
    assert "<tr><th>4</th><td>20</td></tr>" in shown
    with pytest.raises(ValueError, match="nothing"):
        chart.chart(x, y, [])


@pytest.mark.parametrize(
    ("low", "high", "log", "values"),
    [
        (0.041, 0.512, False, [0, 0.2, 0.4, 0.6]),
        (-3.2, -2.4, False, [-3.2, -3, -2.8, -2.6, -2.4]),
        (7, 7, False, [6, 8]),
        (0.101, 50.8, True, [0.1, 1, 10, 100]),
        (36.6, 170, True, [30, 40, 50, 60, 80, 100, 150, 200]),
    ],
)
def test_ticks_are_round_and_enclose_everything(low, high, log, values):
    assert chart.ticks(low, high, log) == pytest.approx(values)


@pytest.mark.parametrize("metric", scaling.TOKENIZER_METRICS)
def test_every_tokenizer_of_the_paper_and_of_this_page_is_a_dot(metric, cards):
    measured = scaling.tokenizer_cards(cards)
    assert sorted(row["codebook"] for row in measured) == sorted({card.codebook for card in cards})
    rows = [*scaling.published()["tokenizers"], *measured]
    shown = scaling.tokenizer_chart(metric, measured)
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
    measured = scaling.tokenizer_cards([card, own, hub, gone])
    shown = scaling.tokenizer_chart("mpjpe_mm", measured)
    assert [row["data"] for row in measured[1:]] == ["mine", "mine"]
    assert "FSQ, here (2), 1024: 12.5" in shown and "FSQ, here (3), 1024: 13.5" in shown
    assert "here (2)" not in scaling.tokenizer_chart("usage", measured)


def test_the_figures_of_table_3_are_readable():
    assert "FSQ, MotionUnion, 65536: 36.6" in scaling.tokenizer_chart("mpjpe_mm", [])
    assert "VQ, MotionUnion, 32768: 22,286.32" in scaling.tokenizer_chart("entropy", [])
    assert "FSQ, HumanML3D, 65536: 76.4" in scaling.tokenizer_chart("usage", [])


def test_the_figures_of_table_4_are_readable_and_others_stand_below(cards):
    shown = scaling.generation_chart("fid", cards)
    assert shown.count("<circle") == 42
    assert "65536, 3B: 0.101" in shown
    assert "MotionLLM (Gemma-2b) 0.491" in shown
    assert "real motions" in scaling.generation_chart("r_precision_1", cards)


def test_models_measured_here_are_drawn_by_size_and_by_compute(cards):
    for metric in ("normalised_loss", "compute"):
        shown = scaling.generation_chart(metric, cards)
        assert shown.count("<circle") == len(cards) + 2 * (metric == "compute")
        for card in cards:
            assert f"{card.codebook}, here" in shown
            assert f": {card.metrics['normalised_loss']:.4g}" in shown
    twin = dataclasses.replace(cards[0], metrics={"normalised_loss": -1.0})
    assert "here (2)" in scaling.generation_chart("normalised_loss", [cards[0], twin])
    with pytest.raises(ValueError, match="None of the models"):
        scaling.generation_chart("normalised_loss", [])
    with pytest.raises(ValueError, match="how long"):
        scaling.generation_chart("compute", [])


@pytest.mark.parametrize("budget", [2e13, 1e16, 1e18, 1e22])
def test_a_plan_names_the_nearest_model_and_what_the_budget_buys(budget):
    made = scaling.plan(budget)
    counts = {name: flops.non_vocabulary_parameters(size.layers, size.width) for name, size in SIZES.items()}
    ratios = {name: abs(math.log(count / made.best.non_vocabulary)) for name, count in counts.items()}
    assert ratios[made.size] == min(ratios.values())
    spent = flops.training_flops(made.named.non_vocabulary, made.named.vocabulary, made.affordable)
    assert spent == pytest.approx(budget)


def test_a_plan_tells_that_the_laws_do_not_close():
    made = scaling.plan(1e18)
    assert made.codebook == 65536
    shown = scaling.plan_sheet(made, "A100", 0.4)
    for words in ("5.50G parameters", "49.0M tokens, 2,720 h", "-5.277", "1.66e18 FLOPs, 1.66 times", "do not close"):
        assert words in shown
    assert "2.23 GPU-hours on A100" in shown


@pytest.mark.parametrize("budget", [1.0, 1e13, 1e23, 1e300])
def test_a_budget_outside_the_laws_is_refused_in_words(budget):
    with pytest.raises(ValueError, match=r"choose 1\.07e13 .* to 1e22"):
        scaling.plan(budget)


def test_the_nearest_codebook_goes_by_real_codes():
    assert scaling.nearest_codebook(62_052) == 65536
    assert [scaling.nearest_codebook(math.prod(levels)) for levels in LEVELS.values()] == list(LEVELS)


def test_a_model_costs_what_code_1_says():
    shown = scaling.model_sheet(SIZES["111M"], 65536, 201, 2048, 1e7, "H100 SXM", 0.5)
    assert f"{FORWARD['111M']:.2e}".replace("e+0", "e") in shown
    assert "8.14e15 FLOPs" in shown
    assert "16.5 s" in shown


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"shape": Size(0, 8, 512)}, "layers"),
        ({"shape": Size(8, 7, 512)}, "7 heads"),
        ({"context": 0}, "context"),
        ({"tokens": 1e16}, "tokens"),
    ],
)
def test_a_model_nobody_can_build_is_refused_in_words(wrong, words):
    asked = {
        "shape": SIZES["44M"], "codebook": 256, "context": 201, "text_width": 384, "tokens": 1e6, "gpu": "L4",
        "utilisation": 0.4, **wrong,
    }  # fmt: skip
    with pytest.raises(ValueError, match=words):
        scaling.model_sheet(**asked)


def test_numbers_are_read_as_people_write_them():
    assert [scaling.read_number(text) for text in ("1e18", "10^18", " 1,000_000 ")] == [1e18, 1e18, 1e6]
    assert scaling.read_number("10^7.5") == pytest.approx(3.162e7, rel=1e-3)
    for text in ("", "many", "-3", "nan", "1e999", "10^999", "-1^0.5", "1^2^3"):
        with pytest.raises(ValueError, match="no positive number"):
            scaling.read_number(text)


def test_a_browser_reads_a_value_and_asks_for_a_plan(visit):
    page = visit()
    page.get_by_role("tab", name="Scaling").click()
    page.hover("#tokenizers-chart .line.here circle >> nth=0")
    page.get_by_text("FSQ, here, 256: ").wait_for()
    page.click("#generation-by input")
    page.get_by_role("option", name="R@1", exact=True).click()
    page.locator("#generation-chart").get_by_text("R-precision at 1, higher is better").wait_for()
    page.fill("#budget textarea", "1e3")
    page.locator("#plan").get_by_text("The laws say nothing of 1e3 FLOPs").wait_for()
    page.fill("#budget textarea", "1e17")
    page.locator("#plan").get_by_text("1e17 FLOPs; ").wait_for()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
