"""Motions that go on: their tokens, their recipes, and codecs that do not make 5 tokens a second."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo.io.write import export
from scamo.motion import Motion
from scamo.options import GenerationOptions, Prompt
from scamo.ui.jobs.continuation import continue_motion, open_motion, read_parts, story
from scamo.ui.motion_files import RecordedMotion
from tests.motions import walk


@pytest.fixture(scope="module")
def pipeline(shared_pool):
    return shared_pool.pipeline(shared_pool.card(256, "0.3M"))


@pytest.fixture(scope="module")
def made(pipeline):
    prompts = [Prompt("a person walks", 2.0), Prompt("a person bows", 1.0)]
    return RecordedMotion.of(pipeline.timeline(prompts, seed=3))


def go_on(pipeline, before, keep, text, seconds, seed):
    steps = continue_motion(pipeline, before, keep, Prompt(text, seconds), GenerationOptions(seed=seed))
    *_, step = steps
    return step.result


def test_parts_follow_each_other(made):
    assert len(made.recipe.tokens) == 15
    assert [part.seconds for part in made.recipe.prompts] == [2.0, 1.0]


def test_the_story_tells_what_happens_when(pipeline, made):
    told = story(made.recipe, pipeline.tokenizer.config)
    assert told == "3.0 s: a person walks (2.0 s), then a person bows (1.0 s)."


def test_going_on_keeps_what_was_there(pipeline, made):
    new = go_on(pipeline, made.recipe, 2.6, "a person waves", 1.0, seed=4)
    assert new.recipe.tokens[:13] == made.recipe.tokens[:13]
    assert len(new.recipe.tokens) == 18
    assert len(new.motion) == 72
    np.testing.assert_array_equal(new.motion.features, pipeline.tokenizer.decode(np.array(new.recipe.tokens)))
    assert [part.text for part in new.recipe.prompts] == ["a person walks", "a person bows", "a person waves"]
    assert [part.seconds for part in new.recipe.prompts] == pytest.approx([2.0, 0.6, 1.0])


def test_the_same_prompt_and_seed_give_the_rest_again(pipeline):
    whole = pipeline.generate("a person walks", seconds=4.0, seed=5).recipe
    assert go_on(pipeline, whole, 1.0, "a person walks", 3.0, seed=5).recipe.tokens == whole.tokens


def test_nothing_can_be_kept_and_no_more_than_a_minute_made(pipeline, made):
    new = go_on(pipeline, made.recipe, 0.0, "a person waves", 1.0, seed=4)
    assert [part.text for part in new.recipe.prompts] == ["a person waves"]
    assert len(new.recipe.tokens) == 5
    long = dataclasses.replace(made.recipe, tokens=(0,) * 296)
    with pytest.raises(ValueError, match="60 seconds"):
        go_on(pipeline, long, 60.0, "a person waves", 1.0, seed=4)


@pytest.mark.parametrize(("codebook", "rate"), [(256, 2.5), (512, 3.125)])
def test_codecs_of_other_rates_keep_and_make_as_many_seconds(slow_pool, codebook, rate):
    slow = slow_pool.pipeline(slow_pool.card(codebook, "0.3M"))
    whole = RecordedMotion.of(slow.generate("a person walks", seconds=4.0, seed=5))
    new = go_on(slow, whole.recipe, 2.4, "a person waves", 1.6, seed=4)
    kept = slow.tokenizer.config.tokens_in(2.4)
    assert kept in (6, 8)
    assert new.recipe.tokens[:kept] == whole.recipe.tokens[:kept]
    assert len(new.recipe.tokens) == kept + slow.tokenizer.config.tokens_in(1.6)
    assert new.motion.seconds == pytest.approx(len(new.recipe.tokens) / rate)
    assert story(new.recipe, slow.tokenizer.config).startswith(f"{new.motion.seconds:.1f} s: a person walks")


@pytest.mark.parametrize(
    "parts", [[("", 3.0), (" ", 3.0)], [(None, 3.0)], [("walks", 0.5)], [("walks", 99.0)], [("walks", None)]]
)
def test_parts_that_make_no_sense_are_refused(parts):
    with pytest.raises(ValueError, match=r"empty|1 to 10"):
        read_parts(parts)


def test_any_motion_file_can_be_gone_on_from(shared_pool, slow_pool, made, tmp_path):
    export(Motion.from_joints(walk(41)), "npy,bvh", tmp_path, "walk")
    for name in ("walk_features.npy", "walk_joints.npy", "walk.bvh"):
        assert len(open_motion(shared_pool, str(tmp_path / name), 256, "0.3M").recipe.tokens) in (9, 10)
    slow = open_motion(slow_pool, str(tmp_path / "walk_features.npy"), 256, "0.3M")
    assert len(slow.recipe.tokens) == 5  # 40 frames, 8 for each
    assert slow.recipe.seconds == 2.0
    with pytest.raises(ValueError, match=r"12\.5"):
        open_motion(slow_pool, str(tmp_path / "walk_features.npy"), 512, "0.3M")  # KIT-ML's rate is another
    (tmp_path / "own.json").write_text(json.dumps(made.recipe.to_dict()), encoding="utf-8")
    opened = open_motion(shared_pool, str(tmp_path / "own.json"), None, None)
    assert opened.recipe.to_dict() == made.recipe.to_dict()
