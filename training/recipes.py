"""The settings of every checkpoint: bundled, of one dataset, FSQ beside VQ, and the paper's 7 codebooks x 6 sizes.

A recipe is the configuration of a training, so it can be read, changed and run:

    from training import recipes
    from training.configuration import with_settings
    from training.tasks import transformer
    places = recipes.Places(Path("data/union"), Path("data/union-t5"), Path("runs"))
    transformer.main(with_settings(recipes.paper_transformer(65536, "3B", places), accumulate=4))
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scamo.configs import SIZES
from training.configuration import Run, with_settings
from training.tasks import tokenizer, transformer
from training.tasks.evaluator import EvaluatorTraining
from training.tasks.text_encoder import TextEncoderTraining
from training.tasks.tokenizer import TokenizerTraining
from training.tasks.transformer import TransformerTraining

BUNDLED_CODEBOOKS = (256, 1024, 4096)
BUNDLED_SIZES = ("0.3M", "1M", "4M")
PAPER_CODEBOOKS = (256, 512, 1024, 2048, 4096, 16384, 65536)
PAPER_SIZES = ("44M", "111M", "343M", "775M", "1B", "3B")
LENGTHS = (32, 48, 64, 96, 128, 192)  # frames of the windows that tokenizers learn from
SHORTER = (16, 24, 32, 48, 64, 96, 128)  # and those of many actions


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
        """The file that training.data.token_cache makes of dataset and tokenizer."""
        return self.runs / f"tokens-{codebook}.npz"


def base_tokenizer(places: Places, threads: int = 0) -> TokenizerTraining:
    """The tokenizer that others begin with: a quarter of the paper's width, half an hour of one CPU core.

    In place of the paper's GPU time it takes many small steps at a high rate that falls by a cosine.
    """
    run = Run(places.runs / "tokenizer-base", threads=threads, save_every=500, validate_every=3000)
    return TokenizerTraining(
        places.data, run, codebook=max(BUNDLED_CODEBOOKS), width=128, batch=16, window=64, lengths=LENGTHS,
        emphasis=True, latent_penalty=0.1,
        optimisation=replace(tokenizer.PAPER, steps=18_000, lr=1.2e-3, schedule="cosine", warmup=0.05, precision="no"),
    )  # fmt: skip


def bundled_tokenizer(codebook: int, places: Places, start: Path, threads: int = 0) -> TokenizerTraining:
    """A bundled tokenizer: another one, of any codebook, that goes on with the corpus of many actions.

    start: the folder of that tokenizer's model. The root's path, the bones' lengths, and the joints' places and speeds
    are in the loss. Clips are drawn evenly, short windows among them: a throw takes two seconds.
    """
    return with_settings(
        base_tokenizer(places, threads), out=places.tokenizer(codebook), codebook=codebook, start=start, steps=12_000,
        lr=8e-4, warmup=0.03, validate_every=4000, drift_penalty=0.3, bone_penalty=0.3, place_penalty=1.0,
        speed_penalty=0.3, evenly=True, lengths=SHORTER, precision="auto",
    )  # fmt: skip


def bundled_text_encoder(places: Places, threads: int = 0) -> TextEncoderTraining:
    """The update of MiniLM that all bundled transformers read their prompts with."""
    return TextEncoderTraining(Run(places.runs / "text-encoder", threads=threads))


def bundled_transformer(codebook: int, size: str, places: Places, threads: int = 0) -> TransformerTraining:
    """A bundled transformer. A tenth of the sentences that it reads is empty, for guidance at sampling."""
    lr = {"0.3M": 3e-3, "1M": 2e-3, "4M": 1e-3}.get(size, 7e-4)
    run = Run(places.runs / f"{codebook}-{size}", threads=threads, save_every=200, validate_every=1000)
    return TransformerTraining(
        places.data, places.texts, places.tokenizer(codebook) / "model", run, size=size, tokens=places.tokens(codebook),
        targets=1024, optimisation=replace(transformer.PAPER, steps=9000, lr=lr),
    )  # fmt: skip


def bandai_tokenizer(codebook: int, places: Places, threads: int = 0) -> TokenizerTraining:
    """A tokenizer of the Bandai-Namco clips alone: the base with a codebook of its own, whose path may not drift."""
    base = base_tokenizer(places, threads)
    return with_settings(
        base, out=places.tokenizer(codebook), codebook=codebook, start=base.run.out / "model", drift_penalty=0.5,
        steps=5000, lr=4e-4,
    )  # fmt: skip


def bandai_transformer(codebook: int, size: str, places: Places, threads: int = 0) -> TransformerTraining:
    """A transformer of the Bandai-Namco clips alone: tied vocabulary, a few passes over the corpus."""
    lr = {"0.3M": 3e-3, "1M": 2e-3, "4M": 1e-3}[size]
    steps = {"0.3M": 1500, "1M": 1200, "4M": 1200}[size]
    run = Run(places.runs / f"{codebook}-{size}", threads=threads, save_every=200, validate_every=500)
    return TransformerTraining(
        places.data, places.texts, places.tokenizer(codebook) / "model", run, size=size, tokens=places.tokens(codebook),
        targets=1024, optimisation=replace(transformer.PAPER, steps=steps, lr=lr, precision="no"),
    )  # fmt: skip


def evaluator(places: Places, threads: int = 0) -> EvaluatorTraining:
    """The evaluator that the tables of models are measured with."""
    return EvaluatorTraining(places.data, places.texts, Run(places.runs / "evaluator", threads=threads))


def quantiser_comparison(places: Places, codebooks: tuple[int, ...] = BUNDLED_CODEBOOKS, steps: int = 2000,
                         threads: int = 0) -> list[TokenizerTraining]:  # fmt: skip
    """FSQ beside VQ at several codebooks: same network, data, steps and rate. The loss is plain, as in the paper.

    For each codebook there are the paper's levels and a learned codebook of exactly the nominal size.
    """
    optimisation = replace(tokenizer.PAPER, steps=steps, lr=4e-4, schedule="cosine", warmup=0.1, precision="no")
    quantisers: tuple[Literal["fsq", "vq"], ...] = ("fsq", "vq")
    return [
        TokenizerTraining(
            places.data,
            Run(places.runs / f"{quantiser}-{codebook}", threads=threads, save_every=250, validate_every=steps),
            codebook=codebook, quantiser=quantiser, width=128, batch=16, window=64, lengths=LENGTHS,
            optimisation=optimisation,
        )
        for codebook in codebooks
        for quantiser in quantisers
    ]  # fmt: skip


def paper_tokenizer(codebook: int, places: Places) -> TokenizerTraining:
    """The paper's network (width 512) and schedule.

    What the paper does not state is customary in the field: 256 windows of 64 frames a step, 200,000 steps, a rate of
    2e-4.
    """
    run = Run(places.tokenizer(codebook), save_every=2000, validate_every=10_000)
    return TokenizerTraining(
        places.data, run, codebook=codebook, width=512, batch=256, window=64,
        optimisation=replace(tokenizer.PAPER, steps=200_000, lr=2e-4),
    )  # fmt: skip


def paper_transformer(codebook: int, size: str, places: Places, tokens: float = 10**7.5) -> TransformerTraining:
    """One of the paper's 42 models: untied, bf16, warm-up and cosine of appendix Tab. 2.

    tokens: how many it learns from; the paper's check of its law takes 10^7.5 for the largest. A batch holds the tokens
    of 640 motions. The rate, which the paper does not state, is 3e-4 at width 512 and falls with the root of the width.
    Where 32,000 tokens do not fit a device, more processes or ``accumulate`` share them: the curve stays the same.
    """
    targets = 32_000
    rate = 3e-4 * math.sqrt(512 / SIZES[size].width)
    run = Run(places.runs / f"{codebook}-{size}", save_every=200, validate_every=200)
    return TransformerTraining(
        places.data, places.texts, places.tokenizer(codebook) / "model", run, size=size, tokens=places.tokens(codebook),
        tied=False, targets=targets,
        optimisation=replace(transformer.PAPER, steps=round(tokens / targets), lr=rate, precision="bf16"),
    )  # fmt: skip


def paper_grid(places: Places) -> list[TransformerTraining]:
    """All 7 x 6 models of the paper."""
    return [paper_transformer(codebook, size, places) for codebook in PAPER_CODEBOOKS for size in PAPER_SIZES]
