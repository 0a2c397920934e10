"""What a model costs: parameters, operations per token and per training run, and the laws the paper fitted.

Plain numbers in, plain numbers out; C is in floating point operations (FLOPs), D in motion tokens. `codes` is the real
number of codes V of a codebook (240 for "256"), not its label.
"""

from __future__ import annotations

import math
from typing import NamedTuple


def non_vocabulary_parameters(layers: int, width: int, text_width: int = 2048) -> int:
    """N_nv: blocks, final norm and text projection (the default is Flan-T5-XL's width)."""
    hidden = math.ceil(int(8 * width / 3) / 256) * 256
    block = 4 * width**2 + 3 * width * hidden + 2 * width
    return layers * block + width + (text_width + 1) * width


def vocabulary_parameters(codes: int, width: int, tied: bool = False) -> int:
    """Parameters of embedding and head as they are stored: two matrices, or one if tied, with the special tokens."""
    embedding, head = (codes + 2) * width, (codes + 1) * width
    return embedding if tied else embedding + head


def paper_vocabulary_parameters(codes: int, width: int) -> int:
    """N_v = V d, the paper's count: one matrix, whatever is stored. Its laws are in this one."""
    return codes * width


def forward_flops_per_token(
    layers: int, heads: int, width: int, context: int, vocabulary: int, ff_ratio: int = 4
) -> int:
    """Operations of one forward pass for one token, by OpenAI's count as in the paper's appendix (Code 1, Tab. 1).

    It takes a plain feed-forward network of `ff_ratio` times the width; a training step costs three times as much.
    """
    attention_width = width // heads * heads
    embedding = 4 * width
    projections = 2 * layers * width * (3 + 1) * attention_width  # to queries, keys and values, and back
    scores = 2 * layers * context * attention_width
    feed_forward = 2 * layers * 2 * width * (width * ff_ratio)
    head = 2 * width * vocabulary
    return embedding + projections + scores + feed_forward + head


def training_flops(non_vocabulary: float, vocabulary: float, tokens: float) -> float:
    """C = 6 (N_nv + N_v) D of a training run (eq. 7), with N_v = V d."""
    return 6 * (non_vocabulary + vocabulary) * tokens


BF16_TFLOPS: dict[str, float] = {
    # Peak of dense bf16 matrix products with float32 sums, as vendors state it; half of what they state with sparsity.
    "RTX 3090": 71,  # GeForce cards sum in float32 at half the rate
    "RTX 4090": 165,
    "L4": 121,
    "A10": 125,  # the A10G of some clouds has less
    "L40S": 362,
    "A100": 312,
    "H100 PCIe": 756,
    "H100 SXM": 989,
    "H200": 989,  # the H100 SXM's chip with more memory
    "B200": 2250,  # in HGX B200; 2,500 in GB200
    "MI300X": 1307,
}
"""GPUs and what each can do at most, in 10**12 operations per second. Older ones (V100, T4) have no bf16."""


def gpu_flops(gpu: str, hours: float, utilisation: float) -> float:
    """Operations of so many GPU-hours at a share of the peak (0 to 1). ValueError names the GPUs there are."""
    if gpu not in BF16_TFLOPS:
        raise ValueError(f'there is no figure for the GPU "{gpu}"; choose {", ".join(BF16_TFLOPS)}')
    return BF16_TFLOPS[gpu] * 1e12 * 3600 * hours * utilisation


class PowerLaw(NamedTuple):
    """y = 10**intercept * x**exponent; fitted as a line in log10 of both."""

    intercept: float
    exponent: float

    def __call__(self, x: float) -> float:
        """y at x > 0."""
        return 10**self.intercept * x**self.exponent


VOCABULARY_OF_COMPUTE = PowerLaw(-5.29, 0.75)
"""Eq. 11: N_v at the optimum for a budget C."""
NON_VOCABULARY_OF_COMPUTE = PowerLaw(-0.52, 0.57)
"""Eq. 12: N_nv at the optimum for a budget C."""
TOKENS_OF_COMPUTE = PowerLaw(-0.05, 0.43)
"""Eq. 13: D at the optimum for a budget C."""
VOCABULARY_OF_NON_VOCABULARY = PowerLaw(-5.604, 1.467)
"""Eq. 10: N_v that suits N_nv (R^2 = 0.95)."""


def published_loss(flops: float) -> float:
    """Normalised loss the paper predicts for the best model of a budget (eq. 14); lower is better."""
    return -1.062 * math.log10(flops) + 13.839


class Optimum(NamedTuple):
    """How to spend a budget by the paper's laws: parameters of both kinds, and motion tokens."""

    non_vocabulary: float
    vocabulary: float
    tokens: float

    @property
    def flops(self) -> float:
        """What this triple really costs under C = 6 (N_nv + N_v) D."""
        return training_flops(*self)


def published_optimum(flops: float) -> Optimum:
    """The optimum for a budget by eq. 11-13, as printed.

    The printed exponents and factors are rounded and do not close: at C = 1e18 the triple costs 1.66e18. Show
    `Optimum.flops` beside the budget wherever the triple is shown.
    """
    return Optimum(NON_VOCABULARY_OF_COMPUTE(flops), VOCABULARY_OF_COMPUTE(flops), TOKENS_OF_COMPUTE(flops))
