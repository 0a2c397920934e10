"""The 3D player: what Python packs for it, and what its JavaScript computes, run by node."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("gradio")

from scipy.spatial.transform import Rotation

from scamo.body.person import LENGTHS, LIMITS, PEOPLE, clamp_bones, load_person
from scamo.motion import Motion
from scamo.render.stick import BONES, extend
from scamo.skeleton import bone_lengths
from scamo.ui.components.motion_player import (
    FINE,
    MILLIMETRES,
    PLAIN,
    STATIC,
    body,
    motion_player,
    pack_int16,
    player_figure,
    player_value,
    turns,
)
from tests.motions import walk


@pytest.fixture
def motion():
    return Motion.from_joints(walk(41))


def node(script: str, given: object = None):
    """What a script gives back that has the player's functions at hand as `p`, and `given`."""
    if shutil.which("node") is None:
        pytest.skip("no node here")
    whole = f"const p = require({json.dumps(str(STATIC / 'player.js'))}); const given = {json.dumps(given)};"
    whole += f"console.log(JSON.stringify((() => {{ {script} }})()))"
    ran = subprocess.run(["node", "-"], input=whole, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_positions_travel_to_the_browser_within_half_a_millimetre(motion):
    sent = player_figure("one", motion)
    far = pack_int16(np.array([-50.0, 50.0, 1.0]), MILLIMETRES)  # what is out of reach stays at its edge
    read, edges = node("return given.map((sent) => Array.from(p.decode(sent)))", [sent["positions"], far])
    points = extend(motion.joints)
    np.testing.assert_allclose(np.reshape(read, points.shape), points, atol=5.1e-4)
    np.testing.assert_allclose(edges, [-32.767, 32.767, 1.0])
    assert len(json.dumps(sent)) < 16_000  # 40 frames


def test_figures_have_their_own_colours_by_day_and_by_night(motion):
    one = player_figure("one", motion)
    alone, first = (player_value([one], "run", places)["figures"][0] for places in (1, 3))
    assert alone["light"] != first["light"]  # alone it is told by its sides, in company by its hue
    assert first["light"] == player_value([one] * 3, "run")["figures"][0]["light"]
    assert all(len(set(figure[theme])) == 3 for figure in (alone, first) for theme in ("light", "dark"))


def test_poses_between_frames_are_mixed_and_the_ends_hold():
    figure = {"positions": [0, 0, 0, 1, 2, 3], "frames": 2, "points": 1}
    poses = node("return [-1, 0, 0.025, 0.05, 9].map((t) => Array.from(p.poseAt(given, t, 20)))", figure)
    np.testing.assert_allclose(poses, [[0, 0, 0], [0, 0, 0], [0.5, 1, 1.5], [1, 2, 3], [1, 2, 3]])


def test_the_clock_goes_round_or_rests():
    assert node("return p.duration([{frames: 21, fps: 20}, {frames: 41, fps: 20}, {frames: 1, fps: 20}])") == 2
    assert node("return p.duration([{frames: 41, fps: 20}, {frames: 41, fps: 12.5}])") == 3.2
    assert node("return p.duration([])") == 0
    assert node("return p.advance(1, 0.5, 2, true)") == {"time": 1.5, "playing": True}
    assert node("return p.advance(1.5, 1, 2, true)") == {"time": 0.5, "playing": True}
    assert node("return p.advance(1.5, 1, 2, false)") == {"time": 2, "playing": False}
    assert node("return p.advance(0, 1, 0, true)") == {"time": 0, "playing": False}


def test_side_by_side_no_ground_is_shared_and_all_stand_in_the_middle():
    boxes = [{"left": -1, "right": 2, "far": -1, "near": 3}] * 3 + [{"left": 0, "right": 0, "far": 0, "near": 0}] * 4
    offsets = np.array(node("return p.layOut(given, false)", boxes))
    left, right = ([box[side] + x for box, (x, _) in zip(boxes, offsets, strict=True)] for side in ("left", "right"))
    assert all(before < after for before, after in zip(right[:4], left[1:5], strict=True))
    assert left[0] == pytest.approx(-right[4])
    assert offsets[5, 1] == offsets[6, 1] < -1  # the second row begins behind the first one's farthest point
    assert node("return p.layOut(given, true)", boxes) == [[0, 0]] * 7
    assert node("return p.layOut([], false)") == []


def test_the_trail_stands_still_at_multiples_of_its_step():
    assert node("return p.trailTimes(1.2, {count: 2, every: 0.5})") == [1.0, 0.5]
    assert node("return p.trailTimes(1.0, {count: 9, every: 0.5})") == [0.5, 0.0]
    assert node("return p.trailTimes(0, {count: 9, every: 0.5})") == []


def test_the_camera_sees_everything_in_any_format():
    """Corners in a camera put there by other means: all within the picture, one of them on its edge."""
    corners = np.array([[x, y, z] for x in (-3, 2) for y in (-0.9, 1.1) for z in (-1, 4)])
    view = {"lens": 30, "turn": -25, "tilt": 14}
    turned = Rotation.from_euler("yx", [25, 14], degrees=True).apply(corners)
    x, y, near = turned.T
    aspects = [0.5, 1, 2.5]
    found = node(
        "return given[2].map((aspect) => p.distanceFor(given[0], given[1], aspect))", [corners.tolist(), view, aspects]
    )
    for aspect, distance in zip(aspects, found, strict=True):
        edge = np.maximum(abs(y), abs(x) / aspect) / (np.tan(np.radians(15)) * (distance - near))
        assert edge.min() > 0 and edge.max() == pytest.approx(1)


def test_limbs_are_round_and_closed(motion):
    pose = extend(motion.joints)[0]
    shape = node(
        "const n = 72 * given.bones.length, a = Array(3 * n), b = Array(3 * n);"
        "p.shapeLimbs(given.pose, given.bones, a, b); return [a, b, p.limbTriangles(given.bones.length)]",
        {"pose": pose.ravel().tolist(), "bones": BONES},
    )
    surface, normals = (np.reshape(part, (len(BONES), 8, -1, 3)) for part in shape[:2])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1)
    for limb, (start, end, wide, narrow, _) in zip(surface, BONES, strict=True):
        np.testing.assert_allclose(np.linalg.norm(limb[:4] - pose[start], axis=-1), wide, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(limb[4:] - pose[end], axis=-1), narrow, atol=1e-6)
    assert sorted(set(shape[2])) == list(range(72 * len(BONES)))


WEAR = """
    const { sent, mesh, shape } = given, person = p.unpackPerson(p.unpackMesh(mesh), shape);
    const moving = { ...sent, positions: p.decode(sent.positions), turns: p.quaternions(p.decode(sent.turns, 10000)) };
    const worn = (time) => {
        const out = [new Float32Array(person.vertices.length), new Float32Array(person.vertices.length)];
        const pose = p.clampBones(person, p.poseAt(moving, time, 20));
        p.shapeSkin(person, p.boneMatrices(person, pose, p.turnsAt(moving, time, 20)), ...out);
        return out.map((part) => [...part]);
    };
"""


@pytest.mark.parametrize("name", PEOPLE)
def test_a_person_is_the_same_in_the_browser(motion, name):
    """The skin of the 3D player against the one that pictures show, at a frame and between two."""
    stretched = motion.joints.copy()
    stretched[:, [18, 20]] += [0.4, 0, 0]  # an upper arm far too long
    person, sent = load_person(name), player_figure("one", motion)
    sent["positions"] = pack_int16(extend(stretched), MILLIMETRES)
    sent["turns"] = pack_int16(turns(stretched), FINE)
    given = {"sent": sent, "mesh": body("mesh"), "shape": body(name)}
    faces, *found = node(WEAR + "return [[...person.faces], worn(0.5), worn(0.525), worn(0.55)];", given)
    np.testing.assert_array_equal(np.reshape(faces, (-1, 3)), person.faces)
    before, between, after = (np.reshape(part, (2, -1, 3)) for part in found)
    ours = next(person.vertices(person.fit(stretched)[10:11]))[0] / person.size
    np.testing.assert_allclose(before[0], ours + [0, person.sole / person.size, 0], atol=3e-3)
    normals = before[1] / np.linalg.norm(before[1], axis=-1, keepdims=True)
    assert np.median((normals * person.normals(ours)).sum(axis=-1)) > 0.99
    np.testing.assert_allclose(between[0], (before[0] + after[0]) / 2, atol=3e-3)


def test_bones_end_at_a_limit_in_the_browser_too(motion):
    wild = motion.joints[0] * [1, 1.4, 1] + 0.05 * np.sin(np.arange(66)).reshape(22, 3)
    clamped = node(
        "return [...p.clampBones(given[0], Float32Array.from(given[1]))]",
        [body("mesh"), extend(wild[None])[0].ravel().tolist()],
    )
    clamped = np.reshape(clamped, (-1, 3))[:22]
    np.testing.assert_allclose(clamped, clamp_bones(wild[None])[0], atol=1e-4)
    shares = bone_lengths(clamped)[1:] / LENGTHS[1:]
    assert shares.min() > LIMITS[0] - 1e-3 and shares.max() < LIMITS[1] + 1e-3


def test_people_travel_light():
    assert len(json.dumps(body("mesh"))) < 250_000
    assert all(len(json.dumps(body(name))) < 60_000 for name in PEOPLE)
    with pytest.raises(ValueError, match="no person"):
        body("robot")


def test_a_figure_says_who_it_is_and_shirts_tell_figures_apart(motion):
    one = player_figure("one", motion, "child")
    assert one["person"] == "child"
    assert player_value([one], "run")["figures"][0]["tint"] == 0
    assert all(figure["tint"] > 0.5 for figure in player_value([one, one], "run")["figures"])


def test_turns_are_mixed_the_short_way_round():
    almost = [[0, 0, 3.1], [0, 0, -3.1], [0, 0, 0]]  # a little to both sides of half a turn, then back
    given = [pack_int16(np.array(almost), FINE), 3]
    mixed = node(
        """const figure = { turns: p.quaternions(p.decode(given[0], 10000)), frames: given[1] };
        return [0, 0.5, 1, 1.5, 9].map((time) => [...p.turnsAt(figure, time, 1)]);""",
        given,
    )
    angles = [np.degrees(Rotation.from_quat(turn).magnitude()) for turn in mixed]
    assert angles == pytest.approx([177.6, 180, 177.6, 88.8, 0], abs=0.1)


def test_errors_travel_with_a_figure_and_are_mixed_between_frames(motion):
    errors = np.abs(np.sin(np.arange(len(motion) * 22))).reshape(len(motion), 22) * 0.1
    sent = player_figure("one", motion, errors=errors)
    script = "given.errors = p.decode(given.errors); return [0.5, 0.525].map((t) => p.errorsAt(given, t, 20))"
    at, between = node(script, sent)
    np.testing.assert_allclose(at, errors[10], atol=6e-4)
    np.testing.assert_allclose(between, errors[10:12].mean(axis=0), atol=6e-4)
    figures = player_value([player_figure("as it was", motion), sent], "run", worst=0.1)["figures"]
    assert figures[0]["light"] == PLAIN["light"] and figures[1]["light"] != PLAIN["light"]
    assert "errors" not in player_value([player_figure("one", motion)], "run")["figures"][0]


def test_the_colour_of_an_error_goes_from_blue_to_red():
    colours = node("return [-1, 0, 0.5, 1, 9].map(p.errorColour)")
    assert colours[0] == colours[1] == "rgb(58, 123, 191)"
    assert colours[3] == colours[4] == "rgb(200, 50, 30)"
    assert colours[2] == "rgb(240, 192, 74)"


def test_nothing_is_asked_of_other_machines():
    assert "${" not in (STATIC / "player.html").read_text(encoding="utf-8")
    for name in ("player.html", "body.js", "player.js", "player.css"):
        assert "http" not in (STATIC / name).read_text(encoding="utf-8")
    assert "MIT License" in (STATIC / "three.LICENSE.txt").read_text(encoding="utf-8")
    assert "gradio_api/file=" in motion_player("one", "").head
