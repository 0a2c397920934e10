"""The token loop: sampling one token, and the random numbers of a seed."""

from __future__ import annotations

import pickle

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scamo.configs import TransformerConfig
from scamo.engine import LocalEngine, TokenRequest, sample_token
from scamo.stream import Stream
from scamo.transformer import PrefixTransformer

LOGITS = st.lists(st.floats(-30, 30), min_size=1, max_size=40).map(np.array)
UNIFORM = st.floats(0, 1, exclude_max=True)


@settings(max_examples=50, deadline=None)
@given(LOGITS, UNIFORM, st.floats(0.1, 5))
def test_a_sample_inverts_the_distribution(logits: np.ndarray, uniform: float, temperature: float) -> None:
    token = sample_token(logits, uniform, temperature=temperature)
    weight = np.exp((logits - logits.max()) / temperature)
    below, above = weight[:token].sum() / weight.sum(), weight[: token + 1].sum() / weight.sum()
    assert below - 1e-12 <= uniform <= above + 1e-12


@settings(max_examples=50, deadline=None)
@given(LOGITS, UNIFORM, st.integers(1, 50))
def test_top_k_keeps_the_likeliest(logits: np.ndarray, uniform: float, k: int) -> None:
    token = sample_token(logits, uniform, top_k=k)
    scaled = logits - logits.max()  # where rounding may make equals of neighbours
    assert (scaled > scaled[token]).sum() < k


@settings(max_examples=50, deadline=None)
@given(LOGITS, UNIFORM, st.floats(0.01, 1))
def test_top_p_keeps_the_fewest_that_suffice(logits: np.ndarray, uniform: float, p: float) -> None:
    token = sample_token(logits, uniform, top_p=p)
    weight = np.exp(logits - logits.max())
    assert weight[weight > weight[token]].sum() < (p + 1e-9) * weight.sum()  # it is needed to reach p


@settings(max_examples=50, deadline=None)
@given(LOGITS, UNIFORM)
def test_no_temperature_and_hardly_any_take_the_likeliest(logits: np.ndarray, uniform: float) -> None:
    assert sample_token(logits, uniform, temperature=0) == logits.argmax()
    assert logits[sample_token(logits, uniform, temperature=1e-320)] == logits.max()


def test_the_largest_uniform_number_stays_inside() -> None:
    logits = np.zeros(10)
    logits[-2:] = -np.inf
    assert sample_token(logits, np.nextafter(1, 0)) == 7


def test_samples_follow_the_probabilities() -> None:
    random = np.random.default_rng(0)
    wanted = np.array([0.5, 0.3, 0.2])
    drawn = [sample_token(np.log(wanted), random.random()) for _ in range(5000)]
    np.testing.assert_allclose(np.bincount(drawn) / 5000, wanted, atol=0.02)


def uniform_model(codes: int) -> PrefixTransformer:
    """A transformer to which every code is as likely."""
    model = PrefixTransformer(TransformerConfig(codes, 1, 1, 4, 6)).requires_grad_(False)
    model.lm_head.weight.zero_()
    return model


def test_numbers_of_a_seed_stay_what_they_are() -> None:
    """Recipes are kept for years: token i is drawn with the i-th number of numpy's default pipeline."""
    numbers = np.random.default_rng(12).random(20)
    engine = LocalEngine(uniform_model(1000))
    text, mask = torch.zeros(1, 2, 6), torch.ones(1, 2, dtype=torch.bool)
    steps = Stream(engine.stream([TokenRequest(limit=20, seed=12)], text, mask), 20)
    (sampled,) = steps.finish()
    assert sampled.tokens.tolist() == (numbers * 1000).astype(int).tolist()


def test_a_request_travels_to_another_process() -> None:
    request = TokenRequest(limit=5, seed=1, can_end=True, start=(1, 2))
    assert pickle.loads(pickle.dumps(request)) == request


def test_a_longer_motion_in_front_skips_its_random_numbers() -> None:
    engine = LocalEngine(uniform_model(1000))
    text, mask = torch.zeros(1, 2, 6), torch.ones(1, 2, dtype=torch.bool)
    (whole,) = Stream(engine.stream([TokenRequest(limit=9, seed=3)], text, mask), 9).finish()
    later = TokenRequest(limit=5, seed=3, start=tuple(whole.tokens[4:6].tolist()), before=4)
    steps = Stream(engine.stream([later], text, mask), 5)
    counts = [step.count for step in steps if step.result is None]
    assert counts == [7, 8, 9]
    (part,) = Stream(engine.stream([later], text, mask), 5).finish()
    np.testing.assert_array_equal(part.tokens, whole.tokens[4:])
