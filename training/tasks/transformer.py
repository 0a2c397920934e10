"""Train a text-prefix transformer on the tokens of a tokenizer.

    python -m training.tasks.transformer --data data/bandai --texts data/bandai-minilm \
        --tokenizer runs/tokenizer-1024/model --size 4M --out runs/1024-4M

Every clip and its mirror image, each time with another of its captions; cross-entropy on motion tokens and the end
token only (eq. 5), no corruption of the input. AdamW, warm-up 0.1, cosine (appendix Tab. 2). Batches hold rows of
similar length up to a number of targets, so that little is padding. ``--dry-run`` says what it would cost. Run it again
to resume.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scamo import checkpoint, flops
from scamo.metrics import normalised_loss
from scamo.tokenizer import MotionTokenizer, codebook_label
from scamo.transformer import SIZES, PrefixTransformer, TransformerConfig
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank
from training.data.token_cache import TokenClip, load_tokens
from training.estimate import estimate
from training.loop import Optimisation, Saving, is_finished, is_main_process, settings_of, train
from training.publish import training_facts

TEMPERATURE = 0.7  # at which models of a few million parameters do what is asked most often; users may choose another


class NextToken:
    """The transformer's objective: the tokens of a motion, one after the other, and its end."""

    unit = "tokens"

    def __init__(
        self,
        model: PrefixTransformer,
        clips: dict[str, list[TokenClip]],
        texts: TextBank,
        targets: int,
        seed: int,
    ) -> None:
        self.model, self.texts, self.targets, self.seed = model, texts, targets, seed
        self.clips, config = clips, model.config
        self.end, self.pad, self.codes = config.end_id, config.pad_id, config.codebook_size
        self.samples = np.concatenate([[i] * clip.repeat for i, clip in enumerate(clips["train"])])
        self.lengths = np.array([len(clip.tokens) + 1 for clip in clips["train"]])
        self._newest: tuple[int, list[np.ndarray]] = (-1, [])
        self._steps: list[int] = []  # of every epoch that was reached
        # Eq. 8's p(m | V): the training corpus' frequencies, one added so that a code never seen is not impossible.
        seen = np.concatenate([np.append(clip.tokens, self.end) for clip in clips["train"]])
        counts = np.bincount(seen, minlength=self.codes + 1) + 1
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
        """A step -> its epoch, and its number there."""
        for epoch in itertools.count():
            if epoch == len(self._steps):
                self._steps.append(len(self._epoch(epoch)))
            if step < self._steps[epoch]:
                return epoch, step
            step -= self._steps[epoch]
        raise AssertionError

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Rows of a batch: tokens int64 [B, n] filled with the padding id, text [B, L, D] and its mask."""
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
        """Clips and a sentence for each -> tensors; targets have the end id after the last token, then padding."""
        longest = max(len(row.tokens) for row in rows)
        tokens = torch.full((len(rows), longest), self.pad)
        targets = torch.full((len(rows), longest + 1), self.pad)
        for i, row in enumerate(rows):
            n = len(row.tokens)
            tokens[i, :n] = targets[i, :n] = torch.from_numpy(row.tokens)
            targets[i, n] = self.end
        text, mask = self.texts.batch(texts)
        # Sentences differ in length more than the motions of a batch do: their padding would be a fifth of all work.
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
        """Cross-entropy (nats a token) and normalised loss (eq. 8) of a split, every clip with its first caption."""
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
class Args:
    """Train a text-prefix transformer; run again to resume."""

    data: Path
    """A dataset folder."""
    texts: Path
    """Embeddings of its captions, made by training.data.text_embeddings."""
    tokenizer: Path
    """The folder of a trained tokenizer."""
    out: Path
    """The run's folder; the finished transformer is OUT/model."""
    size: str = "4M"
    """One of scamo.transformer.SIZES: 0.3M, 1M, 4M, 44M ... 3B."""
    tokens: Path | None = None
    """What training.data.token_cache made of the two, or where to keep it; without it they are made for every run."""
    start: Path | None = None
    """A transformer's folder whose weights to begin with, of the same codebook, size and text encoder."""
    tied: bool = True
    """Whether head and embedding share one matrix (the paper's do not; it halves the bundled files)."""
    steps: int = 2000
    targets: int = 1500
    """Motion tokens a step."""
    lr: float = 1e-3
    weight_decay: float = 1e-6
    accumulate: int = 1
    precision: str = "no"
    seed: int = 0
    threads: int = 0
    """CPU threads (0: torch's choice)."""
    save_every: int = 250
    validate_every: int = 500
    tensorboard: bool = False
    """Write curves to OUT/tensorboard too."""
    dry_run: bool = False
    """Print parameters, operations, memory and the expected duration, and train nothing."""


def begin_with(model: PrefixTransformer, other: PrefixTransformer) -> None:
    """Copy the weights of another transformer. ValueError where it has another shape."""
    theirs, ours = other.state_dict(), model.state_dict()
    if theirs.keys() != ours.keys() or any(theirs[name].shape != value.shape for name, value in ours.items()):
        raise ValueError(
            "The transformer to start with has another shape; it needs the same codebook, size, text encoder and tying."
        )
    model.load_state_dict(theirs)


def settings(args: Args, data: Dataset, texts: TextBank) -> dict[str, Any]:
    """What decides the curve of a run with these arguments, which open ``data`` and ``texts``."""
    return settings_of(
        args, optimisation(args), data=data.digest, texts=texts.encoder,
        tokenizer=checkpoint.fingerprint(args.tokenizer),
        start=checkpoint.fingerprint(args.start) if args.start else None,
    )  # fmt: skip


def optimisation(args: Args) -> Optimisation:
    """Appendix Tab. 2's transformer column."""
    return Optimisation(
        steps=args.steps,
        lr=args.lr,
        schedule="cosine",
        warmup=0.1,
        fall=0.02,
        weight_decay=args.weight_decay,
        accumulate=args.accumulate,
        precision=args.precision,
    )


def dry_run(args: Args, config: TransformerConfig, processes: int) -> None:
    """Print what the training would cost, with batches of motions of 50 tokens behind 20 word pieces."""
    length, words = 50, 20
    rows = max(1, round(args.targets / args.accumulate / processes / (length + 1)))

    def loss(model: nn.Module, device: torch.device) -> Tensor:
        tokens_bn = torch.randint(config.codebook_size, (rows, length), device=device)
        text_bld = torch.randn(rows, words, config.text_width, device=device)
        logits = model(tokens_bn, text_bld, torch.ones(rows, words, dtype=torch.bool, device=device))
        targets = torch.zeros(rows * (length + 1), dtype=torch.long, device=device)
        return nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets)

    with torch.device("meta"):
        counts = PrefixTransformer(config).parameter_counts()
    tokens = args.steps * args.targets
    paper = flops.paper_vocabulary_parameters(config.codebook_size, config.width)
    forward = flops.forward_flops_per_token(
        config.layers, config.heads, config.width, words + length, config.codebook_size
    )
    print(estimate(lambda: PrefixTransformer(config), loss, optimisation(args), processes))
    print(f"of which     {counts.non_vocabulary:,} non-vocabulary, {counts.vocabulary:,} vocabulary parameters")
    print(f"tokens       {tokens:,}")
    print(f"6 (Nnv+Vd) D {flops.training_flops(counts.non_vocabulary, paper, tokens):.3g} FLOPs (eq. 7)")
    print(f"appendix A   {3 * forward * tokens:.3g} FLOPs (three forward passes of Code 1 a token)")


def main(args: Args) -> None:
    """Train, measure on the test split, and write the model folder."""
    if args.size not in SIZES:
        raise ValueError(f"No size {args.size!r}; choose one of {', '.join(SIZES)}.")
    if args.threads:
        torch.set_num_threads(args.threads)
    data, texts = Dataset(args.data), TextBank(args.texts)
    tokenizer = MotionTokenizer.from_pretrained(args.tokenizer)
    size = SIZES[args.size]
    config = TransformerConfig(
        tokenizer.codebook_size, size.layers, size.heads, size.width, texts.width, tied=args.tied
    )
    if args.dry_run:
        return dry_run(args, config, int(os.environ.get("WORLD_SIZE", "1")))
    if is_finished(args.out, settings(args, data, texts)):
        print({"model": str(args.out / "model"), "kept": True})
        return
    clips = load_tokens(args.tokens, data, args.tokenizer)
    if not clips["train"]:
        raise ValueError(f"No training clip of {args.data} has a sentence; prepare it with texts.")
    longest = max(len(clip.tokens) + max(map(texts.length, clip.captions)) for clip in clips["train"])
    config = replace(config, max_positions=longest)
    torch.manual_seed(args.seed)
    model = PrefixTransformer(config)
    if args.start:
        begin_with(model, PrefixTransformer.from_pretrained(args.start))
    objective = NextToken(model, clips, texts, args.targets, args.seed)
    print({"tokens_per_epoch": objective.tokens_per_epoch, **model.parameter_counts()._asdict()}, flush=True)
    saving = Saving(20, args.save_every, args.validate_every, args.tensorboard)
    result = train(objective, optimisation(args), args.out, args.seed, saving, settings(args, data, texts))
    if not is_main_process():
        return
    model = objective.model.cpu()
    metrics = objective.measure(model, "test")
    counts = model.parameter_counts()
    card = {
        "name": f"{codebook_label(tokenizer.levels)}-{args.size}",
        "levels": list(tokenizer.levels),
        "size": args.size,
        "tokenizer": os.path.relpath(args.tokenizer, args.out / "model"),
        "text_encoder": texts.encoder,
        "metrics": metrics,
        "parameters": counts._asdict(),
        "data": data.about.get("source"),
        "licence": data.about.get("licence"),
        "attribution": data.about.get("attribution"),
        "knows": data.about.get("knows"),
        "sampling": {"temperature": TEMPERATURE},
        "training": training_facts(args, result["seconds"], tokens=args.steps * args.targets),
    }
    model.save_pretrained(args.out / "model", card=card)
    print({"model": str(args.out / "model"), **metrics})


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
