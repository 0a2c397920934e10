"""The tab that passes motions through tokenizers: its logic with tiny models, and in a browser."""

from __future__ import annotations

import warnings

import gradio as gr
import numpy as np
import pytest

from scamo import registry
from scamo.io.recipe import recipe
from scamo.io.write import export
from scamo.motion import Motion
from scamo.pipeline import Prompt, Sampling
from scamo.tokenizer import LEVELS, VQTokenizer
from scamo.ui.model_pool import Studio
from scamo.ui.tabs import tokenizers as lab
from tests.motions import walk
from tests.tiny import write_models, write_tokenizer


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    trained = [
        write_tokenizer(folder / "vq-256" / "model", (256,), VQTokenizer),
        write_tokenizer(folder / "fsq-256" / "model", LEVELS[256]),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "BUNDLED", write_models(tmp_path_factory.mktemp("models"), (256, 1024), ("0.3M",)))
        patch.delenv(registry.MODELS_VARIABLE, raising=False)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a tokenizer alone is worth no warning
            yield Studio(trained)


def test_every_codebook_gives_a_motion_back(studio):
    cards = lab.codecs(studio)
    assert list(cards) == ["256", "256 VQ", "256 · fsq-256", "1024"]
    motion = Motion(Motion.from_joints(walk(44)).features)  # 43 frames: 3 fill no token
    echoes = [lab.reconstructed(studio, motion, label) for label in cards]
    assert len({one.over_time.mean() for one in echoes}) == 4  # each with weights of its own
    for one in echoes:
        assert one.tokens.shape == (10,)
        assert one.over_time.shape == (40,)
        assert one.joints.shape == (22,)
        assert one.joints[0] == 0
        assert one.over_time.mean() == pytest.approx(one.joints.mean(), rel=1e-4)
    frame = lab.curves(echoes)
    assert list(frame.columns) == ["seconds", "error in mm", "codebook"]
    assert len(frame) == 160
    assert lab.table(echoes).count("<tr>") == 1 + 4 + 21
    held = recipe(echoes[0].card, [Prompt("your motion", 2.0)], Sampling(0), echoes[0].tokens)
    assert held["tokens"] == echoes[0].tokens.tolist()


def test_a_codebook_that_is_not_there_is_refused(studio):
    with pytest.raises(ValueError, match="256, 256 VQ, 256 · fsq-256, 1024"):
        lab.reconstructed(studio, lab.example(studio), 4096)


def test_the_example_is_the_same_for_everybody(studio):
    motion = lab.example(studio)
    assert motion.features.shape == (100, 263)
    np.testing.assert_array_equal(motion.features, lab.example(studio).features)


def test_the_tab_can_be_laid_out(studio):
    with gr.Blocks():
        lab.tab(studio)


def test_a_browser_drops_a_motion_and_sees_it_come_back(visit, tmp_path):
    export(Motion.from_joints(walk(41)), "bvh", tmp_path, "walk")
    page = visit()
    page.get_by_role("tab", name="Tokenizer lab").click()
    panel = page.get_by_role("tabpanel").locator("visible=true")
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "walk.bvh")
    panel.get_by_text("as it was and as 4 codebooks give it back").wait_for()
    assert panel.locator(".sheet tbody tr").count() == 4 + 21
    assert panel.locator(".sheet thead th").all_inner_texts()[1:] == ["256", "1024", "1024 VQ", "4096"]
    page.wait_for_function("[...document.querySelectorAll('.film video')].some((v) => v.duration > 0)")
    with page.expect_download() as saved:
        panel.locator(".take button[data-option=Joints]").click()
    assert np.load(saved.value.path()).shape == (36, 22, 3)  # a frame less twice, then whole tokens

    (tmp_path / "words.npy").write_bytes(b"no motion")
    panel.locator("button[aria-label*=emove], button[aria-label*=lear]").first.click()
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "words.npy")
    page.get_by_text("cannot be read as a numpy file").first.wait_for()
    assert panel.locator(".sheet tbody tr").count() == 4 + 21  # what was there stays
