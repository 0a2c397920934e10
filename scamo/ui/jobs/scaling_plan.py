"""The paper's laws as a calculator: how to spend a budget of operations, and the named model nearest to that."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scamo import flops
from scamo.configs import LEVELS, SIZES
from scamo.ui.formatting import scientific

SMALLEST = 10 ** (13.839 / 1.062)  # below this eq. 14 gives a loss above zero
LARGEST = 1e22  # above this eq. 12 asks for more than 10**12 parameters


@dataclass(frozen=True)
class Plan:
    """What the laws say of a budget in FLOPs.

    best: the optimum. size, codebook: the named model nearest to it, whose parameters `named` has.
    """

    budget: float
    best: flops.Optimum
    loss: float
    size: str
    codebook: int
    named: flops.Optimum

    @property
    def affordable(self) -> float:
        """Tokens on which the named model uses up the budget."""
        return self.budget / flops.training_flops(self.named.non_vocabulary, self.named.vocabulary, 1)


def plan_budget(budget: float) -> Plan:
    """How to spend a budget of FLOPs by eq. 10-14, and the named model nearest to that.

    Raises ValueError for a budget that the laws do not cover.
    """
    if not SMALLEST <= budget <= LARGEST:
        raise ValueError(
            f"The laws say nothing of {scientific(budget)} FLOPs; choose {scientific(SMALLEST)} (below it eq. 14 gives "
            f"a loss above zero) to {scientific(LARGEST)} (above it eq. 12 asks for more than 10^12 parameters)."
        )
    best = flops.published_optimum(budget)
    counts = {name: flops.non_vocabulary_parameters(size.layers, size.width) for name, size in SIZES.items()}
    size = min(counts, key=lambda name: abs(math.log(counts[name] / best.non_vocabulary)))
    width = SIZES[size].width
    codebook = nearest_codebook(best.vocabulary / width)
    vocabulary = flops.paper_vocabulary_parameters(math.prod(LEVELS[codebook]), width)
    named = flops.Optimum(counts[size], vocabulary, best.tokens)
    return Plan(budget, best, flops.published_loss(budget), size, codebook, named)


def nearest_codebook(codes: float) -> int:
    """The paper's codebook whose real number of codes is nearest, on a scale of ratios."""
    return min(LEVELS, key=lambda book: abs(math.log(math.prod(LEVELS[book]) / codes)))
