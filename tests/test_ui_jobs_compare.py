"""The run of a comparison with tiny models: what it makes, how it fails, and that it stops."""

from __future__ import annotations

import gc
import re
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("gradio")

from scamo import registry
from scamo.device import Place
from scamo.engine import LocalEngine
from scamo.stream import Step
from scamo.ui.components.motion_player import player_figure
from scamo.ui.components.result_cards import facts as facts_of
from scamo.ui.jobs import compare as compare_job
from scamo.ui.jobs import follow as follow_job
from scamo.ui.motion_files import decode_recipe
from tests.devices import stand_in
from tests.ui import make_pool

BOTH = ((1024, "0.3M"), (1024, "1M"))


def request_of(pool, prompt="a person bows", keys=BOTH, seconds=1.0, seed=7, temperature=1.0, samples=1):
    return compare_job.read_compare_request(
        pool, prompt, [list(key) for key in keys], seconds, seed, temperature, samples=samples
    )


def last(running):
    *_, models = running
    return models


class WatchedEngine:
    """An engine that says how many tokens it has sampled, and whether its stream has ended."""

    def __init__(self, engine) -> None:
        self.engine, self.sampled, self.ended = engine, 0, 0
        self.config, self.place = engine.config, engine.place

    def stream(self, *request):
        steps = self.engine.stream(*request)
        try:
            while True:
                try:
                    count = next(steps)
                except StopIteration as end:
                    return end.value
                self.sampled += 1
                yield count
        finally:
            self.ended += 1


def test_every_model_finishes_and_all_read_one_text_encoder(pool, encoder):
    states = list(compare_job.compare(pool, request_of(pool)))
    models = states[-1]
    assert [model.state for model in models] == ["done", "done"]
    assert set(encoder.asked) == {"a person bows"}
    counts = [models[0].count for models in states if models[0].state == "tokens"]
    assert counts == sorted(counts)
    assert {1, 2, 3, 4, 5} <= set(counts)
    assert {models[0].total for models in states if models[0].count} == {5}
    for model in models:
        assert len(model.result.motion) == 20
        assert model.result.recipe.options.seed == 7


def test_a_motion_is_there_before_the_next_model_samples(pool):
    """Its figure can play at once: nothing is drawn in between."""
    for models in compare_job.compare(pool, request_of(pool)):
        if models[1].state == "tokens":
            assert models[0].state == "done" and models[0].result
            break
    else:
        pytest.fail("the second model never began")


def test_side_by_side_gives_what_each_gives_alone(pool):
    both = last(compare_job.compare(pool, request_of(pool)))
    (alone,) = last(compare_job.compare(pool, request_of(pool, keys=BOTH[1:])))
    direct = pool.pipeline(pool.card(1024, "1M")).generate("a person bows", seconds=1.0, seed=7, temperature=1.0)
    assert both[1].result.recipe == alone.result.recipe
    assert list(alone.result.recipe.tokens) == direct.tokens.tolist()


def test_the_motion_that_was_made_is_the_one_that_is_kept(pool, monkeypatch):
    pipeline = pool.pipeline(pool.card(1024, "1M"))
    decoded = []
    decode = pipeline.tokenizer.decode
    monkeypatch.setattr(pipeline.tokenizer, "decode", lambda tokens: decoded.append(1) or decode(tokens))
    (model,) = last(compare_job.compare(pool, request_of(pool, keys=BOTH[1:])))
    assert model.result.recorded.motion is model.result.motion
    assert decoded == [1]


def test_one_failing_model_leaves_the_other_its_motion(pool, monkeypatch):
    load = registry.load_networks

    def load_or_fail(card, **where):
        if card.size == "0.3M":
            raise registry.CheckpointError("weights.safetensors is missing; get it again")
        return load(card, **where)

    monkeypatch.setattr(registry, "load_networks", load_or_fail)
    models = last(compare_job.compare(pool, request_of(pool)))
    assert [model.state for model in models] == ["failed", "done"]
    assert "weights.safetensors is missing" in models[0].error


def test_a_model_that_runs_out_of_memory_leaves_the_other_its_motion(tiny_models, monkeypatch):
    """The CPU stands for a GPU. The cell says what happened, and nothing of the model stays in memory."""
    pool = make_pool(tiny_models, device="auto")
    facts = stand_in(monkeypatch)
    card = pool.card(1024, "0.3M")
    stream, weights = LocalEngine.stream, weakref.ref(pool.pipeline(card).transformer)

    def stream_or_fail(self, *request):
        if self.transformer is weights():
            yield 1
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return (yield from stream(self, *request))

    monkeypatch.setattr(LocalEngine, "stream", stream_or_fail)
    models = last(compare_job.compare(pool, request_of(pool)))
    assert [model.state for model in models] == ["failed", "done"]
    assert re.fullmatch(r"The memory of cpu ran out \(.* free now\); choose a smaller size, .*\.", models[0].error)
    assert facts.emptied and not pool.is_loaded(card)
    gc.collect()
    assert weights() is None


def test_a_result_says_where_it_was_computed(pool):
    (model,) = last(compare_job.compare(pool, request_of(pool, keys=BOTH[1:])))
    assert "<dt>Computed on</dt><dd>cpu in float32</dd>" in facts_of(model.result)
    assert model.result.recipe.computed_on == "cpu in float32"
    why = replace(model.result, place=Place("cuda:0", "bfloat16", "measured: <fast>"))
    assert "<dd>cuda:0 in bfloat16<br><small>measured: &lt;fast&gt;</small></dd>" in facts_of(why)


def test_a_defect_shows_no_inner_details(pool, monkeypatch):
    monkeypatch.setattr(compare_job, "finish_model", lambda *_: 1 / 0)
    models = last(compare_job.compare(pool, request_of(pool, keys=BOTH[1:])))
    assert models[0].state == "failed"
    assert "division" not in models[0].error


def test_stopping_ends_the_sampling(pool):
    pipeline = pool.pipeline(pool.card(1024, "1M"))
    engine = pipeline.engine = WatchedEngine(pipeline.engine)
    running = compare_job.compare(pool, request_of(pool, seconds=10.0))
    for models in running:
        if models[1].count == 3:
            break
    assert [model.state for model in models] == ["done", "tokens"]
    assert engine.ended == 0
    running.close()
    assert (engine.sampled, engine.ended) == (3, 1)


def test_guidance_reaches_the_model_and_its_recipe(pool):
    requests = [
        compare_job.read_compare_request(pool, "a person bows", [[1024, "1M"]], 1.0, 7, 1.0, guidance)
        for guidance in (1.0, 4.0)
    ]
    plain, guided = (last(compare_job.compare(pool, request))[0].result.recipe for request in requests)
    assert (plain.options.guidance, guided.options.guidance) == (1.0, 4.0)
    with pytest.raises(ValueError, match="guidance"):
        compare_job.read_compare_request(pool, "a person bows", [[1024, "1M"]], 1.0, 7, 1.0, 99.0)


def test_following_a_stream_closes_it(pool):
    pipeline = pool.pipeline(pool.card(1024, "1M"))
    engine = pipeline.engine = WatchedEngine(pipeline.engine)
    following = follow_job.follow(pipeline.stream("a person walks", seconds=10.0, seed=0))
    assert next(following).count == 1
    following.close()
    assert (engine.sampled, engine.ended) == (1, 1)


def test_following_shows_some_steps_and_always_the_last(pool, monkeypatch):
    pipeline = pool.pipeline(pool.card(1024, "1M"))
    few = list(follow_job.follow(pipeline.stream("a person walks", seconds=4.0, seed=0)))
    assert 2 <= len(few) < 20
    assert [step.result is None for step in few] == [True] * (len(few) - 1) + [False]
    monkeypatch.setattr(follow_job, "REFRESH", 0.0)
    assert len(list(follow_job.follow(pipeline.stream("a person walks", seconds=4.0, seed=0)))) == 21


def test_an_endless_run_meets_its_deadline(pool, monkeypatch):
    monkeypatch.setattr(follow_job, "MAX_ELAPSED", 0.0)
    models = last(compare_job.compare(pool, request_of(pool)))
    assert all("too long" in model.error for model in models)

    class Endless:
        def __iter__(self):
            return iter([Step(1, 2)] * 2)

        def close(self):
            pass

    with pytest.raises(ValueError, match="too long"):
        list(follow_job.follow(Endless()))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": " \n"}, "empty"),
        ({"prompt": None}, "empty"),
        ({"prompt": "x" * 10_000}, "10,000"),
        ({"keys": []}, "No model"),
        ({"keys": [(1024, "9T")]}, "0.3M, 1M"),
        ({"keys": [(5, "1M")]}, "256, 1024"),
        ({"keys": ["?"]}, "tick them again"),
        ({"samples": 9}, "1 to 8"),
        ({"seconds": 0}, "1 to 10"),
        ({"seconds": 1e6}, "1 to 10"),
        ({"seed": -1}, "seed"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_bad_choices_are_refused_in_words(shared_pool, wrong, words):
    with pytest.raises(ValueError, match=words):
        request_of(shared_pool, **wrong)


@pytest.mark.parametrize("prompt", ["🚶", "человек идёт вперёд", "一个人向前走", "<script>alert(1)</script>", "a\x00b"])
def test_any_script_gives_a_motion_and_a_plain_file_name(shared_pool, prompt):
    models = last(compare_job.compare(shared_pool, request_of(shared_pool, prompt, BOTH[:1])))
    assert models[0].state == "done"
    assert re.fullmatch(r"[a-zA-Z0-9.-]+", models[0].result.recipe.file_stem)


@pytest.mark.parametrize(("codebook", "frames"), [(256, 24), (512, 28)])
def test_codecs_of_other_rates_are_played(slow_pool, codebook, frames):
    request = request_of(slow_pool, keys=[(codebook, "0.3M")], seconds=1.2 if codebook == 256 else 2.2)
    (model,) = last(compare_job.compare(slow_pool, request))
    assert model.error == "" and len(model.result.motion) == frames
    figure = player_figure("", model.result.motion)
    assert (figure["frames"], figure["fps"]) == (frames, model.result.card.tokenizer.fps)


def test_without_a_seed_one_is_drawn_and_kept(shared_pool):
    assert request_of(shared_pool, seed=None).options.seed is not None


def test_samples_are_made_at_once_and_the_smoothest_comes_first(shared_pool):
    (model,) = last(compare_job.compare(shared_pool, request_of(shared_pool, keys=BOTH[:1], samples=3)))
    samples = model.result.samples
    assert sorted(sample.recipe.options.seed for sample in samples) == [7, 8, 9]
    assert [sample.roughness for sample in samples] == sorted(sample.roughness for sample in samples)
    decoded = decode_recipe(shared_pool, samples[0].recipe)
    np.testing.assert_array_equal(decoded.motion.features, model.result.motion.features)
    (alone,) = last(compare_job.compare(shared_pool, request_of(shared_pool, keys=BOTH[:1], seed=8)))
    assert alone.result.recipe in [sample.recipe for sample in samples]

    comparison = compare_job.Comparison("run", "a person bows", 7, 1, (model.result,))
    other = compare_job.pick_sample(shared_pool, comparison, model.result, 2)
    assert other.run == "run"  # the player keeps its clock and view
    assert other.results[0].recipe == samples[2].recipe
    assert other.results[0].recorded.motion is other.results[0].motion
    with pytest.raises(ValueError, match="3 samples"):
        compare_job.pick_sample(shared_pool, comparison, model.result, 3)


def test_the_time_a_model_took_leaves_out_what_the_page_did_meanwhile(shared_pool):
    shared_pool.pipeline(shared_pool.card(1024, "0.3M"))  # loading is not computing either
    slept = 0.0
    for models in compare_job.compare(shared_pool, request_of(shared_pool, keys=BOTH[:1], seconds=4.0)):
        if models[0].state == "tokens" and models[0].count:
            time.sleep(0.1)
            slept += 0.1
    assert slept > 1.9
    assert 0 < models[0].result.elapsed < slept - 0.5


def test_the_slider_at_nought_leaves_each_model_its_own_guidance():
    from scamo.ui.components.controls import chosen_guidance, guidance_slider, read_sampling

    assert guidance_slider().value == 0
    assert chosen_guidance(0) is None and read_sampling(1.0, 0, 3).guidance is None
    assert read_sampling(1.0, 2.5, None).guidance == 2.5
