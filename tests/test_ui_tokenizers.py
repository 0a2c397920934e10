"""The tab that passes motions through tokenizers: its example, its layout, and a browser on the whole of it."""

from __future__ import annotations

import gradio as gr
import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo.io.write import export
from scamo.motion import Motion
from scamo.ui.tabs.tokenizers import TokenizersTab, example_motion
from tests.motions import walk
from tests.rigs import write_bvh as write_flat


def test_the_example_is_the_same_for_everybody(shared_pool):
    motion = example_motion(shared_pool)
    assert motion.features.shape == (100, 263)
    np.testing.assert_array_equal(motion.features, example_motion(shared_pool).features)


def test_the_tab_can_be_laid_out(shared_pool):
    with gr.Blocks():
        TokenizersTab(shared_pool)


def test_a_browser_drops_a_motion_and_sees_it_come_back(visit, tmp_path):
    export(Motion.from_joints(walk(41)), "bvh", tmp_path, "walk")
    page = visit()
    page.get_by_role("tab", name="Tokenizer lab").click()
    panel = page.get_by_role("tabpanel").locator("visible=true")
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "walk.bvh")
    panel.get_by_text("as it was and as 4 codebooks give it back").wait_for()
    assert panel.locator(".sheet tbody tr").count() == 4 + 21
    assert panel.locator(".sheet thead th").all_inner_texts()[1:] == ["256", "1024", "1024 VQ", "4096"]
    page.wait_for_function("document.querySelector('#lab-stage .scamo-player').player.figures.length === 5")
    with page.expect_download() as saved:
        panel.locator(".take button[data-option=Joints]").click()
    assert np.load(saved.value.path()).shape == (36, 22, 3)  # a frame less twice, then whole tokens

    write_flat(tmp_path / "odd.bvh", 100 * walk(41), fps=40)
    text = (tmp_path / "odd.bvh").read_text(encoding="utf-8")
    for name in ("LeftUpLeg", "RightUpLeg"):  # the flat file has no shape by which they could be found
        text = text.replace(name, f"Bein{name[0]}")
    (tmp_path / "odd.bvh").write_text(text, encoding="utf-8")
    panel.locator("button[aria-label*=emove], button[aria-label*=lear]").first.click()
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "odd.bvh")
    page.get_by_text("Pass joints= (--joints) with what it calls").first.wait_for()
    panel.get_by_text("The file was read wrongly?").click()
    panel.get_by_label("Joint map (JSON)").fill('{"left_hip": "BeinL", "right_hip": "BeinR"}')
    panel.get_by_label("Frames a second").fill("20")
    panel.get_by_role("button", name="Read it again").click()
    panel.get_by_text("Your motion: 2.0 s").and_(panel.get_by_text("Centimetres.")).wait_for()
    panel.get_by_label("Joint map (JSON)").fill("{")
    panel.get_by_role("button", name="Read it again").click()
    page.get_by_text("The joint map is no JSON").first.wait_for()

    panel.get_by_label("Joint map (JSON)").fill("")
    (tmp_path / "words.npy").write_bytes(b"no motion")
    panel.locator("button[aria-label*=emove], button[aria-label*=lear]").first.click()
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "words.npy")
    page.get_by_text("cannot be read as a numpy file").first.wait_for()
    assert panel.locator(".sheet tbody tr").count() == 4 + 21  # what was there stays
