"""Costs against the tables of the authors' models and the paper's own check."""

from __future__ import annotations

import math

import pytest
import torch

from scamo import flops
from scamo.configs import LEVELS, SIZES, TransformerConfig
from scamo.transformer import PrefixTransformer
from tests.test_transformer import NON_VOCABULARY, TIED_TOTAL, VOCABULARY


@pytest.mark.parametrize("size", NON_VOCABULARY)
def test_closed_forms_give_the_tables(size: str) -> None:
    layers, _, width = SIZES[size]
    assert flops.non_vocabulary_parameters(layers, width) == NON_VOCABULARY[size]
    for label, counts in VOCABULARY.items():
        codes = math.prod(LEVELS[label])
        assert flops.vocabulary_parameters(codes, width) == counts[list(NON_VOCABULARY).index(size)]
        if size == "3B":
            tied = flops.vocabulary_parameters(codes, width, tied=True)
            assert tied + NON_VOCABULARY[size] == TIED_TOTAL[label]


@pytest.mark.parametrize("size", ["0.3M", "1M", "4M"])
def test_closed_forms_give_this_projects_sizes(size: str) -> None:
    layers, heads, width = SIZES[size]
    with torch.device("meta"):
        model = PrefixTransformer(TransformerConfig(1000, layers, heads, width, 384))
    vocabulary = model.transformer.wte.weight.numel() + model.lm_head.weight.numel()
    total = sum(parameter.numel() for parameter in model.parameters())
    assert flops.vocabulary_parameters(1000, width) == vocabulary
    assert flops.non_vocabulary_parameters(layers, width, 384) == total - vocabulary


FORWARD = {"44M": 1.1752e8, "111M": 2.7188e8, "343M": 7.4494e8, "775M": 1.5979e9, "1B": 2.9442e9, "3B": 6.3387e9}
TRAINED = {"44M": 3.6653e8, "111M": 8.1408e8, "343M": 2.2558e9, "775M": 4.8961e9, "1B": 8.7633e9, "3B": 1.92e10}


@pytest.mark.parametrize("size", FORWARD)
def test_operations_per_token(size: str) -> None:
    layers, heads, width = SIZES[size]
    assert flops.forward_flops_per_token(layers, heads, width, 201, 64_000) == pytest.approx(FORWARD[size], rel=1e-4)
    vocabulary = flops.paper_vocabulary_parameters(64_000, width)
    cost = flops.training_flops(NON_VOCABULARY[size], vocabulary, 1)
    assert cost == pytest.approx(TRAINED[size], rel=1e-4)
    assert 0.96 < 3 * FORWARD[size] / cost < 1.01


def test_the_papers_check_at_1e18() -> None:
    best = flops.published_optimum(1e18)
    assert best.tokens == pytest.approx(4.898e7, rel=1e-3)
    assert best.vocabulary == pytest.approx(1.622e8, rel=1e-3)
    assert best.non_vocabulary == pytest.approx(5.495e9, rel=1e-3)
    assert best.flops == pytest.approx(1.663e18, rel=1e-3)  # the printed laws do not close
    assert flops.published_loss(1e18) == pytest.approx(-5.277)


def test_the_vocabulary_that_suits_the_largest_model() -> None:
    suits = flops.VOCABULARY_OF_NON_VOCABULARY(NON_VOCABULARY["3B"])
    assert suits / SIZES["3B"].width == pytest.approx(62_052, rel=1e-3)  # 2**16 is the nearest codebook


def test_gpu_hours_are_operations() -> None:
    assert flops.gpu_flops("A100", 1000, 0.5) == pytest.approx(5.616e20)
    with pytest.raises(ValueError, match="A100, H100"):
        flops.gpu_flops("Voodoo 2", 1, 0.4)
