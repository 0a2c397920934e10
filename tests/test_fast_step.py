"""The quick step of one row: the same logits and tokens as the plain one, and how far lower precision is from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scamo import fast_step, pipeline
from scamo.configs import TransformerConfig
from scamo.transformer import PrefixTransformer
from tests.tiny import WALK, FakeEncoder, write_models


def random_model(
    layers: int = 2, heads: int = 2, half: int = 4, tied: bool = False, seed: int = 0
) -> PrefixTransformer:
    torch.manual_seed(seed)
    model = PrefixTransformer(TransformerConfig(60, layers, heads, 2 * half * heads, 6, tied)).requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(2)  # far from uniform predictions, so that a wrong one shows
    return model.eval()


def text_of(count: int) -> tuple[Tensor, Tensor]:
    return FakeEncoder(6).encode([" ".join(WALK.split() * 2)])[0][:, :count], torch.ones(1, count, dtype=torch.bool)


def logits_of(model: PrefixTransformer, tokens: Tensor, quick: bool = True) -> Tensor:
    """Logits [n + 1, v] along the tokens [n], the first by prefill and the others step by step."""
    logits, cache = model.prefill(*text_of(5), len(tokens))
    step: Callable[[Tensor], Tensor] = fast_step.stepper(model, cache)
    if not quick:
        step = lambda token: model.step(token, cache)  # noqa: E731
    rows = [logits[0], *(step(token[None]) for token in tokens)]
    assert cache.room == 0
    return torch.cat(rows)


MODELS = st.builds(
    random_model, st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.booleans(), st.integers(0, 99)
)


@settings(max_examples=25, deadline=None)
@given(MODELS, st.integers(1, 8))
def test_greedy_tokens_are_those_of_recomputing_everything(model: PrefixTransformer, text: int) -> None:
    codes = model.config.codebook_size
    tokens = torch.zeros(1, 0, dtype=torch.long)
    for _ in range(12):
        last = model(tokens, *text_of(text))[:, -1, :codes]
        top = last.topk(2).values[0]
        if top[0] - top[1] < 1e-5:  # too close to call in float32
            return
        tokens = torch.cat([tokens, last.argmax(-1, keepdim=True)], dim=1)
    logits, cache = model.prefill(*text_of(text), 11)
    step = fast_step.stepper(model, cache)
    drawn = [logits[0, -1, :codes].argmax()]
    while cache.room:
        drawn.append(step(drawn[-1][None])[0, :codes].argmax())
    assert torch.stack(drawn).tolist() == tokens[0].tolist()


@pytest.mark.parametrize("tied", [False, True])
def test_the_same_logits_whatever_came_before(tied: bool) -> None:
    model = random_model(tied=tied)
    tokens = torch.arange(20) * 3
    plain = logits_of(model, tokens, quick=False)
    torch.testing.assert_close(logits_of(model, tokens), plain, atol=2e-5, rtol=1e-5)
    logits, cache = model.prefill(*text_of(5), 20, tokens[None, :15])
    step = fast_step.stepper(model, cache)
    later = torch.cat([logits[0], *(step(token[None]) for token in tokens[15:])])
    torch.testing.assert_close(later, plain, atol=2e-5, rtol=1e-5)


def test_matrices_are_read_where_they_are() -> None:
    model = random_model(tied=True)
    expected = model.state_dict()
    expected = {name: tensor.clone() for name, tensor in expected.items()}
    logits_of(model, torch.arange(3))
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=0, rtol=0)
    assert model.lm_head.weight is model.transformer.wte.weight
    before = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    changed = logits_of(model, torch.arange(3))
    assert before == {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    model.lm_head.weight *= 2
    assert not torch.allclose(logits_of(model, torch.arange(3)), changed)


@pytest.mark.parametrize("padded", [False, True])
def test_the_step_that_gpus_record_gives_the_plain_one_s_logits(padded: bool) -> None:
    model = random_model(layers=3)
    text, mask = text_of(6)
    text, mask = text.expand(3, -1, -1), mask.repeat(3, 1)
    if padded:
        mask[1, 4:] = mask[2, 1:] = False
    begin_bn, tokens_bn = torch.arange(6).view(3, 2), torch.arange(30).view(3, 10)
    _, cache = model.prefill(text, mask, 12, begin_bn)
    _, other = model.prefill(text, mask, 12, begin_bn)
    with torch.inference_mode():
        for part in (*cache.keys, *cache.values):
            part[:, :, cache.length :] = torch.nan  # as fresh memory may be
    recorded = fast_step.GraphStep(model, cache)
    for tokens_b in tokens_bn.T:
        torch.testing.assert_close(recorded(tokens_b), model.step(tokens_b, other), atol=2e-5, rtol=1e-5)
    assert cache.room == 0


@pytest.mark.parametrize("rows", [1, 2, 6])
@pytest.mark.parametrize("padded", [False, True])
def test_a_few_rows_take_the_quick_step(rows: int, padded: bool) -> None:
    model = random_model(layers=3)
    text, mask = text_of(6)
    text, mask = text.expand(rows, -1, -1), mask.repeat(rows, 1)
    if padded:
        mask[rows - 1, 2:] = False
    begin_bn, tokens_bn = torch.arange(2 * rows).view(rows, 2), torch.arange(10 * rows).view(rows, 10)
    _, cache = model.prefill(text, mask, 12, begin_bn)
    _, other = model.prefill(text, mask, 12, begin_bn)
    step = fast_step.stepper(model, cache)
    assert isinstance(step, (fast_step.RowStep, fast_step.RowsStep))
    for tokens_b in tokens_bn.T:
        torch.testing.assert_close(step(tokens_b), model.step(tokens_b, other), atol=2e-5, rtol=1e-5)
    assert cache.room == other.room == 0
    with pytest.raises(AssertionError, match="cache is full"):
        step(tokens_bn[:, 0])


def test_two_generations_side_by_side_do_not_mix() -> None:
    model = random_model()
    one, other = (model.prefill(*text_of(count), 4)[1] for count in (2, 5))
    steps = fast_step.stepper(model, one), fast_step.stepper(model, other)
    first, _ = steps[0](torch.tensor([3])), steps[1](torch.tensor([4]))
    alone = fast_step.stepper(model, model.prefill(*text_of(2), 4)[1])(torch.tensor([3]))
    torch.testing.assert_close(first, alone, atol=2e-5, rtol=1e-5)


def test_all_else_takes_the_plain_step() -> None:
    model = random_model()
    text, mask = text_of(4)
    tokens = torch.tensor([1, 2])
    many = fast_step.few_rows(model) + 1
    logits, cache = model.prefill(text.expand(many, -1, -1), mask.expand(many, -1), 1)
    step = fast_step.stepper(model, cache)
    assert not isinstance(step, fast_step.RowsStep) and step(torch.arange(many)).shape == (many, logits.shape[-1])
    mask = torch.tensor([[True, True, True, False]])
    _, cache = model.prefill(text, mask, 1)
    _, other = model.prefill(text[:, :3], mask[:, :3], 1)
    padded, bare = fast_step.stepper(model, cache)(tokens[:1]), fast_step.stepper(model, other)(tokens[:1])
    torch.testing.assert_close(padded, bare, atol=2e-5, rtol=1e-5)
    model.requires_grad_(True)
    layout = model.lm_head.weight.stride()
    fast_step.stepper(model, model.prefill(text, mask, 1)[1])(tokens[:1])
    assert model.lm_head.weight.stride() == layout  # a model in training stays as its optimizer knows it


@pytest.mark.parametrize(("dtype", "error"), [(torch.float16, 5e-3), (torch.bfloat16, 4e-2), (torch.int8, 6e-2)])
@pytest.mark.parametrize("tied", [False, True])
def test_lower_precision_is_this_close(dtype: torch.dtype, error: float, tied: bool) -> None:
    model = random_model(layers=3, heads=4, half=8, tied=tied)
    tokens = torch.arange(40)
    exact = logits_of(model, tokens)
    rough = fast_step.compact(model, dtype)
    for quick in (True, False):
        logits = logits_of(rough, tokens, quick)
        assert logits.dtype == torch.float32
        assert (logits - exact).pow(2).mean().sqrt() < error * exact.std()


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float16, torch.bfloat16, torch.int8])
def test_every_type_loads_and_generates(tmp_path: Path, dtype: torch.dtype | None) -> None:
    write_models(tmp_path, (256,), ("0.3M",))
    generator = pipeline.load(tmp_path, dtype=dtype, text_encoder=FakeEncoder())
    one = generator.generate(WALK, seconds=2, seed=1)
    assert len(one.tokens) == 10
    both = generator.generate_batch([WALK, "run"], seconds=2, seed=1)
    if dtype in (None, torch.float32):
        assert both[0].tokens.tolist() == one.tokens.tolist()
