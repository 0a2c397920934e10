"""Motions through tokenizers, with and without a model."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo.configs import LEVELS
from scamo.motion import Motion
from scamo.tokenizer import VQTokenizer
from scamo.ui.components.reconstruction_report import error_curves, error_table
from scamo.ui.jobs.reconstruction import reconstruct, scale_end, tokenizer_cards
from tests.motions import walk
from tests.tiny import write_tokenizer
from tests.ui import make_pool


@pytest.fixture(scope="module")
def pool(tiny_models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    trained = [
        write_tokenizer(folder / "vq-256" / "model", (256,), VQTokenizer),
        write_tokenizer(folder / "fsq-256" / "model", LEVELS[256]),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a tokenizer alone is worth no warning
        return make_pool(tiny_models, trained)


@pytest.fixture(scope="module")
def motion():
    return Motion(Motion.from_joints(walk(44)).features)  # 43 frames: 3 fill no token


def test_every_codebook_gives_a_motion_back(pool, motion):
    cards = tokenizer_cards(pool)
    assert list(cards) == ["256", "256 VQ", "256 · fsq-256", "1024"]
    found = [reconstruct(pool, motion, label) for label in cards]
    assert len({one.error_over_time.mean() for one in found}) == 4  # each with weights of its own
    for one in found:
        assert one.tokens.shape == (10,)
        assert one.error_over_time.shape == (40,)
        assert one.joint_errors.shape == (22,)
        assert one.errors.shape == (40, 22)
        np.testing.assert_allclose(one.errors.mean(axis=1), one.error_over_time, rtol=1e-4)
        assert one.joint_errors[0] == 0
        assert one.error_over_time.mean() == pytest.approx(one.joint_errors.mean(), rel=1e-4)
    frame = error_curves(found)
    assert list(frame.columns) == ["seconds", "error in mm", "codebook"]
    assert len(frame) == 160
    assert error_table(found).count("<tr>") == 1 + 4 + 21


def test_the_scale_of_errors_ends_at_a_round_number_above_most(pool, motion):
    one = reconstruct(pool, motion, "256")
    for most, end in ((0.004, 0.01), (0.03, 0.05), (0.05, 0.05), (7.0, 1.0)):
        assert scale_end([replace(one, errors=np.full((40, 22), most))]) == end


def test_only_tokenizers_with_a_model_have_a_recipe(pool, motion):
    recorded = reconstruct(pool, motion, "256").recorded("your motion")
    assert recorded.recipe.prompt == "your motion"
    assert recorded.recipe.seconds == 2.0
    assert len(recorded.recipe.tokens) == 10
    assert len(recorded.motion) == 40
    assert pool.card_of_recipe(recorded.recipe).codebook == 256
    assert reconstruct(pool, motion, "256 VQ").recorded("your motion") is None


def test_three_halvings_are_taken_as_they_are_and_kit_is_left_out(slow_pool, motion):
    assert list(tokenizer_cards(slow_pool)) == ["256"]
    found = reconstruct(slow_pool, motion, 256)
    assert len(found.tokens) == 5
    assert found.recorded("your motion").recipe.seconds == 2.0


def test_what_cannot_be_compared_is_refused(pool, motion):
    with pytest.raises(ValueError, match="256, 256 VQ, 256 · fsq-256, 1024"):
        reconstruct(pool, motion, 4096)
    with pytest.raises(ValueError, match="30 frames a second"):
        reconstruct(pool, Motion(motion.features, fps=30.0), 256)
    np.testing.assert_array_equal(motion.features, Motion.from_joints(walk(44)).features)
