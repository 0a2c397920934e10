"""glTF files: posed by a reader that is not ours, they are our pose."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scamo.body.person import PEOPLE, load_person
from scamo.io.export_rigs import EXPORT_RIGS
from scamo.io.figure import Figure, bound_at_rest, build_figure
from scamo.io.gltf import write_glb, write_vrma
from scamo.io.write import export
from scamo.rotation import quat_conjugate, quat_multiply, quat_rotate
from scamo.skeleton import JOINTS, REST_OFFSETS, forward_kinematics, joint_rotations

from .motions import MOTIONS, bundled, stretchy, walk

RECIPE = {"prompt": 'a person "walks" ünï', "seed": 3, "model": "4M", "odd": float("nan")}
ROOT = Path(__file__).resolve().parents[1]


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
def test_glb_is_our_pose_on_the_floor(tmp_path: Path, name: str) -> None:
    """Rigid bones, and toes that bend; otherwise the skin is the one that `Person` poses."""
    joints = bundled() if name == "bundled" else MOTIONS[name](40)
    person = load_person(PEOPLE[len(name) % len(PEOPLE)])
    fitted, offsets = person.fit(joints), REST_OFFSETS * person.size
    rigid = forward_kinematics(joint_rotations(fitted, offsets), fitted[:, 0], offsets)
    ours = person.pose(rigid)[:, person.points]
    toes = (person.weights * np.isin(person.bones, (10, 11))).sum(axis=1)[person.points] > 0
    file = Gltf(write_glb(joints, tmp_path / "a.glb", person=person.name, recipe=RECIPE))
    for frame in (0, 17, 39):
        places, skinned = file.pose(frame / 20)
        lift = (skinned - ours[frame])[~toes].mean(axis=0)
        np.testing.assert_allclose(lift[[0, 2]], 0, atol=1e-4)
        assert lift[1] > person.sole - 2e-3  # the file's skin is bound anew, and its sole differs by up to 1 mm
        assert np.abs(np.stack([places[name] for name in JOINTS]) - rigid[frame] - lift).max() < 1e-3
        assert np.abs(skinned - ours[frame] - lift)[~toes].max() < 3e-3
    assert file.file.asset.extras == {**RECIPE, "odd": None}  # JSON has no NaN
    assert len(file.file.animations) == len(file.file.materials) == 1


def test_a_glb_holds_whom_the_prompt_speaks_of(tmp_path: Path) -> None:
    def height(**given: object) -> float:
        file = Gltf(export(walk(4), "glb", tmp_path, "a", **given)[0])  # type: ignore[arg-type]
        return float(np.ptp(file.pose(0.0)[1][:, 1]))

    child, man = height(recipe={"prompt": "a little girl walks"}), height(person="man")
    assert 1.1 < child < 1.35 and 1.65 < man < 1.85
    assert height() == pytest.approx(height(person="neutral"))
    with pytest.raises(ValueError, match="no person"):
        export(walk(4), "glb", tmp_path, "b", person="robot")


@pytest.mark.parametrize("name", ["walk", "turning", "stretchy", "bundled"])
@pytest.mark.parametrize("rig", EXPORT_RIGS)
def test_soles_stand_on_the_floor(tmp_path: Path, name: str, rig: str) -> None:
    """No frame goes under it, and the lowest one is on it; the figure also stands there at rest."""
    joints = bundled() if name == "bundled" else MOTIONS[name](30)
    file = Gltf(write_glb(joints, tmp_path / "a.glb", rig=rig))
    low = [file.pose(frame / 20)[1][:, 1].min() for frame in range(len(joints))]
    assert -2e-3 < min(low) < 5e-3
    mesh = file.array(file.file.meshes[0].primitives[0].attributes.POSITION)
    assert abs(mesh[:, 1].min()) < 5e-3


@pytest.mark.parametrize("rig", EXPORT_RIGS)
def test_every_rig_is_the_same_figure(tmp_path: Path, rig: str) -> None:
    joints = MOTIONS["cartwheel"](40)
    plain = Gltf(write_glb(joints, tmp_path / "a.glb"))
    file = Gltf(write_glb(joints, tmp_path / "b.glb", rig=rig))
    for frame in (0, 17, 39):
        places, skinned = file.pose(frame / 20)
        ours, skin = plain.pose(frame / 20)
        theirs = np.stack([places[name] for name in EXPORT_RIGS[rig].joints])
        assert np.abs(theirs - np.stack(list(ours.values()))[[list(ours).index(name) for name in (
            *JOINTS, "left_hand", "right_hand")]]).max() < 1e-3  # fmt: skip
        assert np.abs(skinned - skin).max() < 1e-3


@pytest.mark.parametrize("rig", EXPORT_RIGS)
def test_bones_are_bound_at_the_lengths_in_which_they_move(rig: str) -> None:
    """Otherwise a bone moves against its parent in every frame, which Blender and Unity's humanoids ignore."""
    figure = build_figure(stretchy(), 20, rig=rig)
    parents = figure.animation.parents
    held = [bone for bone, parent in enumerate(parents) if parent > 0]
    bound = figure.bind_places[held] - figure.bind_places[[parents[bone] for bone in held]]
    seen = quat_rotate(quat_conjugate(figure.bind_rotations[[parents[bone] for bone in held]]), bound)
    np.testing.assert_allclose(seen, figure.animation.rest_places[held], atol=1e-6)
    assert np.ptp(figure.animation.places[:, held], axis=0).max() < 1e-6


@pytest.mark.parametrize("rig", EXPORT_RIGS)
def test_a_skin_bound_at_rest_is_the_same_skin(rig: str) -> None:
    """In every frame of a walk: nearly everywhere to the millimetre, and in shoulders to a centimetre."""
    as_bound = build_figure(walk(40), 20, rig=rig)
    at_rest = bound_at_rest(as_bound)

    def skin(figure: Figure, frame: int) -> np.ndarray:
        mesh, animation, places, rotations = figure
        now_places, now_rotations = (some[frame] for some in animation.world())
        turns = quat_multiply(now_rotations, quat_conjugate(rotations))
        seen = quat_rotate(turns[mesh.bones], mesh.positions[:, None] - places[mesh.bones]) + now_places[mesh.bones]
        return (mesh.weights[..., None] * seen).sum(axis=1)

    np.testing.assert_allclose(at_rest.bind_places, as_bound.animation.rest_world()[0])
    for frame in (0, 17):
        errors = np.linalg.norm(skin(at_rest, frame) - skin(as_bound, frame), axis=-1)
        assert errors.mean() < 1e-3 and errors.max() < 0.015
    assert np.abs(at_rest.mesh.positions[:, 1].min()) < 6e-3
    np.testing.assert_allclose(np.linalg.norm(at_rest.mesh.normals, axis=-1), 1)


def test_an_unreal_root_bone_slides_on_the_floor(tmp_path: Path) -> None:
    file = Gltf(write_glb(walk(40), tmp_path / "a.glb", rig="unreal"))
    roots = np.stack([file.pose(frame / 20)[0]["root"] for frame in (0, 20, 39)])
    np.testing.assert_allclose(roots[:, 1], 0, atol=1e-6)
    np.testing.assert_allclose(roots[:, 2], [0, 1, 1.95], atol=1e-3)


def test_glb_as_a_stick_figure(tmp_path: Path) -> None:
    file = Gltf(export(walk(20), "glb", tmp_path, "a", body="stick")[0])
    places, skinned = file.pose(0.5)
    np.testing.assert_allclose(places["left_wrist"][[0, 2]], walk(20)[10, 20, [0, 2]], atol=1e-3)
    near = np.linalg.norm(skinned[:, None] - np.stack(list(places.values())), axis=-1).min(axis=1)
    assert near.max() < 0.25
    assert len(file.file.meshes) == 1


@pytest.mark.parametrize("fps", [30, 60])
def test_glb_at_another_rate(tmp_path: Path, fps: int) -> None:
    plain = Gltf(write_glb(MOTIONS["turning"](41), tmp_path / "a.glb"))
    file = Gltf(export(MOTIONS["turning"](41), "glb", tmp_path, "b", fps=fps)[0])
    times = file.array(file.file.animations[0].samplers[0].input)[:, 0]
    assert len(times) == 2 * fps + 1
    np.testing.assert_allclose(np.diff(times), 1 / fps, atol=1e-6)
    for seconds in (0.0, 1.0, 2.0):
        there, here = plain.pose(seconds)[0], file.pose(seconds)[0]
        assert max(np.abs(there[name] - here[name]).max() for name in there) < 1e-3


def test_vrma_names_the_bones_of_an_avatar(tmp_path: Path) -> None:
    joints = MOTIONS["cartwheel"](40)
    path = export(joints, "vrma", tmp_path, "a", RECIPE)[0]
    raw = path.read_bytes()
    document = json.loads(raw[20 : 20 + int.from_bytes(raw[12:16], "little")])
    humanoid = document["extensions"]["VRMC_vrm_animation"]["humanoid"]["humanBones"]
    assert len(humanoid) == 22 and {"hips", "upperChest", "leftUpperArm", "rightToes"} <= set(humanoid)
    assert all(document["nodes"][bone["node"]]["name"] == name for name, bone in humanoid.items())
    assert not any("rotation" in node for node in document["nodes"])  # a T-pose without turned bones
    assert len(document["animations"][0]["channels"]) == 23


def test_glb_loads_in_trimesh(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    scene = trimesh.load(write_glb(walk(4), tmp_path / "a.glb"))
    mesh = next(iter(scene.geometry.values()))
    assert mesh.volume > 0.05  # outward
    assert mesh.faces.shape == load_person().faces.shape


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
    files += [write_glb(walk(20), tmp_path / f"{rig}-rig.glb", rig=rig) for rig in EXPORT_RIGS]
    files += [write_glb(walk(20), tmp_path / f"{name}.glb", person=name) for name in PEOPLE]
    files.append(write_vrma(walk(20), tmp_path / "walk.vrma"))
    found = subprocess.run(
        ["node", "-e", script, *map(str, files)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for path, issues in zip(files, json.loads(found.stdout), strict=True):
        assert issues["numErrors"] == issues["numWarnings"] == 0, (path.name, issues["messages"][:5])
