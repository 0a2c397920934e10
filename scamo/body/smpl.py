"""Bodies in SMPL's layout, posed by smplx: the user's licensed SMPL, SMPL-H or SMPL-X file, or the mannequin.

A licensed file is read, never copied, bundled or served. Pickles are read by an unpickler that knows numpy arrays,
scipy matrices and chumpy's wrapper and refuses everything else, so a hostile file can run nothing.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scamo.skeleton import PARENTS, REST_OFFSETS, checked_joints, forward_kinematics, joint_rotations

if TYPE_CHECKING:
    import smplx

Array = NDArray[np.floating]

MANNEQUIN = "mannequin"
GENDERS = ("neutral", "female", "male")
WHERE = (
    "SMPL's files come after registration from https://smpl.is.tue.mpg.de (SMPL-X: https://smpl-x.is.tue.mpg.de); "
    'the body "mannequin" needs none'
)
_KINDS = {24: "SMPL", 52: "SMPL-H", 55: "SMPL-X"}
_KEYS = ("v_template", "f", "weights", "J_regressor", "kintree_table", "shapedirs", "posedirs")
_TYPES: dict[str, Any] = {"f": np.int64, "kintree_table": np.int64, "posedirs": np.float32}
_MOST_BYTES = 2 << 30  # no body file unpacks to more
_LEGS, _KNEES_AND_HIPS = [4, 7, 5, 8], [1, 4, 2, 5]
_CHUNK = 64  # frames posed at once; smplx takes about half a megabyte for each


class Pose(NamedTuple):
    """What a body does: rotations [T, 22, 4] local wxyz, root [T, 3], the pelvis's place in metres."""

    rotations: Array
    root: Array


@dataclass(frozen=True, eq=False)
class Body:
    """A body of one shape. Made by `load_body`.

    template: [V, 3] its vertices at rest, faces: [F, 3], weights: [V, J] its skin, joints: [J, 3] at rest, parents:
    [J]; betas: the shape, as long as the file has directions for; hands: [J, 3] rotation vectors of the fingers' mean
    pose, zero elsewhere. kind: "mannequin", "SMPL", "SMPL-H" or "SMPL-X".
    """

    kind: str
    gender: str
    betas: Array
    template: Array
    faces: NDArray[np.int64]
    weights: Array
    joints: Array
    parents: tuple[int, ...]
    hands: Array
    model: smplx.SMPL

    @property
    def offsets(self) -> Array:
        """Rest skeleton [22, 3] for `forward_kinematics` and `joint_rotations`, metres."""
        parents = list(PARENTS[1:])
        return np.concatenate([np.zeros((1, 3)), self.joints[1:22] - self.joints[parents]])

    @property
    def sole(self) -> float:
        """Metres from the lower toe joint down to the lowest vertex, at rest: how far feet reach below joints."""
        return float(self.joints[[10, 11], 1].min() - self.template[:, 1].min())

    def fit(self, joints: Array) -> Pose:
        """The pose of a recording [T, 22, 3] on this body: every bone's direction, the path scaled to its legs."""
        joints = checked_joints(joints)
        rotations = joint_rotations(joints, self.offsets)
        own, usual = (np.linalg.norm(offsets[_LEGS], axis=-1).sum() for offsets in (self.offsets, REST_OFFSETS))
        leg = float(np.median(np.linalg.norm(joints[:, _LEGS] - joints[:, _KNEES_AND_HIPS], axis=-1).sum(axis=-1)))
        if abs(leg / usual - 1) < 0.05:
            leg = usual  # our skeleton, whose bones a network stretches a little: that must not bend its path
        return Pose(rotations, joints[:, 0] * (own / max(leg, 1e-6)))

    def posed_joints(self, pose: Pose) -> Array:
        """The 22 joints of a pose, [T, 22, 3]; the same as smplx gives, without vertices."""
        return forward_kinematics(pose.rotations, pose.root, self.offsets)

    def parameters(self, pose: Pose) -> tuple[Array, Array]:
        """A pose in SMPL's own terms: (rotation vectors [T, 3 J], translation [T, 3])."""
        vectors = np.tile(self.hands, (len(pose.root), 1, 1))
        wxyz = pose.rotations.reshape(-1, 4)
        vectors[:, :22] = Rotation.from_quat(wxyz[:, [1, 2, 3, 0]]).as_rotvec().reshape(-1, 22, 3)
        return vectors.reshape(len(vectors), -1), pose.root - self.joints[0]

    def vertices(self, pose: Pose) -> Iterator[NDArray[np.float32]]:
        """The skin of a pose through smplx, in pieces: float32 [at most 64, V, 3] each, metres."""
        import torch

        vectors, moves = self.parameters(pose)
        betas = torch.as_tensor(self.betas[None], dtype=torch.float32)
        for start in range(0, len(vectors), _CHUNK):
            turn = torch.as_tensor(vectors[start : start + _CHUNK], dtype=torch.float32)
            move = torch.as_tensor(moves[start : start + _CHUNK], dtype=torch.float32)
            with torch.inference_mode():
                out = self.model(
                    betas=betas.expand(len(turn), -1), global_orient=turn[:, :3], body_pose=turn[:, 3:], transl=move
                )
            yield out.vertices.numpy()


def load_body(
    path: str | os.PathLike[str] | None = None, *, gender: str | None = None, betas: Array | None = None
) -> Body:
    """The mannequin (no path, or "mannequin"), or the body in a licensed file or in a folder of such files.

    gender: "neutral", "female" or "male", which of a folder's files to take, as their names say. betas: shape
    parameters, at most as many as the file has (the mannequin: size, girth). ValueError names what is wrong with the
    file, and where such files come from.
    """
    if gender is not None and gender not in GENDERS:
        raise ValueError(f'There is no "{gender}" body; choose one of {", ".join(GENDERS)}.')
    if path is None or str(path) == MANNEQUIN:
        from scamo.body.mannequin import mannequin

        return _build(mannequin(), MANNEQUIN, "neutral", betas)
    file = _find(Path(path), gender)
    data = _checked(_read(file), file)
    return _build(data, _KINDS[data["weights"].shape[1]], _gender_of(file) or gender or "neutral", betas)


def _build(data: dict[str, Any], kind: str, gender: str, betas: Array | None) -> Body:
    import smplx

    most = min(10 if kind != MANNEQUIN else 2, data["shapedirs"].shape[-1])
    shape = np.zeros(most)
    if betas is not None:
        wanted = np.asarray(betas, dtype=np.float64).ravel()
        if len(wanted) > most or not np.isfinite(wanted).all():
            raise ValueError(f"This body takes at most {most} finite shape parameters; {len(wanted)} were given.")
        shape[: len(wanted)] = wanted

    class Model(smplx.SMPL):
        """smplx.SMPL, which poses every file of the family; told the shape count, it prints no warning."""

        SHAPE_SPACE_DIM = most

    struct = smplx.utils.Struct(**{key: data[key] for key in _KEYS})
    fixed = {f"create_{name}": False for name in ("betas", "global_orient", "body_pose", "transl")}
    model = Model("", data_struct=struct, num_betas=most, **fixed).eval()
    template = data["v_template"] + data["shapedirs"][..., :most] @ shape
    count = data["weights"].shape[1]
    hands = np.zeros((count, 3))
    if data.get("hands") is not None:
        hands[-30:] = data["hands"]
    return Body(
        kind=kind,
        gender=gender,
        betas=shape,
        template=template,
        faces=data["f"],
        weights=data["weights"],
        joints=data["J_regressor"] @ template,
        parents=(-1, *(int(p) for p in data["kintree_table"][0, 1:])),
        hands=hands,
        model=model,
    )


# --- reading files that strangers may have made -------------------------------------------------------------------


def _find(path: Path, gender: str | None) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise ValueError(f'There is no body file "{path}". {WHERE}.')
    wanted = gender or "neutral"
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".npz", ".pkl") and p.is_file())
    fitting = [p for p in files if _gender_of(p) == wanted] or (files if gender is None and len(files) == 1 else [])
    if not fitting:
        raise ValueError(f'No {wanted} body (.npz or .pkl) is in "{path}"; it has {len(files)} such files. {WHERE}.')
    return fitting[0]


def _gender_of(file: Path) -> str | None:
    """From names such as SMPL_FEMALE.pkl, basicModel_f_lbs_10_207_0_v1.0.0.pkl, neutral/model.npz."""
    words = f"{file.parent.name}_{file.stem}".lower().replace("-", "_").split("_")
    for gender in GENDERS:
        if gender in words or ("lbs" in words and gender[0] in words):
            return gender
    return None


def _read(file: Path) -> dict[str, Any]:
    """The arrays of a body file, whatever else it holds left unread."""
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
        return {str(key): _plain(value) for key, value in data.items() if str(key) in (*_KEYS, *_HANDS)}
    except (ValueError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ValueError(f'"{file}" cannot be read as a body: {str(error).rstrip(".")}. {WHERE}.') from error
    except Exception as error:  # an unpickler on odd bytes raises anything: EOFError, AttributeError, IndexError ...
        raise ValueError(f'"{file}" cannot be read as a body: it is damaged ({error}). {WHERE}.') from error


_HANDS = ("hands_meanl", "hands_meanr")


def _read_npz(file: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
    if sum(size for key, size in sizes.items() if key in _KEYS) > _MOST_BYTES:
        raise ValueError("it would unpack to more than any body needs")
    data = {}
    with np.load(file, allow_pickle=False) as archive:
        for key in (*_KEYS, *_HANDS):
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
    """What numpy.ndarray is called by in a pickle; it cannot be called to reserve memory."""


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
    """An array, out of chumpy's or scipy's clothes."""
    for _ in range(4):
        if not isinstance(value, _Wrapped):
            break
        value = value.x
    return value.dense() if isinstance(value, _Sparse) else np.asarray(value)


def _checked(data: dict[str, Any], file: Path) -> dict[str, Any]:
    """The arrays with their types and shapes made sure of."""

    def fail(what: str) -> ValueError:
        return ValueError(f'"{file}" is not an SMPL, SMPL-H or SMPL-X body: {what}. {WHERE}.')

    missing = [key for key in _KEYS if key not in data]
    if missing:
        raise fail(f"it lacks {', '.join(missing)}")
    out: dict[str, Any] = {}
    for key in _KEYS:
        array = data[key]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise fail(f"{key} is no array of numbers")
        out[key] = array.astype(_TYPES.get(key, np.float64))
        if not np.isfinite(out[key]).all():
            raise fail(f"{key} holds NaN or infinity")
    if out["weights"].ndim != 2 or out["weights"].shape[1] not in _KINDS:
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
        raise fail("its joints hang together in another way")
    hands = [data[key] for key in _HANDS if key in data]
    if len(hands) == 2 and bones > 24 and all(np.shape(hand) in ((45,), (15, 3)) for hand in hands):
        out["hands"] = np.concatenate([np.asarray(hand, dtype=np.float64).reshape(15, 3) for hand in hands])
    return out
