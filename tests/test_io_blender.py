"""Files in Blender: its bones stand where our joints are."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from scamo.body.smpl import load_body
from scamo.io.bvh import write_bvh
from scamo.io.gltf import write_glb
from scamo.skeleton import JOINTS

from .motions import MOTIONS

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
        bpy.ops.import_anim.bvh(filepath=path)
        first, step = 1, 1.0
    else:
        bpy.ops.import_scene.gltf(filepath=path)
        first, step = 0, bpy.context.scene.render.fps / 20
    rig = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE")
    heads = []
    for frame in (0, 17, 39):
        when = first + frame * step
        bpy.context.scene.frame_set(int(when), subframe=when - int(when))
        heads.append({bone.name: list(rig.matrix_world @ bone.head) for bone in rig.pose.bones})
    found.append(heads)
json.dump(found, plain(out, "w"))
"""


@pytest.mark.skipif(shutil.which("blender") is None, reason="no Blender")
def test_blender_puts_bones_where_our_joints_are(tmp_path: Path) -> None:
    body = load_body()
    files, wanted = [], []
    for name, make in MOTIONS.items():
        joints = make(40)
        files += [write_bvh(joints, tmp_path / f"{name}.bvh"), write_glb(joints, tmp_path / f"{name}.glb")]
        wanted += [joints, body.posed_joints(body.fit(joints))]
    (tmp_path / "script.py").write_text(BLENDER, encoding="utf-8")
    out = tmp_path / "heads.json"
    command = ["blender", "--background", "--factory-startup", "--python-exit-code", "1", "--python"]
    command += [str(tmp_path / "script.py"), "--", *map(str, files), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "python3-numpy" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for path, joints, heads in zip(files, wanted, json.loads(out.read_text(encoding="utf-8")), strict=True):
        for frame, bones in zip((0, 17, 39), heads, strict=True):
            upright = joints[frame][:, [0, 2, 1]] * [1, -1, 1]  # Blender's Z is up, and faces -Y
            assert np.abs(np.array([bones[name] for name in JOINTS]) - upright).max() < 1e-3, (path.name, frame)
