"""Recipes in and out of files, and the tab that joins and continues motions, with tiny models and no browser."""

from __future__ import annotations

import json

import gradio as gr
import numpy as np
import pytest

from scamo import registry
from scamo.io.recipe import read_recipe, recipe
from scamo.io.write import export
from scamo.motion import Motion
from scamo.pipeline import Prompt, Sampling
from scamo.ui.components import controls as making
from scamo.ui.components import downloads as files
from scamo.ui.model_pool import Studio
from scamo.ui.tabs import timeline as edit
from tests.motions import walk
from tests.tiny import FakeEncoder, write_models


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "BUNDLED", write_models(tmp_path_factory.mktemp("models"), (256,), ("0.3M",)))
        patch.delenv(registry.MODELS_VARIABLE, raising=False)
        patch.setattr("scamo.ui.model_pool.load_text_encoder", lambda name: FakeEncoder())
        yield Studio()


def finish(stream):
    while True:
        try:
            next(stream)
        except StopIteration as end:
            return end.value


@pytest.fixture(scope="module")
def made(studio):
    generator = studio.generator(studio.card(256, "0.3M"))
    prompts = [Prompt("a person walks", 2.0), Prompt("a person bows", 1.0)]
    return finish(edit.joined(generator, prompts, Sampling(3)))


def test_parts_follow_each_other_and_the_recipe_brings_the_motion_back(studio, made):
    assert len(made["tokens"]) == 15
    assert [part["seconds"] for part in made["timeline"]] == [2.0, 1.0]
    assert len(files.motion_of(studio, made)) == 60
    assert edit.story(made) == "3.0 s: a person walks (2.0 s), then a person bows (1.0 s)."


def test_going_on_keeps_what_was_there(studio, made):
    generator = studio.generator(studio.card(256, "0.3M"))
    new = finish(edit.continued(generator, made, 2.6, Prompt("a person waves", 1.0), Sampling(4)))
    assert new["tokens"][:13] == made["tokens"][:13]
    assert len(new["tokens"]) == 18
    assert [part["prompt"] for part in new["timeline"]] == ["a person walks", "a person bows", "a person waves"]
    assert [part["seconds"] for part in new["timeline"]] == pytest.approx([2.0, 0.6, 1.0])


def test_the_same_prompt_and_seed_give_the_rest_again(studio):
    generator = studio.generator(studio.card(256, "0.3M"))
    whole = generator.generate("a person walks", seconds=4.0, seed=5)
    first = recipe(generator.card, [whole.prompt], whole.sampling, whole.tokens)
    again = finish(edit.continued(generator, first, 1.0, Prompt("a person walks", 3.0), Sampling(5)))
    assert again["tokens"] == first["tokens"]


@pytest.mark.parametrize("rows", [[("", 3.0), (" ", 3.0)], [("walks", 0.5)], [("walks", 99.0)], [("walks", None)]])
def test_rows_that_cannot_be_meant_are_refused(rows):
    with pytest.raises(ValueError, match=r"empty|1 to 10"):
        edit.read_rows(rows)


@pytest.mark.parametrize("offer", ["MP4", "GLB", "SMPL", "Recipe"])
def test_recipes_come_back_out_of_files(studio, made, offer, tmp_path):
    path = files.written(studio, made, offer, tmp_path)
    found = read_recipe(path)
    assert {name: found[name] for name in made} == made
    assert found["scamo"]


@pytest.mark.parametrize("offer", ["GIF", "Features", "Joints", "BVH"])
def test_every_offer_is_written_under_a_plain_name(studio, made, offer, tmp_path):
    path = files.written(studio, made, offer, tmp_path)
    assert path.stat().st_size > 500
    assert path.name.startswith("a-person-walks-then-a-person-bows")


def test_files_for_engines_are_in_place_and_go_round(studio, made, tmp_path):
    path = files.written(studio, made, "Joints", tmp_path, ["loop", "in_place"])
    assert path.name.endswith("-in-place-loop_joints.npy")
    joints = np.load(path)
    assert 30 <= len(joints) < 60
    assert np.ptp(joints[:, 0, [0, 2]], axis=0).max() < 1e-5
    whole = files.written(studio, made, "Recipe", tmp_path, ["loop"])
    assert read_recipe(whole)["tokens"] == made["tokens"]
    for offer, variants in (("EXE", []), ("BVH", ["upside_down"])):
        with pytest.raises(ValueError, match="not offered"):
            files.written(studio, made, offer, tmp_path, variants)


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"tokens": None}, {"tokens": ["a"]}, {"tokens": [10**9]}, {"tokens": [0] * 10_000}, {"codebook": "256"},
        {"size": "9T"},
    ],
)  # fmt: skip
def test_a_strange_recipe_is_refused_in_words(studio, made, wrong):
    with pytest.raises(ValueError, match=r"recipe|token|model"):
        files.motion_of(studio, {**made, **wrong} if wrong else {})


def test_a_file_gives_its_settings_back(studio, tmp_path):
    generator = studio.generator(studio.card(256, "0.3M"))
    asked = {"prompt": "a person bows", "seconds": 1.0, "seed": 9, "temperature": 0.5}
    one = generator.generate("a person bows", seconds=1.0, seed=9, temperature=0.5)
    path = files.written(studio, recipe(generator.card, [one.prompt], one.sampling, one.tokens), "MP4", tmp_path)
    assert files.settings(studio, str(path)) == {**asked, "codebook": 256, "size": "0.3M"}
    for wrong in ({"prompt": 3}, {"seconds": "long"}, {"seed": -1}, {"temperature": None}, {"size": "9T"}):
        strange = {**read_recipe(path), **wrong}
        (tmp_path / "strange.json").write_text(json.dumps(strange))
        with pytest.raises(ValueError, match=r"prompt|seconds|seed|temperature|9T"):
            files.settings(studio, str(tmp_path / "strange.json"))


def test_files_without_a_recipe_say_so(tmp_path):
    for name, content in (("a.json", b"[]"), ("b.glb", b"glTF"), ("c.npz", b"PK"), ("d.json", b"{"), ("e.txt", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read_recipe(tmp_path / name)


def test_any_motion_file_can_be_gone_on_from(studio, made, tmp_path):
    export(Motion.from_joints(walk(41)), "npy,bvh", tmp_path, "walk")
    for name in ("walk_features.npy", "walk_joints.npy", "walk.bvh"):
        assert len(edit.opened(studio, str(tmp_path / name), 256, "0.3M")["tokens"]) in (9, 10)
    (tmp_path / "own.json").write_text(json.dumps(made))
    assert edit.opened(studio, str(tmp_path / "own.json"), None, None) == made


def test_progress_is_told_and_the_end_returned():
    def stream():
        yield 1
        yield 2
        return "whole"

    told = making.follow(stream(), "0.3M", 2)
    assert "1 of 2 tokens" in next(told)
    with pytest.raises(StopIteration) as end:
        next(told)
    assert end.value.value == "whole"


def test_several_figures_make_one_film(studio, made):
    motion = files.motion_of(studio, made)
    path = making.film({"before": motion, "after": Motion(motion.features[:20])}, made)
    assert read_recipe(path)["tokens"] == made["tokens"]
    assert np.isfinite(motion.joints).all()


def test_the_tab_can_be_laid_out(studio):
    with gr.Blocks():
        edit.tab(studio)


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
    page.wait_for_function("[...document.querySelectorAll('.film video')].some((v) => v.duration > 2.5)")

    saved = {}
    for offer in files.OFFERS:
        with page.expect_download() as download:
            page.locator(f".take button[data-option={offer}]").locator("visible=true").click()
        saved[offer] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[offer])
    assert_readable(saved, frames=60)
    page.locator(".take input[name=loop]").locator("visible=true").check()
    with page.expect_download() as download:
        page.locator(".take button[data-option=Joints]").locator("visible=true").click()
    assert 30 <= len(np.load(download.value.path())) < 60

    other.get_by_role("tab", name="Continue").click()  # somebody else has nothing of it
    other.locator(".take button[data-option=BVH]").locator("visible=true").click()
    other.get_by_text("There is no motion yet").first.wait_for()
    assert other.locator("video").count() == 0
    other.locator("input[type=file]:visible, .tabitem:visible input[type=file]").first.set_input_files(saved["MP4"])
    other.get_by_text("a person bows (1.0 s), then a person waves (1.0 s)").wait_for()  # it came with the file
    assert other.evaluate("document.documentElement.scrollWidth") <= 390


def assert_readable(saved, frames):
    """Each file opens in a reader that is not ours, and holds so many frames."""
    import imageio.v3 as imageio
    from PIL import Image
    from pygltflib import GLTF2

    from tests.test_export import by_hand

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
    assert len(json.loads(saved["Recipe"].read_text())["tokens"]) == frames // 4
