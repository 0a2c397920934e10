"""Read AMASS: SMPL-H or SMPL-X pose files, posed with the user's licensed body model through smplx.

    python -m training.data.readers.amass --source AMASS --model smplh/neutral/model.npz --out data/amass

A pose file is .npz with ``poses`` [T, 66 or more] (axis-angle, the root first), ``trans`` [T, 3] in metres, Z up, a
frame rate, and ``betas``. Only joints are computed, never a mesh. The body model is fetched by the user from its
authors' site and never copied anywhere. Sentences come from NAME.txt, as for BVH files.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scamo.motion import canonical_joints, resample_joints
from training.data.growing_dataset import Piece, called, prepare, read_splits
from training.data.readers.bvh import clips_of, sentences_of

CHUNK = 2048
RATES = ("mocap_framerate", "mocap_frame_rate", "fps")


class BodyModel:
    """Joints of a body in the SMPL family: what an SMPL-H, SMPL-X or SMPL .npz file says of its skeleton."""

    def __init__(self, path: Path) -> None:
        import torch

        data = _npz(path, "a body model", "v_template", "shapedirs", "J_regressor", "kintree_table")
        names = ("J_regressor", "v_template", "shapedirs")
        tensors = (torch.from_numpy(np.asarray(data[name], dtype=np.float32)) for name in names)
        self.regressor, self.template, self.directions = tensors
        parents = np.asarray(data["kintree_table"][0], dtype=np.int64)
        parents[0] = -1
        self.parents = torch.from_numpy(parents)

    def joints(self, poses: np.ndarray, translation: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """poses [T, 3 J'] axis-angle, translation [T, 3] -> float32 [T, 22, 3]; joints beyond J' stay at rest."""
        import torch
        from smplx.lbs import batch_rigid_transform, batch_rodrigues, blend_shapes, vertices2joints

        count = min(len(betas), self.directions.shape[-1])
        shape = torch.from_numpy(np.asarray(betas[None, :count], dtype=np.float32))
        rest = vertices2joints(self.regressor, self.template + blend_shapes(shape, self.directions[..., :count]))
        total = len(self.parents)
        out = []
        for start in range(0, len(poses), CHUNK):
            given = torch.from_numpy(np.asarray(poses[start : start + CHUNK, : 3 * total], dtype=np.float32))
            turns = torch.zeros(len(given), total, 3)
            turns[:, : given.shape[1] // 3] = given.reshape(len(given), -1, 3)
            matrices = batch_rodrigues(turns.reshape(-1, 3)).reshape(len(given), total, 3, 3)
            posed, _ = batch_rigid_transform(matrices, rest.expand(len(given), -1, -1), self.parents)
            out.append(posed[:, :22].numpy() + translation[start : start + CHUNK, None])
        return np.concatenate(out)


def read_joints(path: Path, model: BodyModel) -> tuple[np.ndarray, float]:
    """Joints [T, 22, 3] of a pose file, Y up, and its frame rate. ValueError says what is wrong with it."""
    data = _npz(path, "a pose file", "poses", "trans")
    rate = next((float(data[name]) for name in RATES if name in data), None)
    if rate is None:
        raise ValueError(f"it has no frame rate (none of {', '.join(RATES)}); it may be a shape, not a motion")
    poses, translation = np.asarray(data["poses"]), np.asarray(data["trans"])
    if poses.ndim != 2 or poses.shape[1] < 66 or translation.shape != (len(poses), 3):
        raise ValueError(f"poses of shape {list(poses.shape)} and trans of shape {list(translation.shape)}")
    betas = np.asarray(data.get("betas", np.zeros(10))).reshape(-1)
    x, y, z = np.moveaxis(model.joints(poses, translation, betas), -1, 0)
    return np.stack([x, z, -y], axis=-1), rate


def _npz(path: Path, what: str, *needed: str) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files if name in (*needed, *RATES, "betas")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path.name} cannot be read as {what} in .npz ({error})") from error
    missing = [name for name in needed if name not in data]
    if missing:
        raise ValueError(f"{path.name} is not {what}: it lacks {', '.join(missing)}")
    return data


@dataclass(frozen=True)
class Args:
    """Read AMASS pose files; run again to go on, or to add what is new."""

    source: Path
    """A folder; every .npz below it is read, those that hold no motion are named and skipped."""
    model: Path
    """The body model's .npz file (SMPL-H, SMPL-X or SMPL)."""
    out: Path
    """The dataset folder to write."""
    texts: Path | None = None
    """A folder with NAME.txt for each file (default: beside it)."""
    splits: Path | None = None
    """A folder with train.txt, val.txt, test.txt that name files, without suffix (default: 80 : 15 : 5 by the name)."""
    longest: int = 200
    """Longer takes are cut in equal parts of at most this many frames (0: never)."""
    shortest: int = 20
    """Frames below which a clip is left out."""
    name: str = "AMASS"
    licence: str = "see the source"
    attribution: str = ""


def main(args: Args) -> None:
    """Read every pose file below the folder."""
    files = sorted(args.source.rglob("*.npz"))
    if not files:
        raise ValueError(f"No .npz file below {args.source}.")
    model = BodyModel(args.model)

    def read(path: Path) -> Iterator[Piece]:
        joints, fps = read_joints(path, model)
        placed = canonical_joints(resample_joints(joints, fps))
        texts = sentences_of(path, args.source, args.texts)
        yield from clips_of(called(path, args.source), placed, texts, args.longest, args.shortest)

    about = {"source": args.name, "licence": args.licence, "attribution": args.attribution}
    files = [path for path in files if path.resolve() != args.model.resolve()]
    options = {"longest": args.longest, "shortest": args.shortest}
    prepare(args.out, files, args.source, read, about, options=options,
            splits=read_splits(args.splits) if args.splits else None,
            texts=lambda path: sentences_of(path, args.source, args.texts))  # fmt: skip


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
