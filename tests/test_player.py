"""The 3D player: what Python packs for it, and what its JavaScript computes, run by node."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo.motion import Motion
from scamo.render.stick import BONES, extend
from scamo.ui.player import STATIC, packed, player, staged
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
    ran = subprocess.run(["node", "-e", whole], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_positions_travel_to_the_browser_within_half_a_millimetre(motion):
    value = staged([("one", motion)], "run")
    read = node("return Array.from(p.decode(given))", value["figures"][0]["positions"])
    points = extend(motion.joints)
    np.testing.assert_allclose(np.reshape(read, points.shape), points, atol=5.1e-4)
    assert len(value["figures"][0]["positions"]) < 15_000


def test_what_is_out_of_reach_stays_at_its_edge():
    far = np.array([-50.0, 50.0, 1.0])
    np.testing.assert_allclose(node("return Array.from(p.decode(given))", packed(far)), [-32.767, 32.767, 1.0])


def test_figures_have_their_own_colours_by_day_and_by_night(motion):
    alone, first = (staged([("one", motion)], "run", places)["figures"][0] for places in (1, 3))
    assert alone["light"] != first["light"]  # alone it is told by its sides, in company by its hue
    assert first["light"] == staged([("one", motion)] * 3, "run")["figures"][0]["light"]
    assert all(len(set(figure[theme])) == 3 for figure in (alone, first) for theme in ("light", "dark"))


def test_poses_between_frames_are_mixed_and_the_ends_hold():
    figure = {"positions": [0, 0, 0, 1, 2, 3], "frames": 2, "points": 1}
    poses = node("return [-1, 0, 0.025, 0.05, 9].map((t) => Array.from(p.poseAt(given, t, 20)))", figure)
    np.testing.assert_allclose(poses, [[0, 0, 0], [0, 0, 0], [0.5, 1, 1.5], [1, 2, 3], [1, 2, 3]])


def test_the_clock_goes_round_or_rests():
    assert node("return p.duration([{frames: 21}, {frames: 41}, {frames: 1}], 20)") == 2
    assert node("return p.duration([], 20)") == 0
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
    assert node("return p.distanceFor(1, 1, 60, 1)") == pytest.approx(2)
    assert node("return p.distanceFor(2, 1, 60, 2)") < 3  # a wide picture has room at its sides
    assert node("return p.distanceFor(1, 1, 60, 0.5)") > 3


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


def test_nothing_is_asked_of_other_machines():
    assert "${" not in (STATIC / "player.html").read_text()
    for name in ("player.html", "player.js", "player.css"):
        assert "http" not in (STATIC / name).read_text()
    assert "MIT License" in (STATIC / "three.LICENSE.txt").read_text()
    assert "gradio_api/file=" in player().head
