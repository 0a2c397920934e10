"""The token loop: sampling one token, and the random numbers of a seed."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scamo.configs import TransformerConfig
from scamo.engine import LocalEngine, TokenRequest, sample_token, slides
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


WINDOW = 20  # tokens behind a text of four pieces


def long_model() -> PrefixTransformer:
    """A transformer that knows 24 positions."""
    torch.manual_seed(0)
    return PrefixTransformer(TransformerConfig(32, 2, 2, 16, 6, max_positions=4 + WINDOW)).requires_grad_(False)


def sampled(model: PrefixTransformer, requests: list[TokenRequest], text: torch.Tensor, mask: torch.Tensor) -> list:
    """What an engine returns; the empty text has two pieces."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Stream(LocalEngine(model).stream(requests, text, mask, EMPTY), 99).finish()


EMPTY = torch.randn(2, 6, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_a_long_motion_sees_its_text_and_the_tokens_of_a_window(guidance: float) -> None:
    """With guidance both views of a token see the same tokens, however short the empty text is."""
    model, text, mask = long_model(), torch.randn(1, 4, 6), torch.ones(1, 4, dtype=torch.bool)
    request = TokenRequest(limit=70, seed=3, temperature=0.0, guidance=guidance)
    (found,) = sampled(model, [request], text, mask)
    ids = found.tokens
    assert len(ids) == 70
    begin, view = 0, WINDOW  # of the window, in which token number i is the likeliest
    for i in range(70):
        if i - begin > view:
            begin, view = i - WINDOW // 6, WINDOW // 2
        seen = torch.from_numpy(ids[begin:i])[None]
        own = model(seen, text, mask)[0, -1, :32]
        empty = model(seen, EMPTY[None], torch.ones(1, 2, dtype=torch.bool))[0, -1, :32]
        assert (empty + guidance * (own - empty)).argmax() == ids[i], i
    for limit in (5, WINDOW, WINDOW + 1, 45):  # a window does not depend on what comes after
        (short,) = sampled(model, [replace(request, limit=limit)], text, mask)
        assert short.tokens.tolist() == ids[:limit].tolist()
        np.testing.assert_allclose(short.trace.entropy, found.trace.entropy[:limit], atol=1e-5)


@pytest.mark.parametrize("kept", [7, WINDOW, WINDOW + 1, 33, 60])
def test_a_long_motion_is_the_same_after_a_start(kept: int) -> None:
    model, text, mask = long_model(), torch.randn(1, 4, 6), torch.ones(1, 4, dtype=torch.bool)
    (whole,) = sampled(model, [TokenRequest(limit=60, seed=3)], text, mask)
    (found,) = sampled(model, [TokenRequest(limit=60, seed=3, start=tuple(whole.tokens[:kept].tolist()))], text, mask)
    assert found.tokens.tolist() == whole.tokens.tolist()
    np.testing.assert_allclose(found.trace.probability, whole.trace.probability, atol=1e-5)


@pytest.mark.parametrize("pieces", [2, 4])
def test_long_rows_of_a_batch_are_what_they_are_alone(pieces: int) -> None:
    """Rows whose texts differ in length have windows of their own, and are sampled one after the other."""
    model, text = long_model(), torch.randn(2, 4, 6)
    mask = torch.tensor([[True] * pieces + [False] * (4 - pieces), [True] * 4])
    requests = [TokenRequest(limit=50, seed=1), TokenRequest(limit=40, seed=2, guidance=1.5)]
    together = sampled(model, requests, text, mask)
    for row, request in enumerate(requests):
        (alone,) = sampled(model, [request], text[row][mask[row]][None], mask[row][mask[row]][None])
        assert together[row].tokens.tolist() == alone.tokens.tolist()
        assert len(alone.tokens) == request.limit


def test_a_long_batch_tells_how_far_it_is() -> None:
    model, text = long_model(), torch.randn(2, 4, 6)
    mask = torch.tensor([[True, True, False, False], [True] * 4])
    requests = [TokenRequest(limit=50, seed=1), TokenRequest(limit=50, seed=2)]
    with pytest.warns(UserWarning, match="50 tokens, more than the 20 that") as said:
        counts = list(LocalEngine(model).stream(requests, text, mask))
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == 50 and len(said) == 1


def test_a_model_has_sixty_tokens_in_view_or_what_fits() -> None:
    mask = torch.ones(1, 10, dtype=torch.bool)
    for positions, window in ((95, 60), (201, 60), (40, 30), (12, 16)):
        config = TransformerConfig(32, 1, 1, 4, 6, max_positions=positions)
        assert slides(config, [TokenRequest(window, 0)], mask, None) is None
        assert slides(config, [TokenRequest(window + 1, 0)], mask, None) == [window]
    guided = TokenRequest(99, 0, guidance=2.0)  # an empty text that is longer counts
    assert slides(config, [guided], mask, torch.zeros(11, 6)) == [16]


def test_memory_of_a_long_motion_has_a_bound() -> None:
    model, text, mask = long_model(), torch.randn(1, 4, 6), torch.ones(1, 4, dtype=torch.bool)
    rooms, prefill = [], model.prefill
    model.prefill = lambda *inputs: rooms.append(inputs[2]) or prefill(*inputs)  # type: ignore[method-assign,func-returns-value]
    sampled(model, [TokenRequest(limit=200, seed=3)], text, mask)
    assert len(rooms) > 10 and max(rooms) == WINDOW
