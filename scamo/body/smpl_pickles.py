"""Pickled body files, read without running what they ask for.

A pickle is a program. Its commands are looked through first, and then run by an unpickler that knows numbers, texts and
stand-ins for numpy's arrays, scipy's sparse matrices and chumpy's wrapper, and refuses everything else. The stand-ins
are filled with plain data, so that a hostile file reaches no C code with numbers of its choice.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

_MOST_BYTES = 2 << 30  # no body file is larger
_MOST_NUMBERS = 64_000_000  # of one array
_MOST_SHARED_TUPLES = 12  # nested, shared tuples take longer with each to be hashed: 2 ** n steps
_KIND = re.compile(r"[|<>=]?[biufSU]\d{1,3}")


def read_pickle(file: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The arrays under these keys of the dictionary in a pickle. ValueError, or nearly anything, for a damaged file."""
    size = file.stat().st_size
    if size > _MOST_BYTES:
        raise ValueError("it is larger than any body")
    with file.open("rb") as opened:
        _look_through(opened, size)
        opened.seek(0)
        data = _ArraysOnly(_Bounded(opened, size), encoding="latin1").load()
    if not isinstance(data, dict):
        raise ValueError("it holds no dictionary of arrays")
    return {key: _plain(key, data[key]) for key in keys if key in data}


class _Bounded:
    """A file that is never asked for more than it holds: a pickle may announce any length."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, count: int = -1) -> bytes:
        left = self._size - self._file.tell()
        return self._file.read(left if count < 0 else min(count, left))

    def readline(self) -> bytes:
        return self._file.readline()

    def tell(self) -> int:
        return self._file.tell()


def _look_through(file: BinaryIO, size: int) -> None:
    """ValueError for commands that take memory or time out of proportion, before any is run."""
    memo, shared, made = 0, 0, ""
    tuples: set[int] = set()
    for operation, argument, _ in pickletools.genops(cast(IO[bytes], _Bounded(file, size))):
        name = operation.name
        if name in ("DUP", "FROZENSET", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "INST", "OBJ"):
            raise ValueError(f"it holds the command {name}, which no body file needs; it may be hostile")
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            index = memo if name == "MEMOIZE" else int(argument or 0)
            if not 0 <= index <= memo + 1000:  # an unpickler reserves memory up to the index; writers count up
                raise ValueError("its memory index jumps; it is damaged, or hostile")
            memo = max(memo, index + 1)
            if "TUPLE" in made:
                tuples.add(index)
        elif name in ("GET", "BINGET", "LONG_BINGET") and int(argument or 0) in tuples:
            shared += 1
            if shared > _MOST_SHARED_TUPLES:
                raise ValueError("it nests tuples in a way that no body file needs; it may be hostile")
        made = name


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numbers, strings, lists, dicts, and the stand-ins below."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _SAFE:
            return _SAFE[module, name]
        if module.split(".")[0] == "chumpy":
            return _Wrapped
        if module.startswith("scipy.sparse") and name in ("csc_matrix", "csr_matrix", "coo_matrix"):
            return type(name, (_Sparse,), {})
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no body file needs; it may be hostile")


class _Wrapped:
    """Stands for chumpy's objects: keeps their state, of which `x` is the array."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.x: Any = None

    def __setstate__(self, state: Any) -> None:
        self.x = state.get("x") if isinstance(state, dict) else None


class _Sparse:
    """Stands for a scipy matrix until its arrays are there."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def dense(self) -> NDArray[Any]:
        from scipy import sparse

        shape = tuple(int(side) for side in self.state.get("_shape", self.state.get("shape", ())))
        if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] > 10_000_000:
            raise ValueError("its joint regressor has no sensible shape")
        kind = getattr(sparse, type(self).__name__)
        parts = ("row", "col") if kind is sparse.coo_matrix else ("indices", "indptr")
        data, first, second = (_plain("joint regressor", self.state.get(name)) for name in ("data", *parts))
        if kind is sparse.coo_matrix:
            return kind((data, (first, second)), shape=shape).toarray()
        matrix = kind((data, first, second), shape=shape)
        matrix.check_format(full_check=True)  # scipy writes where the indices say, inside the matrix or not
        return matrix.toarray()


class _Kind:
    """Stands for numpy.dtype."""

    def __init__(self, text: Any = "", *_: Any) -> None:
        self.text, self.order = (text if isinstance(text, str) else ""), "="

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        self.order = order if order in ("<", ">", "=", "|") else "="

    @property
    def dtype(self) -> np.dtype:
        """The type of numbers; ValueError for objects and other odd ones."""
        if not _KIND.fullmatch(self.text):
            raise ValueError(f"it holds an array of the odd type {self.text[:20]!r}")
        return np.dtype(self.text).newbyteorder(self.order)  # type: ignore[arg-type]


class _Array:
    """Stands for numpy.ndarray."""

    def __init__(self, *_: Any) -> None:
        self._state: Any = ()

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def array(self) -> NDArray[Any]:
        """The array, a view of the pickle's bytes. ValueError where they do not fit its shape."""
        if not isinstance(self._state, tuple) or len(self._state) != 5:
            raise ValueError("it holds an array in an odd form")
        _, shape, kind, by_columns, raw = self._state
        if not isinstance(kind, _Kind) or not isinstance(shape, tuple) or not isinstance(raw, (bytes, str)):
            raise ValueError("it holds an array in an odd form")
        count = 1
        for side in shape:
            if not isinstance(side, int) or side < 0 or count > _MOST_NUMBERS:
                raise ValueError("it holds an array of an odd shape")
            count *= side
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2 wrote texts
        if count > _MOST_NUMBERS or count * kind.dtype.itemsize != len(raw):
            raise ValueError("it holds an array whose shape does not fit its bytes")
        array = np.frombuffer(raw, dtype=kind.dtype) if count else np.zeros(0, kind.dtype)
        return array.reshape(shape[::-1]).T if by_columns is True or by_columns == 1 else array.reshape(shape)


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the text encoding {str(encoding)[:20]}")
    return text.encode("latin1")


_SAFE: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _latin1,
    ("copy_reg", "_reconstructor"): lambda kind, *_: kind(),
    ("copyreg", "_reconstructor"): lambda kind, *_: kind(),
    ("collections", "OrderedDict"): OrderedDict,
    **{(module, kind.__name__): kind for module in ("__builtin__", "builtins") for kind in (object, set)},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): lambda *_: None for core in ("core", "_core")},
}


def _plain(name: str, value: Any) -> NDArray[Any]:
    """A plain array, without chumpy's or scipy's wrapping."""
    for _ in range(4):
        if not isinstance(value, _Wrapped):
            break
        value = value.x
    if isinstance(value, _Sparse):
        return value.dense()
    if not isinstance(value, _Array):
        raise ValueError(f"its {name} is no array of numbers")
    return value.array()
