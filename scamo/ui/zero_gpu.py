"""ZeroGPU, the Spaces whose GPU is lent to one call at a time: only functions wrapped by `spaces.GPU` ever see it.

Getting a GPU takes seconds and uses up its visitor's share of the day. A small model is done on the CPU by then, so the
bundled ones stay there; a large one has its tokens drawn on the GPU. Elsewhere `studio` gives a plain Studio.
"""

from __future__ import annotations

import collections.abc
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from scamo import registry
from scamo.pipeline import Generator, ModelCard
from scamo.ui.model_pool import Studio

LARGE = 1 << 30  # bytes: a model of 343M needs 1.4 GB and takes the CPU 5 s and more
_READY = 20.0  # seconds until a GPU that was lent can begin: a new process, CUDA
_LOADED = 5e8  # bytes a second
_TOKEN = 0.03  # seconds, with the largest


def studio(folders: Sequence[str | Path] = ()) -> Studio:
    """The studio for this machine. To be called before anything touches CUDA, as `spaces` wants it."""
    if os.environ.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):
        return Studio(folders)
    import spaces  # there on every Space, and of no use elsewhere

    return Lender(folders, spaces.GPU)


class Lender(Studio):
    """A studio whose large models draw their tokens on a GPU they are lent. lend: `spaces.GPU`.

    A function is wrapped even where no model is large, for such a Space does not start without one.
    """

    def __init__(
        self, folders: Sequence[str | Path], lend: Callable[..., Any], large: int = LARGE, device: str = "cuda"
    ) -> None:
        super().__init__(folders)
        self._large, self._device = large, device
        self._there: dict[ModelCard, Generator] = {}  # filled in the GPU's process, and gone with it
        self._draw = lend(self._drawn, duration=duration)

    def generator(self, card: ModelCard) -> Generator:
        own = super().generator(card)
        return own if card.memory_bytes < self._large else _Lent(own, self._draw)

    def _drawn(self, card: ModelCard, rows: list[Any], text_bld: Tensor, mask_bl: Tensor) -> Iterator[Any]:
        """Runs in the GPU's process: what comes in and goes out is pickled, and only what is yielded goes out."""
        if card not in self._there:
            self._there[card] = registry.load(card, device=self._device)
        there = self._there[card]
        trace_bn = yield from there._predict(rows, text_bld.to(there.device), mask_bl.to(there.device))
        yield [row.tokens for row in rows], [part.cpu() for part in trace_bn]


def duration(card: ModelCard, rows: Sequence[Any], *_: Any) -> float:
    """Seconds of GPU to ask for. Who asks for less waits less, who takes more is cut off."""
    return _READY + card.memory_bytes / _LOADED + _TOKEN * max(row.limit for row in rows)


class _Lent(Generator):
    """A model on the CPU that has its tokens drawn elsewhere; it checks, reads texts and decodes as ever."""

    def __init__(self, own: Generator, draw: Callable[..., Iterator[Any]]) -> None:
        super().__init__(own.tokenizer, own.transformer, own.card, own.text_encoder if own.card.text_encoder else None)
        self._draw = draw

    def _predict(
        self, rows: list[Any], text_bld: Tensor, mask_bl: Tensor
    ) -> collections.abc.Generator[int, None, list[Tensor]]:
        trace_bn: list[Tensor] = []
        for told in self._draw(self.card, rows, text_bld, mask_bl):
            if isinstance(told, int):
                yield told
            else:
                tokens, trace_bn = told
                for row, ids in zip(rows, tokens, strict=True):
                    row.tokens = ids
        return trace_bn
