"""Body files of the SMPL family: found, read safely, checked.

Pickles are read by an unpickler that knows numpy arrays, scipy matrices and chumpy's wrapper and refuses everything
else, so a hostile file cannot run anything.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scamo.skeleton import PARENTS

Array = NDArray[np.floating]

VARIABLE = "SCAMO_BODY_MODEL"
GENDERS = ("neutral", "female", "male")
WHERE = (
    "SMPL's files come after registration from https://smpl.is.tue.mpg.de (SMPL-X: https://smpl-x.is.tue.mpg.de); "
    'the body "mannequin" needs none'
)
KINDS = {24: "SMPL", 52: "SMPL-H", 55: "SMPL-X"}
KEYS = ("v_template", "f", "weights", "J_regressor", "kintree_table", "shapedirs", "posedirs")
_HANDS = ("hands_meanl", "hands_meanr")
_TYPES: dict[str, Any] = {"f": np.int64, "kintree_table": np.int64, "posedirs": np.float32}
_MOST_BYTES = 2 << 30  # no body file unpacks to more


def find_file(path: Path, gender: str | None) -> Path:
    """The file itself, or the file of this gender (default neutral) in a folder; ValueError if there is none."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise ValueError(f'There is no body file "{path}". {WHERE}.')
    wanted = gender or "neutral"
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".npz", ".pkl") and p.is_file())
    fitting = [p for p in files if gender_of(p) == wanted] or (files if gender is None and len(files) == 1 else [])
    if not fitting:
        raise ValueError(f'No {wanted} body (.npz or .pkl) is in "{path}"; it has {len(files)} such files. {WHERE}.')
    return fitting[0]


def given_file(path: str | os.PathLike[str] | None = None) -> Path | None:
    """The file that a user gave here or as SCAMO_BODY_MODEL, itself or its folder; None where none is given.

    ValueError if it is not there.
    """
    given = path or os.environ.get(VARIABLE)
    return find_file(Path(given), None) if given else None


def gender_of(file: Path) -> str | None:
    """The gender that a file name says: SMPL_FEMALE.pkl, basicModel_f_lbs_10_207_0_v1.0.0.pkl, neutral/model.npz."""
    words = f"{file.parent.name}_{file.stem}".lower().replace("-", "_").split("_")
    for gender in GENDERS:
        if gender in words or ("lbs" in words and gender[0] in words):
            return gender
    return None


def read_arrays(file: Path) -> dict[str, Any]:
    """The arrays of a body file; nothing else in it is read. ValueError names the file and what is wrong with it."""
    try:
        with file.open("rb") as opened:
            start = opened.read(4)
        if start[:2] == b"PK":
            return _read_npz(file)
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError("it is larger than any body")
        with file.open("rb") as opened:
            data = _ArraysOnly(opened, encoding="latin1").load()
        if not isinstance(data, dict):
            raise ValueError("it holds no dictionary of arrays")
        return {str(key): _plain(value) for key, value in data.items() if str(key) in (*KEYS, *_HANDS)}
    except (ValueError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ValueError(f'"{file}" cannot be read as a body: {str(error).rstrip(".")}. {WHERE}.') from error
    except Exception as error:  # odd bytes make an unpickler raise anything: EOFError, AttributeError, IndexError ...
        raise ValueError(f'"{file}" cannot be read as a body: it is damaged ({error}). {WHERE}.') from error


def _read_npz(file: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
    if sum(size for key, size in sizes.items() if key in KEYS) > _MOST_BYTES:
        raise ValueError("it would unpack to more than any body needs")
    data = {}
    with np.load(file, allow_pickle=False) as archive:
        for key in (*KEYS, *_HANDS):
            try:
                if key in archive.files:
                    data[key] = archive[key]
            except ValueError as error:  # object arrays are pickles; they are refused
                raise ValueError(f"its {key} holds objects instead of numbers, or is cut off") from error
    return data


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numbers, strings, lists, dicts, numpy arrays, scipy's sparse matrices and chumpy's wrapped arrays."""

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

    def dense(self) -> Array:
        from scipy import sparse

        kind = getattr(sparse, type(self).__name__)
        shape = tuple(int(n) for n in self.state.get("_shape", self.state.get("shape", ())))
        if len(shape) != 2 or not 0 < shape[0] * shape[1] < 10_000_000:
            raise ValueError("its joint regressor has no sensible shape")
        if kind is sparse.coo_matrix:
            return kind((self.state["data"], (self.state["row"], self.state["col"])), shape=shape).toarray()
        return kind((self.state["data"], self.state["indices"], self.state["indptr"]), shape=shape).toarray()


class _ArrayMark:
    """Stands for numpy.ndarray in a pickle; it cannot be called to reserve memory."""


def _empty_array(*_: Any) -> NDArray[Any]:
    """numpy's own first step of unpickling an array, whatever size the pickle asks for."""
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the text encoding {encoding}")
    return text.encode("latin1")


def _scalar(kind: np.dtype, raw: Any = b"") -> Any:
    if kind.hasobject or kind.itemsize > 64:
        raise pickle.UnpicklingError("it holds a scalar of an odd type")
    return np.frombuffer(raw if isinstance(raw, bytes) else str(raw).encode("latin1"), dtype=kind)[0]


_SAFE: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ArrayMark,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    ("copy_reg", "_reconstructor"): lambda kind, *_: kind(),
    ("copyreg", "_reconstructor"): lambda kind, *_: kind(),
    ("collections", "OrderedDict"): OrderedDict,
    **{(module, kind.__name__): kind for module in ("__builtin__", "builtins") for kind in (object, set)},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}


def _plain(value: Any) -> Any:
    """A plain array, without chumpy's or scipy's wrapping."""
    for _ in range(4):
        if not isinstance(value, _Wrapped):
            break
        value = value.x
    return value.dense() if isinstance(value, _Sparse) else np.asarray(value)


def checked_arrays(data: dict[str, Any], file: Path) -> dict[str, Any]:
    """The arrays in their types, with all shapes checked; ValueError says which is wrong."""

    def fail(what: str) -> ValueError:
        return ValueError(f'"{file}" is not an SMPL, SMPL-H or SMPL-X body: {what}. {WHERE}.')

    missing = [key for key in KEYS if key not in data]
    if missing:
        raise fail(f"it lacks {', '.join(missing)}")
    out: dict[str, Any] = {}
    for key in KEYS:
        array = data[key]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise fail(f"{key} is no array of numbers")
        out[key] = array.astype(_TYPES.get(key, np.float64))
        if not np.isfinite(out[key]).all():
            raise fail(f"{key} holds NaN or infinity")
    if out["weights"].ndim != 2 or out["weights"].shape[1] not in KINDS:
        raise fail(f"its weights have shape {out['weights'].shape}")
    count, bones = out["weights"].shape
    shapes = {
        "v_template": (count, 3), "J_regressor": (bones, count), "kintree_table": (2, bones),
        "posedirs": (count, 3, 9 * (bones - 1)), "f": (len(out["f"]), 3),
        "shapedirs": (count, 3, out["shapedirs"].shape[-1] if out["shapedirs"].ndim else 0),
    }  # fmt: skip
    for key, shape in shapes.items():
        if out[key].shape != shape:
            raise fail(f"{key} has shape {out[key].shape} instead of {shape}")
    if out["f"].min() < 0 or out["f"].max() >= count or count < 6890:
        raise fail("its triangles and vertices do not fit together")
    parents = out["kintree_table"][0]
    if tuple(parents[1:22]) != PARENTS[1:] or (parents[1:] >= np.arange(1, bones)).any() or (parents[1:] < 0).any():
        raise fail("its joints form another tree")
    hands = [data[key] for key in _HANDS if key in data]
    if len(hands) == 2 and bones > 24 and all(np.shape(hand) in ((45,), (15, 3)) for hand in hands):
        out["hands"] = np.concatenate([np.asarray(hand, dtype=np.float64).reshape(15, 3) for hand in hands])
    return out
