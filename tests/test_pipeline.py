"""Sampling, the token loop, and what users get wrong. The text encoder is a fake: each word is one vector."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from scamo.pipeline import Generation, Generator, ModelCard, Prompt, Sampling, Trace, _Row, draw
from scamo.tokenizer import MotionTokenizer, TokenizerConfig
from scamo.transformer import PrefixTransformer, TransformerConfig
from tests import golden

WALK = "a person walks forward"


class Words:
    """Text encoder of seeded vectors, one per word."""

    name, revision, width = "words", "1", 6

    def __init__(self) -> None:
        self.released = 0

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        rows = [
            torch.stack([torch.randn(6, generator=torch.Generator().manual_seed(sum(map(ord, w)))) for w in words])
            for words in (text.split()[:150] for text in texts)
        ]
        lengths = torch.tensor([len(row) for row in rows])
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.arange(max(lengths)) < lengths[:, None]

    def release(self) -> None:
        self.released += 1


class EndShifted(torch.nn.Linear):
    """A head that wants the end more, or less."""

    def __init__(self, weight: torch.nn.Parameter, by: float) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias=False)
        self.weight, self.by = weight, by

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        logits[..., 15] += self.by
        return logits


def small(tied: bool = False, end: float = 0.0, **facts: Any) -> Generator:
    """A generator of random weights; `end` shifts the logit of the end token."""
    torch.manual_seed(0)
    codec = MotionTokenizer(TokenizerConfig((5, 3), width=8, code_width=8, depth=1))
    model = PrefixTransformer(TransformerConfig(15, 2, 2, 16, 6, tied)).requires_grad_(False)
    if end:
        model.lm_head = EndShifted(model.lm_head.weight, end)
    card = replace(ModelCard("test", "local", "", codec.config, model.config, "words"), **facts)
    return Generator(codec, model, card, Words())


@pytest.fixture
def generator() -> Generator:
    return small()


# Drawing one token

LOGITS = st.lists(st.floats(-30, 30), min_size=1, max_size=40).map(np.array)
UNIFORM = st.floats(0, 1, exclude_max=True)


@settings(max_examples=50, deadline=None)
@given(LOGITS, UNIFORM, st.floats(0.1, 5))
def test_draw_inverts_the_distribution(logits: np.ndarray, uniform: float, temperature: float) -> None:
    token = draw(logits, Sampling(temperature=temperature), uniform)
    weight = np.exp((logits - logits.max()) / temperature)
    below, above = weight[:token].sum() / weight.sum(), weight[: token + 1].sum() / weight.sum()
    assert below - 1e-12 <= uniform <= above + 1e-12


@settings(max_examples=50, deadline=None)
@given(LOGITS, UNIFORM, st.integers(1, 50))
def test_top_k_keeps_the_likeliest(logits: np.ndarray, uniform: float, k: int) -> None:
    token = draw(logits, Sampling(top_k=k), uniform)
    scaled = logits - logits.max()  # where rounding may make equals of neighbours
    assert (scaled > scaled[token]).sum() < k


@settings(max_examples=50, deadline=None)
@given(LOGITS, UNIFORM, st.floats(0.01, 1))
def test_top_p_keeps_the_fewest_that_suffice(logits: np.ndarray, uniform: float, p: float) -> None:
    token = draw(logits, Sampling(top_p=p), uniform)
    weight = np.exp(logits - logits.max())
    assert weight[weight > weight[token]].sum() < (p + 1e-9) * weight.sum()  # it is needed to reach p


@settings(max_examples=50, deadline=None)
@given(LOGITS, UNIFORM)
def test_no_temperature_and_hardly_any_take_the_likeliest(logits: np.ndarray, uniform: float) -> None:
    assert draw(logits, Sampling(temperature=0), uniform) == logits.argmax()
    assert logits[draw(logits, Sampling(temperature=1e-320), uniform)] == logits.max()


def test_the_largest_uniform_number_stays_inside() -> None:
    logits = np.zeros(10)
    logits[-2:] = -np.inf
    assert draw(logits, Sampling(), np.nextafter(1, 0)) == 7


def test_draws_follow_the_probabilities() -> None:
    random = np.random.default_rng(0)
    wanted = np.array([0.5, 0.3, 0.2])
    drawn = [draw(np.log(wanted), Sampling(), random.random()) for _ in range(5000)]
    np.testing.assert_allclose(np.bincount(drawn) / 5000, wanted, atol=0.02)


# The loop


def test_a_generation_holds_everything_to_make_it_again(generator: Generator) -> None:
    first = generator.generate(WALK, seconds=1)
    assert first.prompt == Prompt(WALK, 1.0)
    assert first.sampling.seed is not None
    assert first.tokens.dtype == np.int64
    assert first.card is generator.card
    assert first.seconds > 0
    again = generator.generate(first.prompt, seed=first.sampling.seed)
    np.testing.assert_array_equal(again.tokens, first.tokens)
    np.testing.assert_array_equal(again.motion.features, generator.tokenizer.decode(first.tokens))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**40), st.lists(st.sampled_from(["run", WALK, "an old man waves his left hand"]), min_size=1))
def test_a_seed_gives_the_same_alone_and_in_a_batch(seed: int, prompts: list[str]) -> None:
    generator = small()
    together = generator.generate_batch(prompts, seed=seed, max_tokens=12)
    for prompt, one in zip(prompts, together, strict=True):
        np.testing.assert_array_equal(generator.generate(prompt, seed=seed, max_tokens=12).tokens, one.tokens)


def test_seeds_of_a_batch_make_different_samples(generator: Generator) -> None:
    seeds = [3, 4, 5, 3]
    rows = [one.tokens.tolist() for one in generator.generate_batch([WALK] * 4, seed=seeds, seconds=4)]
    assert rows[0] == rows[3]
    assert rows[0] != rows[1] != rows[2]
    stream = generator.stream_batch([WALK] * 4, seed=seeds, seconds=4, embedding=Words().encode([WALK])[0][0])
    assert [next(stream) for _ in range(20)] == list(range(1, 21))
    with pytest.raises(StopIteration) as end:
        next(stream)
    assert [one.tokens.tolist() for one in end.value.value] == rows
    fresh = generator.generate_batch([WALK] * 2, seconds=4)
    assert fresh[0].sampling.seed != fresh[1].sampling.seed


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("end", [-20.0, 0.0, 20.0])
@pytest.mark.parametrize(("seconds", "count"), [(0.01, 1), (0.2, 1), (4, 20), (11.99, 60)])
def test_seconds_are_exact_whatever_the_model_wants(tied: bool, end: float, seconds: float, count: int) -> None:
    generation = small(tied, end).generate(WALK, seconds=seconds, seed=0)
    assert len(generation.tokens) == count
    assert len(generation.motion) == 4 * count
    assert generation.tokens.max() < 15


def test_without_seconds_the_model_ends_the_motion() -> None:
    lengths = [len(small(end=1.5).generate(WALK, seed=seed).tokens) for seed in range(8)]
    assert len(set(lengths)) > 2
    assert len(small(end=-30).generate(WALK, seed=0).tokens) == 50
    assert len(small(end=-30).generate(WALK, seed=0, max_tokens=7).tokens) == 7
    assert small(end=30).generate(WALK, seed=0).tokens.tolist() == [1]  # the reference's answer to an end at once


def test_rows_of_a_batch_end_on_their_own() -> None:
    generator = small(end=1.5)
    prompts: list[str | Prompt] = [WALK, Prompt(WALK, 3.0), "run", Prompt("wave", 0.4)]
    rows = generator.generate_batch(prompts, seed=1)
    assert [len(row.tokens) for row in (rows[1], rows[3])] == [15, 2]
    for prompt, row in zip(prompts, rows, strict=True):
        np.testing.assert_array_equal(generator.generate(prompt, seed=1).tokens, row.tokens)


def test_defaults_are_the_models_own() -> None:
    greedy = small(sampling={"temperature": 0.0})
    assert greedy.generate(WALK, seconds=2, seed=1).sampling == Sampling(1, temperature=0.0)
    runs = {tuple(greedy.generate(WALK, seconds=2, seed=seed).tokens.tolist()) for seed in range(3)}
    assert len(runs) == 1
    assert greedy.generate(WALK, seconds=2, seed=1, temperature=1, top_k=4).sampling == Sampling(1, 1, top_k=4)


def test_progress_and_stop(generator: Generator) -> None:
    counts: list[int] = []
    generator.generate(WALK, seconds=2, on_token=counts.append)
    assert counts == list(range(1, 11))

    def stop(count: int) -> None:
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generator.generate(WALK, seconds=2, on_token=stop)


def test_a_stream_is_the_same_generation_step_by_step(generator: Generator) -> None:
    def whole() -> Iterator[int]:
        nonlocal last
        last = yield from generator.stream(WALK, seconds=1, seed=7)

    last: Generation | None = None
    assert list(whole()) == [1, 2, 3, 4, 5]
    assert last is not None
    np.testing.assert_array_equal(last.tokens, generator.generate(WALK, seconds=1, seed=7).tokens)
    stream = generator.stream(WALK, seconds=1)
    assert next(stream) == 1
    stream.close()


def test_a_ready_embedding_takes_the_place_of_words(generator: Generator) -> None:
    embedding = Words().encode([WALK])[0][0]
    by_words = generator.generate(WALK, seconds=1, seed=2)
    for ready in (embedding, embedding.numpy(), embedding.tolist()):
        generation = generator.generate(embedding=ready, seconds=1, seed=2)
        assert generation.prompt.text is None
        np.testing.assert_array_equal(generation.tokens, by_words.tokens)
    assert generator.generate(WALK, embedding=embedding, seconds=1).prompt.text == WALK


def test_kit_motions_have_their_own_rate() -> None:
    torch.manual_seed(0)
    codec = MotionTokenizer(TokenizerConfig((5, 3), width=8, code_width=8, depth=1, features=251))
    generator = Generator(codec, small().transformer, text_encoder=Words())
    motion = generator.generate(WALK, seconds=3.2).motion
    assert motion.fps == 12.5
    assert motion.joints.shape == (40, 21, 3)
    assert motion.seconds == pytest.approx(3.2)


def test_the_text_encoder_is_released_when_asked(generator: Generator) -> None:
    words = Words()
    Generator(generator.tokenizer, generator.transformer, generator.card, words, True).generate(WALK, seconds=0.2)
    assert words.released == 1


@pytest.mark.parametrize("text", ["🕺💃", "歩く人", "человек идёт", "  a   person\twalks \n", "x" * 1000, "a" + "́" * 9])
def test_any_script_is_a_prompt(generator: Generator, text: str) -> None:
    assert generator.generate(text, seconds=0.2).prompt.text == text.strip()


# What the model thought


def near(actual: Trace, expected: Trace) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_a_trace_holds_the_models_own_distribution(tied: bool) -> None:
    generator = small(tied)
    one = generator.generate(WALK, seconds=2, seed=3, temperature=0.5, top_k=3)
    text, mask = generator.text_encoder.encode([WALK])
    with torch.inference_mode():
        logits = generator.transformer(torch.from_numpy(one.tokens)[None], text, mask)[0, :-1, :15]
    p = logits.double().softmax(-1).numpy()
    assert [part.dtype for part in one.trace] == [np.float32, np.float32, np.int64, np.float32]
    np.testing.assert_allclose(one.trace.probability, p[np.arange(10), one.tokens], atol=1e-5)
    np.testing.assert_allclose(one.trace.entropy, -(p * np.log(p)).sum(-1), atol=1e-5)
    np.testing.assert_array_equal(one.trace.top, np.argsort(-p, axis=-1)[:, :8])
    np.testing.assert_allclose(one.trace.top_probability, -np.sort(-p, axis=-1)[:, :8], atol=1e-5)


def test_a_trace_is_the_same_alone_and_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = small(end=1.5)
    prompts = [WALK, Prompt(WALK, 3.0), "run", Prompt("wave", 0.4)]
    batch = generator.generate_batch(prompts, seed=1)
    monkeypatch.setattr("scamo.pipeline._UNTRACED", 40)  # every third token, where a batch took all at once
    for prompt, row in zip(prompts, batch, strict=True):
        assert len(row.trace.entropy) == len(row.tokens)
        near(row.trace, generator.generate(prompt, seed=1).trace)


def test_an_end_at_once_is_traced_too() -> None:
    one = small(end=30).generate(WALK, seed=0)
    assert one.trace.probability.shape == (1,) and 0 < one.trace.probability[0] < 1


# Starting from tokens


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 10), st.booleans())
def test_regenerated_from_any_token_with_its_seed_it_is_the_same(seed: int, kept: int, exact: bool) -> None:
    generator = small()
    length: dict[str, Any] = {"seconds": 2} if exact else {"max_tokens": 10}
    whole = generator.generate(WALK, seed=seed, **length)
    assume(len(whole.tokens) > 1)  # the one token after an end at once was not drawn
    again = generator.generate(WALK, seed=seed, start=whole.tokens[:kept], **length)
    np.testing.assert_array_equal(again.tokens, whole.tokens)
    near(again.trace, whole.trace)


def test_a_replaced_token_branches(generator: Generator) -> None:
    whole = generator.generate(WALK, seconds=4, seed=5)
    start = whole.tokens[:6].copy()
    start[5] = next(token for token in whole.trace.top[5] if token != whole.tokens[5])
    branch = generator.generate(WALK, seconds=4, seed=5, start=start)
    np.testing.assert_array_equal(branch.tokens[:6], start)
    assert len(branch.tokens) == 20
    assert branch.tokens[6:].tolist() != whole.tokens[6:].tolist()
    several = generator.generate_batch([WALK, "run"], seconds=4, seed=[5, 6], start=torch.from_numpy(start))
    np.testing.assert_array_equal(several[0].tokens, branch.tokens)
    alone = generator.generate("run", seconds=4, seed=6, start=start.tolist())
    np.testing.assert_array_equal(several[1].tokens, alone.tokens)


def test_a_start_that_is_the_whole_is_only_traced(generator: Generator) -> None:
    whole = generator.generate(WALK, seconds=2, seed=5)
    counts: list[int] = []
    same = generator.generate(WALK, seconds=2, start=whole.tokens, on_token=counts.append)
    np.testing.assert_array_equal(same.tokens, whole.tokens)
    near(same.trace, whole.trace)
    assert counts == []
    generator.generate(WALK, seconds=2, start=whole.tokens[:7], on_token=counts.append)
    assert counts == [8, 9, 10]


def test_numbers_of_a_seed_stay_what_they_are() -> None:
    """Recipes are kept for years: token i is drawn with the i-th number of numpy's default generator."""
    numbers = np.random.default_rng(12).random(20)
    row = _Row(Sampling(12), True, 20)
    uniform = np.full(1001, -np.inf)
    uniform[:1000] = 0
    assert [row.choose(uniform, 1000) for _ in range(20)] == (numbers * 1000).astype(int).tolist()


# Timelines


PARTS = [Prompt(WALK, 2.0), Prompt("run", 1.0), Prompt("an old man waves his left hand", 1.4)]


def test_a_timeline_is_one_motion(generator: Generator) -> None:
    counts: list[int] = []
    whole = generator.timeline(PARTS, seed=4, on_token=counts.append)
    assert whole.prompts == tuple(PARTS)
    assert whole.lengths == (10, 5, 7)
    assert counts == list(range(1, 23))
    assert len(whole.tokens) == len(whole.trace.entropy) == 22
    np.testing.assert_array_equal(whole.motion.features, generator.tokenizer.decode(whole.tokens))
    first = generator.generate(PARTS[0], seed=4)
    np.testing.assert_array_equal(whole.tokens[:10], first.tokens)
    near(Trace(*(part[:10] for part in whole.trace)), first.trace)
    np.testing.assert_array_equal(whole.tokens, generator.timeline(PARTS, seed=4).tokens)


def test_a_part_follows_the_last_seconds_before_it(generator: Generator) -> None:
    whole = generator.timeline(PARTS, temperature=0, context=0.8)
    second = generator.generate("run", temperature=0, seconds=1.8, start=whole.tokens[6:10])
    np.testing.assert_array_equal(whole.tokens[6:15], second.tokens)
    unaware = generator.timeline(PARTS, temperature=0, context=0)
    np.testing.assert_array_equal(unaware.tokens[10:15], generator.generate(PARTS[1], temperature=0).tokens)


def test_a_later_prompt_leaves_what_was_before_it(generator: Generator) -> None:
    whole = generator.timeline(PARTS, seed=4)
    other = generator.timeline([*PARTS[:2], Prompt("jump", 2.0)], seed=4)
    np.testing.assert_array_equal(other.tokens[:15], whole.tokens[:15])


def test_a_timelines_context_stays_within_the_positions(generator: Generator) -> None:
    config = replace(generator.transformer.config, max_positions=16)
    generator.transformer.config = config
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        whole = generator.timeline([Prompt("run", 2.0), Prompt("run", 2.0)], temperature=0)
    following = generator.generate("run", seconds=3, start=whole.tokens[5:10], temperature=0)
    np.testing.assert_array_equal(whole.tokens[5:], following.tokens)


def test_mistakes_of_a_timeline(generator: Generator) -> None:
    with pytest.raises(ValueError, match="timeline is empty"):
        generator.timeline([])
    with pytest.raises(ValueError, match="lacks its words or its length"):
        generator.stream_timeline([Prompt(WALK)])
    with pytest.raises(ValueError, match="context -1 makes no sense"):
        generator.timeline(PARTS, context=-1)


# What cannot be meant


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("", {}, "the prompt is empty"),
        (" \n\t", {}, "the prompt is empty"),
        (None, {}, "there is no prompt"),
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
        (WALK, {"seed": "x"}, "seed 'x'"),
        (WALK, {"temperature": -0.1}, "temperature -0.1"),
        (WALK, {"temperature": float("nan")}, "temperature nan"),
        (WALK, {"top_k": 0}, "top_k 0"),
        (WALK, {"top_k": 2.5}, "top_k 2.5"),
        (WALK, {"top_p": 0.0}, "top_p 0.0"),
        (WALK, {"top_p": 1.5}, "top_p 1.5"),
        (WALK, {"max_tokens": 0}, "max_tokens 0"),
        (WALK, {"start": [3, 15]}, "token 15 of the start is no code; this model's are 0 to 14"),
        (WALK, {"start": [-1]}, "token -1 of the start"),
        (WALK, {"start": [0.5]}, "give integers"),
        (WALK, {"start": [[1, 2]]}, r"the start has shape \[1, 2\]"),
        (WALK, {"start": [1] * 6, "seconds": 1}, "the start has 6 tokens and the motion shall have 5 at most"),
        (None, {"embedding": np.zeros((3, 7))}, "7 wide and this model reads 6"),
        (None, {"embedding": np.zeros(6)}, r"shape \[6\]"),
        (None, {"embedding": np.zeros((0, 6))}, r"shape \[0, 6\]"),
        (None, {"embedding": np.full((3, 6), np.nan)}, "NaN"),
    ],
)
def test_mistakes_have_a_remedy(generator: Generator, prompt: str | None, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generator.generate(prompt, **options)
    with pytest.raises(ValueError, match=message):
        generator.stream(prompt, **options)  # before the first token is asked for


def test_mistakes_of_a_batch(generator: Generator) -> None:
    with pytest.raises(ValueError, match="0 prompts"):
        generator.generate_batch([])
    with pytest.raises(ValueError, match="2 prompts and 1 seeds"):
        generator.generate_batch([WALK, WALK], seed=[1])
    with pytest.raises(ValueError, match="the prompt is empty"):
        generator.generate_batch([WALK, ""])


def test_parts_that_do_not_go_together(generator: Generator) -> None:
    other = MotionTokenizer(TokenizerConfig((8, 8), width=8, code_width=8, depth=1))
    with pytest.raises(ValueError, match="predicts 15 codes and the tokenizer has 64"):
        Generator(other, generator.transformer)
    unknown = Generator(generator.tokenizer, generator.transformer)
    with pytest.raises(ValueError, match="text encoder is not known"):
        unknown.generate(WALK)
    narrow = Words()
    narrow.encode = lambda texts: (torch.zeros(1, 3, 5), torch.ones(1, 3, dtype=torch.bool))  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="5 wide and this model reads 6"):
        Generator(generator.tokenizer, generator.transformer, text_encoder=narrow).generate(WALK)


def test_warnings_for_what_is_cut_or_unseen(generator: Generator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        generator.generate(WALK, seed=0)
    with pytest.warns(UserWarning, match="reaches 150 word pieces"):
        generator.generate("la " * 200, seconds=0.2)
    with pytest.warns(UserWarning, match="of 151 embedding vectors only 150 are read"):
        generator.generate(embedding=np.zeros((151, 6)), seconds=0.2)
    with pytest.warns(UserWarning, match="304 positions and this model never saw more than 201"):
        assert len(generator.generate(WALK, seconds=60).tokens) == 300


# Golden


@pytest.mark.parametrize("name", ["transformer", "transformer-tied"])
def test_own_golden_tokens(name: str) -> None:
    weights, values = golden.read(name)
    codes, layers, heads, width, text_width = values["shape"].tolist()
    model = PrefixTransformer(TransformerConfig(codes, layers, heads, width, text_width, name.endswith("tied")))
    weights.setdefault("lm_head.weight", weights["transformer.wte.weight"])
    model.load_state_dict(weights)
    generator = Generator(small().tokenizer, model)
    for n in (1, 3, 6):
        generation = generator.generate(embedding=values[f"text_{n}"], temperature=0, max_tokens=24)
        np.testing.assert_array_equal(generation.tokens, values[f"tokens_{n}"])


def official(shared: Path, name: str) -> Generator:
    """The authors' golden language model with their golden tokenizer."""
    model = PrefixTransformer(TransformerConfig(240, 2, 4, 64, 32, name == "lm_tied", max_positions=64))
    model.load_state_dict(load_file(shared / "golden" / name / "weights.safetensors"))
    weights = load_file(shared / "golden" / "tok_256" / "weights.safetensors")
    with np.load(shared / "golden" / "e2e.npz") as e2e:
        codec = MotionTokenizer(TokenizerConfig((8, 6, 5), 64, 64), e2e["mean"], e2e["std"])
    codec.load_state_dict({**weights, "mean": codec.mean, "std": codec.std})
    card = ModelCard(name, "local", "", codec.config, model.config, None, sampling={"temperature": 0.0})
    return Generator(codec, model, card)


@pytest.mark.parametrize("name", ["lm", "lm_tied"])
def test_official_tokens(shared: Path, name: str) -> None:
    generator = official(shared, name)
    with np.load(shared / "golden" / name / "io.npz") as io:
        for n in range(1, 8):
            generation = generator.generate(embedding=io[f"feat_{n}"][0])
            np.testing.assert_array_equal(generation.tokens, io[f"greedy_{n}"][0])
        for row, count in zip(io["end_rows"], io["end_steps"], strict=True):
            with torch.no_grad():
                generator.transformer.lm_head.weight[240] = torch.from_numpy(row)
            generation = generator.generate(embedding=io["feat_5"][0])
            np.testing.assert_array_equal(generation.tokens, io[f"end_tokens_{count}"][0])


@pytest.mark.parametrize("n", [1, 4, 7])
def test_official_features_of_a_text(shared: Path, n: int) -> None:
    generator = official(shared, "lm")
    with np.load(shared / "golden" / "e2e.npz") as e2e:
        generation = generator.generate(embedding=e2e[f"feat_{n}"][0])
        np.testing.assert_array_equal(generation.tokens, e2e[f"tokens_{n}"][0])
        normalised = generator.tokenizer.decode(generation.tokens, normalised=True)
        np.testing.assert_allclose(normalised, e2e[f"pose_norm_{n}"][0], rtol=0, atol=2e-4)
        np.testing.assert_allclose(generation.motion.features, e2e[f"pose_{n}"][0], rtol=0, atol=2e-4)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_official_joints_of_a_text(shared: Path, n: int) -> None:
    with np.load(shared / "golden" / "e2e.npz") as e2e:
        generation = official(shared, "lm").generate(embedding=e2e[f"feat_{n}"][0])
        np.testing.assert_allclose(generation.motion.joints, e2e[f"joints_{n}"][0], rtol=0, atol=1e-4)
