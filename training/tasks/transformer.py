"""Train a text-prefix transformer on the tokens of a tokenizer.

    python -m training.tasks.transformer --data data/bandai --texts data/bandai-minilm \
        --tokenizer runs/tokenizer-1024/model --size 4M --out runs/1024-4M

It learns from every clip and its mirror image, each time with one of its captions. The loss is the cross-entropy on
motion tokens and the end token only (eq. 5), without corruption of the input. AdamW, warm-up 0.1, cosine (appendix
Tab. 2). Batches hold rows of similar length up to a number of targets, so that little is padding. ``--dry-run`` prints
what the training would cost. The same command again continues a run.
"""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scamo import checkpoint, flops
from scamo.configs import SIZES, TransformerConfig, codebook_label
from scamo.metrics import normalised_loss
from scamo.tokenizer import MotionTokenizer
from scamo.transformer import PrefixTransformer
from training.configuration import Optimisation, Run
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank
from training.data.token_cache import TokenClip, load_tokens
from training.estimate import estimate
from training.run import run_task

EARLIER = 10  # tokens of the motion before it that a timeline shows to a model, beyond the longest that it learns from
TEMPERATURE = 0.5
"""A card's default: at it, models of a few million parameters do what a prompt asks most often."""

GUIDANCE = 1.5
"""A card's default where some sentences of the training are empty: with it motions follow the words more closely."""

PAPER = Optimisation(
    steps=2000, lr=1e-3, schedule="cosine", warmup=0.1, final_share=0.02, weight_decay=1e-6, precision="auto"
)
"""Appendix Tab. 2's transformer column; steps and rate, which the paper does not state, are ours."""


class NextToken:
    """The transformer's objective: each token of a motion, and its end, from the sentence and those before (eq. 5)."""

    unit = "tokens"

    def __init__(
        self,
        model: PrefixTransformer,
        clips: dict[str, list[TokenClip]],
        texts: TextBank,
        targets: int,
        seed: int,
    ) -> None:
        """clips: by split; targets: motion tokens and ends that a batch holds, about."""
        self.model, self.texts, self.targets, self.seed = model, texts, targets, seed
        self.clips, config = clips, model.config
        self.end, self.pad, self.codes = config.end_id, config.pad_id, config.codebook_size
        self.samples = np.concatenate([[i] * clip.repeat for i, clip in enumerate(clips["train"])])
        self.lengths = np.array([len(clip.tokens) + 1 for clip in clips["train"]])
        self._newest: tuple[int, list[np.ndarray]] = (-1, [])
        self._steps: list[int] = []  # the steps of every epoch that was reached
        # Eq. 8's p(m | V): frequencies in the training corpus, with one added for codes that are not in it.
        all_targets = np.concatenate([np.append(clip.tokens, self.end) for clip in clips["train"]])
        counts = np.bincount(all_targets, minlength=self.codes + 1) + 1
        self.log_unigram = np.log(counts / counts.sum())

    @property
    def tokens_per_epoch(self) -> int:
        """Targets that one pass over the samples predicts."""
        return int(self.lengths[self.samples].sum())

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, each an array of sample numbers of similar length; kept for the newest epoch."""
        if epoch != self._newest[0]:
            draw = np.random.default_rng([self.seed, 1, epoch])
            order = draw.permutation(self.samples)
            by_length = order[np.argsort(self.lengths[order] + draw.random(len(order)), kind="stable")]
            reach = np.cumsum(self.lengths[by_length]) // self.targets
            batches = np.split(by_length, np.flatnonzero(np.diff(reach)) + 1)
            self._newest = epoch, [batches[i] for i in draw.permutation(len(batches))]
        return self._newest[1]

    def _place(self, step: int) -> tuple[int, int]:
        """The epoch of a step, and the step's number in it."""
        for epoch in itertools.count():
            if epoch == len(self._steps):
                self._steps.append(len(self._epoch(epoch)))
            if step < self._steps[epoch]:
                return epoch, step
            step -= self._steps[epoch]
        raise AssertionError

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Rows of a batch: tokens int64 [B, n] with padding, text float32 [B, L, D] and its mask bool [B, L]."""
        epoch, step = self._place(step)
        chosen = self._epoch(epoch)[step]
        draw = np.random.default_rng([self.seed, 2, epoch, step])
        words = draw.random(len(chosen))
        rows = [self.clips["train"][i] for i in chosen]
        texts = [row.captions[int(word * len(row.captions))] for row, word in zip(rows, words, strict=True)]
        own = range(part, len(rows), parts)
        count = sum(len(rows[i].tokens) + 1 for i in own)
        computed = own or [0]  # a process without a row of its own computes one that does not count
        batch = self.collate([rows[i] for i in computed], [texts[i] for i in computed])
        return batch | {"share": count / self.lengths[chosen].sum(), "units": count}

    def collate(self, rows: list[TokenClip], texts: list[str]) -> dict[str, Any]:
        """Tensors of clips and a sentence for each. Targets have the end id after the last token, then padding."""
        longest = max(len(row.tokens) for row in rows)
        tokens = torch.full((len(rows), longest), self.pad)
        targets = torch.full((len(rows), longest + 1), self.pad)
        for i, row in enumerate(rows):
            n = len(row.tokens)
            tokens[i, :n] = targets[i, :n] = torch.from_numpy(row.tokens)
            targets[i, n] = self.end
        text, mask = self.texts.batch(texts)
        # Sentences differ in length more than the motions of a batch do. Their padding would be a fifth of all work.
        real = torch.cat([mask, tokens != self.pad], dim=1).flatten().nonzero()[:, 0]
        return {"tokens_bn": tokens, "targets_bn": targets, "text_bld": text, "mask_bl": mask, "real_r": real}

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy over tokens and ends."""
        logits = model(batch["tokens_bn"], batch["text_bld"], batch["mask_bl"], batch.get("real_r"))
        return nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), batch["targets_bn"].flatten(), ignore_index=self.pad
        ), {}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """The metrics of ``measure`` on the validation split; none where it is empty."""
        if not self.clips["val"]:
            return {}
        return self.measure(model, "val")

    @torch.inference_mode()
    def measure(self, model: nn.Module, split: str) -> dict[str, float]:
        """Cross-entropy (nats a token) and normalised loss (eq. 8) of a split, every clip with its first caption.

        ValueError where the split has no clip.
        """
        was_training = model.training
        model.eval()
        device = next(model.parameters()).device
        clips = sorted(self.clips[split], key=lambda clip: len(clip.tokens))
        if not clips:
            raise ValueError(f"The split {split!r} has no clips with sentences to measure on; give more data.")
        log_p, log_u = [], []
        for start in range(0, len(clips), 32):
            rows = clips[start : start + 32]
            batch = self.collate(rows, [row.captions[0] for row in rows])
            inputs = (batch[key].to(device) for key in ("tokens_bn", "text_bld", "mask_bl", "real_r"))
            logits = model(*inputs)[..., : self.codes + 1].float().log_softmax(-1).cpu()
            targets = batch["targets_bn"]
            real = targets != self.pad
            log_p.append(logits[real].gather(1, targets[real][:, None])[:, 0].double().numpy())
            log_u.append(self.log_unigram[targets[real].numpy()])
        model.train(was_training)
        all_p, all_u = np.concatenate(log_p), np.concatenate(log_u)
        return {"nll": float(-all_p.mean()), "normalised_loss": normalised_loss(all_p, all_u)}


@dataclass(frozen=True)
class TransformerTraining:
    """Train a text-prefix transformer; the same command again continues a run."""

    data: Path
    """A dataset folder."""
    texts: Path
    """Embeddings of its captions, made by training.data.text_embeddings."""
    tokenizer: Path
    """The folder of a trained tokenizer."""
    run: Run
    size: str = "4M"
    """One of scamo.configs.SIZES: 0.3M, 1M, 4M, 44M ... 3B."""
    tokens: Path | None = None
    """The file that training.data.token_cache makes of dataset and tokenizer, or where to keep it; without it the
    tokens are made for every run."""
    start: Path | None = None
    """A transformer's folder whose weights to begin with, of the same size and text encoder. Where the tokens mean
    something else, as with another codebook, embedding and head begin anew."""
    tied: bool = True
    """Whether head and embedding share one matrix (the paper's do not; it halves the bundled files)."""
    targets: int = 1500
    """Motion tokens a step."""
    optimisation: Optimisation = PAPER


def begin_with(model: PrefixTransformer, other: PrefixTransformer) -> None:
    """Copy the weights of another transformer, of another codebook all but embedding and head.

    ValueError where it has another shape.
    """
    theirs, ours = other.state_dict(), model.state_dict()
    same = theirs.keys() == ours.keys()
    if other.config.codebook_size != model.config.codebook_size:
        theirs = theirs | {name: ours[name] for name in ("transformer.wte.weight", "lm_head.weight")}
    if not same or any(theirs[name].shape != value.shape for name, value in ours.items()):
        raise ValueError(
            "The transformer to start with has another shape; it needs the same size, text encoder and tying."
        )
    model.load_state_dict(theirs)


def cost(training: TransformerTraining, shape: TransformerConfig, processes: int) -> str:
    """What a training would cost, with batches of motions of 50 tokens behind 20 word pieces.

    Operations are counted on the network, by eq. 7, and by the appendix's Code 1.
    """
    length, words, schedule = 50, 20, training.optimisation
    rows = max(1, round(training.targets / schedule.accumulate / processes / (length + 1)))

    def loss(model: nn.Module, device: torch.device) -> Tensor:
        tokens_bn = torch.randint(shape.codebook_size, (rows, length), device=device)
        text_bld = torch.randn(rows, words, shape.text_width, device=device)
        logits = model(tokens_bn, text_bld, torch.ones(rows, words, dtype=torch.bool, device=device))
        targets = torch.zeros(rows * (length + 1), dtype=torch.long, device=device)
        return nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets)

    counts = shape.parameter_counts
    tokens = schedule.steps * training.targets
    paper = flops.paper_vocabulary_parameters(shape.codebook_size, shape.width)
    forward = flops.forward_flops_per_token(shape.layers, shape.heads, shape.width, words + length, shape.codebook_size)
    return "\n".join(
        [
            str(estimate(lambda: PrefixTransformer(shape), loss, schedule, processes)),
            f"of which     {counts.non_vocabulary:,} non-vocabulary, {counts.vocabulary:,} vocabulary parameters",
            f"tokens       {tokens:,}",
            f"6 (Nnv+Vd) D {flops.training_flops(counts.non_vocabulary, paper, tokens):.3g} FLOPs (eq. 7)",
            f"appendix A   {3 * forward * tokens:.3g} FLOPs (three forward passes of Code 1 a token)",
        ]
    )


class TransformerTask:
    """A transformer's training with its inputs open (see training.run.Task)."""

    def __init__(self, config: TransformerTraining, data: Dataset | None = None, texts: TextBank | None = None) -> None:
        """data, texts: given where they are open already. ValueError for unreadable inputs and unknown sizes."""
        if config.size not in SIZES:
            raise ValueError(f"No size {config.size!r}; choose one of {', '.join(SIZES)}.")
        self.config = config
        self.data, self.texts = data or Dataset(config.data), texts or TextBank(config.texts)
        self.about = self.data.about

    @cached_property
    def tokenizer(self) -> MotionTokenizer:
        """The tokenizer, on the CPU."""
        return MotionTokenizer.from_pretrained(self.config.tokenizer)

    @property
    def shape(self) -> TransformerConfig:
        """The network's shape, for the default number of positions."""
        size = SIZES[self.config.size]
        return TransformerConfig(
            self.tokenizer.codebook_size, size.layers, size.heads, size.width, self.texts.width, tied=self.config.tied
        )

    def inputs(self) -> dict[str, Any]:
        """The dataset, the text encoder, the tokenizer, and the transformer to begin with."""
        start = self.config.start
        return {
            "data": self.data.digest,
            "texts": self.texts.identity,
            "tokenizer": checkpoint.fingerprint(self.config.tokenizer),
            "start": checkpoint.fingerprint(start) if start else None,
        }

    def cost(self) -> str:
        """See the function of this name."""
        return cost(self.config, self.shape, int(os.environ.get("WORLD_SIZE", "1")))

    def objective(self) -> NextToken:
        """The network, new or with the weights of another, and the next-token loss on the dataset's tokens."""
        config = self.config
        clips = load_tokens(config.tokens, self.data, config.tokenizer)
        if not clips["train"]:
            raise ValueError(f"No training clip of {config.data} has a sentence; prepare it with texts.")
        longest = max(len(clip.tokens) + max(map(self.texts.length, clip.captions)) for clip in clips["train"])
        model = PrefixTransformer(replace(self.shape, max_positions=longest + EARLIER))
        if config.start:
            begin_with(model, PrefixTransformer.from_pretrained(config.start))
        objective = NextToken(model, clips, self.texts, config.targets, config.run.seed)
        counts = model.config.parameter_counts._asdict()
        print(json.dumps({"tokens_per_epoch": objective.tokens_per_epoch, **counts}), flush=True)
        return objective

    def amounts(self) -> dict[str, Any]:
        """Motion tokens of the training, and what the transformer that it begins with has cost."""
        tokens = {"tokens": self.config.optimisation.steps * self.config.targets}
        if not self.config.start:
            return tokens
        cost = checkpoint.read_card(self.config.start).get("training", {})
        return tokens | {"start": {name: cost[name] for name in ("steps", "tokens", "seconds") if name in cost}}

    def save(self, model: PrefixTransformer, folder: Path, card: dict[str, Any]) -> None:
        """Write the transformer's folder."""
        own = {
            "name": f"{codebook_label(self.tokenizer.levels)}-{self.config.size}",
            "levels": list(self.tokenizer.levels),
            "size": self.config.size,
            "tokenizer": os.path.relpath(self.config.tokenizer, folder),
            **self.texts.card_entries(folder),
            "parameters": model.config.parameter_counts._asdict(),
            "knows": self.about.get("knows"),
            "sampling": self._sampling(),
        }
        model.save_pretrained(folder, card=own | card)

    def _sampling(self) -> dict[str, float]:
        """The card's defaults. Guidance compares with the empty text, so the network must have learned from it."""
        has_empty = any("" in clip.captions for clip in self.data.split("train"))
        return {"temperature": TEMPERATURE} | ({"guidance": GUIDANCE} if has_empty else {})


def main(config: TransformerTraining) -> None:
    """Train, measure on the test split, and write the model folder."""
    run_task(TransformerTask(config))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, TransformerTraining)
