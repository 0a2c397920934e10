"""Body files of the SMPL family: found, read safely, checked.

No file can run anything: see `scamo.body.smpl_pickles`. Memory follows what a file holds, never what it announces.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scamo.body.smpl_pickles import read_pickle
from scamo.numpy_files import load_npz, reason_of
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
            return load_npz(file, (*KEYS, *_HANDS), _MOST_BYTES)[0]
        return read_pickle(file, (*KEYS, *_HANDS))
    except (ValueError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ValueError(f'"{file}" cannot be read as a body: {reason_of(error).rstrip(".")}. {WHERE}.') from error
    except Exception as error:  # odd bytes make an unpickler raise anything: EOFError, AttributeError, IndexError ...
        raise ValueError(f'"{file}" cannot be read as a body: it is damaged ({reason_of(error)}). {WHERE}.') from error


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
        if not array.ndim or not array.size:
            raise fail(f"{key} is empty or a single number")
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
