"""Where models are found, and what is said when they are not."""

from __future__ import annotations

import hashlib
import os
import re
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
from safetensors.torch import save_file

import scamo
from scamo import checkpoint, registry
from scamo.checkpoint import CheckpointError
from tests.tiny import TEXT, codec, network


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
    pipeline = scamo.load(codebook=codebook, size=size)
    assert pipeline.card.name == name
    assert len(pipeline.generate(embedding=TEXT, seconds=1, seed=0).motion) == 20


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
    pipeline = scamo.load(codebook=16)  # float32 weights may be the mapped file itself
    for model in (pipeline.tokenizer, pipeline.transformer):
        for parameter in model.parameters():
            parameter.zero_()
    scamo.load(codebook=16)


def test_tokenizers_alone(bundled: Path) -> None:
    assert scamo.load_tokenizer(codebook=16).codebook_size == 15
    assert scamo.load_tokenizer(codebook="64").codebook_size == 64
    assert scamo.load_tokenizer().codebook_size == 64
    assert scamo.load_tokenizer(bundled / "tokenizer-16").codebook_size == 15
    assert scamo.load_tokenizer(bundled / "16-0.3M").codebook_size == 15
    for place in ("tokenizer-16", "16-0.3M"):
        assert scamo.load_tokenizer(bundled / place, codebook=16).codebook_size == 15
        with pytest.raises(ValueError, match="has a codebook of 16, not 4096"):
            scamo.load_tokenizer(bundled / place, codebook=4096)
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


def test_a_text_encoder_beside_a_model_is_found_and_checked(bundled: Path) -> None:
    facts = {"kind": "text_encoder", "config": {"base": "minilm", "rank": 1}}
    sha256 = checkpoint.read_card(checkpoint.write(bundled / "text-encoder", {"a": torch.zeros(1, 2)}, facts))["sha256"]
    write(bundled, 16, "0.3M", text_encoder="../text-encoder", text_encoder_sha256=sha256)
    assert scamo.load(codebook=16).card.text_encoder == str((bundled / "text-encoder").resolve())
    checkpoint.write(bundled / "text-encoder", {"a": torch.ones(1, 2)}, facts)
    with pytest.raises(CheckpointError, match="is not the text encoder that"):
        scamo.load(bundled / "16-0.3M")
    shutil.rmtree(bundled / "text-encoder")
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        scamo.load(bundled / "16-0.3M")
    for odd in (7, "a\0b"):
        edit_card(bundled / "16-0.3M", text_encoder=odd)
        with pytest.raises(CheckpointError, match="does not describe a transformer"):
            scamo.load(bundled / "16-0.3M")


# Odd folders


def edit_card(folder: Path, **fields: Any) -> None:
    """Another card that is whole by its own hash. A dotted name is a field within a field; Ellipsis removes one."""
    card = checkpoint.read_card(folder)
    for name, value in fields.items():
        *within, last = name.split("__")
        place = card
        for key in within:
            place = place[key]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    (folder / "card.json").write_bytes(checkpoint._card_text(card))


@pytest.mark.parametrize("value", [None, ..., "many", 2.5, -1, 0, True, 10**30, [1], {"a": 1}])
@pytest.mark.parametrize(
    ("folder", "field"),
    [
        ("64-1M", "config"), ("64-1M", "config__layers"), ("64-1M", "config__width"), ("64-1M", "files"),
        ("64-1M", "config__codebook_size"), ("tokenizer-64", "config"), ("tokenizer-64", "config__levels"),
        ("tokenizer-64", "files"),
    ],
)  # fmt: skip
def test_a_model_with_an_odd_card_is_left_out_and_named(bundled: Path, folder: str, field: str, value: Any) -> None:
    edit_card(bundled / folder, **{field: value})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = [card.name for card in scamo.models()]
        registry.tokenizers()
    assert any(re.search(rf"64.* is left out: .*{folder}.*card\.json", str(one.message)) for one in said)
    assert found == ["16-0.3M", *(["64-0.3M"] if folder == "64-1M" else [])]
    with pytest.raises(CheckpointError, match=r"card\.json"):
        scamo.load(bundled / "64-1M")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 7), ("licence", ["MIT"]), ("knows", {}), ("text_encoder", 1.5), ("tokenizer", 3), ("metrics", [1]),
        ("sampling", "hot"), ("sampling", {"temperature": "hot"}), ("sampling", {"top_k": -4}), ("config__tied", "no"),
        ("config__extra", 1), ("config__codebook_size", 65), ("files", {"weights.safetensors": {"bytes": "many"}}),
        ("tokenizer", "../nowhere"), ("tokenizer", "a\0b"), ("kind", ["transformer"]),
    ],
)  # fmt: skip
def test_fields_of_another_type_leave_a_model_out(bundled: Path, field: str, value: Any) -> None:
    edit_card(bundled / "64-1M", **{field: value})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert [card.name for card in scamo.models()] == ["16-0.3M", "64-0.3M"]
        registry.tokenizers()
    assert any("64-1M is left out" in str(one.message) for one in said)
    with pytest.raises(ValueError, match=r"64-1M|nowhere"):
        scamo.load(bundled / "64-1M")


def test_a_card_that_is_no_file_is_left_out(bundled: Path) -> None:
    for name in ("folder", "pipe", "big"):
        (bundled / name).mkdir()
    (bundled / "folder" / "card.json").mkdir()
    (bundled / "big" / "card.json").write_bytes(b" " * (1 << 24) + b"{}")
    if hasattr(os, "mkfifo"):
        os.mkfifo(bundled / "pipe" / "card.json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(scamo.models()) == 3
        assert not registry.tokenizers()


@pytest.mark.parametrize("folder", ["64-1M", "tokenizer-64"])
def test_tensors_that_do_not_fit_are_named(bundled: Path, folder: str) -> None:
    place = bundled / folder
    card, tensors = checkpoint.read_card(place), checkpoint.read_tensors(place)
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2 or folder.startswith("token"))
    others = {
        "is missing": {key: tensor for key, tensor in tensors.items() if key != name},
        "is no part": {**tensors, "stranger": torch.zeros(3)},
        "instead of": {**tensors, name: tensors[name][:1].clone()},
        "int8": {**tensors, name: tensors[name].to(torch.int8)},
    }
    for said, changed in others.items():
        checkpoint.write(place, changed, card)
        with pytest.raises(CheckpointError, match=rf"{folder}.*({name}|stranger).*{said}"):
            (scamo.load_tokenizer if folder.startswith("token") else scamo.load)(place)
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, place / "weights.safetensors")
    facts = {"bytes": (place / "weights.safetensors").stat().st_size}
    facts["sha256"] = hashlib.sha256((place / "weights.safetensors").read_bytes()).hexdigest()
    edit_card(place, files={"weights.safetensors": facts})
    with pytest.raises(CheckpointError, match=rf"{folder}.*{name} holds NaN"):
        (scamo.load_tokenizer if folder.startswith("token") else scamo.load)(place)


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
    pipeline = scamo.load(place)
    assert hub[-1][:2] == ("owner/name", "c0ffee")
    assert pipeline.card.codebook == 256
    assert scamo.load_tokenizer(place).codebook_size == 240
    truncate(tmp_path / "snapshots" / "c0ffee" / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"c0ffee.weights\.safetensors has"):
        scamo.load(card)


def test_a_hub_that_has_it_not(hub: list) -> None:
    with pytest.raises(ValueError, match=r"owner/other \(revision main\) .* could not be fetched.*404"):
        scamo.load("owner/other")


# The package


def test_importing_scamo_is_quick_and_names_everything() -> None:
    code = "import sys, scamo; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(scamo, name) is not None for name in scamo.__all__)
    assert dir(scamo) == scamo.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        scamo.nothing  # noqa: B018


def test_no_name_and_another_codebook_are_refused(bundled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundled / "16-0.3M")
    for find in (scamo.load, scamo.load_tokenizer):
        with pytest.raises(ValueError, match="there is no folder"):
            find("")
    with pytest.raises(ValueError, match="there is no model with codebook 64"):
        scamo.load(scamo.models()[0], codebook=64)
