"""The sheets of a plan and of a model's cost."""

from __future__ import annotations

import pytest

pytest.importorskip("gradio")

from scamo.configs import SIZES, Size
from scamo.ui.components.scaling_sheets import model_sheet, plan_sheet
from scamo.ui.jobs.scaling_plan import plan_budget
from tests.test_flops import FORWARD


def test_a_plan_tells_that_the_laws_do_not_close():
    made = plan_budget(1e18)
    assert made.codebook == 65536
    shown = plan_sheet(made, "A100", 0.4)
    for words in ("5.50G parameters", "49.0M tokens, 2,720 h", "-5.277", "1.66e18 FLOPs, 1.66 times", "do not close"):
        assert words in shown
    assert "2.23 GPU-hours on A100" in shown


def test_a_model_costs_what_code_1_says():
    shown = model_sheet(SIZES["111M"], 65536, 201, 2048, 1e7, "H100 SXM", 0.5)
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
        model_sheet(**asked)
