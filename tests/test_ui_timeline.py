"""The tab that joins and continues motions: its layout, and a browser on the whole of it."""

from __future__ import annotations

import json

import gradio as gr
import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo.ui.motion_files import OFFERS
from scamo.ui.tabs.timeline import TimelineTab


def test_the_tab_can_be_laid_out(shared_pool):
    with gr.Blocks():
        TimelineTab(shared_pool)


def test_a_browser_joins_prompts_goes_on_and_takes_every_file_along(visit, tmp_path):
    page, other = visit(), visit(width=390, height=844, dark=True)
    page.get_by_role("tab", name="Continue").click()
    for row in range(2):
        page.get_by_label("number input for Seconds").locator("visible=true").nth(row).fill("1")
    page.click("#join")
    page.get_by_text("then a person bows (1.0 s)").wait_for()
    page.get_by_label("and then").fill("a person waves")
    page.get_by_label("number input for for so many seconds").fill("1")
    page.click("#go-on")
    page.get_by_text("a person bows (1.0 s), then a person waves (1.0 s)").wait_for()
    page.wait_for_function("document.querySelector('#continue-stage .scamo-player').player.end > 2.5")

    saved = {}
    for offer in OFFERS:
        with page.expect_download() as download:
            page.locator(f".take button[data-option={offer}]").locator("visible=true").click()
        saved[offer] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[offer])
    assert_readable(saved, frames=60)
    page.locator(".take input[name=loop]").locator("visible=true").check()
    with page.expect_download() as download:
        page.locator(".take button[data-option=Joints]").locator("visible=true").click()
    assert 30 <= len(np.load(download.value.path())) < 60
    page.locator(".take summary").locator("visible=true").click()
    page.locator(".take select[name=rig]").locator("visible=true").select_option("unreal")
    page.locator(".take input[name=fps]").locator("visible=true").fill("30")
    with page.expect_download() as download:
        page.locator(".take button[data-option=BVH]").locator("visible=true").click()
    assert download.value.suggested_filename.endswith("-unreal-30fps-loop.bvh")
    assert "JOINT thigh_l" in download.value.path().read_text(encoding="ascii")
    page.locator(".take input[name=fps]").locator("visible=true").fill("-3")
    page.locator(".take button[data-option=BVH]").locator("visible=true").click()
    page.get_by_text("A file cannot run at -3 frames a second").first.wait_for()

    other.get_by_role("tab", name="Continue").click()  # somebody else has nothing of it
    other.locator(".take button[data-option=BVH]").locator("visible=true").click()
    other.get_by_text("There is no motion yet").first.wait_for()
    assert other.locator("video").count() == 0
    other.locator("input[type=file]:visible, .tabitem:visible input[type=file]").first.set_input_files(saved["MP4"])
    other.get_by_text("a person bows (1.0 s), then a person waves (1.0 s)").wait_for()  # it came with the file
    other.locator(".take summary").locator("visible=true").click()
    assert other.evaluate("document.documentElement.scrollWidth") <= 390


def assert_readable(saved, frames):
    """Each file opens in a reader that is not ours, and holds so many frames."""
    import imageio.v3 as imageio
    from PIL import Image
    from pygltflib import GLTF2

    from tests.test_io_bvh import by_hand

    assert sum(1 for _ in imageio.imiter(saved["MP4"])) == frames
    with Image.open(saved["GIF"]) as picture:
        assert picture.format == "GIF"
        assert picture.n_frames > frames // 3
    assert np.load(saved["Features"]).shape == (frames, 263)
    assert np.load(saved["Joints"]).shape == (frames, 22, 3)
    assert len(by_hand(saved["BVH"])[0]) == frames
    scene = GLTF2().load(str(saved["GLB"]))
    assert len(scene.animations) == len(scene.skins) == 1
    assert scene.accessors[scene.animations[0].samplers[0].input].count == frames
    with np.load(saved["SMPL"]) as smpl:
        assert smpl["poses"].shape == (frames, 72)
        assert float(smpl["mocap_framerate"]) == 20
    assert len(json.loads(saved["Recipe"].read_text(encoding="utf-8"))["tokens"]) == frames // 4
