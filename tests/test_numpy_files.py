"""Arrays of files: damaged, hostile and lying ones are refused within bounds."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scamo.numpy_files import load_npy, load_npz


def headed(words: bytes, content: bytes = b"") -> bytes:
    """An .npy file with this header."""
    body = words + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body + content


def test_arrays_come_back(tmp_path: Path) -> None:
    for array in (
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array("a"),
        np.zeros((0, 3)),
    ):
        np.save(tmp_path / "a.npy", array)
        np.savez_compressed(tmp_path / "a.npz", x=array, y=array)
        np.testing.assert_array_equal(load_npy(tmp_path / "a.npy"), array)
        found, names = load_npz(tmp_path / "a.npz", ("x", "z"), 10_000)
        assert list(found) == ["x"] and names == ["x", "y"]
        np.testing.assert_array_equal(found["x"], array)


@pytest.mark.parametrize(
    "words",
    [
        b"{'descr': '<f4', 'fortran_order': (((",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -3), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1000000000000000000000000000000), }",
        b"{'descr': '<U500000000', 'fortran_order': False, 'shape': (), }",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
        b"{'descr': '|V0', 'fortran_order': False, 'shape': (9,), }",
        b"[" * 3000,
    ],
)
def test_headers_that_lie_or_are_none(tmp_path: Path, words: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(headed(words, bytes(24)))
    with pytest.raises(ValueError, match=r"a\.npy.*cannot be read as a numpy file"):
        load_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", headed(words, bytes(24)))
    with pytest.raises(ValueError, match="its x: "):
        load_npz(tmp_path / "a.npz", ("x",), 10_000)


def bomb(path: Path, method: int) -> Path:
    """A small archive whose table of contents says 100 bytes, where 64 MB would come out."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", bytes(64 << 20))
        start = archive.start_dir
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, start + 24, 100)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_no_more_is_unpacked_than_is_announced(tmp_path: Path, method: int) -> None:
    path = bomb(tmp_path / "bomb.npz", method)
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, zipfile.BadZipFile)):
            load_npz(path, ("x",), 10_000)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
