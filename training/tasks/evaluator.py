"""Train the evaluator of text and motion that the tables are measured with.

    python -m training.tasks.evaluator --data data/bandai --texts data/bandai-minilm --out runs/evaluator

It reads the sentences' cached embeddings in place of GloVe words, and learns to pick each motion's sentence, and each
sentence's motion, out of a batch. Numbers of different evaluators do not compare. Guo et al.'s released one is
training.tasks.guo_evaluator.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scamo import checkpoint
from scamo.metrics import matching_score, r_precision
from scamo.motion import mirror_features
from training.command_line import device_named
from training.configuration import Optimisation, Run
from training.data.captions import mirrored_words
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank
from training.estimate import duration, timed_step
from training.run import run_task
from training.tasks.evaluator_networks import (
    MAX_FRAMES,
    UNIT,
    Evaluator,
    EvaluatorConfig,
    MotionTextMatcher,
    Sentence,
    padded,
)

OPTIMISATION = Optimisation(steps=3000, lr=1e-3, warmup=0.05, final_share=0.02, weight_decay=1e-2)


class EmbeddingReader:
    """Cached sentence embeddings as the text encoder's input."""

    def __init__(self, bank: TextBank) -> None:
        self.bank = bank

    def batch(self, sentences: Sequence[Sentence]) -> tuple[Tensor, Tensor | None, Tensor]:
        """See SentenceReader.batch. ValueError for a sentence that was not embedded."""
        words, mask = self.bank.batch([one.caption for one in sentences])
        return words, None, mask.sum(1)


class Matching:
    """The evaluator's objective: which sentence belongs to which motion of a part of a batch, and the reverse.

    Logits are negative squared distances. Another clip with the same sentence is no wrong answer.
    """

    unit = "clips"

    def __init__(self, model: MotionTextMatcher, data: Dataset, texts: TextBank, batch_size: int, seed: int) -> None:
        self.model, self.data, self.size, self.seed = model, data, batch_size, seed
        self.reader = EmbeddingReader(texts)
        self.clips = {split: [c for c in data.split(split) if c.frames >= 4 * UNIT and c.captions]
                      for split in ("train", "val", "test")}  # fmt: skip
        if len(self.clips["train"]) < 2:
            raise ValueError("The training split has no clips with sentences; an evaluator cannot be trained on it.")

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Random clips, half of them mirrored, each with one of its sentences."""
        draw = np.random.default_rng([self.seed, 3, step])
        clips = self.clips["train"]
        chosen = draw.choice(len(clips), size=min(self.size, len(clips)), replace=False)
        flips, words = (draw.random(len(chosen)) < 0.5) & self.data.mirrors, draw.random(len(chosen))
        motions, captions = [], []
        own = range(part, len(chosen), parts)
        for i in own or [0]:
            clip = clips[chosen[i]]
            caption, x = clip.captions[int(words[i] * len(clip.captions))], self.data[clip][:MAX_FRAMES]
            motions.append(mirror_features(x) if flips[i] else x)
            captions.append(mirrored_words(caption) if flips[i] else caption)
        words_bld, _, words_b = self.reader.batch([Sentence(caption) for caption in captions])
        x_btd, frames_b = padded(motions)
        numbers = {caption: number for number, caption in enumerate(captions)}
        return {"x_btd": x_btd, "frames_b": frames_b, "words_bld": words_bld, "words_b": words_b,
                "same_b": torch.tensor([numbers[caption] for caption in captions]),
                "share": len(own) / len(chosen), "units": len(own)}  # fmt: skip

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Mean of both cross-entropies, and the share of sentences whose own motion is nearest."""
        texts, motions = model({key: value for key, value in batch.items() if isinstance(value, Tensor)})
        inner: Any = getattr(model, "module", model)
        logits = -torch.cdist(texts.float(), motions.float()).square() * inner.log_scale.exp()
        same = batch["same_b"]
        wrong = (same[:, None] == same[None]) & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
        logits = logits.masked_fill(wrong, -torch.inf)
        target = torch.arange(len(same), device=same.device)
        both = nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target)
        return both / 2, {"top1": float((logits.argmax(1) == target).float().mean())}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """The metrics of ``measure`` on the validation split."""
        return self.measure(model, "val")

    def measure(self, model: Any, split: str) -> dict[str, float]:
        """R-precision and matching score of real pairs, each clip with its first sentence, in pools of at most 32."""
        clips = self.clips[split]
        if len(clips) < 2:
            return {}
        assert isinstance(model, MotionTextMatcher)
        was_training = model.training
        evaluator = Evaluator(model.eval(), self.reader, "in training")
        texts = evaluator.embed_sentences([Sentence(clip.captions[0]) for clip in clips])
        motions = evaluator.embed_motions([self.data[clip] for clip in clips])
        model.train(was_training)
        found = r_precision(texts, motions, seed=0, pool=min(32, len(clips)))
        return {f"r_precision_{k}": float(v) for k, v in enumerate(found, 1)} | {
            "matching_score": matching_score(texts, motions)
        }


def load_evaluator(folder: str | os.PathLike[str], texts: TextBank) -> Evaluator:
    """A trained evaluator. CheckpointError where it is damaged, ValueError for embeddings of another text encoder."""
    card = checkpoint.read_checked(folder, "evaluator")
    if card["text_encoder"] != texts.identity:
        raise ValueError(f"{folder} reads {card['text_encoder']} and the embeddings are of {texts.identity}.")
    config = EvaluatorConfig(**card["config"])
    matcher = MotionTextMatcher(config, np.zeros(config.features), np.ones(config.features))
    matcher.load_state_dict(checkpoint.read_tensors(folder))
    return Evaluator(matcher.eval().requires_grad_(False), EmbeddingReader(texts), card["name"])


@dataclass(frozen=True)
class EvaluatorTraining:
    """Train a text-motion evaluator; the same command again continues a run."""

    data: Path
    """A dataset folder."""
    texts: Path
    """Embeddings of its captions, made by training.data.text_embeddings."""
    run: Run
    hidden: int = 256
    """Width of its networks (Guo et al.'s: 512 and 1024)."""
    width: int = 128
    """Numbers of an embedding (Guo et al.'s: 512; FID needs more motions than this)."""
    batch: int = 64
    """Clips a step."""
    optimisation: Optimisation = OPTIMISATION


class EvaluatorTask:
    """An evaluator's training with its inputs open (see training.run.Task)."""

    def __init__(self, config: EvaluatorTraining) -> None:
        """ValueError where the dataset or the embeddings cannot be read."""
        self.config = config
        self.data, self.texts = Dataset(config.data), TextBank(config.texts)
        self.about = self.data.about

    def inputs(self) -> dict[str, Any]:
        """The dataset and the text encoder."""
        return {"data": self.data.digest, "texts": self.texts.identity}

    def _build(self) -> MotionTextMatcher:
        hidden, statistics = self.config.hidden, self.data.statistics
        shape = EvaluatorConfig(
            self.data.features.shape[1], self.texts.width, 0, hidden, hidden, hidden, self.config.width
        )
        return MotionTextMatcher(shape, statistics.mean, statistics.std)

    def cost(self) -> str:
        """Parameters and duration, with clips of 100 frames and sentences of 20 word pieces.

        Operations cannot be counted: sequences are packed, and that needs their real lengths.
        """
        size, frames, words = self.config.batch, 100, 20
        features, text_width = self.data.features.shape[1], self.texts.width

        def loss(model: nn.Module, device: torch.device) -> Tensor:
            assert isinstance(model, MotionTextMatcher)
            motions = model.embed_motions(
                torch.randn(size, frames, features, device=device), torch.full((size,), frames, device=device)
            )
            texts = model.embed_texts(
                torch.randn(size, words, text_width, device=device), None, torch.full((size,), words, device=device)
            )
            return torch.cdist(texts, motions).square().mean()

        device = torch.device(device_named(self.config.run.device))
        model, schedule = self._build().to(device), self.config.optimisation
        seconds = schedule.steps * timed_step(model, loss, device, schedule)
        count = sum(parameter.numel() for parameter in model.parameters())
        return f"parameters   {count:,}\nduration     {duration(seconds)} (2 steps timed on {device})"

    def objective(self) -> Matching:
        """A new network, and the loss that matches sentences and motions."""
        return Matching(self._build(), self.data, self.texts, self.config.batch, self.config.run.seed)

    def amounts(self) -> dict[str, Any]:
        """Clips of the training."""
        return {"clips": self.config.optimisation.steps * self.config.batch}

    def save(self, model: MotionTextMatcher, folder: Path, card: dict[str, Any]) -> None:
        """Write the evaluator's folder."""
        own = {
            "kind": "evaluator",
            "name": f"evaluator of {self.about.get('source')}",
            "config": asdict(model.config),
            "text_encoder": self.texts.identity,
        }
        checkpoint.write(folder, model.state_dict(), own | card)


def main(config: EvaluatorTraining) -> None:
    """Train, measure on the test split, and write the evaluator's folder."""
    run_task(EvaluatorTask(config))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, EvaluatorTraining)
