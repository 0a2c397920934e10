"""Recipes in and out of files, and the tab that joins and continues motions, with tiny models and no browser."""

from __future__ import annotations

import json

import numpy as np
import pytest

gr = pytest.importorskip("gradio")

from scamo import zoo  # noqa: E402
from scamo.export import export  # noqa: E402
from scamo.generate import Prompt, Sampling  # noqa: E402
from scamo.motion import Motion  # noqa: E402
from scamo.recipe import read_recipe, recipe  # noqa: E402
from scamo.ui import edit, files, making  # noqa: E402
from scamo.ui.studio import Studio  # noqa: E402
from tests.motions import walk  # noqa: E402
from tests.tiny import FakeEncoder, write_models  # noqa: E402


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "BUNDLED", write_models(tmp_path_factory.mktemp("models"), (256,), ("0.3M",)))
        patch.delenv(zoo.MODELS_VARIABLE, raising=False)
        patch.setattr("scamo.ui.studio.load_text_encoder", lambda name: FakeEncoder())
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
