"""What the tables have in common: the evaluator that measures, and the clips that are measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.dataset import ClipInfo, Dataset
from training.data.text_embeddings import TextBank
from training.tasks.evaluator import load_evaluator
from training.tasks.evaluator_networks import Evaluator
from training.tasks.guo_evaluator import guo_evaluator

SHORTEST = 16  # frames of a clip that is measured


@dataclass(frozen=True)
class EvaluatorFiles:
    """Where the evaluator is: one of ours, or the files of Guo et al.'s."""

    evaluator: Path | None = None
    """The folder of an evaluator of training.tasks.evaluator."""
    guo: Path | None = None
    """text_mot_match/model/finest.tar of Guo et al."""
    guo_mean: Path | None = None
    guo_std: Path | None = None
    """mean.npy and std.npy that came with it."""
    glove: Path | None = None
    """The folder with our_vab_data.npy, our_vab_words.pkl and our_vab_idx.pkl."""

    def load(self, texts: TextBank) -> Evaluator:
        """The evaluator. ValueError where neither is given completely."""
        if self.evaluator is not None:
            return load_evaluator(self.evaluator, texts)
        if self.guo is None or self.guo_mean is None or self.guo_std is None or self.glove is None:
            raise ValueError("Give --evaluator FOLDER, or all of --guo, --guo-mean, --guo-std and --glove.")
        return guo_evaluator(self.guo, self.guo_mean, self.guo_std, self.glove)


NO_FILES = EvaluatorFiles()


def measured_clips(data: Dataset, split: str, limit: int = 0, kind: str | None = None) -> list[ClipInfo]:
    """The clips of a split that are measured: long enough and with a sentence, at most ``limit`` spread over the split.

    kind: only clips with this label, "real" or "joined". ValueError where fewer than two are left.
    """
    clips = [clip for clip in data.split(split) if clip.frames >= SHORTEST and any(clip.captions)]
    clips = [clip for clip in clips if kind is None or clip.labels.get("kind", "real") == kind]
    if len(clips) < 2:
        raise ValueError(
            f"The split {split!r} has {len(clips)} clips of {SHORTEST} frames with sentences; give another."
        )
    if limit and limit < len(clips):
        clips = [clips[i] for i in np.linspace(0, len(clips) - 1, limit).round().astype(int)]
    return clips
