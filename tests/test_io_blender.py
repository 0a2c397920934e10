"""Files in Blender: its bones stand where ours do, and never change their length."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from scamo.io.animation import Animation, exact_poses, for_rig, rigid_poses
from scamo.io.bvh import write_bvh
from scamo.io.export_rigs import EXPORT_RIGS
from scamo.io.fbx import write_fbx
from scamo.io.figure import Figure, bound_at_rest, build_figure
from scamo.io.gltf import write_glb

from .motions import MOTIONS, stretchy, walk

FRAMES = (0, 17, 39)
BLENDER = """
import builtins, json, sys
plain = builtins.open  # Debian's Blender 3.4 is older than its Python, which lost mode "rU", and its numpy, which lost
builtins.open = lambda file, mode="r", *rest, **more: plain(file, mode.replace("U", ""), *rest, **more)  # np.bool
try:
    import numpy
    numpy.bool = bool
except ImportError:
    sys.exit("Blender reads glTF with numpy: apt-get install python3-numpy")
import bpy
*files, out = sys.argv[sys.argv.index("--") + 1:]
found = []
for path in files:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if path.endswith(".bvh"):
        bpy.ops.import_anim.bvh(filepath=path, global_scale=0.01 if "-cm" in path else 1.0)
        first, step = 1, 1.0
    elif path.endswith(".fbx"):
        bpy.ops.import_scene.fbx(filepath=path)
        first, step = 1, bpy.context.scene.render.fps / 20
    else:
        bpy.ops.import_scene.gltf(filepath=path)
        first, step = 0, bpy.context.scene.render.fps / 20
    rig = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE")
    skin = next((thing for thing in bpy.data.objects if thing.type == "MESH" and thing.vertex_groups), None)
    frames = []
    for frame in (0, 17, 39):
        when = first + frame * step
        bpy.context.scene.frame_set(int(when), subframe=when - int(when))
        low = None
        if skin:
            seen = skin.evaluated_get(bpy.context.evaluated_depsgraph_get())
            low = min((seen.matrix_world @ vertex.co).z for vertex in seen.data.vertices)
        heads = {bone.name: list(rig.matrix_world @ bone.head) for bone in rig.pose.bones}
        frames.append({"heads": heads, "low": low})
    rest = {bone.name: list(rig.matrix_world @ bone.head_local) for bone in rig.data.bones}
    found.append({"frames": frames, "rest": rest})
json.dump(found, plain(out, "w"))
"""


class Case(NamedTuple):
    """A file, and the animation that it holds."""

    path: Path
    animation: Animation
    rest: np.ndarray  # [J, 3] metres, where bones are while nothing moves


OWN = EXPORT_RIGS["humanml3d"]


def of_bones(path: Path, animation: Animation) -> Case:
    """A file without a skin, which rests as its animation begins from."""
    return Case(path, animation, animation.rest_world()[0])


def of_figure(path: Path, figure: Figure) -> Case:
    """A file with a skin. Blender takes the pose that the skin is bound in for the rest."""
    return Case(path, figure.animation, figure.bind_places)


def cases(folder: Path) -> list[Case]:
    """Every motion in our own rig, and a walk in every rig."""
    found = []
    for name, make in MOTIONS.items():
        joints = make(40)
        figure = build_figure(joints, 20)
        found += [
            of_bones(write_bvh(joints, folder / f"{name}.bvh"), for_rig(rigid_poses(joints, 20), OWN)),
            of_figure(write_glb(joints, folder / f"{name}.glb"), figure),
            of_figure(write_fbx(joints, folder / f"{name}.fbx"), bound_at_rest(figure)),
        ]
    exact = for_rig(exact_poses(stretchy(), 20), OWN)
    found.append(of_bones(write_bvh(stretchy(), folder / "exact.bvh", exact=True), exact))
    for name, rig in EXPORT_RIGS.items():
        figure = build_figure(walk(), 20, rig=name)
        bones = for_rig(rigid_poses(walk(), 20), rig, rigid_root=True)
        found += [
            of_bones(write_bvh(walk(), folder / f"{name}-{rig.unit}.bvh", rig=name), bones),
            of_figure(write_glb(walk(), folder / f"{name}-rig.glb", rig=name), figure),
            of_figure(write_fbx(walk(), folder / f"{name}-rig.fbx", rig=name), bound_at_rest(figure)),
            of_figure(write_fbx(walk(), folder / f"{name}-rig-m.fbx", rig=name, unit="m"), bound_at_rest(figure)),
        ]
    return found


@pytest.mark.skipif(shutil.which("blender") is None, reason="no Blender")
def test_blender_puts_bones_where_ours_are(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(BLENDER, encoding="utf-8")
    out, tried = tmp_path / "heads.json", cases(tmp_path)
    command = ["blender", "--background", "--factory-startup", "--python-exit-code", "1", "--python"]
    command += [str(tmp_path / "script.py"), "--", *(str(case.path) for case in tried), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "python3-numpy" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for case, seen in zip(tried, json.loads(out.read_text(encoding="utf-8")), strict=True):
        places = case.animation.world()[0]
        held = [bone for bone, name in enumerate(case.animation.names) if name in seen["rest"]]
        assert len(held) >= len(places[0]) - 1  # FBX's importer makes the armature of the root bone
        names = [case.animation.names[bone] for bone in held]
        rest = np.array([seen["rest"][name] for name in names])
        errors = []
        for frame, shown in zip(FRAMES, seen["frames"], strict=True):
            upright = places[frame][held][:, [0, 2, 1]] * [1, -1, 1]  # Blender's Z is up, and faces -Y
            errors.append(np.abs(np.array([shown["heads"][name] for name in names]) - upright).max())
            assert shown["low"] is None or shown["low"] > -2e-3, (case.path.name, frame, shown["low"])
        assert max(errors) < 1e-3, (case.path.name, errors)
        expected = case.rest[held][:, [0, 2, 1]] * [1, -1, 1]
        moved = rest - expected
        assert np.ptp(moved, axis=0).max() < 1e-3, (case.path.name, "rest pose")
