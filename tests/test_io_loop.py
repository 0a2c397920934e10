"""Motions for game engines: in place, and in loops without a seam."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scamo.io.loop import for_engine
from scamo.io.read import load_joints
from scamo.io.write import export
from scamo.motion import Motion, first_facing
from scamo.skeleton import bone_lengths

from .motions import ALL, bundled, walk

RECIPE = {"prompt": 'a person "walks" ünï', "seed": 3, "model": "4M", "odd": float("nan")}


def around(frames: int) -> np.ndarray:
    """A walk along a circle of 2 m, one round in 6 s."""
    straight, angle = walk(frames), np.arange(frames) * 2 * np.pi / 120
    turn = Rotation.from_euler("y", np.repeat(angle, 22)[:, None]).as_matrix().reshape(frames, 22, 3, 3)
    own = straight - straight[:, :1] * [1, 0, 1] - [2, 0, 0]
    return np.einsum("tjkl,tjl->tjk", turn, own)


def steps(joints: np.ndarray) -> np.ndarray:
    """How far a joint goes from frame to frame on average, metres [T - 1]."""
    return np.linalg.norm(np.diff(joints, axis=0), axis=-1).mean(axis=-1)


ENGINE: dict[str, Any] = {**ALL, "around": around}


@pytest.mark.parametrize("name", [*ENGINE, "bundled"])
def test_in_place_the_pelvis_only_rises_and_falls(name: str) -> None:
    joints = bundled() if name == "bundled" else ENGINE[name](50)
    stays = for_engine(joints, in_place=True)
    np.testing.assert_allclose(stays[:, 0, [0, 2]] - joints[0, 0, [0, 2]], 0, atol=1e-9)
    np.testing.assert_allclose(stays[..., 1], joints[..., 1])
    np.testing.assert_allclose(stays - stays[:, :1], joints - joints[:, :1], atol=1e-9)


@pytest.mark.parametrize("name", [*ENGINE, "bundled"])
def test_a_loop_goes_on_without_a_seam(name: str) -> None:
    joints = bundled() if name == "bundled" else ENGINE[name](70)
    usual = steps(joints).max()
    twice = np.concatenate([for_engine(joints, in_place=True, loop=True)] * 2)
    half = len(twice) // 2
    assert len(joints) // 2 <= half < len(joints)
    np.testing.assert_allclose(twice[:, 0, [0, 2]] - twice[0, 0, [0, 2]], 0, atol=1e-9)
    seam = steps(twice)[half - 1]
    assert seam <= np.median(steps(twice[:half])) * 1.5 + 0.002
    assert seam <= usual
    assert np.abs(bone_lengths(twice) - bone_lengths(joints).mean(0)).max() <= (
        np.abs(bone_lengths(joints) - bone_lengths(joints).mean(0)).max() + 1e-6
    )


@pytest.mark.parametrize("name", ["walk", "around", "bundled"])
def test_a_loop_that_walks_keeps_the_roots_velocity(name: str) -> None:
    joints = bundled() if name == "bundled" else (walk if name == "walk" else around)(70)
    cycle = for_engine(joints, loop=True)
    forward, root = first_facing(cycle), cycle[:, 0] * [1, 0, 1]
    ahead = (np.diff(root, axis=0) * forward[:-1]).sum(-1) * 20
    usual = np.diff(joints[:, 0] * [1, 0, 1], axis=0)
    speed = np.linalg.norm(usual, axis=-1) * 20
    assert speed.min() * 0.9 - 0.02 <= ahead.min()
    assert ahead.max() <= speed.max() * 1.1 + 0.02
    jumps = np.abs(np.diff(ahead))
    assert jumps.max() <= np.abs(np.diff(speed)).max() * 2 + 0.05


def test_of_a_walk_whole_strides_are_kept() -> None:
    cycle = for_engine(walk(70), loop=True)  # a stride takes 20 frames
    assert len(cycle) % 20 == 0


def test_loops_go_into_every_file_and_say_so(tmp_path: Path) -> None:
    export(Motion.from_joints(walk(60)), "npy,bvh,json", tmp_path, "round", RECIPE, in_place=True, loop=True)
    joints = np.load(tmp_path / "round_joints.npy")
    assert len(joints) == 40
    assert np.ptp(joints[:, 0, [0, 2]], axis=0).max() < 1e-5
    assert len(load_joints(tmp_path / "round.bvh")[0]) == 40
    assert len(np.load(tmp_path / "round_features.npy")) == 39
    recipe = json.loads((tmp_path / "round.json").read_text(encoding="utf-8"))
    assert (recipe["in_place"], recipe["loop"], recipe["seed"]) == (True, True, 3)


@pytest.mark.parametrize("frames", [12, 3_001])
def test_what_cannot_become_a_loop(frames: int) -> None:
    with pytest.raises(ValueError, match="loop"):
        for_engine(np.resize(walk(20), (frames, 22, 3)), loop=True)
