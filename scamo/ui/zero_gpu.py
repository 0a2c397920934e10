"""ZeroGPU, the Spaces that lend a GPU to one call at a time. Only functions wrapped by `spaces.GPU` can use it.

Getting a GPU takes seconds and uses up the visitor's share of the day. The CPU has finished a small model by then, so
the bundled models stay on the CPU; a large model samples its tokens on the GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from scamo import registry
from scamo.configs import TransformerConfig
from scamo.device import Place
from scamo.engine import Engine, LocalEngine, SampledTokens, TokenRequest, slides
from scamo.registry import ModelCard
from scamo.transformer import PrefixTransformer

LARGE = 1 << 30  # bytes: a model of 343M needs 1.4 GB and takes the CPU 5 s and more
_START_SECONDS = 20.0  # until a lent GPU can begin: a new process, CUDA
_LOADED_BYTES_PER_SECOND = 5e8
_SECONDS_PER_TOKEN = 0.03  # with the largest model

Message = int | list[SampledTokens]  # what the GPU's process yields: the tokens so far, and at last all of them
Sample = Callable[[ModelCard, Sequence[TokenRequest], Tensor, Tensor, Tensor | None], Iterator[Message]]


def zero_gpu() -> ZeroGPU | None:
    """The GPU of this Space, or None on any other machine. `spaces` must be imported before anything uses CUDA."""
    if os.environ.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):
        return None
    import spaces  # every Space has it, and no other machine needs it

    return ZeroGPU(spaces.GPU)


class ZeroGPU:
    """Makes the engines of a Space with ZeroGPU. lend: `spaces.GPU`; large: bytes from which a model uses the GPU.

    A function is wrapped even where no model is large: such a Space does not start without one.
    """

    def __init__(self, lend: Callable[..., Any], large: int = LARGE, device: str = "cuda") -> None:
        self._large, self._device = large, device
        self._dtype = torch.float32 if device == "cpu" else torch.bfloat16  # every GPU that is lent has bfloat16
        self._engines: dict[ModelCard, LocalEngine] = {}  # filled in the GPU's process, which ends after the call
        self._sample: Sample = lend(self._sample_on_gpu, duration=expected_duration)

    def engine(self, card: ModelCard, transformer: PrefixTransformer) -> Engine:
        """The engine for a model: on the lent GPU if it is large, otherwise on the CPU."""
        if card.memory_bytes < self._large:
            return LocalEngine(transformer)
        dtype = str(self._dtype).removeprefix("torch.")
        place = Place(self._device, dtype, "the GPU that this Space lends by the call")
        return ZeroGPUEngine(card, self._sample, place)

    def _sample_on_gpu(
        self,
        card: ModelCard,
        requests: Sequence[TokenRequest],
        text_bld: Tensor,
        text_mask_bl: Tensor,
        empty_text_ld: Tensor | None = None,
    ) -> Iterator[Message]:
        """Runs in the GPU's process. Arguments and yielded values are pickled; a returned value would be lost."""
        if card not in self._engines:
            _, transformer = registry.load_networks(card, device=self._device, dtype=self._dtype)
            self._engines[card] = LocalEngine(transformer)
        yield (yield from self._engines[card].stream(requests, text_bld, text_mask_bl, empty_text_ld))


class ZeroGPUEngine:
    """Samples the tokens of one model in the GPU's process."""

    def __init__(self, card: ModelCard, sample: Sample, place: Place) -> None:
        self._card, self._sample, self._place = card, sample, place

    @property
    def config(self) -> TransformerConfig:
        """Shape of the transformer."""
        return self._card.transformer

    @property
    def place(self) -> Place:
        """Where the tokens are computed."""
        return self._place

    def stream(
        self,
        requests: Sequence[TokenRequest],
        text_bld: Tensor,
        text_mask_bl: Tensor,
        empty_text_ld: Tensor | None = None,
    ) -> Generator[int, None, list[SampledTokens]]:
        """See scamo.engine.Engine.stream."""
        sampled: list[SampledTokens] = []
        for message in self._sample(self._card, list(requests), text_bld, text_mask_bl, empty_text_ld):
            if isinstance(message, int):
                yield message
            else:
                sampled = message
        return sampled


def expected_duration(
    card: ModelCard,
    requests: Sequence[TokenRequest],
    _: Tensor,
    text_mask_bl: Tensor,
    empty_text_ld: Tensor | None = None,
) -> float:
    """Seconds of GPU to ask for. A shorter request waits less in the queue; one that takes longer is cut off."""
    windows = slides(card.transformer, requests, text_mask_bl, empty_text_ld)
    together = windows is None or len(set(windows)) == 1
    limit = (max if together else sum)(request.limit for request in requests)
    passes = 2 if any(request.guidance != 1 for request in requests) else 1
    return _START_SECONDS + card.memory_bytes / _LOADED_BYTES_PER_SECOND + _SECONDS_PER_TOKEN * limit * passes
