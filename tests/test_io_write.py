"""Files: what goes out comes back to the millimetre, through readers that are not ours where there are any."""

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import scamo
from scamo.body.smpl import load_body
from scamo.io.bvh import read_bvh, write_bvh
from scamo.io.gltf import write_glb
from scamo.io.write import WRITERS, export, for_engine, load_joints, load_motion, write_npz
from scamo.motion import Motion, canonical_joints, first_facing
from scamo.render.video import read_metadata
from scamo.skeleton import JOINTS, bone_lengths

from .motions import ALL, walk

RECIPE = {"prompt": 'a person "walks" ünï', "seed": 3, "model": "4M", "odd": float("nan")}
ROOT = Path(__file__).resolve().parents[1]


def stretchy(frames: int = 40) -> np.ndarray:
    """As a network makes them: bones that change length from frame to frame."""
    return walk(frames) + np.random.default_rng(0).normal(scale=0.004, size=(frames, 22, 3))


def bundled() -> np.ndarray:
    """A generation of the smallest bundled model."""
    cards = [card for card in scamo.models() if card.source == "bundled"]
    if not cards:
        pytest.skip("no bundled models yet")
    card = min(cards, key=lambda one: one.disk_bytes)
    made = scamo.load(codebook=card.codebook, size=card.size).generate("a person walks forward", seed=0, seconds=3)
    return np.asarray(made.motion.joints, dtype=np.float64)


MOTIONS: dict[str, Any] = {**ALL, "stretchy": stretchy}


# --- BVH ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MOTIONS, "bundled"])
@pytest.mark.parametrize("unit", ["m", "cm"])
def test_bvh_round_trip(tmp_path: Path, name: str, unit: Any) -> None:
    joints = bundled() if name == "bundled" else MOTIONS[name](40)
    path = write_bvh(joints, tmp_path / "a.bvh", unit=unit)
    back, fps = load_joints(path)
    assert fps == pytest.approx(20, abs=1e-6)
    assert np.abs(back - joints).max() < 1e-3
    positions, names = by_hand(path)
    assert names == [name for name in JOINTS if name in names]
    scale = 1.0 if unit == "m" else 0.01
    assert np.abs(scale * positions - joints[:, [JOINTS.index(name) for name in names]]).max() < 1e-3


def by_hand(path: Path) -> tuple[np.ndarray, list[str]]:
    """A BVH reader written for this test alone: frame by frame, one matrix a channel."""
    words = iter(path.read_text().split())
    stack: list[int] = []
    names, parents, offsets, channels = [], [], [], []
    tip = False
    for word in words:
        if word in ("ROOT", "JOINT"):
            parents.append(stack[-1] if stack else -1)
            names.append(next(words))
        elif word == "End":
            tip = next(words) == "Site"
        elif word == "{":
            stack.append(len(names) - 1)
        elif word == "}":
            stack.pop()
            tip = False
        elif word == "OFFSET":
            offset = [float(next(words)) for _ in range(3)]
            if not tip:
                offsets.append(offset)
        elif word == "CHANNELS":
            channels.append([next(words) for _ in range(int(next(words)))])
        elif word == "Frames:":
            frames = int(next(words))
        elif word == "Time:":
            next(words)
            break
    numbers = np.array([float(word) for word in words]).reshape(frames, -1)
    out = np.zeros((frames, len(names), 3))
    for frame, row in enumerate(numbers):
        values = iter(row)
        world: list[np.ndarray] = []
        for joint, parent in enumerate(parents):
            place, turn = np.array(offsets[joint]), np.eye(3)
            for channel in channels[joint]:
                value = next(values)
                if channel.endswith("position"):
                    place["XYZ".index(channel[0])] = value
                else:
                    turn = turn @ Rotation.from_euler(channel[0].lower(), value, degrees=True).as_matrix()
            local = np.eye(4)
            local[:3, :3], local[:3, 3] = turn, place
            world.append(local if parent < 0 else world[parent] @ local)
        out[frame] = [matrix[:3, 3] for matrix in world]
    order = sorted(range(len(names)), key=lambda i: JOINTS.index(names[i]))
    return out[:, order], [names[i] for i in order]


def test_bvh_is_a_plain_rig_where_bones_keep_their_length(tmp_path: Path) -> None:
    text = write_bvh(walk(20), tmp_path / "a.bvh").read_text()
    assert text.count("CHANNELS 6") == 1
    assert text.count("CHANNELS 3 Zrotation Xrotation Yrotation") == 21
    assert "Frame Time: 0.05\n" in text
    assert write_bvh(stretchy(), tmp_path / "b.bvh").read_text().count("CHANNELS 6") > 10
    rigid, _ = load_joints(write_bvh(stretchy(), tmp_path / "c.bvh", rigid=True))
    assert (tmp_path / "c.bvh").read_text().count("CHANNELS 6") == 1
    np.testing.assert_allclose(bone_lengths(rigid), np.broadcast_to(bone_lengths(rigid[0]), (40, 22)), atol=1e-4)
    assert np.abs(rigid - stretchy()).max() < 0.06


def test_bvh_stands_upright_in_a_t_pose_and_faces_z(tmp_path: Path) -> None:
    """All rotations zero: head above, left hand at +X, toes at +Z, of human size."""
    recording = read_bvh(write_bvh(walk(4), tmp_path / "a.bvh"))
    rest = dict(zip(recording.names, recording.offsets, strict=True))
    assert rest["left_elbow"][0] > 0.2
    assert abs(rest["left_elbow"][1]) < 0.05
    assert rest["left_knee"][1] < -0.3
    assert rest["left_foot"][2] > 0.1
    assert recording.positions[0, recording.joint("head"), 1] > 1.4
    assert recording.rotations[0, 0, :, 2] @ [0, 0, 1] > 0.99
    turned = np.loadtxt((tmp_path / "a.bvh").read_text().split("Frame Time: ")[1].splitlines()[1:])
    assert np.abs(np.diff(turned, axis=0)).max() < 60  # no jump of 360 degrees


def test_bvh_angles_do_not_jump_when_turning(tmp_path: Path) -> None:
    path = write_bvh(ALL["turning"](80), tmp_path / "a.bvh")
    rows = np.loadtxt(path.read_text().split("Frame Time: ")[1].splitlines()[1:])
    assert np.abs(np.diff(rows, axis=0)).max() < 20
    assert np.ptp(rows[:, 5]) > 400  # one and a half turns, counted on


def test_bvh_at_30_fps(tmp_path: Path) -> None:
    path = export(walk(41), "bvh", tmp_path, "a", bvh_fps=30)[0]
    joints, fps = load_joints(path)
    assert fps == pytest.approx(30, abs=1e-6)
    assert len(joints) == 61
    np.testing.assert_allclose(joints[::3], walk(41)[::2], atol=1e-3)


# --- SMPL npz -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_npz_through_smplx(tmp_path: Path, name: str) -> None:
    import torch

    joints = ALL[name](40)
    data = np.load(write_npz(joints, tmp_path / "a.npz", recipe=RECIPE))
    assert data["poses"].shape == (40, 72)
    assert data["betas"].shape == (10,)
    assert data["mocap_framerate"] == 20
    assert str(data["gender"]) == "neutral"
    assert json.loads(str(data["recipe"]))["seed"] == 3
    poses = torch.from_numpy(data["poses"])
    out = load_body().model(
        betas=torch.zeros(40, 2),
        global_orient=poses[:, :3],
        body_pose=poses[:, 3:],
        transl=torch.from_numpy(data["trans"]),
    )
    assert np.abs(out.joints[:, :22].numpy() - joints).max() < 1e-3
    back, fps = load_joints(tmp_path / "a.npz")
    assert fps == 20
    assert np.abs(back - joints).max() < 1e-3


def test_npz_of_a_generation_is_the_nearest_pose_of_the_mannequin(tmp_path: Path) -> None:
    joints = bundled()
    body = load_body()
    back, _ = load_joints(write_npz(joints, tmp_path / "a.npz"))
    np.testing.assert_allclose(back, body.posed_joints(body.fit(joints)), atol=1e-5)
    assert np.linalg.norm(back - joints, axis=-1).mean() < 0.03  # its bones change length, the mannequin's do not


def test_amass_files_are_turned_up(tmp_path: Path) -> None:
    write_npz(walk(20), tmp_path / "ours.npz")
    data = dict(np.load(tmp_path / "ours.npz"))
    to_z_up = Rotation.from_rotvec([np.pi / 2, 0, 0])
    from scamo.body.mannequin import PELVIS

    poses = np.pad(data["poses"], ((0, 0), (0, 84)))  # SMPL-H has 52 joints
    poses[:, :3] = (to_z_up * Rotation.from_rotvec(poses[:, :3])).as_rotvec()
    trans = to_z_up.apply(data["trans"] + PELVIS) - PELVIS
    np.savez(tmp_path / "amass.npz", poses=poses, trans=trans, mocap_framerate=60.0, betas=np.zeros(16))
    joints, fps = load_joints(tmp_path / "amass.npz")
    assert fps == 60
    assert np.abs(joints - walk(20)).max() < 1e-3
    np.savez(
        tmp_path / "smplx.npz", root_orient=poses[:, :3], pose_body=poses[:, 3:66], trans=trans, mocap_frame_rate=30
    )
    assert load_joints(tmp_path / "smplx.npz")[1] == 30


# --- glTF ---------------------------------------------------------------------------------------------------------


class Gltf:
    """A glTF file read by pygltflib and posed here, by the book: sampled, multiplied down the tree, skinned."""

    def __init__(self, path: Path) -> None:
        pygltflib = pytest.importorskip("pygltflib")
        self.file = pygltflib.GLTF2().load_binary(str(path))
        self.blob = self.file.binary_blob()

    def array(self, index: int) -> np.ndarray:
        accessor = self.file.accessors[index]
        view = self.file.bufferViews[accessor.bufferView]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
        kind = {5121: np.uint8, 5123: np.uint16, 5126: np.float32}[accessor.componentType]
        start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
        return np.frombuffer(self.blob, kind, accessor.count * width, start).reshape(accessor.count, width)

    def pose(self, seconds: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Places of the joints by name, and the skinned vertices."""
        nodes = self.file.nodes
        values: dict[tuple[int, str], np.ndarray] = {}
        for channel in self.file.animations[0].channels:
            sampler = self.file.animations[0].samplers[channel.sampler]
            times, keys = self.array(sampler.input)[:, 0], self.array(sampler.output)
            right = int(np.clip(np.searchsorted(times, seconds), 1, len(times) - 1))
            share = np.clip((seconds - times[right - 1]) / (times[right] - times[right - 1]), 0, 1)
            value = (1 - share) * keys[right - 1] + share * keys[right]
            values[channel.target.node, channel.target.path] = value
        world: dict[int, np.ndarray] = {}

        def visit(index: int, above: np.ndarray) -> None:
            local = np.eye(4)
            local[:3, 3] = values.get((index, "translation"), np.array(nodes[index].translation or [0, 0, 0]))
            turn = values.get((index, "rotation"), np.array(nodes[index].rotation or [0, 0, 0, 1]))
            local[:3, :3] = Rotation.from_quat(turn).as_matrix()
            world[index] = above @ local
            for child in nodes[index].children or []:
                visit(child, world[index])

        for index in self.file.scenes[0].nodes:
            visit(index, np.eye(4))
        skin = self.file.skins[0]
        inverse = self.array(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        bones = np.stack([world[node] for node in skin.joints]) @ inverse
        attributes = self.file.meshes[0].primitives[0].attributes
        places = np.insert(self.array(attributes.POSITION), 3, 1, axis=1)
        which, weights = self.array(attributes.JOINTS_0), self.array(attributes.WEIGHTS_0)
        skinned = np.einsum("vk,vkij,vj->vi", weights, bones[which], places)[:, :3]
        return {nodes[node].name: world[node][:3, 3] for node in skin.joints}, skinned


@pytest.mark.parametrize("name", [*MOTIONS, "bundled"])
def test_glb_is_our_pose(tmp_path: Path, name: str) -> None:
    joints = bundled() if name == "bundled" else MOTIONS[name](40)
    body = load_body()
    pose = body.fit(joints)
    vertices = next(iter(body.vertices(pose)))
    file = Gltf(write_glb(joints, tmp_path / "a.glb", recipe=RECIPE))
    for frame in (0, 17, 39):
        places, skinned = file.pose(frame / 20)
        ours = body.posed_joints(pose)[frame]
        assert np.abs(np.stack([places[name] for name in JOINTS]) - ours).max() < 1e-3
        assert np.abs(skinned - vertices[frame]).max() < 1e-3
    assert file.file.asset.extras == {**RECIPE, "odd": None}  # JSON has no NaN
    assert len(file.file.animations) == len(file.file.materials) == 1


def test_glb_as_a_stick_figure(tmp_path: Path) -> None:
    file = Gltf(export(walk(20), "glb", tmp_path, "a", body="stick")[0])
    places, skinned = file.pose(0.5)
    np.testing.assert_allclose(places["left_wrist"], walk(20)[10, 20], atol=1e-3)
    near = np.linalg.norm(skinned[:, None] - np.stack(list(places.values())), axis=-1).min(axis=1)
    assert near.max() < 0.25
    assert len(file.file.meshes) == 1


def test_glb_loads_in_trimesh(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    scene = trimesh.load(write_glb(walk(4), tmp_path / "a.glb"))
    mesh = next(iter(scene.geometry.values()))
    assert mesh.is_watertight
    assert mesh.volume > 0.05  # outward
    assert mesh.vertices.shape == (6890, 3)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_glb_passes_the_khronos_validator(tmp_path: Path) -> None:
    """Run after `npm install --no-save gltf-validator`, here or where NODE_PATH points."""
    script = """
        const validator = require('gltf-validator'), fs = require('fs');
        Promise.all(process.argv.slice(1).map(f => validator.validateBytes(new Uint8Array(fs.readFileSync(f)))))
            .then(all => console.log(JSON.stringify(all.map(r => r.issues))));
    """
    if subprocess.run(["node", "-e", "require('gltf-validator')"], capture_output=True, cwd=ROOT).returncode:
        pytest.skip("no gltf-validator")
    files = [write_glb(MOTIONS[name](20), tmp_path / f"{name}.glb", recipe=RECIPE) for name in MOTIONS]
    files.append(write_glb(walk(1), tmp_path / "one.glb"))
    files.append(write_glb(walk(20), tmp_path / "stick.glb", figure="stick"))
    found = subprocess.run(
        ["node", "-e", script, *map(str, files)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for path, issues in zip(files, json.loads(found.stdout), strict=True):
        assert issues["numErrors"] == issues["numWarnings"] == 0, (path.name, issues["messages"][:5])


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
    (tmp_path / "script.py").write_text(BLENDER)
    out = tmp_path / "heads.json"
    command = ["blender", "--background", "--factory-startup", "--python-exit-code", "1", "--python"]
    command += [str(tmp_path / "script.py"), "--", *map(str, files), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "python3-numpy" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for path, joints, heads in zip(files, wanted, json.loads(out.read_text()), strict=True):
        for frame, bones in zip((0, 17, 39), heads, strict=True):
            upright = joints[frame][:, [0, 2, 1]] * [1, -1, 1]  # Blender's Z is up, and faces -Y
            assert np.abs(np.array([bones[name] for name in JOINTS]) - upright).max() < 1e-3, (path.name, frame)


# --- for game engines ----------------------------------------------------------------------------------------------


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
    recipe = json.loads((tmp_path / "round.json").read_text())
    assert (recipe["in_place"], recipe["loop"], recipe["seed"]) == (True, True, 3)


@pytest.mark.parametrize("frames", [12, 3_001])
def test_what_cannot_become_a_loop(frames: int) -> None:
    with pytest.raises(ValueError, match="loop"):
        for_engine(np.resize(walk(20), (frames, 22, 3)), loop=True)


# --- the rest -----------------------------------------------------------------------------------------------------


def test_every_writer_writes(tmp_path: Path) -> None:
    motion = Motion.from_joints(walk(12))
    paths = export(motion, list(WRITERS), tmp_path / "new", "my.walk", RECIPE, size=(128, 96))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    assert {path.suffix[1:] for path in paths} == set(WRITERS)
    assert all(path.stat().st_size > 100 for path in paths)
    for path in paths:
        if path.suffix in (".mp4", ".webm", ".gif", ".webp", ".png"):
            assert read_metadata(path)["seed"] == 3
    recipe = json.loads((tmp_path / "new" / "my.walk.json").read_text())
    assert (recipe["prompt"], recipe["frames"], recipe["scamo"]) == (RECIPE["prompt"], 11, scamo.__version__)


def test_csv_is_a_table(tmp_path: Path) -> None:
    path = export(walk(5), "csv", tmp_path, "a")[0]
    header = path.read_text().splitlines()[0].split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    assert header[:5] == ["frame", "seconds", "pelvis_x", "pelvis_y", "pelvis_z"]
    assert table.shape == (5, len(header))
    np.testing.assert_allclose(table[:, 2:].reshape(5, 22, 3), walk(5), atol=1e-5)
    np.testing.assert_allclose(table[:, 1], np.arange(5) / 20)


@pytest.mark.parametrize("name", ALL)
def test_a_motion_survives_npy_npz_and_bvh(tmp_path: Path, name: str) -> None:
    motion = Motion.from_joints(ALL[name](40))
    features, joints, npz, bvh = export(motion, "npy,npz,bvh", tmp_path, "a")
    np.testing.assert_array_equal(load_motion(features).features, motion.features)
    for path in (joints, bvh, npz):
        back = load_motion(path)
        assert back.fps == 20
        wanted = canonical_joints(motion.joints)[: len(back)]
        assert np.abs(back.joints - wanted).max() < 2e-3, path.suffix


def test_other_rigs_by_name(tmp_path: Path) -> None:
    text = write_bvh(walk(10), tmp_path / "a.bvh", unit="cm").read_text()
    mixamo = {
        "pelvis": "Hips",
        "spine1": "Spine",
        "spine2": "Spine1",
        "spine3": "Spine2",
        "neck": "Neck",
        "head": "Head",
    }
    parts = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
             "elbow": "ForeArm", "wrist": "Hand"}  # fmt: skip
    mixamo |= {f"{side.lower()}_{ours}": side + theirs for side in ("Left", "Right") for ours, theirs in parts.items()}
    for ours, theirs in sorted(mixamo.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(f"JOINT {ours}\n", f"JOINT mixamorig:{theirs}\n").replace(
            f"ROOT {ours}\n", f"ROOT mixamorig:{theirs}\n"
        )
    (tmp_path / "m.bvh").write_text(text)
    np.testing.assert_allclose(load_joints(tmp_path / "m.bvh")[0], walk(10), atol=1e-3)
    (tmp_path / "odd.bvh").write_text(text.replace("mixamorig:Hips", "Bob"))
    with pytest.raises(ValueError, match="names="):
        load_joints(tmp_path / "odd.bvh")
    np.testing.assert_allclose(
        load_joints(tmp_path / "odd.bvh", names={**mixamo, "pelvis": "Bob"})[0], walk(10), atol=1e-3
    )


@pytest.mark.parametrize("shape", [(7, 22, 3), (7, 66), (7, 24, 3)])
def test_joints_come_in_several_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    joints = np.zeros((7, 24, 3))
    joints[:, :22] = walk(7)
    np.save(tmp_path / "a.npy", joints.reshape(7, -1)[:, : int(np.prod(shape[1:]))].reshape(shape))
    np.testing.assert_allclose(load_joints(tmp_path / "a.npy")[0], walk(7), atol=1e-6)


@pytest.mark.parametrize(
    ("joints", "word"),
    [
        (np.zeros((0, 22, 3)), "no frames"),
        (np.full((3, 22, 3), np.nan), "NaN"),
        (np.zeros((3, 21, 3)), "22, 3"),
        (np.zeros((3, 263)), "joints_from_features"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, joints: np.ndarray, word: str) -> None:
    for name in WRITERS:
        with pytest.raises(ValueError, match=word):
            export(joints, name, tmp_path, "a")
    assert not list(tmp_path.iterdir())


def test_mistakes_are_named_before_anything_is_written(tmp_path: Path) -> None:
    nothing: list[str] = []
    for formats in ("bvh,fbx", nothing, ""):
        with pytest.raises(ValueError, match="choose from npy, npz, bvh, glb"):
            export(walk(3), formats, tmp_path, "a")
    for stem in ("", "a/b", ".."):
        with pytest.raises(ValueError, match="no file name"):
            export(walk(3), "bvh", tmp_path, stem)
    with pytest.raises(ValueError, match='"cm"'):
        export(walk(3), "bvh", tmp_path, "a", bvh_unit="inch")
    with pytest.raises(ValueError, match="20 or 30"):
        write_bvh(walk(3), tmp_path / "a.bvh", fps=0)
    with pytest.raises(ValueError, match="stick"):
        write_glb(walk(3), tmp_path / "a.glb", figure="robot")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WRITERS)
def test_an_unwritable_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="choose another folder"):
        export(walk(3), name, tmp_path / "file", "a", size=(64, 64))


@pytest.mark.skipif(sys.platform != "linux", reason="needs file size limits")
def test_a_disk_that_fills_up_leaves_no_half_files(tmp_path: Path) -> None:
    """A file size limit stands for the full disk: writing fails half way in the same calls."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name in WRITERS:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
        try:
            with pytest.raises(OSError, match="Free disk space or choose another folder"):
                export(walk(20), name, tmp_path / "out", "a", {"long": "x" * 5000}, size=(96, 64))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not list((tmp_path / "out").iterdir()), name


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.npy", b"nonsense", "cannot be read"),
        ("a.npz", b"nonsense", "cannot be read"),
        ("a.npz", struct.pack("<4s", b"PK\x03\x04"), "cannot be read"),
        ("a.bvh", b"HIERARCHY\nROOT a\n{\n", "MOTION"),
        ("a.bvh", b"\xff\xfe", "cannot be read"),
        ("a.fbx", b"", r"\.bvh"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=word):
        load_motion(tmp_path / name)


@pytest.mark.parametrize("array", [np.zeros(5, dtype=int), np.zeros((5, 4)), np.zeros((5, 22, 3), dtype=complex)])
def test_arrays_that_are_no_motion(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match="a motion is features"):
        load_motion(tmp_path / "a.npy")


def test_a_small_file_that_claims_to_be_huge_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scamo.io.write.MAX_UNPACKED", 1 << 20)
    np.savez_compressed(tmp_path / "bomb.npz", poses=np.zeros((900, 156)), trans=np.zeros((900, 3)))
    assert (tmp_path / "bomb.npz").stat().st_size < 10_000
    with pytest.raises(ValueError, match="more than 1 MiB"):
        load_joints(tmp_path / "bomb.npz")


def test_other_things_that_are_no_motion(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file"):
        load_motion(tmp_path / "none.npy")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="cannot be read"):
        load_motion(tmp_path / "o.npy")
    np.savez(tmp_path / "x.npz", other=np.zeros(3))
    with pytest.raises(ValueError, match="holds other"):
        load_motion(tmp_path / "x.npz")
    np.save(tmp_path / "nan.npy", np.full((4, 263), np.nan))
    with pytest.raises(ValueError, match="NaN"):
        load_motion(tmp_path / "nan.npy")
    np.save(tmp_path / "short.npy", walk(1))
    with pytest.raises(ValueError, match=r"short\.npy.*too short"):
        load_motion(tmp_path / "short.npy")
