"""The prefix transformer: who sees whom, cached against recomputed, batches against rows, and both golden sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from scamo.checkpoint import CheckpointError
from scamo.configs import LEVELS, SIZES, TokenizerConfig, TransformerConfig, size_label
from scamo.transformer import PrefixTransformer, rotate
from tests import golden

CONFIG = TransformerConfig(codebook_size=15, layers=2, heads=2, width=16, text_width=6)


def small(tied: bool = False, seed: int = 0) -> PrefixTransformer:
    torch.manual_seed(seed)
    model = PrefixTransformer(TransformerConfig(15, 2, 2, 16, 6, tied)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # far from uniform predictions, so that a wrong one shows
    return model


def batch(lengths: list[int], tokens: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(len(lengths), max(lengths), 6, generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randint(15, (len(lengths), tokens), generator=generator), text, mask


LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(LENGTHS, st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_cached_logits_are_the_recomputed_ones(lengths: list[int], count: int, start: int, tied: bool) -> None:
    start = min(start, count)
    model = small(tied)
    tokens, text, mask = batch(lengths, count)
    with torch.inference_mode():
        whole = model(tokens, text, mask)
    assert whole.shape == (len(lengths), count + 1, model.config.head_rows)
    read, cache = model.prefill(text, mask, count, tokens[:, :start])
    steps = [model.step(tokens[:, i], cache)[:, None] for i in range(start, count)]
    assert cache.room == 0
    torch.testing.assert_close(torch.cat([read, *steps], dim=1), whole, atol=2e-5, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(LENGTHS)
def test_a_row_of_a_batch_is_what_it_is_alone(lengths: list[int]) -> None:
    model = small()
    tokens, text, mask = batch(lengths, 5)
    with torch.inference_mode():
        together = model(tokens, text, mask)
        for row, length in enumerate(lengths):
            alone = model(tokens[row : row + 1], text[row : row + 1, :length], mask[row : row + 1, :length])
            torch.testing.assert_close(together[row : row + 1], alone, atol=2e-5, rtol=1e-5)


def test_what_stands_in_the_padding_changes_nothing() -> None:
    model = small()
    tokens, text, mask = batch([2, 5], 4)
    other = torch.where(mask[..., None], text, torch.full_like(text, 1e3))
    with torch.inference_mode():
        torch.testing.assert_close(model(tokens, text, mask), model(tokens, other, mask))


def test_leaving_padding_out_changes_no_logit_and_no_gradient() -> None:
    model = small(tied=True)
    tokens, text, mask = batch([2, 5, 1], 6)
    tokens[1, 4:] = model.config.pad_id
    real = torch.cat([mask, tokens != model.config.pad_id], dim=1)
    meant = torch.cat([torch.ones(3, 1, dtype=torch.bool), tokens != model.config.pad_id], dim=1)
    found = []
    for slots in (None, real.flatten().nonzero()[:, 0]):
        model.zero_grad()
        logits = model(tokens, text, mask, slots)[meant]
        logits.square().sum().backward()
        found.append([logits.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    for whole, without in zip(*found, strict=True):
        torch.testing.assert_close(without, whole, atol=1e-4, rtol=1e-4)


def test_who_sees_whom() -> None:
    model = small()
    tokens, text, mask = batch([4], 6)
    text.requires_grad_()
    for row in range(7):
        (gradient,) = torch.autograd.grad(model(tokens, text, mask)[0, row].square().sum(), text)
        assert (gradient[0].abs().sum(-1) > 0).all()  # every prediction sees all of the text
    changed = tokens.clone()
    changed[0, 3] = (tokens[0, 3] + 1) % 15
    difference = (model(tokens, text, mask) - model(changed, text, mask)).abs().amax(-1)[0]
    assert (difference[:4] == 0).all()  # rows 0 to 3 predict tokens 0 to 3 and know nothing of token 3
    assert (difference[4:] > 0).all()


def test_training_reaches_every_parameter() -> None:
    model = small()
    tokens, text, mask = batch([2, 5], 4)
    model(tokens, text, mask).logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_trains_under_autocast() -> None:
    model = small()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(*batch([2, 5], 4))
    with torch.inference_mode():
        torch.testing.assert_close(logits.float(), model(*batch([2, 5], 4)), atol=0.5, rtol=0.1)


def test_bfloat16_runs_close_to_float32() -> None:
    model = small()
    tokens, text, mask = batch([2, 5], 1)
    wide, _ = model.prefill(text, mask, 1)
    model.to(torch.bfloat16)
    narrow, cache = model.prefill(text, mask, 1)
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow, wide, atol=0.5, rtol=0.1)
    assert torch.isfinite(model.step(tokens[:, 0], cache)).all()


def test_rotation_keeps_length_and_depends_on_distance_only() -> None:
    model = small()
    cos, sin = model._rotary(torch.ones(1, 50, dtype=torch.bool), 0)
    q, k = torch.randn(8), torch.randn(8)
    at = lambda x, i: rotate(x, cos[0, i], sin[0, i])  # noqa: E731
    torch.testing.assert_close(at(q, 33).norm(), q.norm())
    torch.testing.assert_close(at(q, 40) @ at(k, 35), at(q, 7) @ at(k, 2))


def test_impossible_configurations() -> None:
    with pytest.raises(ValueError, match="width 18 does not split into 6 heads"):
        TransformerConfig(15, 2, 6, 18, 6)
    with pytest.raises(ValueError, match="layers is 0; give a whole number from 1"):
        TransformerConfig(15, 0, 2, 16, 6)


def test_a_full_cache_takes_no_token() -> None:
    model = small()
    tokens, text, mask = batch([2], 1)
    _, cache = model.prefill(text, mask, 0)
    with pytest.raises(AssertionError, match="full"):
        model.step(tokens[:, 0], cache)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
def test_saved_and_loaded_is_the_same(tmp_path: Path, tied: bool, dtype: torch.dtype | None) -> None:
    model = small(tied)
    folder = model.save_pretrained(tmp_path / "m", {"tokenizer": "../t"}, dtype)
    loaded = PrefixTransformer.from_pretrained(folder)
    assert loaded.config == model.config
    assert loaded.lm_head.weight.dtype == (torch.bfloat16 if dtype == torch.bfloat16 else torch.float32)
    assert (loaded.lm_head.weight is loaded.transformer.wte.weight) == tied
    _, text, mask = batch([3], 0)
    expected, _ = model.to(dtype).float().prefill(text, mask, 1)
    wide = PrefixTransformer.from_pretrained(folder, dtype=torch.float32)
    torch.testing.assert_close(wide.prefill(text, mask, 1)[0], expected, atol=2e-3 if dtype else 1e-6, rtol=2e-2)


def test_a_tokenizers_folder_is_no_transformer(tmp_path: Path) -> None:
    from scamo.tokenizer import MotionTokenizer

    folder = MotionTokenizer(TokenizerConfig((5, 3), 8, 8, 1)).save_pretrained(tmp_path / "t")
    with pytest.raises(CheckpointError, match="holds a tokenizer"):
        PrefixTransformer.from_pretrained(folder)


# Parameter counts of the authors' models, taken with their own code

NON_VOCABULARY = {
    "44M": 28_320_768,
    "111M": 86_527_488,
    "343M": 310_429_696,
    "775M": 734_097_920,
    "1B": 1_362_250_752,
    "3B": 2_995_155_200,
}
VOCABULARY = {  # embedding + head, untied, in the order of NON_VOCABULARY
    16: (16_896, 25_344, 33_792, 42_240, 50_688, 105_600),
    64: (67_072, 100_608, 134_144, 167_680, 201_216, 419_200),
    256: (247_296, 370_944, 494_592, 618_240, 741_888, 1_545_600),
    512: (525_824, 788_736, 1_051_648, 1_314_560, 1_577_472, 3_286_400),
    1024: (1_025_536, 1_538_304, 2_051_072, 2_563_840, 3_076_608, 6_409_600),
    2048: (1_967_616, 2_951_424, 3_935_232, 4_919_040, 5_902_848, 12_297_600),
    4096: (4_481_536, 6_722_304, 8_963_072, 11_203_840, 13_444_608, 28_009_600),
    16384: (15_730_176, 23_595_264, 31_460_352, 39_325_440, 47_190_528, 98_313_600),
    65536: (65_537_536, 98_306_304, 131_075_072, 163_843_840, 196_612_608, 409_609_600),
}
TIED_TOTAL = {  # of 3B
    16: 2_995_209_600,
    64: 2_995_366_400,
    256: 2_995_929_600,
    512: 2_996_800_000,
    1024: 2_998_361_600,
    2048: 3_001_305_600,
    4096: 3_009_161_600,
    16384: 3_044_313_600,
    65536: 3_199_961_600,
}


@pytest.mark.parametrize("label", LEVELS)
@pytest.mark.parametrize("size", NON_VOCABULARY)
def test_parameter_counts_of_the_authors(size: str, label: int) -> None:
    codes = int(np.prod(LEVELS[label]))
    with torch.device("meta"):
        model = PrefixTransformer(TransformerConfig(codes, *SIZES[size], text_width=2048))
    expected = VOCABULARY[label][list(NON_VOCABULARY).index(size)]
    assert model.config.parameter_counts == (expected, NON_VOCABULARY[size])
    assert sum(parameter.numel() for parameter in model.parameters()) == expected + NON_VOCABULARY[size]
    assert size_label(model.config) == size


@pytest.mark.parametrize("label", LEVELS)
def test_tied_parameter_counts(label: int) -> None:
    codes = int(np.prod(LEVELS[label]))
    with torch.device("meta"):
        model = PrefixTransformer(TransformerConfig(codes, *SIZES["3B"], text_width=2048, tied=True))
    assert sum(model.config.parameter_counts) == TIED_TOTAL[label]
    assert sum(parameter.numel() for parameter in model.parameters()) == TIED_TOTAL[label]


# The project's own golden set


@pytest.mark.parametrize("name", ["transformer", "transformer-tied"])
def test_own_golden_transformer(name: str) -> None:
    weights, values = golden.read(name)
    codes, layers, heads, width, text_width = values["shape"].tolist()
    model = PrefixTransformer(TransformerConfig(codes, layers, heads, width, text_width, name.endswith("tied"))).eval()
    weights.setdefault("lm_head.weight", weights["transformer.wte.weight"])
    model.load_state_dict(weights)
    for n in (1, 3, 6):
        text = torch.from_numpy(values[f"text_{n}"]).float()[None]
        tokens = torch.from_numpy(values[f"tokens_{n}"])[None]
        with torch.inference_mode():
            logits = model(tokens, text, torch.ones(1, n, dtype=torch.bool))[0]
        np.testing.assert_allclose(logits, values[f"logits_{n}"], atol=2e-5)
        np.testing.assert_array_equal(logits[: tokens.shape[1], : codes + 1].argmax(-1), values[f"tokens_{n}"])


# Golden tensors of the authors' code


@pytest.fixture(params=["lm", "lm_tied"])
def official(request: pytest.FixtureRequest, shared: Path) -> tuple[PrefixTransformer, dict[str, Tensor]]:
    folder = shared / "golden" / request.param
    facts: dict[str, Any] = json.loads((folder / "config.json").read_text())
    names = ("codebook_size", "n_layer", "n_head", "n_embd", "clip_dim", "tie_weights", "block_size")
    model = PrefixTransformer(TransformerConfig(*(facts[name] for name in names)))
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    with np.load(folder / "io.npz") as io:
        return model.eval().requires_grad_(False), {name: torch.from_numpy(np.asarray(io[name])) for name in io.files}


def everywhere(model: PrefixTransformer, tokens: Tensor, text: Tensor, mask: Tensor) -> Tensor:
    """Logits at all positions, those of the text too, as the reference gives them."""
    return model.lm_head(model.transformer.ln_f(model.hidden_states(tokens, text, mask)))


def near(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=3e-4, rtol=0)


@pytest.mark.parametrize("n", range(1, 8))
def test_official_logits(official: tuple[PrefixTransformer, dict[str, Tensor]], n: int) -> None:
    model, io = official
    text, mask = io[f"feat_{n}"], io[f"mask_{n}"].bool()
    none = torch.zeros(1, 0, dtype=torch.long)
    near(everywhere(model, none, text, mask), io[f"logits_prefix_{n}"])
    near(model.prefill(text, mask, 0)[0][:, 0], io[f"logits_prefix_{n}"][:, -1])
    near(everywhere(model, io[f"fs_idx_{n}"], text, mask), io[f"fs_logits_{n}"])
    placed = io[f"fw_idx_{n}"][:, n:]  # the reference fills the text slots of the ids
    near(everywhere(model, placed, text, mask), io[f"fw_logits_{n}"])
    near(model(placed, text, mask), io[f"fw_logits_{n}"][:, n - 1 :])


def test_official_rotation_and_blocks(official: tuple[PrefixTransformer, dict[str, Tensor]]) -> None:
    model, io = official
    cos, sin = model._rotary(torch.ones(1, 64, dtype=torch.bool), 0)
    torch.testing.assert_close(cos[0], io["rope_cos"], atol=1e-6, rtol=0)
    torch.testing.assert_close(sin[0], io["rope_sin"], atol=1e-6, rtol=0)
    torch.testing.assert_close(rotate(io["rope_in"], cos[0, :13], sin[0, :13]), io["rope_out"], atol=1e-5, rtol=0)
    outputs: list[Tensor] = []
    for block in model.transformer.h:
        block.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    model(io["fs_idx_5"], io["feat_5"], io["mask_5"])
    for i, output in enumerate(outputs):
        near(output, io[f"block_out_{i}"])


def test_official_longest_sequence(official: tuple[PrefixTransformer, dict[str, Tensor]]) -> None:
    model, io = official
    near(everywhere(model, io["full_idx"], io["feat_7"], io["mask_7"]), io["full_logits"])


def test_official_text_longer_than_its_mask(official: tuple[PrefixTransformer, dict[str, Tensor]]) -> None:
    model, io = official
    logits = model(io["pad1_idx"], io["pad1_feat"], io["pad1_mask"])
    near(logits, io["pad1_fs_logits"][:, int(io["pad1_mask"].sum()) - 1 :])


def test_official_training_batch(official: tuple[PrefixTransformer, dict[str, Tensor]]) -> None:
    model, io = official
    lengths, texts = io["b_motion_len"].tolist(), io["b_text_len"].tolist()
    tokens = torch.full((len(lengths), max(lengths)), model.config.pad_id)
    for row, (length, text) in enumerate(zip(lengths, texts, strict=True)):
        tokens[row, :length] = io["b_idx"][row, text : text + length]
    logits = model(tokens, io["b_feat"], io["b_mask"])
    for row, (length, text) in enumerate(zip(lengths, texts, strict=True)):
        near(logits[row, : length + 1], io["b_logits"][row, text - 1 : text + length])
        targets = torch.cat([tokens[row, :length], torch.tensor([model.config.end_id])])
        nll = torch.nn.functional.cross_entropy(logits[row, : length + 1].double(), targets, reduction="sum")
        assert abs(nll.item() - io["b_nll_sum_motion_plus_end_float64"][row].item()) < 1e-3


def test_official_unmasked_text_slots(official: tuple[PrefixTransformer, dict[str, Tensor]]) -> None:
    """Where the reference keeps slots for the longest text, a shorter row's are padding tokens of the motion."""
    model, io = official
    for row, text in enumerate(io["b_text_len"].tolist()):
        one = io["slot_idx"][row : row + 1, text:]
        logits = model(one, io["b_feat"][row : row + 1, :text], torch.ones(1, text, dtype=torch.bool))
        near(logits[0], io["slot_logits"][row, text - 1 :])
