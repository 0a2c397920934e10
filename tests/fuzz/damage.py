"""Damage: what happens to files on their way, and what somebody might do to them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import pickle
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NUMBERS = [0, -1, 1, 2, 255, 256, 65535, 2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**32, 2**53, 2**63, 2**64,
           10**9, 10**12,
           10**30, 10**400, 0.5, -0.5, 1e-9, 0.01, 9.9, 1e30, -1e30, 1e308, 1e-308]  # fmt: skip
ODD: list[Any] = [*NUMBERS, None, True, False, "", "x", "1", "\0", "\ud800", "../../x", "<b>x</b>", "a" * 300, "\n\n",
                  "é",
                  [], {}, [[]], [None], {"a": 1}, [1, 2, 3], ["a"], float("nan"), float("inf"),
                  -float("inf")]  # fmt: skip
WORDS = [b"nan", b"inf", b"-inf", b"1e400", b"0x10", b"1_0", b"1,5", b"--1", b"9" * 400, b"{", b"}", b"\0", b"ROOT",
         b"JOINT",
         b"End Site", b"MOTION", b"CHANNELS", b"OFFSET", b"HIERARCHY", b"Frames:", b"Frame Time:", b"Xposition",
         b"(((", b"'|O'", b"'<U1'", b"'c16'", b"\xff\xfe", b"\xef\xbb\xbf", b" " * 3000, b"\n" * 3000,
         b"[" * 3000]  # fmt: skip
DTYPES = [
    "?",
    "c16",
    "U3",
    "S5",
    "M8[s]",
    "m8[s]",
    "f2",
    "f4",
    "f8",
    ">f4",
    ">f8",
    "i1",
    "u1",
    "i4",
    "i8",
    "u8",
    "V8",
    "f16",
]


PLANTED = "planted-pickle"  # the name of the file that a planted pickle would make


class _Plant:
    """Opens a file for writing where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (PLANTED, "w")


def planted(raw: bytes, suffix: str, chance: random.Random) -> bytes:
    """A pickle that runs code where it is loaded: in an array, in an archive, among a body's data, or for the file."""
    out = io.BytesIO()
    if suffix == ".npy":
        np.save(out, np.array([_Plant()], dtype=object), allow_pickle=True)
    elif suffix == ".npz":
        with np.load(io.BytesIO(raw)) as archive:
            members = {name: archive[name] for name in archive.files}
        members[chance.choice(list(members))] = np.array([_Plant()], dtype=object)
        np.savez(out, **members)
    else:
        thing: Any = _Plant()
        if suffix == ".pkl" and chance.random() < 0.7:
            data = pickle.loads(raw)
            thing = data | {chance.choice([*data, "more"]): chance.choice([thing, [thing], {"a": thing}])}
        out.write(pickle.dumps(thing, protocol=chance.randrange(6)))
    return out.getvalue()


def holds_plant(path: Path) -> bool:
    """Whether a planted pickle is in a file, or in one of a folder's."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return any(PLANTED.encode() in file.read_bytes() for file in files)


def damaged_bytes(raw: bytes, chance: random.Random, other: bytes = b"") -> bytes:
    """One to four changes of a file's bytes."""
    data = bytearray(raw)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        at = chance.randrange(len(data) + 1)
        if chance.random() < 0.5:
            at = min(at, chance.randrange(512))  # heads matter most
        length = chance.choice([1, 1, 2, 4, 8, 64, 1000])
        kind = chance.randrange(10)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at : at + length] = bytes(length)
        elif kind == 3:
            data[at:at] = chance.randbytes(length)
        elif kind == 4:
            data[at:at] = data[at : at + length] * chance.choice([1, 3, 50])
        elif kind == 5:
            data[at : at + length] = chance.randbytes(length)
        elif kind == 6:
            word = chance.choice(WORDS)
            data[at : at + chance.choice([0, len(word)])] = word
        elif kind == 7:
            kind_of = chance.choice(["<H", ">H", "<I", ">I", "<Q"])
            size = struct.calcsize(kind_of)
            data[at : at + size] = struct.pack(kind_of, abs(int(chance.choice(NUMBERS[:18]))) % (1 << 8 * size))
        elif kind == 8 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif other:
            start = chance.randrange(len(other))
            data[at : at + length] = other[start : start + length]
    return bytes(data)


def damaged_text(raw: bytes, chance: random.Random) -> bytes:
    """A number, a word or a line of a text is another."""
    for _ in range(chance.choice([1, 1, 2, 5])):
        kind = chance.randrange(4)
        places = list(
            re.finditer(rb"-?\d[\d.e-]*" if kind < 2 else rb"[^\s]+" if kind == 2 else rb"[^\n]*\n", raw[:4000])
        )
        tail = raw[-3000:] if kind < 2 and chance.random() < 0.3 else b""
        if tail:
            places = list(re.finditer(rb"-?\d[\d.e-]*", tail))
        if not places:
            return raw
        found = chance.choice(places)
        start, end = (place + (len(raw) - len(tail) if tail else 0) for place in found.span())
        new = repr(chance.choice(NUMBERS)).encode() if kind < 2 else chance.choice([b"", *WORDS])
        if kind == 3:
            new = chance.choice([b"", found[0] * chance.choice([2, 200])])
        raw = raw[:start] + new + raw[end:]
    return raw


def damaged_value(value: Any, chance: random.Random) -> Any:
    """A JSON value with another value somewhere in it."""
    spot = chance.random()
    if isinstance(value, (dict, list)) and value and spot > 0.08:
        copy = value.copy()
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        kind = chance.random()
        if kind < 0.06:
            del copy[key]
        elif kind < 0.1:
            copy[key] = [copy[key]] * chance.choice([1, 2, 1000])
        else:
            copy[key] = damaged_value(copy[key], chance)
        return copy
    return chance.choice(ODD)


def as_json(value: Any) -> bytes:
    """JSON of any value, halves of characters included."""
    return json.dumps(value).encode()


def damaged_glb(raw: bytes, chance: random.Random) -> bytes:
    """Another value in the JSON of a .glb file, which stays whole otherwise."""
    length = struct.unpack_from("<I", raw, 12)[0]
    text = as_json(damaged_value(json.loads(raw[20 : 20 + length]), chance))
    text += b" " * (-len(text) % 4)
    rest = raw[20 + length :]
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest


def damaged_npy(raw: bytes, chance: random.Random) -> bytes:
    """An array of another type, shape or size, or a header that does not say what follows."""
    try:
        array = np.load(io.BytesIO(raw), allow_pickle=False)
    except Exception:
        return damaged_bytes(raw, chance)
    kind = chance.randrange(5)
    with np.errstate(all="ignore"):
        if kind == 0 and array.dtype.kind in "fiu":
            array = array.astype(chance.choice(DTYPES))
        elif kind == 1 and array.dtype.kind == "f" and array.size:
            array = array.copy()
            array.flat[chance.randrange(array.size)] = chance.choice([np.nan, np.inf, 1e30, -1e30, 1e308, 1e5, 0])
        elif kind == 2 and array.dtype.kind in "fiu":
            array = array * chance.choice([0, 1e-30, -1, 1e3, 1e6, 1e30])
        elif kind == 3:
            array = chance.choice([array[:0], array[:1], array[None], array.ravel(), array.T, array.reshape(-1)[:1],
                                   np.array(chance.choice(["", "text", 1.5, 2**62, True]))])  # fmt: skip
        else:
            shape = [chance.choice([*array.shape, *NUMBERS[:15]]) for _ in range(chance.choice([0, 1, 2, 3, 3, 5]))]
            words = repr({"descr": chance.choice(["<f4", *DTYPES, "|O", "V0", "<U99999999"]),
                          "fortran_order": chance.choice([False, True, 3]), "shape": tuple(shape)})  # fmt: skip
            body = words.encode()[: chance.choice([10**6, 40])] + b" \n"
            return (
                b"\x93NUMPY"
                + bytes([chance.choice([1, 1, 2, 3, 9]), 0])
                + struct.pack("<H", len(body))
                + body
                + raw[128:]
            )
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def damaged_pth(raw: bytes, chance: random.Random) -> bytes:
    """A torch file with a tensor that is missing, or of another shape, kind or value, or with something else in it."""
    import torch

    content = torch.load(io.BytesIO(raw), weights_only=True)
    tensors = next(iter(content.values()))
    name, kind = chance.choice(list(tensors)), chance.randrange(5)
    tensor = tensors[name]
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[name] = chance.choice([tensor[:0], tensor[None], tensor.flatten(), tensor[..., :1]])
    elif kind == 2:
        tensors[name] = tensor.to(chance.choice([torch.bool, torch.int64, torch.float64, torch.complex64]))
    elif kind == 3:
        tensors[name] = torch.full_like(tensor, chance.choice([float("nan"), float("inf"), 1e30, 0.0]))
    else:
        tensors[name] = chance.choice([None, 1, "x", [], {}, [tensor]])
    out = io.BytesIO()
    torch.save(chance.choice([content, content, tensors, [content]]), out)
    return out.getvalue()


def damaged_npz(raw: bytes, chance: random.Random) -> bytes:
    """An archive with a damaged, missing, doubled or renamed member, whole otherwise."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = [(part.filename, archive.read(part)) for part in archive.infolist()]
    at, kind = chance.randrange(len(members)), chance.randrange(8)
    name, content = members[at]
    if kind == 0:
        del members[at]
    elif kind == 1:
        members[at] = (
            chance.choice([b"fps.npy", b"joints.npy", b"poses.npy", b"../x.npy", b"up_axis.npy"]).decode(),
            content,
        )
    elif kind == 2:
        members.append((name, members[chance.randrange(len(members))][1]))
    elif kind == 3:
        members[at] = name, damaged_bytes(content, chance)
    else:
        members[at] = name, damaged_npy(content, chance)
    method = chance.choice(
        [zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    )
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            if name not in archive.namelist():
                archive.writestr(name, content)
    whole = bytearray(out.getvalue())
    if chance.random() < 0.15:  # sizes in the table of contents that are not true
        for found in list(re.finditer(rb"PK\x01\x02", whole)):
            struct.pack_into("<I", whole, found.start() + chance.choice([20, 24]), int(chance.choice([0, 50, 2**31])))
    return bytes(whole)


def damaged_png(raw: bytes, chance: random.Random) -> bytes:
    """A damaged chunk with a checksum that is right."""
    out, at = raw[:8], 8
    chosen = chance.randrange(4)
    for number in range(10):
        if at + 8 > len(raw):
            break
        length, kind = struct.unpack_from(">I4s", raw, at)
        content = raw[at + 8 : at + 8 + length]
        if number == chosen:
            content = damaged_text(content, chance) if kind == b"iTXt" else damaged_bytes(content, chance)
        out += struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))
        at += 12 + length
    return out


def damaged_card(raw: bytes, chance: random.Random) -> bytes:
    """A model's card with another value, and a hash that is right."""
    body = damaged_value({key: value for key, value in json.loads(raw).items() if key != "sha256"}, chance)
    if not isinstance(body, dict):
        return as_json(body)
    try:
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        whole = {**body, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        return (json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except ValueError:
        return as_json(body)


def _damaged_gltf(raw: bytes, chance: random.Random) -> bytes:
    document = json.loads(raw)
    if chance.random() < 0.2:
        binary = base64.b64decode(document["buffers"][0]["uri"].split(",")[1])
        uri = "data:x;base64," + base64.b64encode(damaged_bytes(binary, chance)).decode()
        document["buffers"][0]["uri"] = uri
        return as_json(document)
    return as_json(damaged_value(document, chance))


_BY_SUFFIX: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".bvh": damaged_text, ".npy": damaged_npy, ".npz": damaged_npz, ".glb": damaged_glb, ".gltf": _damaged_gltf,
    ".png": damaged_png, ".pth": damaged_pth, ".jsonl": damaged_text,
    ".json": lambda raw, chance: as_json(damaged_value(json.loads(raw), chance)),
}  # fmt: skip


def damage_file(path: Path, chance: random.Random, other: bytes = b"") -> None:
    """Damage a file in place: as its format allows, or its bytes whatever they mean."""
    raw = path.read_bytes()
    if chance.random() < 0.03:
        path.write_bytes(planted(raw, path.suffix.lower(), chance))
        return
    change = damaged_card if path.name == "card.json" else _BY_SUFFIX.get(path.suffix.lower())
    if change is not None and chance.random() < 0.65:
        raw = change(raw, chance)
    elif path.suffix == ".jsonl" and chance.random() < 0.8:
        raw = b"\n".join(as_json(damaged_value(json.loads(line), chance)) for line in raw.splitlines()) + b"\n"
    else:
        raw = damaged_bytes(raw, chance, other)
    path.write_bytes(raw)


def damage(path: Path, chance: random.Random, other: bytes = b"") -> None:
    """Damage a file, or one of the files in a folder, which may also be missing."""
    if path.is_file():
        damage_file(path, chance, other)
        return
    files = sorted(file for file in path.rglob("*") if file.is_file())
    chosen = chance.choice([*files, *(file for file in files if file.suffix in (".json", ".jsonl"))] * 2)
    if chance.random() < 0.03:
        chosen.unlink()
    else:
        damage_file(chosen, chance, other)
