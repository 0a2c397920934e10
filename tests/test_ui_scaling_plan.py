"""The laws as a calculator."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("gradio")

from scamo import flops
from scamo.configs import LEVELS, SIZES
from scamo.ui.jobs import scaling_plan


@pytest.mark.parametrize("budget", [2e13, 1e16, 1e18, 1e22])
def test_a_plan_names_the_nearest_model_and_what_the_budget_buys(budget):
    made = scaling_plan.plan_budget(budget)
    counts = {name: flops.non_vocabulary_parameters(size.layers, size.width) for name, size in SIZES.items()}
    ratios = {name: abs(math.log(count / made.best.non_vocabulary)) for name, count in counts.items()}
    assert ratios[made.size] == min(ratios.values())
    spent = flops.training_flops(made.named.non_vocabulary, made.named.vocabulary, made.affordable)
    assert spent == pytest.approx(budget)


@pytest.mark.parametrize("budget", [1.0, 1e13, 1e23, 1e300])
def test_a_budget_outside_the_laws_is_refused_in_words(budget):
    with pytest.raises(ValueError, match=r"choose 1\.07e13 .* to 1e22"):
        scaling_plan.plan_budget(budget)


def test_the_nearest_codebook_goes_by_real_codes():
    assert scaling_plan.nearest_codebook(62_052) == 65536
    assert [scaling_plan.nearest_codebook(math.prod(levels)) for levels in LEVELS.values()] == list(LEVELS)
