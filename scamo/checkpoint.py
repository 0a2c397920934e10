"""A checkpoint is a folder: `card.json` beside one or more safetensors files.

The card lists every file with its size and sha256, and carries a hash of its own text, so a byte that changed anywhere
is found before a weight is used. Folders are written beside their place and renamed, so none is ever seen half-written.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from scamo.atomic import ForeignFilesError, replacing_folder
from scamo.numpy_files import reason_of

CARD = "card.json"
MAX_SHARD_BYTES = 1 << 29
_PIECE_BYTES = 1 << 22
_MAX_CARD_BYTES = 1 << 24


Described = TypeVar("Described")


class CheckpointError(ValueError):
    """A checkpoint is missing, incomplete, damaged or of the wrong kind; the message names the file."""


def write(
    folder: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    card: Mapping[str, Any],
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> Path:
    """Write a checkpoint folder, replacing an older checkpoint there, and return its path.

    `tensors` may be memory-mapped: they are copied shard by shard, so the extra memory is one shard.
    `dtype` is the storage type of matrices and kernels; vectors (biases, norm scales, statistics) are few and keep
    their precision. No two tensors may share memory. `card` gets the keys "files" and "sha256".
    Raises CheckpointError where `folder` holds anything but a checkpoint, or a weight is not finite in its new type.
    """
    with replacing(folder) as staging:
        files: dict[str, dict[str, Any]] = {}
        shards = _shards(tensors, dtype, max_shard_bytes)
        for number, names in enumerate(shards, 1):
            suffix = f"-{number:05d}-of-{len(shards):05d}" if len(shards) > 1 else ""
            path = staging / f"weights{suffix}.safetensors"
            save_file({name: _stored(name, tensors[name], dtype) for name in names}, path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        body = {key: value for key, value in card.items() if key not in ("files", "sha256")}
        (staging / CARD).write_bytes(_card_text({**body, "files": files}))
    return Path(folder)


def read_card(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The card of a checkpoint folder, checked against its own hash. Reads no weights."""
    path = Path(folder) / CARD
    try:
        is_card = path.stat().st_size <= _MAX_CARD_BYTES and path.is_file()  # a pipe would be waited for
        raw = path.read_bytes() if is_card else b""
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        hint = f"; did you mean {Path(folder) / 'model'}?" if (Path(folder) / "model" / CARD).exists() else ""
        raise CheckpointError(
            f"no checkpoint in {folder}: {path} cannot be read ({getattr(error, 'strerror', error)}){hint}"
        ) from error
    damaged = CheckpointError(f"{path} is damaged or was edited; get the checkpoint again from its source")
    try:
        card = json.loads(raw)
        # Comparing the text, not only the hash, also catches a changed byte that means nothing to JSON.
        intact = isinstance(card, dict) and _card_text(card) == raw.replace(b"\r\n", b"\n")
    except (ValueError, RecursionError) as error:
        raise damaged from error
    if not intact:
        raise damaged
    return card


def fingerprint(folder: str | os.PathLike[str]) -> str:
    """The same for checkpoints that compute the same: a hash of weights and shape, not of when and where it was made.

    CheckpointError where the folder holds none.
    """
    card = read_card(folder)
    facts = {key: card.get(key) for key in ("kind", "config", "files")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_tensors(folder: str | os.PathLike[str], verify: bool = True) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder, as `each_tensor` gives them."""
    return dict(each_tensor(folder, verify))


def each_tensor(
    folder: str | os.PathLike[str],
    verify: bool = True,
    place: Callable[[str, Tensor], Tensor | None] = lambda name, stored: None,
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a checkpoint folder one by one: memory-mapped, or copied to where `place` says.

    `place(name, stored)` is given a tensor as it is in the file, mapped and not yet read; it returns an empty one of
    any type, layout and device to be filled with it, or None to have the mapped one. A copy is made piece by piece, and
    the file's pages are let go with each, so it takes hardly more memory than itself.
    With `verify` every file is first read through once against the card's size and sha256, and every tensor is checked
    to be finite. Raises CheckpointError naming the first file that is missing, truncated or changed, or the tensor.
    """
    for name, facts in listed_files(read_card(folder), folder).items():
        path = Path(folder) / Path(name).name  # a card never points outside its folder
        if verify:
            _check(path, **facts)
        try:
            if not path.is_file():  # without `verify` a folder or a pipe would be opened
                raise FileNotFoundError("it is missing")
            with safe_open(path, "pt") as file:
                keys = list(file.keys())
            for key in keys:
                with safe_open(path, "pt") as file:
                    stored = file.get_tensor(key)
                target = place(key, stored)
                if target is not None:
                    _fill(target, path, key)
                found = stored if target is None else target
                if verify and not _is_finite(found):
                    raise CheckpointError(f"{path}: {key} holds NaN or infinite values; get the checkpoint again")
                yield key, found
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as safetensors ({reason_of(error)}); get it again") from error


def _fill(target: Tensor, path: Path, key: str) -> None:
    step = max(1, _PIECE_BYTES * len(target) // max(1, target.nbytes)) if target.ndim else 1
    for first in range(0, len(target) if target.ndim else 1, step):
        part = slice(first, first + step) if target.ndim else ...
        with safe_open(path, "pt") as file:  # a mapping of its own, which goes when the piece is copied
            target[part].copy_(file.get_slice(key)[part])


def read_checked(folder: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """The card, refused unless it describes a checkpoint of `kind` ("tokenizer" or "transformer")."""
    card = read_card(folder)
    if card.get("kind") != kind:
        raise CheckpointError(f"{folder} holds a {card.get('kind', 'thing of no kind')}; give the folder of a {kind}")
    listed_files(card, folder)
    return card


def listed_files(card: Mapping[str, Any], folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """The files of a card, each with its "bytes" and "sha256". Raises CheckpointError where it does not list them."""
    files = card.get("files")
    for facts in files.values() if isinstance(files, dict) else [None]:
        size, sha256 = (facts.get("bytes"), facts.get("sha256")) if isinstance(facts, dict) else (None, None)
        if type(size) is not int or not 0 <= size < 1 << 50 or not isinstance(sha256, str):
            raise CheckpointError(
                f"{Path(folder) / CARD} does not say which files belong to it; get the checkpoint again"
            )
    return {name: {"bytes": facts["bytes"], "sha256": facts["sha256"]} for name, facts in files.items()}  # type: ignore[union-attr]


def described(folder: str | os.PathLike[str], read: Callable[[dict[str, Any]], Described], kind: str) -> Described:
    """What `read` makes of the card of a checkpoint of `kind`.

    Raises CheckpointError naming the card where it does not hold what `read` looks for: a card may hold anything.
    """
    card = read_checked(folder, kind)
    try:
        return read(card)
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = str(error) if isinstance(error, ValueError) else "a field is missing or of another type"
        raise CheckpointError(f"{Path(folder) / CARD} does not describe a {kind} ({reason}); make it again") from error


def check_fit(folder: str | os.PathLike[str], tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError naming a tensor that is missing, too many, or of another shape or kind than `wanted`."""
    where = f"the weights in {folder} do not fit its card"
    for name in sorted({*tensors, *wanted}):
        if name not in tensors:
            raise CheckpointError(f"{where}: {name} is missing; get the checkpoint again")
        if name not in wanted:
            raise CheckpointError(f"{where}: {name} is no part of this network; get the checkpoint again")
        own, other = tensors[name], wanted[name]
        if own.shape != other.shape or own.is_floating_point() != other.is_floating_point():
            raise CheckpointError(
                f"{where}: {name} is {list(own.shape)} of {own.dtype} instead of {list(other.shape)}; "
                "get the checkpoint again"
            )


@contextmanager
def replacing(folder: str | os.PathLike[str], expected: Collection[str] = ()) -> Iterator[Path]:
    """A new folder beside `folder` to fill; it takes that place on a clean exit and vanishes on an exception.

    An older checkpoint there is removed. Raises CheckpointError where the folder holds anything but a card, safetensors
    files and the `expected` names.
    """
    try:
        with replacing_folder(folder, (CARD, *expected), (".safetensors",)) as staging:
            yield staging
    except ForeignFilesError as error:
        raise CheckpointError(f"{error} A checkpoint needs a folder of its own.") from error


def _shards(tensors: Mapping[str, Tensor], dtype: torch.dtype | None, max_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = []
    room = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        width = dtype.itemsize if dtype and _is_cast(tensor) else tensor.element_size()
        size = tensor.numel() * width
        if size > room or not shards:
            shards.append([])
            room = max_bytes
        shards[-1].append(name)
        room -= size
    return shards


def _is_cast(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.ndim >= 2


def _stored(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu()
    if dtype and _is_cast(tensor):
        tensor = tensor.to(dtype)
    if not _is_finite(tensor):
        raise CheckpointError(f"{name} holds values that are not finite as {tensor.dtype}, so it is not saved")
    return tensor.contiguous()


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # NaN comes through, and nothing is needed that is as large as the tensor: no mask, no copy in another type.
    return all(math.isfinite(value.item()) for value in tensor.aminmax())


def _check(path: Path, bytes: int, sha256: str) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; get the checkpoint again from its source")
    size = path.stat().st_size
    if size != bytes:
        raise CheckpointError(f"{path} has {size:,} bytes instead of {bytes:,} (truncated?); get it again")
    if _sha256(path) != sha256:
        raise CheckpointError(f"{path} is damaged (its sha256 differs from the card's); get it again")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _card_text(card: Mapping[str, Any]) -> bytes:
    body = {key: value for key, value in card.items() if key != "sha256"}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    whole = {**body, "sha256": hashlib.sha256(canonical.encode()).hexdigest()}
    return (json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
