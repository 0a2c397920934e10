"""Sampling, the token loop, and what users get wrong. The text encoder is a fake: each word is one vector."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from scamo.configs import TokenizerConfig, TransformerConfig
from scamo.engine import Trace
from scamo.options import GenerationOptions, Prompt
from scamo.pipeline import Generation, MotionPipeline
from scamo.registry import ModelCard
from scamo.tokenizer import MotionTokenizer
from scamo.transformer import PrefixTransformer
from tests import golden
from tests.tiny import WALK, FakeEncoder, small_pipeline


@pytest.fixture
def pipeline() -> MotionPipeline:
    return small_pipeline()


# The loop


def test_a_generation_holds_everything_to_make_it_again(pipeline: MotionPipeline) -> None:
    first = pipeline.generate(WALK, seconds=1)
    assert first.prompts == (Prompt(WALK, 1.0),)
    assert first.options.seed is not None
    assert first.tokens.dtype == np.int64
    assert first.card is pipeline.card
    assert first.elapsed > 0
    again = pipeline.generate(first.prompts[0], seed=first.options.seed)
    np.testing.assert_array_equal(again.tokens, first.tokens)
    np.testing.assert_array_equal(again.motion.features, pipeline.tokenizer.decode(first.tokens))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**40), st.lists(st.sampled_from(["run", WALK, "an old man waves his left hand"]), min_size=1))
def test_a_seed_gives_the_same_alone_and_in_a_batch(seed: int, prompts: list[str]) -> None:
    pipeline = small_pipeline()
    together = pipeline.generate_batch(prompts, seed=seed, max_tokens=12)
    for prompt, one in zip(prompts, together, strict=True):
        np.testing.assert_array_equal(pipeline.generate(prompt, seed=seed, max_tokens=12).tokens, one.tokens)


def test_seeds_of_a_batch_make_different_samples(pipeline: MotionPipeline) -> None:
    seeds = [3, 4, 5, 3]
    rows = [one.tokens.tolist() for one in pipeline.generate_batch([WALK] * 4, seeds=seeds, seconds=4)]
    assert rows[0] == rows[3]
    assert rows[0] != rows[1] != rows[2]
    stream = pipeline.stream_batch([WALK] * 4, seeds=seeds, seconds=4, embedding=FakeEncoder(6).encode([WALK])[0][0])
    steps = list(stream)
    assert [step.count for step in steps] == [*range(1, 21), 20]
    assert steps[-1].result is not None
    assert [one.tokens.tolist() for one in steps[-1].result] == rows
    fresh = pipeline.generate_batch([WALK] * 2, seconds=4)
    assert fresh[0].options.seed != fresh[1].options.seed


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("end", [-20.0, 0.0, 20.0])
@pytest.mark.parametrize(("seconds", "count"), [(0.01, 1), (0.2, 1), (4, 20), (11.99, 60)])
def test_seconds_are_exact_whatever_the_model_wants(tied: bool, end: float, seconds: float, count: int) -> None:
    generation = small_pipeline(tied, end).generate(WALK, seconds=seconds, seed=0)
    assert len(generation.tokens) == count
    assert len(generation.motion) == 4 * count
    assert generation.tokens.max() < 15


def test_without_seconds_the_model_ends_the_motion() -> None:
    lengths = [len(small_pipeline(end=1.5).generate(WALK, seed=seed).tokens) for seed in range(8)]
    assert len(set(lengths)) > 2
    assert len(small_pipeline(end=-30).generate(WALK, seed=0).tokens) == 50
    assert len(small_pipeline(end=-30).generate(WALK, seed=0, max_tokens=7).tokens) == 7
    assert small_pipeline(end=30).generate(WALK, seed=0).tokens.tolist() == [1]  # as the authors' code does


def test_rows_of_a_batch_end_on_their_own() -> None:
    pipeline = small_pipeline(end=1.5)
    prompts: list[str | Prompt] = [WALK, Prompt(WALK, 3.0), "run", Prompt("wave", 0.4)]
    rows = pipeline.generate_batch(prompts, seed=1)
    assert [len(row.tokens) for row in (rows[1], rows[3])] == [15, 2]
    for prompt, row in zip(prompts, rows, strict=True):
        np.testing.assert_array_equal(pipeline.generate(prompt, seed=1).tokens, row.tokens)


def test_defaults_are_the_models_own() -> None:
    greedy = small_pipeline(sampling={"temperature": 0.0})
    assert greedy.generate(WALK, seconds=2, seed=1).options == GenerationOptions(
        seconds=2, seed=1, temperature=0.0, guidance=1
    )
    runs = {tuple(greedy.generate(WALK, seconds=2, seed=seed).tokens.tolist()) for seed in range(3)}
    assert len(runs) == 1
    chosen = GenerationOptions(seconds=2, seed=1, temperature=1, top_k=4, guidance=1)
    assert greedy.generate(WALK, chosen).options == chosen
    assert greedy.generate(WALK, chosen, seed=7).options.seed == 7


def test_progress_and_stop(pipeline: MotionPipeline) -> None:
    counts: list[int] = []
    pipeline.generate(WALK, seconds=2, on_token=counts.append)
    assert counts == list(range(1, 11))

    def stop(count: int) -> None:
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.generate(WALK, seconds=2, on_token=stop)


def test_a_stream_is_the_same_generation_step_by_step(pipeline: MotionPipeline) -> None:
    steps = list(pipeline.stream(WALK, seconds=1, seed=7))
    assert [(step.count, step.total) for step in steps] == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (5, 5)]
    assert all(step.result is None for step in steps[:-1])
    last = steps[-1].result
    assert isinstance(last, Generation)
    np.testing.assert_array_equal(last.tokens, pipeline.generate(WALK, seconds=1, seed=7).tokens)


def test_a_closed_stream_samples_nothing_more(pipeline: MotionPipeline) -> None:
    stream = pipeline.stream(WALK, seconds=1)
    assert next(stream).count == 1
    stream.close()
    assert list(stream) == []
    with pytest.raises(ValueError, match="closed or is used up"):
        stream.finish()


def test_elapsed_is_computing_time_without_the_callers(pipeline: MotionPipeline) -> None:
    began = time.perf_counter()
    results = []
    for step in pipeline.stream(WALK, seconds=1):
        results.append(step.result)
        time.sleep(0.02)
    took = time.perf_counter() - began
    assert results[-1] is not None
    assert 0 < results[-1].elapsed <= took - 5 * 0.02


def test_a_generation_holds_its_recipe(pipeline: MotionPipeline) -> None:
    made = pipeline.timeline(PARTS, seed=4, temperature=0.5)
    recipe = made.recipe
    assert recipe.prompts == tuple(PARTS)
    assert recipe.tokens == tuple(made.tokens.tolist())
    assert (recipe.options.seed, recipe.options.temperature) == (4, 0.5)
    assert recipe.prompt == f"{WALK}, then run, then an old man waves his left hand"


def test_an_interrupted_stream_has_no_further_step(pipeline: MotionPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = pipeline.stream(WALK, seconds=1)
    next(stream)
    monkeypatch.setattr("scamo.engine.sample_token", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(stream)
    assert list(stream) == []


@pytest.mark.parametrize("context", [0.0, 0.5, 0.9, 2.0])
def test_context_counts_as_seconds_do(pipeline: MotionPipeline, context: float) -> None:
    whole = pipeline.timeline([Prompt(WALK, 4.0), Prompt("run", 1.0)], temperature=0, context=context)
    known = pipeline.tokenizer.config.tokens_in(context, least=0)
    start = whole.tokens[20 - known : 20]
    again = pipeline.generate(
        f"{WALK}, then run" if known else "run", temperature=0, seconds=(known + 5) / 5, start=start
    )
    np.testing.assert_array_equal(whole.tokens[20:], again.tokens[known:])


def test_seeds_of_numpy_are_seeds(pipeline: MotionPipeline) -> None:
    one = pipeline.generate(WALK, seconds=1, seed=np.int64(3))  # type: ignore[arg-type]
    assert one.options.seed == 3 and type(one.options.seed) is int
    rows = pipeline.generate_batch([WALK, WALK], seconds=1, seeds=np.array([3, 4]))
    np.testing.assert_array_equal(rows[0].tokens, one.tokens)


@pytest.mark.parametrize(("seconds", "count"), [(0.1, 1), (0.3, 2), (0.5, 3), (0.7, 4), (0.9, 5), (1.1, 6)])
def test_half_a_token_counts_as_one(pipeline: MotionPipeline, seconds: float, count: int) -> None:
    assert len(pipeline.generate(WALK, seconds=seconds).tokens) == count


def test_a_ready_embedding_takes_the_place_of_words(pipeline: MotionPipeline) -> None:
    embedding = FakeEncoder(6).encode([WALK])[0][0]
    by_words = pipeline.generate(WALK, seconds=1, seed=2)
    for ready in (embedding, embedding.numpy(), embedding.tolist()):
        generation = pipeline.generate(embedding=ready, seconds=1, seed=2)
        assert generation.prompts[0].text is None
        np.testing.assert_array_equal(generation.tokens, by_words.tokens)
    assert pipeline.generate(WALK, embedding=embedding, seconds=1).prompts[0].text == WALK


def test_kit_motions_have_their_own_rate() -> None:
    torch.manual_seed(0)
    codec = MotionTokenizer(TokenizerConfig((5, 3), width=8, code_width=8, depth=1, features=251, fps=12.5))
    pipeline = MotionPipeline(codec, small_pipeline().transformer, text_encoder=FakeEncoder(6))
    motion = pipeline.generate(WALK, seconds=3.2).motion
    assert motion.fps == 12.5
    assert motion.joints.shape == (40, 21, 3)
    assert motion.seconds == pytest.approx(3.2)


def test_the_text_encoder_is_released_when_asked(pipeline: MotionPipeline) -> None:
    words = FakeEncoder(6)
    MotionPipeline(pipeline.tokenizer, pipeline.transformer, pipeline.card, words, True).generate(WALK, seconds=0.2)
    assert words.released == 1


@pytest.mark.parametrize("text", ["🕺💃", "歩く人", "человек идёт", "  a   person\twalks \n", "x" * 1000, "a" + "́" * 9])
def test_any_script_is_a_prompt(pipeline: MotionPipeline, text: str) -> None:
    assert pipeline.generate(text, seconds=0.2).prompts[0].text == text.strip()


# Guidance


def guided_by_hand(pipeline: MotionPipeline, weight: float, count: int) -> list[int]:
    """Greedy tokens of l0 + w (l - l0), everything computed anew for every token."""
    codes = pipeline.transformer.config.codebook_size
    tokens = torch.zeros(1, 0, dtype=torch.long)
    for _ in range(count):
        logits = []
        for text in (WALK, ""):
            with torch.inference_mode():
                logits.append(pipeline.transformer(tokens, *pipeline.text_encoder.encode([text]))[0, -1, :codes])
        token = (logits[1] + weight * (logits[0] - logits[1])).argmax()
        tokens = torch.cat([tokens, token.view(1, 1)], dim=1)
    return tokens[0].tolist()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0, 4.5])
def test_guidance_moves_away_from_the_empty_text(tied: bool, weight: float) -> None:
    pipeline = small_pipeline(tied)
    made = pipeline.generate(WALK, seconds=2, temperature=0, guidance=weight)
    assert made.tokens.tolist() == guided_by_hand(pipeline, weight, 10)
    assert made.recipe.to_dict().get("guidance", 1) == weight


def test_guidance_leaves_the_trace_as_the_model_has_it(pipeline: MotionPipeline) -> None:
    made = pipeline.generate(WALK, seconds=2, seed=3, guidance=3)
    traced = pipeline.generate(WALK, seconds=2, start=made.tokens)
    near(made.trace, traced.trace)


def test_a_batch_with_guidance_has_the_rows_it_has_alone(pipeline: MotionPipeline) -> None:
    prompts = [WALK, "run", "an old man waves his left hand"]
    rows = pipeline.generate_batch(prompts, seconds=2, seed=4, guidance=2.5)
    for prompt, row in zip(prompts, rows, strict=True):
        alone = pipeline.generate(prompt, seconds=2, seed=4, guidance=2.5)
        np.testing.assert_array_equal(row.tokens, alone.tokens)
    timeline = pipeline.timeline([Prompt(WALK, 2.0), Prompt("run", 1.0)], seed=4, guidance=2.5)
    np.testing.assert_array_equal(timeline.tokens[:10], rows[0].tokens)


def test_a_models_own_guidance_is_its_default() -> None:
    strong = small_pipeline(sampling={"temperature": 0.0, "guidance": 4.0})
    assert strong.generate(WALK, seconds=1, seed=0).options.guidance == 4
    own = strong.generate(WALK, seconds=2).tokens
    np.testing.assert_array_equal(own, small_pipeline().generate(WALK, seconds=2, temperature=0, guidance=4).tokens)
    assert strong.generate(WALK, seconds=1, guidance=1).options.guidance == 1


class PaddingEncoder(FakeEncoder):
    """Pads every text to 12 word pieces, as an encoder may."""

    def encode(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        text_bld, mask_bl = super().encode(texts)
        room = 12 - text_bld.shape[1]
        return torch.nn.functional.pad(text_bld, (0, 0, 0, room), value=9.0), torch.nn.functional.pad(
            mask_bl, (0, room)
        )


def test_guidance_reads_no_padding_and_encodes_once(pipeline: MotionPipeline) -> None:
    words = PaddingEncoder(6)
    padded = MotionPipeline(pipeline.tokenizer, pipeline.transformer, pipeline.card, words, True)
    for guidance in (1, 3):
        expected = pipeline.generate(WALK, seconds=1, seed=0, guidance=guidance).tokens
        np.testing.assert_array_equal(padded.generate(WALK, seconds=1, seed=0, guidance=guidance).tokens, expected)
    assert words.asked == [WALK, WALK, ""]
    assert words.released == 2


def test_an_unknown_encoder_is_told_before_the_first_token(pipeline: MotionPipeline) -> None:
    unknown = MotionPipeline(pipeline.tokenizer, pipeline.transformer)
    with pytest.raises(ValueError, match="guidance reads the empty text"):
        unknown.stream(embedding=np.zeros((2, 6)), guidance=2)
    with pytest.raises(ValueError, match="text encoder of unnamed is not recorded in its card"):
        unknown.stream_batch([WALK])
    assert len(unknown.generate(embedding=np.zeros((2, 6)), seconds=1).tokens) == 5


# The trace


def near(actual: Trace, expected: Trace) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_a_trace_holds_the_models_own_distribution(tied: bool) -> None:
    pipeline = small_pipeline(tied)
    one = pipeline.generate(WALK, seconds=2, seed=3, temperature=0.5, top_k=3)
    text, mask = pipeline.text_encoder.encode([WALK])
    with torch.inference_mode():
        logits = pipeline.transformer(torch.from_numpy(one.tokens)[None], text, mask)[0, :-1, :15]
    p = logits.double().softmax(-1).numpy()
    assert [part.dtype for part in one.trace] == [np.float32, np.float32, np.int64, np.float32]
    np.testing.assert_allclose(one.trace.probability, p[np.arange(10), one.tokens], atol=1e-5)
    np.testing.assert_allclose(one.trace.entropy, -(p * np.log(p)).sum(-1), atol=1e-5)
    np.testing.assert_array_equal(one.trace.top, np.argsort(-p, axis=-1)[:, :8])
    np.testing.assert_allclose(one.trace.top_probability, -np.sort(-p, axis=-1)[:, :8], atol=1e-5)


def test_a_trace_is_the_same_alone_and_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = small_pipeline(end=1.5)
    prompts = [WALK, Prompt(WALK, 3.0), "run", Prompt("wave", 0.4)]
    batch = pipeline.generate_batch(prompts, seed=1)
    monkeypatch.setattr("scamo.engine._MOST_PENDING", 40)  # every third token, where a batch took all at once
    for prompt, row in zip(prompts, batch, strict=True):
        assert len(row.trace.entropy) == len(row.tokens)
        near(row.trace, pipeline.generate(prompt, seed=1).trace)


def test_an_end_at_once_is_traced_too() -> None:
    one = small_pipeline(end=30).generate(WALK, seed=0)
    assert one.trace.probability.shape == (1,) and 0 < one.trace.probability[0] < 1


# Starting from tokens


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 10), st.booleans())
def test_regenerated_from_any_token_with_its_seed_it_is_the_same(seed: int, kept: int, exact: bool) -> None:
    pipeline = small_pipeline()
    length: dict[str, Any] = {"seconds": 2} if exact else {"max_tokens": 10}
    whole = pipeline.generate(WALK, seed=seed, **length)
    assume(len(whole.tokens) > 1)  # the one token after an end at once was not drawn
    again = pipeline.generate(WALK, seed=seed, start=whole.tokens[:kept], **length)
    np.testing.assert_array_equal(again.tokens, whole.tokens)
    near(again.trace, whole.trace)


def test_a_replaced_token_branches(pipeline: MotionPipeline) -> None:
    whole = pipeline.generate(WALK, seconds=4, seed=5)
    start = whole.tokens[:6].copy()
    start[5] = next(token for token in whole.trace.top[5] if token != whole.tokens[5])
    branch = pipeline.generate(WALK, seconds=4, seed=5, start=start)
    np.testing.assert_array_equal(branch.tokens[:6], start)
    assert len(branch.tokens) == 20
    assert branch.tokens[6:].tolist() != whole.tokens[6:].tolist()
    several = pipeline.generate_batch([WALK, "run"], seconds=4, seeds=[5, 6], start=torch.from_numpy(start))
    np.testing.assert_array_equal(several[0].tokens, branch.tokens)
    alone = pipeline.generate("run", seconds=4, seed=6, start=start.tolist())
    np.testing.assert_array_equal(several[1].tokens, alone.tokens)


def test_a_start_that_is_the_whole_is_only_traced(pipeline: MotionPipeline) -> None:
    whole = pipeline.generate(WALK, seconds=2, seed=5)
    counts: list[int] = []
    same = pipeline.generate(WALK, seconds=2, start=whole.tokens, on_token=counts.append)
    np.testing.assert_array_equal(same.tokens, whole.tokens)
    near(same.trace, whole.trace)
    assert counts == []
    pipeline.generate(WALK, seconds=2, start=whole.tokens[:7], on_token=counts.append)
    assert counts == [8, 9, 10]


# Timelines


PARTS = [Prompt(WALK, 2.0), Prompt("run", 1.0), Prompt("an old man waves his left hand", 1.4)]


def test_a_timeline_is_one_motion(pipeline: MotionPipeline) -> None:
    counts: list[int] = []
    whole = pipeline.timeline(PARTS, seed=4, on_token=counts.append)
    assert whole.prompts == tuple(PARTS)
    assert whole.lengths == (10, 5, 7)
    assert counts == list(range(1, 23))
    assert len(whole.tokens) == len(whole.trace.entropy) == 22
    np.testing.assert_array_equal(whole.motion.features, pipeline.tokenizer.decode(whole.tokens))
    first = pipeline.generate(PARTS[0], seed=4)
    np.testing.assert_array_equal(whole.tokens[:10], first.tokens)
    near(Trace(*(part[:10] for part in whole.trace)), first.trace)  # type: ignore[arg-type]
    np.testing.assert_array_equal(whole.tokens, pipeline.timeline(PARTS, seed=4).tokens)


def test_a_part_follows_the_last_seconds_before_it(pipeline: MotionPipeline) -> None:
    whole = pipeline.timeline(PARTS, temperature=0, context=0.8)
    second = pipeline.generate("run", temperature=0, seconds=1.8, start=whole.tokens[6:10])
    np.testing.assert_array_equal(whole.tokens[6:15], second.tokens)
    unaware = pipeline.timeline(PARTS, temperature=0, context=0)
    np.testing.assert_array_equal(unaware.tokens[10:15], pipeline.generate(PARTS[1], temperature=0).tokens)


def test_a_later_prompt_leaves_what_was_before_it(pipeline: MotionPipeline) -> None:
    whole = pipeline.timeline(PARTS, seed=4)
    other = pipeline.timeline([*PARTS[:2], Prompt("jump", 2.0)], seed=4)
    np.testing.assert_array_equal(other.tokens[:15], whole.tokens[:15])


def test_a_timelines_context_stays_within_the_positions(pipeline: MotionPipeline) -> None:
    config = replace(pipeline.transformer.config, max_positions=16)
    pipeline.transformer.config = config
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        whole = pipeline.timeline([Prompt("run", 2.0), Prompt("run", 2.0)], temperature=0)
    following = pipeline.generate("run", seconds=3, start=whole.tokens[5:10], temperature=0)
    np.testing.assert_array_equal(whole.tokens[5:], following.tokens)


def test_mistakes_of_a_timeline(pipeline: MotionPipeline) -> None:
    with pytest.raises(ValueError, match="timeline is empty"):
        pipeline.timeline([])
    with pytest.raises(ValueError, match="lacks its words or its length"):
        pipeline.stream_timeline([Prompt(WALK)])
    with pytest.raises(ValueError, match="the prompt 'run' lacks its words or its length"):
        pipeline.timeline(["run", "walk"])  # type: ignore[list-item]
    assert pipeline.timeline(["run", Prompt(WALK, 2.0)], seconds=1).lengths == (5, 10)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="give a list of prompts"):
        pipeline.timeline("run")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="context -1 makes no sense"):
        pipeline.timeline(PARTS, context=-1)


# What cannot be meant


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("", {}, "the prompt is empty"),
        (" \n\t", {}, "the prompt is empty"),
        (None, {}, "there is no prompt"),
        (["walk"], {}, "the prompt is empty"),
        ("a" * 10_000, {}, "10,000 characters; shorten it to 1,000"),
        ("\ud800", {}, "half a character"),
        (WALK, {"seconds": 0}, "cannot last 0 seconds; give more than 0 and up to 60"),
        (WALK, {"seconds": -1}, "cannot last"),
        (WALK, {"seconds": 1_000_000}, "cannot last 1000000 seconds"),
        (WALK, {"seconds": float("nan")}, "cannot last nan"),
        (WALK, {"seconds": float("inf")}, "cannot last inf"),
        (WALK, {"seconds": "4"}, "cannot last 4"),
        (WALK, {"seed": -1}, "seed -1 makes no sense"),
        (WALK, {"seed": 1.5}, "seed 1.5"),
        (WALK, {"seed": 2**70}, "seed is too large; give a whole number up to"),
        (WALK, {"seed": True}, "seed True"),
        (WALK, {"seconds": True}, "cannot last True"),
        (WALK, {"max_tokens": 10**7}, "max_tokens is too large; give a whole number up to 100,000"),
        (WALK, {"seed": "x"}, "seed 'x'"),
        (WALK, {"temperature": -0.1}, "temperature -0.1"),
        (WALK, {"temperature": float("nan")}, "temperature nan"),
        (WALK, {"top_k": 0}, "top_k 0"),
        (WALK, {"top_k": 2.5}, "top_k 2.5"),
        (WALK, {"top_p": 0.0}, "top_p 0.0"),
        (WALK, {"top_p": 1.5}, "top_p 1.5"),
        (WALK, {"guidance": -1}, "guidance -1 makes no sense; give 0 to 20"),
        (WALK, {"guidance": float("nan")}, "guidance nan"),
        (WALK, {"guidance": 21}, "guidance 21"),
        (WALK, {"max_tokens": 0}, "max_tokens 0"),
        (WALK, {"start": [3, 15]}, "token 15 of the start is no code; this model's are 0 to 14"),
        (WALK, {"start": [-1]}, "token -1 of the start"),
        (WALK, {"start": [0.5]}, "give integers"),
        (WALK, {"start": [[1, 2]]}, r"the start has shape \[1, 2\]"),
        (WALK, {"start": [1] * 6, "seconds": 1}, "the start has 6 tokens and the motion may have 5 at most"),
        (None, {"embedding": np.zeros((3, 7))}, "7 wide and this model reads 6"),
        (None, {"embedding": np.zeros(6)}, r"shape \[6\]"),
        (None, {"embedding": np.zeros((0, 6))}, r"shape \[0, 6\]"),
        (None, {"embedding": np.full((3, 6), np.nan)}, "NaN"),
    ],
)
def test_mistakes_have_a_remedy(pipeline: MotionPipeline, prompt: str | None, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline.generate(prompt, **options)
    with pytest.raises(ValueError, match=message):
        pipeline.stream(prompt, **options)  # before the first token is asked for


def test_mistakes_of_a_batch(pipeline: MotionPipeline) -> None:
    with pytest.raises(ValueError, match="0 prompts"):
        pipeline.generate_batch([])
    with pytest.raises(ValueError, match="2 prompts and 1 seeds"):
        pipeline.generate_batch([WALK, WALK], seeds=[1])
    with pytest.raises(ValueError, match="takes a list of prompts"):
        pipeline.generate_batch("walk")
    with pytest.raises(ValueError, match="a prompt of the batch is missing"):
        pipeline.generate_batch([None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="the prompt is empty"):
        pipeline.generate_batch([WALK, ""])
    with pytest.raises(ValueError, match="seeds 3 are no list"):
        pipeline.generate_batch([WALK], seeds=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="are no GenerationOptions"):
        pipeline.generate(WALK, 4)  # type: ignore[arg-type]
    assert len(pipeline.generate_batch((text for text in (WALK, "run")), seconds=1)) == 2  # type: ignore[arg-type]


def test_parts_that_do_not_go_together(pipeline: MotionPipeline) -> None:
    other = MotionTokenizer(TokenizerConfig((8, 8), width=8, code_width=8, depth=1))
    with pytest.raises(ValueError, match="predicts 15 codes and the tokenizer has 64"):
        MotionPipeline(other, pipeline.transformer)
    unknown = MotionPipeline(pipeline.tokenizer, pipeline.transformer)
    with pytest.raises(ValueError, match="text encoder of unnamed is not recorded"):
        unknown.generate(WALK)
    narrow = FakeEncoder(6)
    narrow.encode = lambda texts: (torch.zeros(1, 3, 5), torch.ones(1, 3, dtype=torch.bool))  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="5 wide and this model reads 6"):
        MotionPipeline(pipeline.tokenizer, pipeline.transformer, text_encoder=narrow).generate(WALK)


def test_warnings_for_what_is_cut_or_unseen(pipeline: MotionPipeline) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pipeline.generate(WALK, seed=0)
    with pytest.warns(UserWarning, match="reaches 150 word pieces"):
        pipeline.generate("la " * 200, seconds=0.2)
    with pytest.warns(UserWarning, match="of 151 embedding vectors only 150 are read"):
        pipeline.generate(embedding=np.zeros((151, 6)), seconds=0.2)
    with pytest.warns(UserWarning, match="300 tokens, more than the 60 that this model has in view"):
        assert len(pipeline.generate(WALK, seconds=60).tokens) == 300


# Golden


@pytest.mark.parametrize("name", ["transformer", "transformer-tied"])
def test_own_golden_tokens(name: str) -> None:
    weights, values = golden.read(name)
    codes, layers, heads, width, text_width = values["shape"].tolist()
    model = PrefixTransformer(TransformerConfig(codes, layers, heads, width, text_width, name.endswith("tied")))
    weights.setdefault("lm_head.weight", weights["transformer.wte.weight"])
    model.load_state_dict(weights)
    pipeline = MotionPipeline(small_pipeline().tokenizer, model)
    for n in (1, 3, 6):
        generation = pipeline.generate(embedding=values[f"text_{n}"], temperature=0, max_tokens=24)
        np.testing.assert_array_equal(generation.tokens, values[f"tokens_{n}"])


def official(shared: Path, name: str) -> MotionPipeline:
    """The authors' golden language model with their golden tokenizer."""
    model = PrefixTransformer(TransformerConfig(240, 2, 4, 64, 32, name == "lm_tied", max_positions=64))
    model.load_state_dict(load_file(shared / "golden" / name / "weights.safetensors"))
    weights = load_file(shared / "golden" / "tok_256" / "weights.safetensors")
    with np.load(shared / "golden" / "e2e.npz") as e2e:
        codec = MotionTokenizer(TokenizerConfig((8, 6, 5), 64, 64), e2e["mean"], e2e["std"])
    codec.load_state_dict({**weights, "mean": codec.mean, "std": codec.std})
    card = ModelCard(name, "local", "", codec.config, model.config, None, sampling={"temperature": 0.0})
    return MotionPipeline(codec, model, card)


@pytest.mark.parametrize("name", ["lm", "lm_tied"])
def test_official_tokens(shared: Path, name: str) -> None:
    pipeline = official(shared, name)
    with np.load(shared / "golden" / name / "io.npz") as io:
        for n in range(1, 8):
            generation = pipeline.generate(embedding=io[f"feat_{n}"][0])
            np.testing.assert_array_equal(generation.tokens, io[f"greedy_{n}"][0])
        for row, count in zip(io["end_rows"], io["end_steps"], strict=True):
            with torch.no_grad():
                pipeline.transformer.lm_head.weight[240] = torch.from_numpy(row)
            generation = pipeline.generate(embedding=io["feat_5"][0])
            np.testing.assert_array_equal(generation.tokens, io[f"end_tokens_{count}"][0])


@pytest.mark.parametrize("n", [1, 4, 7])
def test_official_features_of_a_text(shared: Path, n: int) -> None:
    pipeline = official(shared, "lm")
    with np.load(shared / "golden" / "e2e.npz") as e2e:
        generation = pipeline.generate(embedding=e2e[f"feat_{n}"][0])
        np.testing.assert_array_equal(generation.tokens, e2e[f"tokens_{n}"][0])
        normalised = pipeline.tokenizer.decode(generation.tokens, normalised=True)
        np.testing.assert_allclose(normalised, e2e[f"pose_norm_{n}"][0], rtol=0, atol=2e-4)
        np.testing.assert_allclose(generation.motion.features, e2e[f"pose_{n}"][0], rtol=0, atol=2e-4)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_official_joints_of_a_text(shared: Path, n: int) -> None:
    with np.load(shared / "golden" / "e2e.npz") as e2e:
        generation = official(shared, "lm").generate(embedding=e2e[f"feat_{n}"][0])
        np.testing.assert_allclose(generation.motion.joints, e2e[f"joints_{n}"][0], rtol=0, atol=1e-4)
