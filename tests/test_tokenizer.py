"""FSQ's arithmetic, the codec around it, and both golden sets."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from scamo import checkpoint
from scamo.checkpoint import CheckpointError
from scamo.configs import LEVELS, TokenizerConfig, codebook_label
from scamo.registry import load_tokenizer
from scamo.tokenizer import FSQ, MotionTokenizer, VQTokenizer
from tests import golden

LEVEL_LISTS = st.lists(st.integers(2, 16), min_size=1, max_size=6)


def small(levels: tuple[int, ...] = (8, 6, 5), seed: int = 0, **shape: int) -> MotionTokenizer:
    torch.manual_seed(seed)
    config = TokenizerConfig(levels, **{"width": 8, "code_width": 8, "depth": 1, **shape})
    random = np.random.default_rng(seed)
    mean, std = random.normal(size=config.features), random.uniform(0.5, 2, size=config.features)
    return MotionTokenizer(config, mean, std).eval()


def features(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 3


def filled(model: MotionTokenizer, weights: dict[str, torch.Tensor]) -> MotionTokenizer:
    model.load_state_dict({**weights, "mean": model.mean, "std": model.std})
    return model.eval()


@pytest.mark.parametrize(("label", "codes"), [(16, 15), (64, 64), (256, 240), (512, 512), (1024, 1000), (2048, 1920),
                                              (4096, 4375), (16384, 15360), (65536, 64000)])  # fmt: skip
def test_codebooks_of_the_paper(label: int, codes: int) -> None:
    assert math.prod(LEVELS[label]) == codes
    assert codebook_label(LEVELS[label]) == label


@settings(max_examples=50, deadline=None)
@given(LEVEL_LISTS)
def test_every_index_comes_back(levels: list[int]) -> None:
    fsq = FSQ(levels)
    count = math.prod(levels)
    ids = torch.arange(count) if count < 2000 else torch.randint(count, (2000,))
    codes = fsq.codes_from_indices(ids)
    assert codes.abs().max() <= 1
    assert torch.equal(fsq.indices(codes).long(), ids)


@settings(max_examples=50, deadline=None)
@given(LEVEL_LISTS, st.floats(-50, 50))
def test_any_value_quantises_to_a_code(levels: list[int], value: float) -> None:
    fsq = FSQ(levels)
    codes = fsq.codes(torch.full((1, len(levels)), value))
    index = fsq.indices(codes)
    assert 0 <= index.item() < math.prod(levels)
    assert torch.equal(fsq.codes_from_indices(index), codes)


def test_gradient_passes_straight_through_the_rounding() -> None:
    fsq = FSQ((8, 5))
    z = torch.randn(20, 2, requires_grad=True)
    fsq.codes(z).sum().backward()
    straight = torch.autograd.functional.jacobian(lambda v: (fsq.bound(v) / torch.tensor([4, 2])).sum(), z.detach())
    torch.testing.assert_close(z.grad, straight)


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 40), st.integers(1, 3))
def test_shapes(frames: int, batch: int) -> None:
    model = small()
    x = features(batch, frames, 263)
    tokens = model.encode(x)
    assert tokens.shape == (batch, frames // 4)
    assert tokens.dtype == np.int64
    back = model.decode(tokens)
    assert back.shape == (batch, frames // 4 * 4, 263)
    assert back.dtype == np.float32
    for row in range(batch):
        np.testing.assert_array_equal(model.encode(x[row]), tokens[row])
        np.testing.assert_allclose(model.decode(tokens[row]), back[row], atol=1e-5)


def test_forward_is_encode_and_decode() -> None:
    model = small()
    x = torch.from_numpy(features(2, 19, 263))
    reconstruction, indices = model(x)
    np.testing.assert_array_equal(model.encode(x, normalised=True), indices.numpy())
    np.testing.assert_allclose(model.decode(indices, normalised=True), reconstruction.detach().numpy(), atol=1e-6)
    reconstruction.square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_statistics_are_applied_both_ways() -> None:
    model = small()
    x = features(12, 263)
    mean, std = model.mean.numpy(), model.std.numpy()
    tokens = model.encode(x)
    np.testing.assert_array_equal(tokens, model.encode((x - mean) / std, normalised=True))
    np.testing.assert_allclose(model.decode(tokens), model.decode(tokens, normalised=True) * std + mean, atol=1e-5)


def test_the_end_of_a_motion_that_fills_no_token_is_dropped() -> None:
    model = small()
    assert len(model.encode(features(11, 263))) == 2


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((8, 262)), r"shape \[8, 262\]; this tokenizer takes \[frames, 263\]"),
        (np.zeros(263), r"shape \[263\]"),
        (np.zeros((3, 263)), "3 frames are too few"),
        (np.zeros((0, 263)), "0 frames are too few"),
        (np.full((8, 263), np.nan), "NaN"),
        (np.full((8, 263), np.inf), "infinite"),
    ],
)
def test_features_that_cannot_be_meant(x: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().encode(x)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([0, 240], "token 240 is no code of this codebook, whose ids are 0 to 239"),
        ([241], "token 241"),
        ([-1, 3], "token -1"),
        ([], "n >= 1"),
        ([0.5], "integers"),
        (3, "integers"),
    ],
)
def test_tokens_that_cannot_be_meant(tokens: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().decode(tokens)  # type: ignore[arg-type]


def test_configurations_and_statistics_that_cannot_be_meant() -> None:
    with pytest.raises(ValueError, match="levels"):
        TokenizerConfig((8, 1))
    with pytest.raises(ValueError, match="levels"):
        TokenizerConfig((4096, 4096, 4))
    with pytest.raises(ValueError, match=r"mean has shape \[2\]"):
        MotionTokenizer(TokenizerConfig((5, 3), width=8, code_width=8), mean=[0, 1])
    with pytest.raises(ValueError, match="std"):
        MotionTokenizer(TokenizerConfig((5, 3), width=8, code_width=8), std=np.zeros(263))


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    model = small()
    x = features(40, 263)
    loaded = MotionTokenizer.from_pretrained(model.save_pretrained(tmp_path / "t"))
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded.encode(x), model.encode(x))
    np.testing.assert_array_equal(loaded.decode(loaded.encode(x)), model.decode(model.encode(x)))


def test_half_precision_on_disk_is_float32_in_use(tmp_path: Path) -> None:
    model = small()
    folder = model.save_pretrained(tmp_path / "t", {"licence": "CC0"}, dtype=torch.float16)
    loaded = MotionTokenizer.from_pretrained(folder)
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}
    assert torch.equal(loaded.std, model.std)
    np.testing.assert_allclose(loaded.decode([1, 2]), model.decode([1, 2]), atol=0.02)


def test_a_learned_codebook_is_read_by_its_kind(tmp_path: Path) -> None:
    torch.manual_seed(0)
    fsq = small((24,))
    model = VQTokenizer(fsq.config, fsq.mean, fsq.std).eval()
    model.vqvae.quantizer.codebook.normal_(std=0.1)
    folder = model.save_pretrained(tmp_path / "vq")
    card = checkpoint.read_card(folder)
    assert (card["kind"], card["name"]) == ("vq-tokenizer", "vq-tokenizer-32")
    loaded = load_tokenizer(folder)
    x = features(200, 263)
    tokens = loaded.encode(x)
    with torch.inference_mode():
        z = loaded.vqvae.encoder(((torch.from_numpy(x) - model.mean) / model.std).T[None])[0].T
        away = (z.double()[:, None] - model.codebook.double()).square().sum(-1)
    np.testing.assert_array_equal(tokens, away.argmin(-1))
    assert len(set(tokens.tolist())) > 3
    np.testing.assert_array_equal(loaded.decode(tokens), model.decode(model.encode(x)))
    with pytest.raises(ValueError, match="token 24 is no code"):
        loaded.decode([24])
    with pytest.raises(CheckpointError, match="holds a vq-tokenizer; give the folder of a tokenizer"):
        MotionTokenizer.from_pretrained(folder)
    (folder / "weights.safetensors").write_bytes(b"0")
    with pytest.raises(CheckpointError, match="get it again"):
        load_tokenizer(folder)


def test_a_transformers_folder_is_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        MotionTokenizer.from_pretrained(tmp_path)


# The project's own golden set


@pytest.mark.parametrize("levels", LEVELS.values())
def test_own_golden_quantiser(levels: tuple[int, ...]) -> None:
    _, values = golden.read("fsq-" + "-".join(map(str, levels)))
    fsq = FSQ(levels)
    z = torch.from_numpy(values["z"]).float()
    np.testing.assert_allclose(fsq.bound(z).numpy(), values["bound"], atol=3e-6)
    np.testing.assert_array_equal(fsq.indices(fsq.codes(z)).numpy(), values["indices"])


@pytest.mark.parametrize(("name", "width"), [("tokenizer", 263), ("tokenizer-kit", 251)])
def test_own_golden_tokenizer(name: str, width: int) -> None:
    weights, values = golden.read(name)
    config = TokenizerConfig(tuple(values["levels"]), width=8, code_width=6, features=width)
    model = filled(MotionTokenizer(config), weights)
    for frames in (4, 10, 33):
        tokens = model.encode(values[f"x_{frames}"].astype(np.float32))
        np.testing.assert_array_equal(tokens, values[f"indices_{frames}"])
        np.testing.assert_allclose(model.decode(tokens), values[f"reconstruction_{frames}"], rtol=1e-5, atol=5e-5)


# Golden tensors of the authors' code


def test_official_quantiser(shared: Path) -> None:
    with np.load(shared / "golden" / "fsq_units.npz") as units:
        for name in units["names"]:
            fsq = FSQ([int(level) for level in str(name).split("_")])
            z = torch.tensor(units[f"{name}__z"], requires_grad=True)
            codes = fsq.codes(z)
            (codes * torch.from_numpy(units[f"{name}__w"])).sum().backward()
            assert z.grad is not None
            np.testing.assert_allclose(fsq.bound(z).detach(), units[f"{name}__bound"], atol=1e-6)
            np.testing.assert_array_equal(codes.detach(), units[f"{name}__codes"])
            np.testing.assert_array_equal(fsq.indices(codes), units[f"{name}__idx"])
            np.testing.assert_allclose(z.grad, units[f"{name}__grad"], atol=1e-5)
            rows = fsq.codes_from_indices(torch.from_numpy(units[f"{name}__cb_idx"]))
            np.testing.assert_array_equal(rows, units[f"{name}__cb_codes"])


@pytest.mark.parametrize("name", ["tok_256", "tok_1024", "tok_4096", "tok_65536", "tok_kit_256"])
def test_official_tokenizer(shared: Path, name: str) -> None:
    folder = shared / "golden" / name
    facts = json.loads((folder / "config.json").read_text())
    config = TokenizerConfig(facts["levels"], facts["width"], facts["code_dim"], features=facts["feature_dim"])
    model = filled(MotionTokenizer(config), load_file(folder / "weights.safetensors"))
    with np.load(folder / "io.npz") as io:
        for key in (key for key in io.files if key.startswith("x_")):
            case = key.removeprefix("x_")
            np.testing.assert_array_equal(model.encode(io[key], normalised=True), io[f"idx_{case}"])
            with torch.inference_mode():
                reconstruction, _ = model(torch.from_numpy(io[key]))
            np.testing.assert_allclose(reconstruction, io[f"recon_{case}"], rtol=0, atol=2e-4)
        for key in (key for key in io.files if key.startswith("rand_idx_")):
            back = model.decode(io[key], normalised=True)
            np.testing.assert_allclose(back, io[key.replace("idx", "dec")], rtol=0, atol=2e-4)


@pytest.mark.parametrize("levels", [(26,), (31, 27), (64, 33), (255,), (1000, 7)])
def test_no_code_is_lost_where_levels_are_many(levels: tuple[int, ...]) -> None:
    fsq = FSQ(levels)
    ids = torch.arange(math.prod(levels))
    assert torch.equal(fsq.indices(fsq.codes_from_indices(ids)).long(), ids)


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.01, 1), (0.1, 1), (0.3, 2), (0.5, 3), (0.7, 4), (0.9, 5), (4, 20), (9.8, 49)]
)
def test_seconds_become_the_nearest_number_of_tokens(seconds: float, count: int) -> None:
    assert TokenizerConfig((5, 3)).tokens_in(seconds) == count


def test_the_configuration_knows_its_rate() -> None:
    kit = TokenizerConfig((5, 3), halvings=3, features=251, fps=12.5)
    assert (kit.frames_per_token, kit.tokens_per_second) == (8, 12.5 / 8)
    assert kit.tokens_in(3.2) == 5
    with pytest.raises(ValueError, match="is no frame rate"):
        TokenizerConfig((5, 3), fps=0)


def test_old_cards_of_kit_have_its_rate() -> None:
    assert TokenizerConfig.from_card({"levels": [5, 3], "features": 251}).fps == 12.5
    assert TokenizerConfig.from_card({"levels": [5, 3], "features": 263}).fps == 20
    assert TokenizerConfig.from_card({"levels": [5, 3], "features": 251, "fps": 25}).fps == 25
