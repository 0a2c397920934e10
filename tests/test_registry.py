"""Where models are found, what is said when they are not, and the way in for the authors' files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import scamo
from scamo import checkpoint, registry
from scamo.checkpoint import CheckpointError
from scamo.tokenizer import LEVELS, MotionTokenizer, TokenizerConfig
from scamo.transformer import SIZES, PrefixTransformer, TransformerConfig

TEXT = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))


def codec(codebook: int = 16, features: int = 263) -> MotionTokenizer:
    torch.manual_seed(codebook)
    config = TokenizerConfig(LEVELS[codebook], width=8, code_width=8, depth=1, features=features)
    return MotionTokenizer(config, np.zeros(features), np.ones(features))


def network(codebook: int = 16, size: str = "0.3M", tied: bool = False) -> PrefixTransformer:
    torch.manual_seed(codebook)
    return PrefixTransformer(TransformerConfig(int(np.prod(LEVELS[codebook])), *SIZES[size], 6, tied))


def write(folder: Path, codebook: int, *sizes: str, **card: Any) -> None:
    """Models as they are bundled: tokenizers and transformers side by side."""
    codec(codebook).save_pretrained(folder / f"tokenizer-{codebook}")
    for size in sizes:
        facts = {"name": f"{codebook}-{size}", "tokenizer": f"../tokenizer-{codebook}", **card}
        network(codebook, size).save_pretrained(folder / f"{codebook}-{size}", facts, torch.float16)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write(folder, 16, "0.3M", licence="CC BY-NC 4.0", text_encoder="minilm")
    write(folder, 64, "0.3M", "1M")
    return folder


@pytest.fixture(autouse=True)
def bundled(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Three bundled models, and nothing of the user's own."""
    folder = shutil.copytree(written, tmp_path / "bundled")
    monkeypatch.setattr(registry, "BUNDLED", folder)
    monkeypatch.delenv(registry.MODELS_VARIABLE, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # not others': sockets of an earlier test may be collected here
        yield folder


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


# Finding


def test_the_list_says_what_a_model_takes_before_loading(bundled: Path) -> None:
    cards = {card.name: card for card in scamo.models()}
    assert list(cards) == ["16-0.3M", "64-0.3M", "64-1M"]
    card = cards["16-0.3M"]
    assert (card.codebook, card.levels, card.size, card.source) == (16, (5, 3), "0.3M", "bundled")
    assert (card.licence, card.text_encoder) == ("CC BY-NC 4.0", "minilm")
    files = [*(bundled / "16-0.3M").glob("*.safetensors"), *(bundled / "tokenizer-16").glob("*.safetensors")]
    assert card.disk_bytes == sum(file.stat().st_size for file in files)
    weights = sum(parameter.numel() for model in (network(16), codec(16)) for parameter in model.parameters())
    assert card.memory_bytes == pytest.approx(4 * weights, rel=0.05)


@pytest.mark.parametrize(
    ("codebook", "size", "name"),
    [
        (16, "0.3M", "16-0.3M"),
        ("64", "1m", "64-1M"),
        (np.int64(64), None, "64-1M"),
        (None, "0.3M", "64-0.3M"),
        (None, None, "64-1M"),
    ],
)
def test_models_answer_to_codebook_and_size(codebook: Any, size: str | None, name: str) -> None:
    generator = scamo.load(codebook=codebook, size=size)
    assert generator.card.name == name
    assert len(generator.generate(embedding=TEXT, seconds=1, seed=0).motion) == 20


def test_a_card_out_of_the_list_can_be_loaded() -> None:
    card = scamo.models()[1]
    assert scamo.load(card).card == card


@pytest.mark.parametrize(("codebook", "size"), [(1024, None), (16, "1M"), (None, "3B"), ("many", None), (15, None)])
def test_an_unknown_codebook_or_size_lists_what_there_is(codebook: Any, size: str | None) -> None:
    with pytest.raises(ValueError, match=r"there are \(codebook size\): 16 0\.3M, 64 0\.3M, 64 1M"):
        scamo.load(codebook=codebook, size=size)


def test_folders_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mine", 256, "0.3M")
    write(tmp_path / "theirs", 512, "0.3M")
    assert [card.name for card in scamo.models([tmp_path / "mine"])][3:] == ["256-0.3M"]
    monkeypatch.setenv(registry.MODELS_VARIABLE, os.pathsep.join([str(tmp_path / "mine"), str(tmp_path / "theirs")]))
    assert [card.name for card in scamo.models([tmp_path / "mine"])][3:] == ["256-0.3M", "512-0.3M"]
    assert scamo.load(codebook=512).card.source == "local"
    assert scamo.load(tmp_path / "mine").card.codebook == 256
    assert scamo.load(str(tmp_path / "mine" / "256-0.3M")).card.codebook == 256


def test_a_device_that_is_not_there() -> None:
    for device in ("cuda:99", "abacus"):
        with pytest.raises(ValueError, match=f'there is no device "{device}" on this machine'):
            scamo.load(device=device)


def test_using_a_model_leaves_its_files_alone(bundled: Path) -> None:
    generator = scamo.load(codebook=16)  # float32 weights may be the mapped file itself
    for model in (generator.tokenizer, generator.transformer):
        for parameter in model.parameters():
            parameter.zero_()
    scamo.load(codebook=16)


def test_tokenizers_alone(bundled: Path) -> None:
    assert scamo.load_tokenizer(codebook=16).codebook_size == 15
    assert scamo.load_tokenizer(codebook="64").codebook_size == 64
    assert scamo.load_tokenizer().codebook_size == 64
    assert scamo.load_tokenizer(bundled / "tokenizer-16").codebook_size == 15
    assert scamo.load_tokenizer(bundled / "16-0.3M").codebook_size == 15
    with pytest.raises(ValueError, match="no bundled tokenizer for codebook 1024; there are: 16, 64"):
        scamo.load_tokenizer(codebook=1024)


def test_places_that_are_none(tmp_path: Path, bundled: Path) -> None:
    with pytest.raises(ValueError, match="there is no folder"):
        scamo.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no model in"):
        scamo.load(tmp_path / "empty")
    with pytest.raises(ValueError, match="no model in"):
        scamo.load(bundled / "tokenizer-16")
    with pytest.warns(UserWarning, match="nowhere is left out: there is no folder"):
        assert len(scamo.models([tmp_path / "nowhere"])) == 3


def test_a_damaged_file_is_named_and_not_used(bundled: Path) -> None:
    truncate(bundled / "64-1M" / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"64-1M.weights\.safetensors has"):
        scamo.load(codebook=64, size="1M")
    (bundled / "tokenizer-64" / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer-64.weights\.safetensors is missing"):
        scamo.load(codebook=64, size="0.3M")
    truncate(bundled / "64-0.3M" / "card.json")
    with pytest.warns(UserWarning, match=r"64-0\.3M is left out: .*card\.json is damaged"):
        assert [card.name for card in scamo.models()] == ["16-0.3M", "64-1M"]
    with pytest.raises(CheckpointError, match=r"card\.json is damaged"):
        scamo.load(bundled / "64-0.3M")


def test_a_tokenizer_other_than_the_trained_one_is_refused(bundled: Path) -> None:
    wanted = checkpoint.read_card(bundled / "tokenizer-16")["sha256"]
    write(bundled, 16, "0.3M", tokenizer_sha256=wanted)
    scamo.load(codebook=16)
    write(bundled, 16, "0.3M", tokenizer_sha256="0" * 64)
    with pytest.raises(CheckpointError, match="is not the tokenizer that"):
        scamo.load(bundled / "16-0.3M")


# The hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, list[str]]]:
    """A hub with owner/name, whose only commit is c0ffee; what was asked for is kept."""
    import huggingface_hub

    store, cache = tmp_path / "store", tmp_path / "snapshots" / "c0ffee"
    network(256).save_pretrained(store, {"tokenizer": "tokenizer", "licence": "MIT"})
    codec(256).save_pretrained(store / "tokenizer")
    asked: list[tuple[str, str | None, list[str]]] = []

    def snapshot_download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision, allow_patterns))
        if repository != "owner/name" or revision not in (None, "main", "c0ffee"):
            raise FileNotFoundError("404: no such repository")
        for pattern in allow_patterns:
            for path in store.glob(pattern):
                target = cache / path.relative_to(store)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    shutil.copy(path, target)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


@pytest.mark.parametrize("place", ["owner/name", "owner/name@main", "owner/name@c0ffee"])
def test_a_hub_model_is_pinned_and_checked(hub: list, tmp_path: Path, place: str) -> None:
    card = scamo.models([place])[-1]
    assert (card.source, card.location, card.licence) == ("hub", "owner/name@c0ffee", "MIT")
    assert not list((tmp_path / "snapshots").rglob("*.safetensors"))  # listing fetches cards only
    generator = scamo.load(place)
    assert hub[-1][:2] == ("owner/name", "c0ffee")
    assert generator.card.codebook == 256
    assert scamo.load_tokenizer(place).codebook_size == 240
    truncate(tmp_path / "snapshots" / "c0ffee" / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"c0ffee.weights\.safetensors has"):
        scamo.load(card)


def test_a_hub_that_has_it_not(hub: list) -> None:
    with pytest.raises(ValueError, match=r"owner/other \(revision main\) .* could not be fetched.*404"):
        scamo.load("owner/other")


# The authors' files


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
    source, codes = network(codebook, tied=tied), codec(codebook, features)
    folder = registry.convert_official(
        tokenizer=pth(tmp_path / "x.pth", "net", codes),
        transformer=pth(tmp_path / "y.pth", "trans", source, "module."),
        **statistics(tmp_path, features),
        out=tmp_path / "out",
    )
    generator = scamo.load(folder)
    assert generator.tokenizer.config == codes.config
    assert generator.transformer.config == source.config
    assert generator.card.name == f"{codebook}-0.3M"
    assert generator.card.sampling == {"temperature": 0.0}
    reference = scamo.Generator(codes, source)
    expected = reference.generate(embedding=TEXT, temperature=0)
    np.testing.assert_array_equal(generator.generate(embedding=TEXT).tokens, expected.tokens)
    np.testing.assert_array_equal(generator.tokenizer.mean, np.linspace(-1, 1, features, dtype=np.float32))
    assert not [path for path in folder.rglob("*") if path.suffix == ".pth"]


@pytest.mark.parametrize(("dtype", "each"), [(None, 4), ("float32", 4), ("bfloat16", 2), (torch.bfloat16, 2)])
def test_storage_types(tmp_path: Path, dtype: Any, each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint.write, "__defaults__", (None, 200_000))
    folder = registry.convert_official(
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
        folder = registry.convert_official(tokenizer=source, out=tmp_path / "out")
    assert scamo.load_tokenizer(folder).levels == (8, 8, 8)  # of the three lists of three, the file's name says which
    registry.convert_official(tokenizer=source, out=folder, levels=[8, 6, 5], **statistics(tmp_path))
    assert MotionTokenizer.from_pretrained(folder).levels == (8, 6, 5)


def test_what_shapes_cannot_say_is_asked_for(tmp_path: Path) -> None:
    facts: dict[str, Any] = {**statistics(tmp_path), "out": tmp_path / "out"}
    three = pth(tmp_path / "x.pth", "net", codec(256))
    with pytest.raises(ValueError, match=r"3 channels: 8 6 5 or 8 8 8\); give levels"):
        registry.convert_official(tokenizer=three, **facts)
    with pytest.raises(ValueError, match=r"do not fit: .* has 3 channels"):
        registry.convert_official(tokenizer=three, levels=[5, 3], **facts)
    torch.manual_seed(0)
    odd = pth(tmp_path / "odd.pth", "trans", PrefixTransformer(TransformerConfig(240, 3, 2, 16, 6)))
    with pytest.raises(ValueError, match="3 layers of width 16, which is no named size; give heads"):
        registry.convert_official(tokenizer=three, transformer=odd, **facts)
    with pytest.raises(ValueError, match="the transformer has 240 codes"):
        registry.convert_official(tokenizer=three, transformer=odd, heads=2, levels=[8, 8, 8], **facts)
    with pytest.raises(ValueError, match=r"give mean\.npy and std\.npy"):
        registry.convert_official(tokenizer=three, transformer=odd, heads=2, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    registry.convert_official(tokenizer=three, transformer=odd, heads=2, **facts)
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
            registry.convert_official(tokenizer=tmp_path / name, **facts)
    assert not (tmp_path / "exploded").exists()
    (tmp_path / "noise.pth").write_bytes(bytes(range(256)))
    (tmp_path / "short.pth").write_bytes(good.read_bytes()[:-100])
    for name in ("noise.pth", "short.pth"):
        with pytest.raises(ValueError, match=rf"{name} is truncated, damaged or no torch file"):
            registry.convert_official(tokenizer=tmp_path / name, **facts)
    with pytest.raises(ValueError, match="there is no file"):
        registry.convert_official(tokenizer=tmp_path / "none.pth", **facts)
    with pytest.raises(ValueError, match=r'language\.pth has no state dict under "net"'):
        registry.convert_official(tokenizer=language, **facts)
    torch.save({"net": {"codebook": torch.zeros(512, 8)}}, tmp_path / "vq.pth")
    with pytest.raises(ValueError, match=r"vq\.pth is not of the released layout: it has no vqvae\.encoder"):
        registry.convert_official(tokenizer=tmp_path / "vq.pth", **facts)
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(ValueError, match=r"text\.npy cannot be read as a \.npy array"):
        registry.convert_official(tokenizer=good, **{**facts, "mean": tmp_path / "text.npy"})
    with pytest.raises(ValueError, match=r"mean has shape \[251\]"):
        registry.convert_official(tokenizer=good, levels=[5, 3], **{**facts, **statistics(tmp_path, 251)})
    assert not (tmp_path / "out").exists()


def test_an_old_style_file_is_read(tmp_path: Path) -> None:
    tensors = {name: value for name, value in codec().state_dict().items() if name not in ("mean", "std")}
    torch.save({"net": tensors}, tmp_path / "16.pth", _use_new_zipfile_serialization=False)
    registry.convert_official(tokenizer=tmp_path / "16.pth", **statistics(tmp_path), out=tmp_path / "out")
    assert scamo.load_tokenizer(tmp_path / "out").levels == (5, 3)


@pytest.mark.parametrize("name", ["lm", "lm_tied"])
def test_official_files(shared: Path, tmp_path: Path, name: str) -> None:
    golden = shared / "golden"
    with np.load(golden / "e2e.npz") as e2e:
        np.save(tmp_path / "mean.npy", e2e["mean"])
        np.save(tmp_path / "std.npy", e2e["std"])
    folder = registry.convert_official(
        tokenizer=golden / "tok_256" / "official_style_ckpt.pth",
        transformer=golden / name / "official_style_ckpt.pth",
        mean=tmp_path / "mean.npy",
        std=tmp_path / "std.npy",
        heads=4,
        out=tmp_path / "out",
    )
    generator = scamo.load(folder)
    with np.load(golden / name / "io.npz") as io:
        for n in range(1, 8):
            tokens = generator.generate(embedding=io[f"feat_{n}"][0]).tokens
            np.testing.assert_array_equal(tokens, io[f"greedy_{n}"][0])


# The package


def test_importing_scamo_is_quick_and_names_everything() -> None:
    code = "import sys, scamo; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(scamo, name) is not None for name in scamo.__all__)
    assert dir(scamo) == scamo.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        scamo.nothing  # noqa: B018
