"""Checkpoints of a few thousand random weights, for tests that need whole models but no good motions."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scamo.configs import LEVELS, SIZES, TokenizerConfig, TransformerConfig
from scamo.motion import Motion
from scamo.pipeline import MotionPipeline
from scamo.registry import ModelCard
from scamo.tokenizer import MotionTokenizer, VQTokenizer
from scamo.transformer import PrefixTransformer
from tests.motions import walk

WALK = "a person walks forward"
WORDS = "a an person old man walks forward turns left then waves with both hands bow exhausted"

ABOUT = {"licence": "CC0-1.0", "data": "random numbers", "knows": "These models know nothing."}


def write_t5(folder: Path) -> Path:
    """A whole T5 (decoder included, as the hub's files are), 24 wide, with a word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(vocab_size=len(vocabulary), d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=3)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def write_models(
    folder: Path, codebooks: tuple[int, ...] = (256, 1024), sizes: tuple[str, ...] = ("0.3M", "1M"),
    text_encoder: str = "minilm", text_width: int = 384,
) -> Path:  # fmt: skip
    """Random tokenizers and transformers, laid out as the bundled ones are."""
    torch.manual_seed(0)
    for codebook in codebooks:
        name = f"tokenizer-{codebook}"
        write_tokenizer(folder / name, LEVELS[codebook])
        for size in sizes:
            shape = SIZES[size]
            network = PrefixTransformer(
                TransformerConfig(int(np.prod(LEVELS[codebook])), shape.layers, shape.heads, shape.width, text_width)
            )
            card = {**ABOUT, "name": f"{codebook}-{size}", "tokenizer": f"../{name}", "text_encoder": text_encoder}
            network.save_pretrained(folder / f"{codebook}-{size}", card, torch.float16)
    return folder


def write_tokenizer(folder: Path, levels: tuple[int, ...], family: type[MotionTokenizer] = MotionTokenizer) -> Path:
    """A random tokenizer, FSQ or VQ."""
    config = TokenizerConfig(levels, width=16, code_width=16, depth=1)
    rest = Motion.from_joints(walk(41)).features
    model = family(config, rest.mean(0), rest.std(0) / 2 + 1e-3)
    if isinstance(model, VQTokenizer):
        model.codebook.normal_(std=0.1)
    return model.save_pretrained(folder, ABOUT)


def codec(codebook: int = 16, features: int = 263, fps: float = 20.0) -> MotionTokenizer:
    """A random tokenizer of a named codebook that normalises nothing."""
    torch.manual_seed(codebook)
    config = TokenizerConfig(LEVELS[codebook], width=8, code_width=8, depth=1, features=features, fps=fps)
    return MotionTokenizer(config, np.zeros(features), np.ones(features))


def network(codebook: int = 16, size: str = "0.3M", tied: bool = False) -> PrefixTransformer:
    """A random transformer of a named size that reads text 6 wide."""
    torch.manual_seed(codebook)
    return PrefixTransformer(TransformerConfig(int(np.prod(LEVELS[codebook])), *SIZES[size], 6, tied))


TEXT = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
"""An embedding for `network`."""


class FakeEncoder:
    """Stands for a text encoder: one vector a word, the same for the same word, without any weights."""

    name, revision = "fake", "0"

    def __init__(self, width: int = 384) -> None:
        self.width = width
        self.asked: list[str] = []
        self.released = 0

    def encode(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += texts
        rows = [torch.stack([self._vector(word) for word in (text.split() or ["</s>"])[:150]]) for text in texts]
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in rows], True)
        return torch.nn.utils.rnn.pad_sequence(rows, True), mask

    def release(self) -> None:
        self.released += 1

    def _vector(self, word: str) -> torch.Tensor:
        return torch.randn(self.width, generator=torch.Generator().manual_seed(zlib.crc32(word.encode())))


class EndShifted(torch.nn.Linear):
    """A head that wants the end more, or less."""

    def __init__(self, weight: torch.nn.Parameter, by: float) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias=False)
        self.weight, self.by = weight, by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        logits[..., 15] += self.by
        return logits


def small_pipeline(tied: bool = False, end: float = 0.0, **facts: Any) -> MotionPipeline:
    """A pipeline of random weights with 15 codes; `end` shifts the logit of the end token."""
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(TokenizerConfig((5, 3), width=8, code_width=8, depth=1))
    model = PrefixTransformer(TransformerConfig(15, 2, 2, 16, 6, tied)).requires_grad_(False)
    if end:
        model.lm_head = EndShifted(model.lm_head.weight, end)
    card = replace(ModelCard("test", "local", "", tokenizer.config, model.config, "words"), **facts)
    return MotionPipeline(tokenizer, model, card, FakeEncoder(6))
