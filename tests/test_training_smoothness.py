"""Sliding feet and shaking joints of made motions beside real ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scamo.configs import LEVELS, TokenizerConfig
from scamo.metrics import foot_slide, jitter
from scamo.motion import Motion, features_from_joints
from scamo.tokenizer import MotionTokenizer
from tests import motions
from training.data.dataset import Dataset, DatasetWriter
from training.measure import smoothness


class Shaking:
    """A model that walks as the corpus does, and shakes."""

    card = SimpleNamespace(name="shaking")
    tokenizer = MotionTokenizer(TokenizerConfig(LEVELS[256], width=8), np.zeros(263), np.ones(263))

    def generate_batch(self, prompts: list[str], seeds: Any) -> list[SimpleNamespace]:
        draw = np.random.default_rng(0)
        joints = [motions.walk(60) + draw.normal(0, 0.02, (60, 22, 3)) for _ in prompts]
        return [SimpleNamespace(motion=SimpleNamespace(joints=one)) for one in joints]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    features = features_from_joints(motions.walk(61))
    with DatasetWriter(tmp_path / "data", about={"name": "walks"}) as dataset:
        for name, style in (("a", "normal"), ("b", "angry")):
            dataset.add(name, features, "train", ["walk"], kind="real", contents=["walk"], style=style)
    return tmp_path / "data"


def test_a_shaking_model_is_told_from_real_clips_of_the_normal_style(corpus: Path) -> None:
    args = smoothness.Args(corpus, seeds=2)
    (row,) = smoothness.compare(Shaking(), Dataset(corpus), args)  # type: ignore[arg-type]
    assert row["action"] == "walk" and row["clips"] == 2  # one clip and its mirror image
    real = Motion(features_of(corpus)).joints
    assert row["real"]["jitter"] == pytest.approx(jitter(real), rel=0.02)
    assert row["real"]["slide"] == pytest.approx(foot_slide(real), rel=0.05, abs=1e-3)
    assert row["made"]["jitter"] > 5 * row["real"]["jitter"]
    table = smoothness.markdown([row])
    assert f"shake {row['made']['jitter'] / row['real']['jitter']:.2f} times" in table


def features_of(corpus: Path) -> np.ndarray:
    data = Dataset(corpus)
    return np.asarray(data[data.split("train")[0]])
