"""The authors' .pth files become folders that load, and everything else is refused in one sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import scamo
from scamo import checkpoint
from scamo.configs import LEVELS, TokenizerConfig, TransformerConfig
from scamo.convert import convert_official
from scamo.pipeline import MotionPipeline
from scamo.tokenizer import MotionTokenizer
from scamo.transformer import PrefixTransformer
from tests.tiny import TEXT, codec, network


def pth(path: Path, outer: str, model: torch.nn.Module, prefix: str = "", **dtype: torch.dtype) -> Path:
    tensors = {prefix + name: value.to(**dtype) for name, value in model.state_dict().items()}
    torch.save({outer: {name: value for name, value in tensors.items() if name not in ("mean", "std")}}, path)
    return path


def statistics(folder: Path, width: int = 263) -> dict[str, Path]:
    np.save(folder / "mean.npy", np.linspace(-1, 1, width))
    np.save(folder / "std.npy", np.linspace(1, 2, width))
    return {"mean": folder / "mean.npy", "std": folder / "std.npy"}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("codebook", "features"), [(16, 263), (64, 251), (65536, 263)])
def test_a_converted_model_gives_the_same_tokens(tmp_path: Path, tied: bool, codebook: int, features: int) -> None:
    source, codes = network(codebook, tied=tied), codec(codebook, features, 12.5 if features == 251 else 20.0)
    folder = convert_official(
        tokenizer=pth(tmp_path / "x.pth", "net", codes),
        transformer=pth(tmp_path / "y.pth", "trans", source, "module."),
        **statistics(tmp_path, features),
        out=tmp_path / "out",
    )
    pipeline = scamo.load(folder)
    assert pipeline.tokenizer.config == codes.config
    assert pipeline.transformer.config == source.config
    assert pipeline.card.name == f"{codebook}-0.3M"
    assert pipeline.card.sampling == {"temperature": 0.0}
    reference = MotionPipeline(codes, source)
    expected = reference.generate(embedding=TEXT, temperature=0)
    np.testing.assert_array_equal(pipeline.generate(embedding=TEXT).tokens, expected.tokens)
    np.testing.assert_array_equal(pipeline.tokenizer.mean, np.linspace(-1, 1, features, dtype=np.float32))
    assert not [path for path in folder.rglob("*") if path.suffix == ".pth"]


@pytest.mark.parametrize(("dtype", "each"), [(None, 4), ("float32", 4), ("bfloat16", 2), (torch.bfloat16, 2)])
def test_storage_types(tmp_path: Path, dtype: Any, each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint.write, "__defaults__", (None, 200_000))
    folder = convert_official(
        tokenizer=pth(tmp_path / "x.pth", "net", codec()),
        transformer=pth(tmp_path / "y.pth", "trans", network()),
        **statistics(tmp_path),
        out=tmp_path / "out",
        dtype=dtype,
        text_encoder="somebody/clip",
    )
    card = scamo.models([folder])[-1]
    assert card.text_encoder == "somebody/clip"
    count = sum(parameter.numel() for parameter in network().parameters())
    shards = list(folder.glob("*.safetensors"))
    assert len(shards) > 1
    assert sum(path.stat().st_size for path in shards) == pytest.approx(each * count, rel=0.03)
    assert card.memory_bytes == pytest.approx(each * count, rel=0.2)
    assert len(scamo.load(folder).generate(embedding=TEXT, seconds=1).tokens) == 5


def test_a_tokenizer_alone_is_converted(tmp_path: Path) -> None:
    source = pth(tmp_path / "512_FSQ.pth", "net", codec(512), "module.")
    with pytest.warns(UserWarning, match="without mean and std"):
        folder = convert_official(tokenizer=source, out=tmp_path / "out")
    assert scamo.load_tokenizer(folder).levels == (8, 8, 8)  # of the three lists of three, the file's name says which
    convert_official(tokenizer=source, out=folder, levels=[8, 6, 5], **statistics(tmp_path))
    assert MotionTokenizer.from_pretrained(folder).levels == (8, 6, 5)


def test_what_shapes_cannot_say_is_asked_for(tmp_path: Path) -> None:
    facts: dict[str, Any] = {**statistics(tmp_path), "out": tmp_path / "out"}
    three = pth(tmp_path / "x.pth", "net", codec(256))
    with pytest.raises(ValueError, match=r"3 channels: 8 6 5 or 8 8 8\); give levels"):
        convert_official(tokenizer=three, **facts)
    with pytest.raises(ValueError, match=r"do not fit: .* has 3 channels"):
        convert_official(tokenizer=three, levels=[5, 3], **facts)
    torch.manual_seed(0)
    odd = pth(tmp_path / "odd.pth", "trans", PrefixTransformer(TransformerConfig(240, 3, 2, 16, 6)))
    with pytest.raises(ValueError, match="3 layers of width 16, which is no named size; give heads"):
        convert_official(tokenizer=three, transformer=odd, **facts)
    with pytest.raises(ValueError, match="the transformer has 240 codes"):
        convert_official(tokenizer=three, transformer=odd, heads=2, levels=[8, 8, 8], **facts)
    with pytest.raises(ValueError, match=r"give mean\.npy and std\.npy"):
        convert_official(tokenizer=three, transformer=odd, heads=2, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    convert_official(tokenizer=three, transformer=odd, heads=2, **facts)
    assert scamo.load(tmp_path / "out").card.size == "3x16"


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch exploded",)


def test_files_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    facts: dict[str, Any] = {**statistics(tmp_path), "out": tmp_path / "out"}
    good = pth(tmp_path / "good.pth", "net", codec())
    language = pth(tmp_path / "language.pth", "trans", network())
    torch.save({"net": {"w": Bomb()}}, tmp_path / "bomb.pth")
    torch.save({"net": {"w": Bomb()}}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("bomb.pth", "old.pth"):
        with pytest.raises(ValueError, match=rf"{name} is refused: it holds \w+\.system besides tensors"):
            convert_official(tokenizer=tmp_path / name, **facts)
    assert not (tmp_path / "exploded").exists()
    (tmp_path / "noise.pth").write_bytes(bytes(range(256)))
    (tmp_path / "short.pth").write_bytes(good.read_bytes()[:-100])
    for name in ("noise.pth", "short.pth"):
        with pytest.raises(ValueError, match=rf"{name} is truncated, damaged or no torch file"):
            convert_official(tokenizer=tmp_path / name, **facts)
    with pytest.raises(ValueError, match="there is no file"):
        convert_official(tokenizer=tmp_path / "none.pth", **facts)
    with pytest.raises(ValueError, match=r'language\.pth has no state dict under "net"'):
        convert_official(tokenizer=language, **facts)
    torch.save({"net": {"codebook": torch.zeros(512, 8)}}, tmp_path / "vq.pth")
    with pytest.raises(ValueError, match=r"vq\.pth is not of the released layout: it has no vqvae\.encoder"):
        convert_official(tokenizer=tmp_path / "vq.pth", **facts)
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "brace.npy").write_bytes(facts["mean"].read_bytes().replace(b"}", b" "))
    (tmp_path / "huge.npy").write_bytes(facts["mean"].read_bytes().replace(b"(263,)", b"(999999999999,)"))
    np.save(tmp_path / "nan.npy", np.full(263, np.nan))
    for name in ("brace", "huge", "nan"):
        with pytest.raises(ValueError, match=rf"{name}\.npy"):
            convert_official(tokenizer=good, **{**facts, "mean": tmp_path / f"{name}.npy"})
    with pytest.raises(ValueError, match="cannot be read as a numpy file: the magic string"):
        convert_official(tokenizer=good, **{**facts, "mean": tmp_path / "text.npy"})
    with pytest.raises(ValueError, match=r"mean has shape \[251\]"):
        convert_official(tokenizer=good, levels=[5, 3], **{**facts, **statistics(tmp_path, 251)})
    assert not (tmp_path / "out").exists()


def test_the_dilations_growth_is_asked_for_since_no_shape_tells_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=3, dilation_growth=2)
    source = MotionTokenizer(config, np.zeros(263), np.ones(263))
    options: dict[str, Any] = {"tokenizer": pth(tmp_path / "16_FSQ.pth", "net", source), **statistics(tmp_path)}
    folder = convert_official(**options, dilation_growth=2, out=tmp_path / "out")
    tokens = np.arange(15)
    features = scamo.load_tokenizer(folder).decode(tokens, normalised=True)
    np.testing.assert_array_equal(features, source.decode(tokens, normalised=True))
    other = scamo.load_tokenizer(convert_official(**options, out=tmp_path / "other"))
    assert not np.allclose(other.decode(tokens, normalised=True), features)


def test_an_old_style_file_is_read(tmp_path: Path) -> None:
    tensors = {name: value for name, value in codec().state_dict().items() if name not in ("mean", "std")}
    torch.save({"net": tensors}, tmp_path / "16.pth", _use_new_zipfile_serialization=False)
    convert_official(tokenizer=tmp_path / "16.pth", **statistics(tmp_path), out=tmp_path / "out")
    assert scamo.load_tokenizer(tmp_path / "out").levels == (5, 3)


@pytest.mark.parametrize("name", ["lm", "lm_tied"])
def test_official_files(shared: Path, tmp_path: Path, name: str) -> None:
    golden = shared / "golden"
    with np.load(golden / "e2e.npz") as e2e:
        np.save(tmp_path / "mean.npy", e2e["mean"])
        np.save(tmp_path / "std.npy", e2e["std"])
    folder = convert_official(
        tokenizer=golden / "tok_256" / "official_style_ckpt.pth",
        transformer=golden / name / "official_style_ckpt.pth",
        mean=tmp_path / "mean.npy",
        std=tmp_path / "std.npy",
        heads=4,
        out=tmp_path / "out",
    )
    pipeline = scamo.load(folder)
    with np.load(golden / name / "io.npz") as io:
        for n in range(1, 8):
            tokens = pipeline.generate(embedding=io[f"feat_{n}"][0]).tokens
            np.testing.assert_array_equal(tokens, io[f"greedy_{n}"][0])
