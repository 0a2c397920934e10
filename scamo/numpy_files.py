"""Arrays of .npy and .npz files, read within bounds.

No pickle is ever loaded, and memory follows what a file holds, never what it announces.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

MAX_NUMBERS = 64_000_000  # of an array that is read
MAX_BYTES = 512 << 20  # of an .npy file
_LONGEST = 300  # letters of a reason
_PICKLE = (
    "it holds a pickle, which may run any code and is never loaded. If it is MDM's results.npy and you trust where it "
    'comes from, convert it: python -c "import numpy as n; '
    "n.save('motion.npy', n.load('results.npy', allow_pickle=True).item()['motion'][0])\""
)


def reason_of(error: BaseException) -> str:
    """What a parser says of a damaged file, a short line; the kind of its error where it says nothing.

    A parser may repeat any part of the file.
    """
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]} ..."


def load_npy(path: Path) -> NDArray[Any]:
    """The array of an .npy file. ValueError for a pickle, and for a file that is damaged or shorter than it says."""
    try:
        with path.open("rb") as file:
            start = file.read(256)
            if start[:1] == b"\x80" or b"'|O'" in start:
                raise ValueError(_PICKLE)
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB; cut it first")
            file.seek(0)
            return _array(file.read())
    except Exception as error:  # numpy parses the header as Python, which fails in many ways
        raise ValueError(f'"{path}" cannot be read as a numpy file: {reason_of(error)}') from error


def load_npz(path: Path, keys: Collection[str], most: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Arrays of an .npz file by name, those of `keys` that it has, and all its names.

    most: bytes that these may unpack to; never more is unpacked, whatever the file announces. ValueError for more, and
    for pickles among the keys.
    """
    import zipfile

    found = {}
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename.removesuffix(".npy"): part for part in archive.infolist()}
        wanted = {key: parts[key] for key in keys if key in parts}
        if sum(part.file_size for part in wanted.values()) > most:
            raise ValueError(f"it unpacks to more than {most >> 20} MiB; cut it first")
        for key, part in wanted.items():
            if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("it is packed in a way that numpy does not write; save it again with np.savez")
            with archive.open(part) as member:  # a read without a number would unpack all, whatever is announced
                raw = member.read(part.file_size)
            try:
                found[key] = _array(raw)
            except Exception as error:  # numpy parses the header as Python, which fails in many ways
                raise ValueError(f"its {key}: {reason_of(error)}") from error
    return found, list(parts)


def _array(raw: bytes) -> NDArray[Any]:
    """The array of an .npy file's bytes; a view of them."""
    file = io.BytesIO(raw)
    version = npy_format.read_magic(file)
    read_header: Callable[..., Any] = (
        npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    )
    shape, by_columns, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError(_PICKLE)
    count = 1
    for side in shape:
        count *= int(side)
    if min(shape, default=0) < 0 or count > MAX_NUMBERS or count * dtype.itemsize > len(raw) - file.tell():
        raise ValueError(f"it announces an array {list(shape)} and is too short for it, or the array is too large")
    array = np.frombuffer(raw, dtype=dtype, count=count, offset=file.tell()) if count else np.zeros(0, dtype)
    return array.reshape(shape[::-1]).T if by_columns else array.reshape(shape)
