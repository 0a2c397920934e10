"""Whole files of every kind, small, from which the search starts. Everything is made by code."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from scamo.io.bvh import write_bvh
from scamo.io.gltf import write_glb
from scamo.io.smpl_npz import write_npz
from scamo.motion import Motion
from scamo.options import GenerationOptions, Prompt
from scamo.render.video import write_image, write_video
from tests.motions import walk
from tests.rigs import write_bvh as write_rig
from tests.test_body_smpl import fake
from tests.test_convert import pth as write_pth
from tests.test_convert import statistics
from tests.test_io_gltf_read import rigged
from tests.tiny import codec, write_models

FRAMES = 12


def recipe() -> dict[str, Any]:
    """A recipe as files hold it."""
    from scamo.io.recipe import Recipe

    options = GenerationOptions(seed=3, temperature=1.0, guidance=1.0)
    prompts = (Prompt("a person walks", 1.0), Prompt("a person runs", 2.0))
    return Recipe("256-0.3M", 256, "0.3M", prompts, tuple(range(15)), options, "0" * 64).to_dict()


def motions(folder: Path) -> list[Path]:
    """Motion files of every format."""
    joints = walk(FRAMES)
    features = Motion.from_joints(walk(FRAMES + 1)).features
    arrays = {"features": features, "joints": joints, "double": joints.astype(np.float64),
              "flat": joints.reshape(-1, 66),
              "mdm": joints.transpose(1, 2, 0), "columns": np.asfortranarray(joints),
              "kit": features[:, :251], "coco": joints[:, :17]}  # fmt: skip
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    poses = {"poses": np.zeros((FRAMES, 66)), "trans": np.zeros((FRAMES, 3)), "mocap_framerate": np.array(20.0)}
    np.savez(folder / "amass.npz", **poses, betas=np.zeros(10))
    np.savez_compressed(folder / "kimodo.npz", posed_joints=joints, fps=np.array([30]))
    parts = {"global_orient": np.zeros((FRAMES, 1, 3)), "body_pose": np.zeros((FRAMES, 21, 3)),
             "transl": np.zeros((FRAMES, 3))}  # fmt: skip
    np.savez(folder / "smplx.npz", **parts)
    document = rigged(joints, "mixamo")
    return [
        *(folder / f"{name}.npy" for name in arrays),
        *(folder / f"{name}.npz" for name in ("amass", "kimodo", "smplx")),
        write_npz(joints, folder / "ours.npz", recipe=recipe()), write_bvh(joints, folder / "ours.bvh"),
        write_rig(folder / "cmu.bvh", joints, "cmu"), write_rig(folder / "mixamo.bvh", joints, "mixamo"),
        write_glb(joints, folder / "ours.glb", recipe=recipe()), document.glb(folder / "rig.glb"),
        rigged(joints, "unreal", kind="CUBICSPLINE").gltf(folder / "rig.gltf"),
    ]  # fmt: skip


def recipes(folder: Path) -> list[Path]:
    """Files of every kind that holds a recipe."""
    facts, frames = recipe(), [np.full((16, 16, 3), shade, dtype=np.uint8) for shade in (0, 99, 200)]
    (folder / "recipe.json").write_text(json.dumps(facts), encoding="utf-8")
    videos = [
        write_video(frames, folder / f"recipe{kind}", metadata=facts) for kind in (".mp4", ".webm", ".gif", ".webp")
    ]
    return [
        folder / "recipe.json", write_image(frames[0], folder / "recipe.png", metadata=facts),
        write_glb(walk(3), folder / "recipe.glb", recipe=facts),
        write_npz(walk(3), folder / "recipe.npz", recipe=facts),
        *videos,
    ]  # fmt: skip


def bodies(folder: Path) -> list[Path]:
    """SMPL files with few vertices, which are refused after everything else in them was checked."""
    from scipy import sparse

    few = 60
    data = fake()
    data |= {key: data[key][:few] for key in ("v_template", "weights", "shapedirs", "posedirs")}
    data |= {"J_regressor": data["J_regressor"][:, :few], "f": np.zeros((4, 3), dtype=np.uint32)}
    np.savez(folder / "SMPL_NEUTRAL.npz", **data)
    data["J_regressor"] = sparse.csc_matrix(data["J_regressor"])
    paths = [folder / "SMPL_NEUTRAL.npz"]
    for protocol in (0, 2, 4):
        paths.append(folder / f"SMPL_MALE_{protocol}.pkl")
        paths[-1].write_bytes(pickle.dumps(data, protocol=protocol))
    return paths


def datasets(folder: Path) -> list[Path]:
    """A dataset folder."""
    from training.data.dataset import DatasetWriter

    features = Motion.from_joints(walk(FRAMES + 1)).features
    with DatasetWriter(folder / "data", {"source": "made up", "licence": "CC0-1.0"}) as writer:
        for split in ("train", "test"):
            writer.add(f"{split}-1", features, split, ["a person walks"], style="plain")
    return [folder / "data"]


def models(folder: Path) -> list[Path]:
    """A folder with a model and its tokenizer."""
    write_models(folder / "models", (256,), ("0.3M",))
    return [folder / "models"]


def official(folder: Path) -> list[Path]:
    """A folder with a tokenizer as the authors publish theirs, a .pth file, and its statistics."""
    inside = folder / "official"
    inside.mkdir(exist_ok=True)
    write_pth(inside / "16.pth", "net", codec(16))
    statistics(inside)
    return [inside]


def copied(source: Path, target: Path) -> Path:
    """A copy of a file or folder, in the place of an older one."""
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        return Path(shutil.copytree(source, target))
    target.write_bytes(source.read_bytes())
    return target
