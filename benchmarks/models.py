"""Models of seeded random weights, and the token loop over them, as several benchmarks measure them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scamo.transformer import PrefixTransformer

TEXT_LENGTH = 12  # vectors of the made-up text


def random_transformer(size: str, codebook: int, text_width: int, device: str) -> PrefixTransformer:
    """A transformer of random weights, in float32 on a CPU and bfloat16 on a GPU."""
    import torch

    from scamo.configs import LEVELS, SIZES, TransformerConfig
    from scamo.transformer import PrefixTransformer

    torch.manual_seed(0)
    dtype = torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16
    with torch.device(device):
        model = PrefixTransformer(TransformerConfig(math.prod(LEVELS[codebook]), *SIZES[size], text_width)).to(dtype)
    return model.eval().requires_grad_(False)


def decoding_tasks(
    count: int, codebook: int, width: int, device: str = "cpu", name: str = "decoder"
) -> dict[str, Callable[[], Any]]:
    """Two tasks of a clip of `count` random tokens: the decoder, `width` channels wide, and the joints."""
    import numpy as np
    import torch

    from scamo.configs import LEVELS, TokenizerConfig
    from scamo.motion import Motion
    from scamo.tokenizer import MotionTokenizer

    torch.manual_seed(0)
    config = TokenizerConfig(LEVELS[codebook], width=width, code_width=width)
    tokenizer = MotionTokenizer(config).to(device).eval().requires_grad_(False)
    ids = np.random.default_rng(0).integers(tokenizer.codebook_size, size=count)
    features = tokenizer.decode(ids)
    return {name: lambda: tokenizer.decode(ids), "joints": lambda: Motion(features).joints}
