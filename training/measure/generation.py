"""Measure what transformers generate for sentences: the columns of the paper's appendix Tab. 4, foot slide and jitter.

The protocol is the field's: every repetition draws captions and motions anew, R-precision is taken in pools of 32, and
numbers are means with 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from scamo import checkpoint, metrics
from scamo.motion import FPS, joints_from_features
from scamo.pipeline import MotionPipeline
from training.command_line import device_named
from training.data.dataset import ClipInfo, Dataset
from training.data.text_embeddings import TextBank, identity_of
from training.measure.protocol import NO_FILES, EvaluatorFiles, measured_clips
from training.measure.tables import generation_markdown, model_name, origin, plot_generation, published, write_table
from training.tasks.evaluator_networks import Evaluator, Sentence

POOL = 32  # motions that R-precision ranks
SAMPLES = 30  # motions of one sentence that multimodality compares


@dataclass(frozen=True)
class GenerationTable:
    """Generate for the sentences of the test split."""

    data: Path
    """A dataset folder."""
    texts: Path
    """Embeddings of its captions."""
    models: tuple[Path, ...]
    """Folders of trained transformers."""
    out: Path
    """The folder for generation.json, .md and .png."""
    files: EvaluatorFiles = NO_FILES
    split: str = "test"
    device: str = "auto"
    """Where models compute; auto: on a GPU if there is one."""
    repeats: int = 20
    """Repetitions; the field's protocol has 20."""
    limit: int = 0
    """At most so many clips, spread over the split (0: all)."""
    multimodality: int = 0
    """Sentences of which 30 motions each are compared, once (the field: 100; 0 leaves it out)."""
    batch: int = 32
    """Motions generated at once."""


class CachedTextEncoder:
    """Cached embeddings behind the interface of a text encoder."""

    def __init__(self, bank: TextBank) -> None:
        self.bank = bank
        self.name, self.revision, self.width = bank.encoder, "cached", bank.width

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See scamo.text.TextEncoder."""
        return self.bank.batch(texts)

    def release(self) -> None:
        """There is nothing to release."""


def generate(pipeline: MotionPipeline, captions: Sequence[str], seed: int, batch: int) -> list[np.ndarray]:
    """A motion for every caption, as long as the model makes it: features [T, D] each. Every row has its own seed."""
    out = []
    for start in range(0, len(captions), batch):
        part = captions[start : start + batch]
        seeds = [seed * 1_000_003 + start + i for i in range(len(part))]
        out += [generation.motion.features for generation in pipeline.generate_batch(part, seeds=seeds)]
    return out


def generation_metrics(
    evaluator: Evaluator,
    motions: list[np.ndarray],
    sentences: list[Sentence],
    truth: metrics.Gaussian,
    seed: int,
    fps: float,
    unit: float = 1.0,
) -> dict[str, float]:
    """Tab. 4's columns, foot slide (m/s) and jitter (m/s^3) of one repetition.

    truth: the embeddings of real motions; unit: metres that a length of 1 in the features is.
    """
    texts, embedded = evaluator.embed_sentences(sentences), evaluator.embed_motions(motions)
    precision = metrics.r_precision(texts, embedded, seed, min(POOL, len(motions)))
    joints = [unit * joints_from_features(motion) for motion in motions]
    return {
        "fid": metrics.fid(embedded, truth),
        **{f"r_precision_{k}": float(value) for k, value in enumerate(precision, 1)},
        "matching_score": metrics.matching_score(texts, embedded),
        "diversity": metrics.diversity(embedded, seed),
        **({} if joints[0].shape[1] != 22 else
           {"foot_slide": float(np.mean([metrics.foot_slide(j, fps) for j in joints]))}),
        "jitter": float(np.mean([metrics.jitter(j, fps) for j in joints if len(j) >= 4])),
    }  # fmt: skip


def draw_sentences(clips: list[ClipInfo], seed: int) -> list[Sentence]:
    """One of its sentences for every clip; the empty ones, which teach guidance, are not asked."""
    draw = np.random.default_rng([seed, 7])
    out = []
    for clip in clips:
        written = [i for i, caption in enumerate(clip.captions) if caption]
        i = written[int(draw.integers(len(written)))]
        out.append(Sentence(clip.captions[i], clip.labels.get("tokens", [""] * len(clip.captions))[i]))
    return out


def measure_multimodality(
    pipeline: MotionPipeline, evaluator: Evaluator, clips: list[ClipInfo], sentences: int, batch: int
) -> float:
    """Distance between SAMPLES motions of each of some sentences, spread over the clips."""
    spread = np.linspace(0, len(clips) - 1, min(sentences, len(clips))).round().astype(int)
    embedded = []
    for number, sentence in enumerate(draw_sentences([clips[i] for i in spread], 0)):
        motions = generate(pipeline, [sentence.caption] * SAMPLES, 10**6 + number, batch)
        embedded.append(evaluator.embed_motions(motions))
    return metrics.multimodality(np.stack(embedded), seed=0)


@dataclass(frozen=True)
class _Reference:
    """What every model of a table is measured against: the evaluator, and real motions with their embeddings."""

    evaluator: Evaluator
    texts: TextBank
    clips: list[ClipInfo]
    real: list[np.ndarray]
    truth: metrics.Gaussian
    fps: float
    unit: float

    def metrics(self, motions: list[np.ndarray], sentences: list[Sentence], seed: int) -> dict[str, float]:
        return generation_metrics(self.evaluator, motions, sentences, self.truth, seed, self.fps, self.unit)

    def of_real(self, seed: int) -> dict[str, float]:
        return self.metrics(self.real, draw_sentences(self.clips, seed), seed)


def _model_row(folder: Path, reference: _Reference, config: GenerationTable) -> dict[str, Any]:
    card = checkpoint.read_checked(folder, "transformer")
    device = device_named(config.device)
    pipeline = MotionPipeline.from_pretrained(folder, device=device)
    if identity_of(pipeline.card.text_encoder or "") == reference.texts.identity:
        cached = CachedTextEncoder(reference.texts)
        pipeline = MotionPipeline.from_pretrained(
            pipeline.card, device=device_named(config.device), text_encoder=cached
        )

    def of_model(seed: int) -> dict[str, float]:
        sentences = draw_sentences(reference.clips, seed)
        motions = generate(pipeline, [one.caption for one in sentences], seed, config.batch)
        return reference.metrics(motions, sentences, seed)

    row: dict[str, Any] = {
        "model": model_name(folder), "codebook": pipeline.card.codebook, "size": pipeline.card.size,
        "checkpoint": checkpoint.fingerprint(folder), "metrics": _repeated(of_model, config.repeats),
        "normalised_loss": card["metrics"].get("normalised_loss"), "parameters": card.get("parameters"),
    }  # fmt: skip
    if config.multimodality:
        row["multimodality"] = measure_multimodality(
            pipeline, reference.evaluator, reference.clips, config.multimodality, config.batch
        )
    row["published"] = published("generation", codebook=row["codebook"], size=row["size"])
    return row


def _repeated(once: Callable[[int], dict[str, float]], times: int) -> dict[str, list[float]]:
    return {name: list(interval) for name, interval in metrics.repeated(once, times).items()}


def evaluate_generation(config: GenerationTable) -> dict[str, Any]:
    """Measure every transformer, and real motions as the bound; write the table and print it."""
    from tqdm import tqdm

    data, texts = Dataset(config.data), TextBank(config.texts)
    evaluator = config.files.load(texts)
    clips = measured_clips(data, config.split, config.limit)
    real = [data[clip] for clip in clips]
    truth = metrics.Gaussian.of(evaluator.embed_motions(real))
    fps = float(data.about.get("fps", FPS))
    reference = _Reference(evaluator, texts, clips, real, truth, fps, data.unit)
    rows: list[dict[str, Any]] = [
        {"model": "real motions", "metrics": _repeated(reference.of_real, config.repeats)},
        *(_model_row(folder, reference, config) for folder in tqdm(config.models, unit="model")),
    ]
    result = origin(config, data, evaluator.name) | {
        "clips": len(clips),
        "pool": min(POOL, len(clips)),
        "repeats": config.repeats,
        "rows": rows,
    }
    markdown = generation_markdown(result)
    write_table(config.out / "generation", result, markdown)
    plot_generation(result, config.out / "generation.png")
    print(markdown)
    return result
