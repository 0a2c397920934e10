"""Files in three.js: its loaders pose the bones where ours are.

Its BVHLoader does not animate bones with a colon in their name, so Mixamo's colon is taken out before.
Run after `npm install --no-save three`, here or where NODE_PATH points.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from scamo.io.animation import Animation, for_rig, rigid_poses
from scamo.io.bvh import write_bvh
from scamo.io.export_rigs import EXPORT_RIGS
from scamo.io.fbx import write_fbx
from scamo.io.figure import build_figure
from scamo.io.gltf import write_glb

from .motions import stretchy

ROOT = Path(__file__).resolve().parents[1]
SECONDS = (0.0, 0.85, 1.95)
SCRIPT = """
const path = require('path'), fs = require('fs'), { pathToFileURL } = require('url');
const folder = path.join(path.dirname(require.resolve('three')), '../examples/jsm/loaders/');
const load = name => import(pathToFileURL(folder + name).href);
globalThis.self = globalThis;
globalThis.window ??= globalThis;
(async () => {
    const THREE = await import(pathToFileURL(path.join(folder, '../../../build/three.module.js')).href);
    const { BVHLoader } = await load('BVHLoader.js');
    const { FBXLoader } = await load('FBXLoader.js');
    const { GLTFLoader } = await load('GLTFLoader.js');
    const found = [];
    for (const file of process.argv.slice(1)) {
        const raw = fs.readFileSync(file), bytes = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length);
        let root, clip, rate = 1;
        if (file.endsWith('.bvh')) {
            const bvh = new BVHLoader().parse(raw.toString().replaceAll('mixamorig:', 'mixamorig'));
            root = bvh.skeleton.bones[0]; clip = bvh.clip;
        } else if (file.endsWith('.fbx')) {
            root = new FBXLoader().parse(bytes, ''); clip = root.animations[0];
        } else {
            const gltf = await new GLTFLoader().parseAsync(bytes, '');
            root = gltf.scene; clip = gltf.animations[0];
        }
        const mixer = new THREE.AnimationMixer(root);
        const action = mixer.clipAction(clip);
        action.clampWhenFinished = true; action.setLoop(THREE.LoopOnce); action.play();
        const times = [];
        for (const seconds of [0.0, 0.85, 1.95]) {
            mixer.setTime(seconds);
            root.updateMatrixWorld(true);
            const bones = [];
            root.traverse(one => {
                if (one.isBone && one.name !== 'ENDSITE') {
                    const place = new THREE.Vector3().setFromMatrixPosition(one.matrixWorld);
                    bones.push([one.name, place.x, place.y, place.z]);
                }
            });
            times.push(bones);
        }
        found.push(times);
    }
    console.log('RESULT' + JSON.stringify(found));
})().catch(error => { console.error(error); process.exit(1); });
"""


def plain(name: str) -> str:
    """A bone's name as three.js keeps it, which drops colons."""
    return name.replace(":", "")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_three_js_puts_bones_where_ours_are(tmp_path: Path) -> None:
    if subprocess.run(["node", "-e", "require.resolve('three')"], capture_output=True, cwd=ROOT).returncode:
        pytest.skip("no three")
    joints = stretchy()
    tried: list[tuple[Path, Animation, float]] = []
    for name, rig in EXPORT_RIGS.items():
        figure = build_figure(joints, 20, rig=name).animation
        bones = for_rig(rigid_poses(joints, 20), rig, rigid_root=True)
        scale = 100.0 if rig.unit == "cm" else 1.0
        tried += [
            (write_bvh(joints, tmp_path / f"{name}.bvh", rig=name), bones, scale),
            (write_glb(joints, tmp_path / f"{name}.glb", rig=name), figure, 1.0),
            (write_fbx(joints, tmp_path / f"{name}.fbx", rig=name), figure, 100.0),
        ]
    done = subprocess.run(
        ["node", "-e", SCRIPT, *(str(path) for path, _, _ in tried)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.split("RESULT")[1])
    for (path, animation, scale), times in zip(tried, found, strict=True):
        places = animation.world()[0] * scale
        for seconds, bones in zip(SECONDS, times, strict=True):
            seen = {plain(name): np.array(place) for name, *place in bones}
            assert len(seen) == len(animation.names), (path.name, sorted(seen))
            theirs = np.stack([seen[plain(name)] for name in animation.names])
            error = np.abs(theirs - places[round(seconds * 20)]).max() / scale
            assert error < 1e-3, (path.name, seconds, error)
            lengths = np.linalg.norm(theirs[1:] - theirs[list(animation.parents[1:])], axis=-1)
            ours = np.linalg.norm(animation.rest_places[1:], axis=-1) * scale
            start = 1 if animation.names[0] == "root" else 0  # the pelvis moves above a root bone
            np.testing.assert_allclose(lengths[start:], ours[start:], atol=1e-4 * scale)
