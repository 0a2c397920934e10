"""The named codebooks and sizes, and the shapes of the two networks. Plain numbers; no network is imported."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scamo import flops

LEVELS: dict[int, tuple[int, ...]] = {
    16: (5, 3),
    64: (8, 8),
    256: (8, 6, 5),
    512: (8, 8, 8),
    1024: (8, 5, 5, 5),
    2048: (8, 8, 6, 5),
    4096: (7, 5, 5, 5, 5),
    16384: (8, 8, 8, 6, 5),
    65536: (8, 8, 8, 5, 5, 5),
}
"""The paper's codebooks by their nominal size; the real one is the product of the levels (256 means 240 codes)."""

MAX_NUMBER = 1 << 20  # of any width, depth or count that a card may state
MAX_LAYERS = 1000

KIT_FPS = 12.5  # frames a second of KIT-ML's motions


def codebook_label(levels: Sequence[int]) -> int:
    """The power of two a codebook is called by: 256 for (8, 6, 5), which has 240 codes."""
    return 2 ** round(math.log2(math.prod(levels)))


@dataclass(frozen=True)
class TokenizerConfig:
    """Shape of a tokenizer; the defaults but `levels` are the paper's.

    levels: values per latent channel. width: channels of the convolutions. code_width: channels of the latent.
    depth: residual blocks per halving. halvings: each halves the frame rate. features: 263, or 251 for KIT-ML.
    fps: frames a second of the motions, 20 for HumanML3D and 12.5 for KIT-ML.
    """

    levels: tuple[int, ...]
    width: int = 512
    code_width: int = 512
    depth: int = 3
    halvings: int = 2
    dilation_growth: int = 3
    features: int = 263
    fps: float = 20.0

    def __post_init__(self) -> None:
        if isinstance(self.levels, str):
            raise ValueError(f"levels {self.levels[:40]!r} make no codebook; give integers >= 2, e.g. 8 5 5 5")
        object.__setattr__(self, "levels", tuple(int(level) for level in self.levels))
        _check_numbers(self, "width", "code_width", "depth", "halvings", "dilation_growth", "features")
        if self.depth > 64 or self.halvings > 16 or self.dilation_growth**self.depth > MAX_NUMBER:
            raise ValueError(f"depth, halvings or dilation_growth of {self} are beyond all use; give about 3, 2 and 3")
        if isinstance(self.fps, bool) or not isinstance(self.fps, (int, float)) or not 0 < self.fps < math.inf:
            raise ValueError(f"{self.fps} is no frame rate; give frames a second, 20 for HumanML3D")
        # Indices are summed in float32, which counts no further than 2**24.
        if not self.levels or min(self.levels) < 2 or math.prod(self.levels) >= 2**24:
            raise ValueError(f"levels {list(self.levels)} make no codebook; give integers >= 2, e.g. 8 5 5 5")

    @classmethod
    def from_card(cls, fields: Mapping[str, Any]) -> TokenizerConfig:
        """The configuration a card holds. A KIT-ML tokenizer's card without `fps` gets KIT-ML's rate."""
        is_old_kit = "fps" not in fields and fields.get("features") == 251
        return cls(**{**fields, "fps": KIT_FPS} if is_old_kit else fields)

    @property
    def codebook_size(self) -> int:
        """The real number of codes: token ids are 0 ... codebook_size - 1."""
        return math.prod(self.levels)

    @property
    def frames_per_token(self) -> int:
        """Frames that one token stands for: 4 with two halvings."""
        return 2**self.halvings

    @property
    def tokens_per_second(self) -> float:
        """Tokens that a second of motion takes: 5 for HumanML3D with two halvings."""
        return self.fps / self.frames_per_token

    def tokens_in(self, seconds: float, least: int = 1) -> int:
        """The number of tokens nearest to a length, at least `least`; halves go up."""
        return max(least, math.floor(seconds * self.tokens_per_second + 0.5 + 1e-9))

    def seconds_of(self, tokens: int) -> float:
        """The length of so many tokens."""
        return tokens / self.tokens_per_second


class Size(NamedTuple):
    """Shape of the blocks; `width` is a multiple of `heads`."""

    layers: int
    heads: int
    width: int


SIZES: dict[str, Size] = {
    "0.1M": Size(4, 4, 32),
    "0.3M": Size(4, 4, 64),
    "1M": Size(4, 4, 128),
    "4M": Size(4, 8, 256),
    "12M": Size(7, 8, 384),
    "44M": Size(8, 8, 512),
    "111M": Size(12, 12, 768),
    "343M": Size(24, 16, 1024),
    "775M": Size(36, 20, 1280),
    "1B": Size(48, 24, 1536),
    "3B": Size(24, 32, 3200),
    "7B": Size(32, 32, 4096),
    "13B": Size(40, 40, 5120),
    "30B": Size(60, 52, 6656),
    "65B": Size(80, 64, 8192),
}
"""Named sizes: the first five are this project's (by non-vocabulary parameters), the others the authors'."""


class ParameterCounts(NamedTuple):
    """Parameters by the paper's split: `vocabulary` is embedding and head, a tied matrix counted once."""

    vocabulary: int
    non_vocabulary: int


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a transformer.

    codebook_size: the real number of codes K; id K ends a motion, id K + 1 pads a batch.
    text_width: width of one text embedding. tied: head and embedding are one matrix (then the head has a padding row,
    which must never be sampled). max_positions: text + motion slots seen in training, and the few more that a timeline
    needs; longer motions work, but the model never learned from such.
    """

    codebook_size: int
    layers: int
    heads: int
    width: int
    text_width: int
    tied: bool = False
    max_positions: int = 201

    def __post_init__(self) -> None:
        _check_numbers(self, "codebook_size", "layers", "heads", "width", "text_width", "max_positions")
        if self.layers > MAX_LAYERS:
            raise ValueError(f"{self.layers:,} layers are no transformer; give up to {MAX_LAYERS:,}")
        if not isinstance(self.tied, bool):
            raise ValueError(f"tied is {self.tied!r}; give true or false")
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} does not split into {self.heads} heads of even size; change one")

    @property
    def end_id(self) -> int:
        """The token that ends a motion."""
        return self.codebook_size

    @property
    def pad_id(self) -> int:
        """The token that fills shorter rows of a training batch."""
        return self.codebook_size + 1

    @property
    def hidden(self) -> int:
        """Width inside the feed-forward network: 8/3 of the model's, rounded up to a multiple of 256."""
        return math.ceil(int(8 * self.width / 3) / 256) * 256

    @property
    def head_rows(self) -> int:
        """Rows of the head: K + 1, or K + 2 when tied."""
        return self.codebook_size + (2 if self.tied else 1)

    @property
    def parameter_counts(self) -> ParameterCounts:
        """Exact counts of this shape's network."""
        return ParameterCounts(
            flops.vocabulary_parameters(self.codebook_size, self.width, self.tied),
            flops.non_vocabulary_parameters(self.layers, self.width, self.text_width),
        )


def _check_numbers(config: Any, *names: str) -> None:
    """Raise ValueError where a field is no whole number from 1 to what any network has."""
    for name in names:
        value = getattr(config, name)
        most = 1 << 24 if name == "codebook_size" else MAX_NUMBER
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 1 <= int(value) <= most:
            raise ValueError(f"{name} is {str(value)[:40]}; give a whole number from 1 to {most:,}")


def size_label(config: TransformerConfig) -> str:
    """The name of this shape, or layers x width where it has none."""
    shape = (config.layers, config.width)
    names = (name for name, size in SIZES.items() if (size.layers, size.width) == shape)
    return next(names, f"{config.layers}x{config.width}")
