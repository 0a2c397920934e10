"""Motions as files, and recipes that come back from them."""

from __future__ import annotations

import dataclasses
import json
import os
import time

import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo.io.recipe import Recipe, read_recipe
from scamo.io.write_options import WriteOptions
from scamo.motion import Motion
from scamo.options import Prompt
from scamo.ui import motion_files
from scamo.ui.figure_style import FigureStyle
from scamo.ui.motion_files import OFFERS, RecordedMotion, decode_recipe, draw_video, read_settings, write_file


@pytest.fixture(scope="module")
def recorded(shared_pool):
    pipeline = shared_pool.pipeline(shared_pool.card(256, "0.3M"))
    prompts = [Prompt("a person walks", 2.0), Prompt("a person bows", 1.0)]
    return RecordedMotion.of(pipeline.timeline(prompts, seed=3))


def test_a_recipe_brings_the_same_motion_back(shared_pool, recorded):
    decoded = decode_recipe(shared_pool, recorded.recipe)
    assert decoded.recipe is recorded.recipe
    np.testing.assert_array_equal(decoded.motion.features, recorded.motion.features)
    assert len(decoded.motion) == 60


@pytest.mark.parametrize("offer", ["MP4", "GLB", "SMPL", "Recipe"])
def test_recipes_come_back_out_of_files(recorded, offer, tmp_path):
    assert read_recipe(write_file(recorded, offer, tmp_path)).to_dict() == recorded.recipe.to_dict()


@pytest.mark.parametrize("offer", ["GIF", "Features", "Joints", "BVH", "FBX", "VRMA"])
def test_every_offer_is_written_under_a_plain_name(recorded, offer, tmp_path):
    path = write_file(recorded, offer, tmp_path)
    assert path.stat().st_size > 500
    assert path.name.startswith("a-person-walks-then-a-person-bows")


def test_what_is_written_is_the_motion_that_was_made(recorded, tmp_path):
    """Not its tokens decoded again: no model is at hand here, and another motion is written as it is."""
    other = RecordedMotion(recorded.recipe, Motion(recorded.motion.features[:20]))
    np.testing.assert_array_equal(np.load(write_file(other, "Features", tmp_path)), recorded.motion.features[:20])


def test_files_for_engines_are_in_place_and_go_round(recorded, tmp_path):
    path = write_file(recorded, "Joints", tmp_path, WriteOptions(loop=True, in_place=True, rig="vrm"))
    assert path.name.endswith("-in-place-loop_joints.npy")
    joints = np.load(path)
    assert 30 <= len(joints) < 60
    assert np.ptp(joints[:, 0, [0, 2]], axis=0).max() < 1e-5
    whole = write_file(recorded, "Recipe", tmp_path, WriteOptions(loop=True))
    assert read_recipe(whole).tokens == recorded.recipe.tokens
    with pytest.raises(ValueError, match="not offered"):
        write_file(recorded, "EXE", tmp_path)


def test_files_for_other_programs(recorded, tmp_path):
    options = WriteOptions(rig="unreal", unit="m", fps=30, exact=True)
    path = write_file(recorded, "BVH", tmp_path, options)
    assert path.name.endswith("-unreal-m-30fps-exact.bvh")
    text = path.read_text(encoding="ascii")
    assert "JOINT thigh_l" in text and f"Frame Time: {1 / 30:.9g}" in text
    assert write_file(recorded, "GLB", tmp_path, options).name.endswith("-unreal-30fps.glb")
    assert write_file(recorded, "VRMA", tmp_path, options).name.endswith("-30fps.vrma")


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"tokens": None}, {"tokens": ["a"]}, {"tokens": [10**9]}, {"tokens": [0] * 10_000}, {"codebook": "256"},
        {"size": "9T"},
    ],
)  # fmt: skip
def test_a_strange_recipe_is_refused_in_words(shared_pool, recorded, wrong):
    with pytest.raises(ValueError, match=r"recipe|token|model"):
        decode_recipe(shared_pool, Recipe.from_dict({**recorded.recipe.to_dict(), **wrong} if wrong else {}))


def test_a_minute_is_counted_in_the_models_own_tokens(slow_pool):
    """300 tokens are a minute of HumanML3D with two halvings, and two minutes with three."""
    pipeline = slow_pool.pipeline(slow_pool.card(256, "0.3M"))
    recipe = pipeline.generate("a person walks", seconds=1.0, seed=0).recipe
    assert decode_recipe(slow_pool, dataclasses.replace(recipe, tokens=(0,) * 150)).motion.seconds == 60
    with pytest.raises(ValueError, match="150 at most"):
        decode_recipe(slow_pool, dataclasses.replace(recipe, tokens=(0,) * 151))


def test_a_file_gives_its_settings_back(shared_pool, tmp_path):
    pipeline = shared_pool.pipeline(shared_pool.card(256, "0.3M"))
    made = pipeline.generate("a person bows", seconds=1.0, seed=9, temperature=0.5)
    path = write_file(RecordedMotion.of(made), "MP4", tmp_path)
    recipe = read_settings(shared_pool, str(path))
    assert (recipe.prompt, recipe.seconds) == ("a person bows", 1.0)
    assert (recipe.options.seed, recipe.options.temperature) == (9, 0.5)
    assert shared_pool.card_of_recipe(recipe) is pipeline.card
    facts = made.recipe.to_dict()
    for wrong in ({"prompt": 3}, {"seconds": "long"}, {"seed": -1}, {"temperature": None}, {"size": "9T"}):
        (tmp_path / "strange.json").write_text(json.dumps({**facts, **wrong}), encoding="utf-8")
        with pytest.raises(ValueError, match=r"prompt|seconds|seed|temperature|9T"):
            read_settings(shared_pool, str(tmp_path / "strange.json"))


def test_files_without_a_recipe_say_so(tmp_path):
    for name, content in (("a.json", b"[]"), ("b.glb", b"glTF"), ("c.npz", b"PK"), ("d.json", b"{"), ("e.txt", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read_recipe(tmp_path / name)


def test_a_video_holds_its_recipe_and_its_frames_may_be_made_to_wait(recorded, tmp_path):
    counted = []
    count = lambda frames: (counted.append(1) or frame for frame in frames)  # noqa: E731
    path = draw_video(recorded.motion, recorded.recipe, tmp_path / "new", FigureStyle("stick"), count)
    assert read_recipe(path).tokens == recorded.recipe.tokens
    assert len(counted) == 60


def test_files_show_the_figure_that_was_chosen(recorded, tmp_path):
    """By the first frame of a GIF and the materials of a GLB, whose mesh is a person or sticks."""
    import imageio.v3 as imageio

    one = RecordedMotion(recorded.recipe, Motion(recorded.motion.features[:2]))
    pictures, sizes = [], []
    for style in (FigureStyle("stick"), FigureStyle("person", "man"), FigureStyle("person", "child")):
        folder = tmp_path / f"{style.body}-{style.person}"
        pictures.append(imageio.imread(write_file(one, "GIF", folder, style=style), index=0).astype(int))
        sizes.append(write_file(one, "GLB", folder, style=style).stat().st_size)
    assert abs(pictures[0] - pictures[1]).max() > 50 and abs(pictures[1] - pictures[2]).max() > 50
    assert sizes[0] < sizes[1] / 2


def test_folders_of_an_hour_ago_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(motion_files.tempfile, "tempdir", str(tmp_path))
    old, new = motion_files.new_folder(), motion_files.new_folder()
    os.utime(old, (time.time() - 4000,) * 2)
    assert motion_files.new_folder().is_dir()
    assert new.is_dir() and not old.exists()
    assert set(OFFERS) == {"MP4", "GIF", "Features", "Joints", "BVH", "GLB", "FBX", "VRMA", "SMPL", "Recipe"}
