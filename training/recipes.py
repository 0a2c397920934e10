"""Every checkpoint's settings: the bundled ones, the FSQ-beside-VQ table, and the 7 codebooks x 6 sizes of the paper.

A recipe is the arguments of a training step, so it can be read, changed with ``dataclasses.replace``, and run:

    from training import recipes, transformer
    places = recipes.Places(Path("data/union"), Path("data/union-t5"), Path("runs"))
    transformer.main(recipes.paper_transformer(65536, "3B", places))
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from scamo.transformer import SIZES
from training.tasks import evaluator, tokenizer, transformer

BUNDLED_CODEBOOKS = (256, 1024, 4096)
BUNDLED_SIZES = ("0.3M", "1M", "4M")
PAPER_CODEBOOKS = (256, 512, 1024, 2048, 4096, 16384, 65536)
PAPER_SIZES = ("44M", "111M", "343M", "775M", "1B", "3B")


@dataclass(frozen=True)
class Places:
    """Where things are: a dataset folder, the embeddings of its captions, and the folder for runs."""

    data: Path
    texts: Path
    runs: Path

    def tokenizer(self, codebook: int, quantiser: str = "fsq") -> Path:
        """The run of a tokenizer."""
        return self.runs / (f"tokenizer-{codebook}" if quantiser == "fsq" else f"vq-{codebook}")

    def tokens(self, codebook: int) -> Path:
        """What training.data.token_cache makes of dataset and tokenizer."""
        return self.runs / f"tokens-{codebook}.npz"


def bundled_base(places: Places, threads: int = 0) -> tokenizer.Args:
    """What every bundled tokenizer begins with: a quarter of the paper's width, half an hour of one CPU core.

    The paper has the time of GPUs; this takes a faster road: many small steps at a high rate that falls by a cosine.
    """
    return tokenizer.Args(
        data=places.data, out=places.runs / "tokenizer-base", codebook=max(BUNDLED_CODEBOOKS), width=128, steps=18_000,
        batch=16, window=64, lengths=(32, 48, 64, 96, 128, 192), emphasis=True, restraint=0.1, lr=1.2e-3,
        schedule="cosine", warmup=0.05, threads=threads, save_every=500, validate_every=3000,
    )  # fmt: skip


def bundled_tokenizer(codebook: int, places: Places, threads: int = 0) -> tokenizer.Args:
    """A bundled tokenizer: the base goes on with a codebook of its own, and learns not to drift from its path."""
    base = bundled_base(places, threads)
    return replace(
        base, out=places.tokenizer(codebook), codebook=codebook, start=base.out / "model", path=0.5,
        steps=5000, lr=4e-4,
    )  # fmt: skip


def bundled_transformer(codebook: int, size: str, places: Places, threads: int = 0) -> transformer.Args:
    """A bundled transformer: tied vocabulary, a few passes over the corpus."""
    lr = {"0.3M": 3e-3, "1M": 2e-3, "4M": 1e-3}[size]
    # Two CPU cores had an evening: the smallest codebook's 4M got less. Every card states its own.
    steps = {"0.3M": 1500, "1M": 1200, "4M": 1000 if codebook == 256 else 1200}[size]
    return transformer.Args(
        data=places.data, texts=places.texts, tokenizer=places.tokenizer(codebook) / "model",
        out=places.runs / f"{codebook}-{size}", size=size, tokens=places.tokens(codebook), steps=steps, targets=1024,
        lr=lr, threads=threads, save_every=200, validate_every=500,
    )  # fmt: skip


def bundled_evaluator(places: Places, threads: int = 0) -> evaluator.Args:
    """The evaluator that the tables of the bundled models are measured with."""
    return evaluator.Args(data=places.data, texts=places.texts, out=places.runs / "evaluator", threads=threads)


def quantiser_comparison(places: Places, codebooks: tuple[int, ...] = BUNDLED_CODEBOOKS, steps: int = 2000,
                         threads: int = 0) -> list[tokenizer.Args]:  # fmt: skip
    """FSQ beside VQ at several codebooks: same network, data, steps and rate. The loss is plain, as in the paper.

    For each codebook the paper's levels and a learned codebook of exactly the nominal size.
    """
    return [
        tokenizer.Args(
            data=places.data, out=places.runs / f"{quantiser}-{codebook}", codebook=codebook, quantiser=quantiser,
            width=128, steps=steps, batch=16, window=64, lengths=(32, 48, 64, 96, 128, 192), lr=4e-4, schedule="cosine",
            warmup=0.1, threads=threads, save_every=250, validate_every=steps,
        )
        for codebook in codebooks
        for quantiser in ("fsq", "vq")
    ]  # fmt: skip


def paper_tokenizer(codebook: int, places: Places) -> tokenizer.Args:
    """The paper's network (width 512) and schedule. What it does not state is customary in the field: 256 windows of 64
    frames a step, 200,000 steps, a rate of 2e-4."""
    return tokenizer.Args(
        data=places.data, out=places.tokenizer(codebook), codebook=codebook, width=512, steps=200_000, batch=256,
        window=64, lr=2e-4, save_every=2000, validate_every=10_000,
    )  # fmt: skip


def paper_transformer(codebook: int, size: str, places: Places, tokens: float = 10**7.5) -> transformer.Args:
    """One of the paper's 42 models: untied, bf16, warm-up and cosine of appendix Tab. 2.

    ``tokens``: the paper's check of its law spent 10^7.5 on the largest. Batches of 640 motions' tokens; the rate,
    which the paper does not state, falls with the root of the width from 3e-4 at 512. Where 32,000 tokens do not fit a
    device, more processes or ``accumulate`` share them: the curve stays the same.
    """
    targets = 32_000
    rate = 3e-4 * math.sqrt(512 / SIZES[size].width)
    return transformer.Args(
        data=places.data, texts=places.texts, tokenizer=places.tokenizer(codebook) / "model",
        out=places.runs / f"{codebook}-{size}", size=size, tokens=places.tokens(codebook), tied=False,
        steps=round(tokens / targets), targets=targets, lr=rate, precision="bf16", save_every=200, validate_every=200,
    )  # fmt: skip


def paper_grid(places: Places) -> list[transformer.Args]:
    """All 7 x 6."""
    return [paper_transformer(codebook, size, places) for codebook in PAPER_CODEBOOKS for size in PAPER_SIZES]
