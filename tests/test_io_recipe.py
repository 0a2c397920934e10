"""Recipes: what goes into a file comes back, and damaged or foreign files are refused in one sentence."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scamo.io.recipe import Recipe, read_recipe
from scamo.options import GenerationOptions, Prompt
from tests.tiny import WALK, small_pipeline


def recipes() -> list[Recipe]:
    strong = small_pipeline(sampling={"guidance": 4.0, "temperature": 0.5})
    return [
        strong.generate(WALK, seconds=1, seed=3).recipe,
        strong.generate(WALK, seconds=1, seed=3, guidance=1, top_k=4, top_p=0.9).recipe,
        strong.generate(WALK, seed=3, max_tokens=7).recipe,
        strong.timeline([Prompt(WALK, 1.0), Prompt("run", 2.0)], seed=3, context=0.8).recipe,
    ]


@pytest.mark.parametrize("number", range(4))
def test_a_recipe_comes_back_as_it_was(number: int, tmp_path: Path) -> None:
    recipe = recipes()[number]
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.to_dict()), encoding="utf-8")
    again = read_recipe(path)
    assert again == recipe
    assert again.file_stem == recipe.file_stem


def test_a_recipe_without_guidance_was_made_without() -> None:
    facts = recipes()[1].to_dict()
    del facts["guidance"]
    assert Recipe.from_dict(facts).options.guidance == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "does not name its model"),
        ({"codebook": "256"}, "does not name its model"),
        ({"codebook": True}, "does not name its model"),
        ({"model_sha256": 5}, "does not name its model"),
        ({"tokens": []}, "holds no motion"),
        ({"tokens": [2**70]}, "no whole numbers"),
        ({"tokens": [1.0]}, "no whole numbers"),
        ({"seed": 2**4001}, "seed is too large"),
        ({"temperature": "warm"}, "temperature warm"),
        ({"timeline": [{"prompt": "a"}, {"prompt": "b"}]}, "has no length"),
        ({"timeline": [3]}, "cannot be read"),
        ({"prompt": 3}, "the prompt is empty"),
    ],
)
def test_recipes_are_checked_when_read(change: dict[str, Any], message: str) -> None:
    facts = recipes()[0].to_dict() | change
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict(facts)


def glb(tree: bytes) -> bytes:
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(tree), len(tree), b"JSON") + tree


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("deep.json", b"[" * 200_000),
        ("list.json", b"[1, 2]"),
        ("binary.json", bytes(range(256))),
        ("list.glb", glb(b"[1]")),
        ("text.glb", glb(b'{"asset": "x"}')),
        ("deep.glb", glb(b"[" * 200_000)),
        ("short.glb", b"glTF"),
        ("empty.npz", b""),
        ("noise.npz", b"PK" + bytes(200)),
        ("noise.mp4", bytes(300)),
        ("noise.gif", b"GIF89a" + bytes(20)),
    ],
)
def test_damaged_files_are_refused_by_name(name: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=name):
        read_recipe(path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "walk.npz"
    np.savez_compressed(path, recipe=np.array(json.dumps(recipes()[0].to_dict())))
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("recipe.npy")
        start = info.header_offset + 30 + len(info.filename)
    data = bytearray(path.read_bytes())
    data[start + 5 : start + 25] = bytes(20)
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"walk\.npz"):
        read_recipe(path)


def test_options_of_a_recipe_generate_it_again() -> None:
    strong = small_pipeline(sampling={"guidance": 4.0, "temperature": 0.5})
    for guidance in (None, 1.0):
        made = strong.generate(WALK, GenerationOptions(seconds=1, seed=3, guidance=guidance))
        again = Recipe.from_dict(json.loads(json.dumps(made.recipe.to_dict())))
        np.testing.assert_array_equal(strong.generate(WALK, again.options).tokens, made.tokens)


@pytest.mark.parametrize(
    "change",
    [{"codebook": -1}, {"codebook": 10**40}, {"model": "a" * 10_000}, {"size": "\ud800"}, {"model_sha256": "\ud800"}],
)
def test_names_that_no_file_can_hold(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="does not name its model"):
        Recipe.from_dict(recipes()[0].to_dict() | change)


def test_headers_that_numpy_parses_as_python(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': (((\n"
    with zipfile.ZipFile(tmp_path / "walk.npz", "w") as archive:
        archive.writestr("recipe.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(ValueError, match=r"walk\.npz"):
        read_recipe(tmp_path / "walk.npz")


def test_pictures_that_announce_gigapixels(tmp_path: Path) -> None:
    wide = struct.pack(">II", 60_000, 60_000)
    contents = {
        "a.png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + wide + b"\x08\x02\0\0\0" + bytes(4),
        "a.gif": b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + bytes(20),
        "a.webp": b"RIFF"
        + struct.pack("<I", 22)
        + b"WEBPVP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + b"\xff\xff\xff" * 2,
        "b.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read_recipe(tmp_path / name)
