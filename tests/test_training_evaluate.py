"""The rows of the tables, with evaluators and generators whose answers are known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("accelerate")

from scamo import metrics
from scamo.configs import TransformerConfig
from scamo.motion import canonical_joints, features_from_joints, joints_from_features
from scamo.transformer import PrefixTransformer
from tests.corpus import write_corpus
from tests.motions import walk
from training.data.dataset import ClipInfo, Dataset
from training.measure.generation import SAMPLES, draw_sentences, generation_metrics, measure_multimodality
from training.measure.protocol import measured_clips
from training.measure.tables import published, write_table
from training.measure.tokenizers import tokenizer_row
from training.tasks.evaluator_networks import Sentence


class FakeEvaluator:
    """Embeds a sentence of n words as (n, 0), and a motion whose first number is n as (n, 3)."""

    name = "by hand"

    def embed_sentences(self, sentences: list[Sentence]) -> np.ndarray:
        return np.array([[len(one.caption.split()), 0.0] for one in sentences])

    def embed_motions(self, motions: list[np.ndarray]) -> np.ndarray:
        return np.array([[motion[0, 0], 3.0] for motion in motions])


def test_one_repetition_by_hand() -> None:
    features = features_from_joints(canonical_joints(walk(41)))
    sentences = [Sentence(" ".join(["word"] * count), "") for count in range(1, 9)]
    motions = [np.concatenate([[[count]], features[:1, 1:]], axis=1).repeat(20, 0) for count in range(1, 9)]
    motions = [motion.astype(np.float32) for motion in motions]
    truth = metrics.Gaussian.of(FakeEvaluator().embed_motions(motions))
    found = generation_metrics(FakeEvaluator(), motions, sentences, truth, seed=0, fps=20.0)  # type: ignore[arg-type]
    assert found["matching_score"] == pytest.approx(3.0)  # each is 3 above its own
    assert (found["r_precision_1"], found["r_precision_3"]) == (1.0, 1.0)
    assert found["fid"] == pytest.approx(0.0, abs=1e-6)
    # All motions moved by one: a mean of 1 away, and the next sentence's motion is as near as the own one was.
    moved = [motion + np.eye(1, 263, dtype=np.float32) for motion in motions]
    found = generation_metrics(FakeEvaluator(), moved, sentences, truth, seed=0, fps=20.0)  # type: ignore[arg-type]
    assert found["fid"] == pytest.approx(1.0, abs=1e-6)
    assert found["matching_score"] == pytest.approx(np.hypot(1, 3))
    # Of 8 motions at 2 ... 9 the sentence n is nearest to n, its own n + 1 comes second or, as near as n - 1, third.
    assert found["r_precision_1"] == pytest.approx(1 / 8) and found["r_precision_3"] == 1.0


def test_lengths_of_another_unit() -> None:
    features = [features_from_joints(canonical_joints(walk(41))).astype(np.float32)] * 4
    sentences = [Sentence("a", "")] * 4
    truth = metrics.Gaussian(np.zeros(2), np.eye(2))
    metre, millimetre = (
        generation_metrics(FakeEvaluator(), features, sentences, truth, seed=0, fps=20.0, unit=unit)  # type: ignore[arg-type]
        for unit in (1.0, 0.001)
    )
    assert metre["jitter"] == pytest.approx(metrics.jitter(joints_from_features(features[0])), rel=1e-6)
    assert millimetre["jitter"] == pytest.approx(metre["jitter"] / 1000, rel=1e-4)


def test_multimodality_takes_sentences_from_all_over(tmp_path: Path) -> None:
    clips = measured_clips(Dataset(write_corpus(tmp_path / "data")), "train")
    asked: list[str] = []

    class FakePipeline:
        """The motion of the n-th seed of a sentence starts with 0 or, every second one, with 4."""

        def generate_batch(self, prompts: list[str], seeds: list[int]) -> list[Any]:
            asked.extend(prompts)
            return [SimpleNamespace(motion=SimpleNamespace(features=np.full((4, 263), 4.0 * (s % 2)))) for s in seeds]

    found = measure_multimodality(FakePipeline(), FakeEvaluator(), clips, 3, batch=7)  # type: ignore[arg-type]
    assert len(asked) == 3 * SAMPLES == 90
    assert 0 < found < 4  # pairs are 0 or 4 apart
    chosen = [clips[i] for i in (0, round((len(clips) - 1) / 2), len(clips) - 1)]
    assert all(asked[i * SAMPLES] in clip.captions for i, clip in enumerate(chosen))


def test_a_transformer_is_no_tokenizer(tmp_path: Path) -> None:
    folder = PrefixTransformer(TransformerConfig(15, 1, 2, 8, 8)).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="is a transformer; give folders of tokenizers"):
        tokenizer_row(folder, None, None, "test")  # type: ignore[arg-type]


def test_published_rows() -> None:
    assert len(published("tokenizers")) == 28 and len(published("generation")) == 47
    (row,) = published("tokenizers", quantiser="vq", codebook=4096, data="MotionUnion")
    assert (row["l1"], row["mpjpe_mm"], row["usage"], row["entropy"]) == (0.044, 42.4, 0.994, 3373.35)
    (row,) = published("tokenizers", quantiser="fsq", codebook=65536, data="HumanML3D")
    assert (row["l1"], row["fid"], row["mpjpe_mm"]) == (0.051, 0.049, 42.0)
    assert (row["usage"], row["entropy"]) == (0.764, 33818.21)
    (row,) = published("generation", codebook=65536, size="3B")
    assert (row["fid"], row["r_precision_1"], row["matching_score"], row["diversity"]) == (0.101, 0.512, 2.99, 9.59)
    assert len(published("generation", model="ScaMo")) == 42


def test_a_table_is_named_as_asked(tmp_path: Path) -> None:
    write_table(tmp_path / "v1.5", {"rows": []}, "| MPJPE ↓ |")
    assert {path.name for path in tmp_path.iterdir()} == {"v1.5.json", "v1.5.md"}
    assert (tmp_path / "v1.5.md").read_bytes() == "| MPJPE ↓ |\n".encode()


def test_no_empty_sentence_is_asked() -> None:
    clips = [ClipInfo("a", 0, 40, "test", ("", "walk", "", "go"), {"tokens": ["0", "1", "2", "3"]})] * 50
    drawn = draw_sentences(clips, 0)
    assert {(one.caption, one.tagged_words) for one in drawn} == {("walk", "1"), ("go", "3")}
