"""Checkpoint folders: whole or not there, and no byte changes unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scamo import checkpoint
from scamo.checkpoint import CheckpointError

CARD = {"kind": "tokenizer", "name": "näme", "metrics": {"mpjpe": 31.25}}


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"a.weight": torch.randn(6, 5, generator=generator), "a.bias": torch.randn(6, generator=generator)}


def test_reads_what_was_written(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path / "deep" / "model", tensors(), CARD)
    card = checkpoint.read_card(folder)
    assert {key: card[key] for key in CARD} == CARD
    assert list(card["files"]) == ["weights.safetensors"]
    back = checkpoint.read_tensors(folder)
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors().items())
    assert [path.name for path in folder.parent.iterdir()] == ["model"]  # nothing temporary stays


def test_copies_are_made_piece_by_piece_in_any_type_and_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {**tensors(), "one": torch.tensor(3.0), "none": torch.zeros(0, 4)}
    folder = checkpoint.write(tmp_path / "m", whole, CARD)
    monkeypatch.setattr(checkpoint, "_PIECE_BYTES", 24)
    half = dict(checkpoint.each_tensor(folder, place=lambda name, stored: torch.empty(stored.shape).half()))
    assert all(torch.equal(half[name], tensor.half()) for name, tensor in whole.items())
    columns = torch.empty(5, 6).t()
    found = dict(checkpoint.each_tensor(folder, place=lambda name, _: columns if name == "a.weight" else None))
    assert found["a.weight"] is columns
    assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())


def test_matrices_are_stored_in_half_and_vectors_are_not(tmp_path: Path) -> None:
    back = checkpoint.read_tensors(checkpoint.write(tmp_path / "m", tensors(), CARD, torch.float16))
    assert back["a.weight"].dtype == torch.float16
    assert torch.equal(back["a.bias"], tensors()["a.bias"])


def test_shards_hold_everything_once(tmp_path: Path) -> None:
    many = {f"w{i}": torch.full((10,), float(i)) for i in range(7)}
    folder = checkpoint.write(tmp_path / "m", many, CARD, max_shard_bytes=100)
    assert len(checkpoint.read_card(folder)["files"]) == 4  # two of 40 bytes fit in each
    back = checkpoint.read_tensors(folder)
    assert all(torch.equal(back[name], tensor) for name, tensor in many.items())
    (folder / "weights-00003-of-00004.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"weights-00003-of-00004\.safetensors is missing"):
        checkpoint.read_tensors(folder)


def test_a_changed_byte_anywhere_is_found(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path / "m", tensors(), CARD, torch.float16)
    for path in folder.iterdir():
        whole = path.read_bytes()
        for position in range(len(whole)):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            with pytest.raises(CheckpointError, match=path.name):
                checkpoint.read_tensors(folder)
        path.write_bytes(whole)
    checkpoint.read_tensors(folder)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path / "m", tensors(), CARD)
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors has [\d,]+ bytes instead of"):
        checkpoint.read_tensors(folder)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        checkpoint.read_tensors(folder, verify=False)


def test_an_edited_card_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path / "m", tensors(), CARD)
    path = folder / checkpoint.CARD
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # what git makes of it on Windows is no damage
    assert checkpoint.read_card(folder)["name"] == "näme"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "name": "better"}, indent=2))
    with pytest.raises(CheckpointError, match="was edited"):
        checkpoint.read_card(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        checkpoint.read_card(folder)


def test_a_card_never_points_outside_its_folder(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path / "m", tensors(), CARD)
    (folder / "weights.safetensors").rename(tmp_path / "weights.safetensors")
    path = folder / checkpoint.CARD
    card = json.loads(path.read_bytes())
    card["files"] = {"../weights.safetensors": card["files"]["weights.safetensors"]}
    path.write_bytes(checkpoint._card_text(card))
    with pytest.raises(CheckpointError, match="is missing"):
        checkpoint.read_tensors(folder)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path / "m", tensors(), CARD)
    with pytest.raises(CheckpointError, match=r"a\.weight holds values that are not finite as torch\.float16"):
        checkpoint.write(folder, {"a.weight": torch.full((2, 2), 1e6)}, CARD, torch.float16)
    assert torch.equal(checkpoint.read_tensors(folder)["a.weight"], tensors()["a.weight"])
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_failed_move_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint.write(tmp_path / "m", tensors(), CARD)
    move = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError("disk gone")
        return move(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="disk gone"):
        checkpoint.write(folder, {"other": torch.zeros(3)}, CARD)
    assert checkpoint.read_tensors(folder).keys() == tensors().keys()


def test_an_old_checkpoint_is_replaced_whole(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path / "m", {f"w{i}": torch.zeros(10) for i in range(7)}, CARD, max_shard_bytes=100)
    checkpoint.write(folder, tensors(), CARD)
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "weights.safetensors"]


def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"holds 'thesis\.tex'"):
        checkpoint.write(tmp_path, tensors(), CARD)
    with pytest.raises(CheckpointError, match="is a file"):
        checkpoint.write(tmp_path / "thesis.tex", tensors(), CARD)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path / "m", tensors(), CARD)
    with pytest.raises(CheckpointError, match="holds a tokenizer; give the folder of a transformer"):
        checkpoint.read_checked(folder, "transformer")
