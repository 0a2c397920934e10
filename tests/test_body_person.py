"""People: whole and closed to the eye, on the motion's joints, dressed, and chosen by the words of a prompt."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from scamo.body.person import (
    FILE,
    LENGTHS,
    LIMITS,
    OFFSETS,
    PEOPLE,
    REGIONS,
    Person,
    clamp_bones,
    load_person,
    person_for,
)
from scamo.body.person_words import PEOPLE as NAMES
from scamo.render import frames
from scamo.render.mesh import mesh_frames, paint
from scamo.skeleton import PARENTS, bone_lengths, forward_kinematics

from .motions import cartwheel, stretchy, walk


@pytest.fixture(params=PEOPLE)
def person(request: pytest.FixtureRequest) -> Person:
    return load_person(request.param)


def test_the_file_is_small_and_quickly_read() -> None:
    assert FILE.stat().st_size < 500_000
    load_person.cache_clear()
    start = time.perf_counter()
    load_person("child")
    assert time.perf_counter() - start < 1.0  # 50 ms on a quiet machine
    assert PEOPLE is NAMES and len({load_person(name).size for name in PEOPLE}) > 3
    with pytest.raises(ValueError, match="no person"):
        load_person("robot")


def test_the_bind_pose_is_posed_as_it_was_baked(person: Person) -> None:
    """Bones that stand as they did when the skin was made leave the skin where it is."""
    assert person.skin.shape == person.weights.shape[:1] + (3,)
    np.testing.assert_allclose(bone_lengths(person.joints), LENGTHS, atol=1e-6)
    posed = person.pose(person.joints[None] * person.size)[0]
    np.testing.assert_allclose(posed, person.skin * person.size, atol=1e-5)
    np.testing.assert_allclose(person.weights.sum(axis=1), 1)


def test_a_turned_and_moved_pose_turns_and_moves_the_skin(person: Person) -> None:
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    moved = person.joints @ turn.T + [1.0, 2.0, 3.0]
    posed = person.pose(moved[None] * person.size)[0] / person.size
    np.testing.assert_allclose(posed, person.skin @ turn.T + [1.0, 2.0, 3.0], atol=1e-5)


def test_the_skin_lies_round_its_bones(person: Person) -> None:
    """Knees, elbows and wrists are in the middle of what moves with them."""
    for joint in (4, 5, 18, 19, 20, 21):
        parent = PARENTS[joint]
        shared = [np.isin(person.bones, one) * person.weights for one in (joint, parent)]
        between = np.minimum(shared[0].sum(axis=1), shared[1].sum(axis=1)) > 0.3
        assert between.sum() > 4
        assert np.linalg.norm(person.skin[between].mean(axis=0) - person.joints[joint]) < 0.05


def test_triangles_look_outwards(person: Person) -> None:
    """Neighbours look the same way, as they run along their edge in opposite directions; each part has a volume."""
    edges = person.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert len(np.unique(edges, axis=0)) == len(edges)
    count = len(person.skin)
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count))
    parts = connected_components(graph, directed=False)[1][person.triangles[:, 0]]
    corners = person.skin[person.triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for part in range(parts.max() + 1):
        mine = parts == part
        centre = corners[mine].mean(axis=(0, 1))
        assert (across[mine] * (corners[mine].mean(axis=1) - centre)).sum() > 0
    assert 0.04 < (across * corners.mean(axis=1)).sum() / 6 < 0.12  # cubic metres in all


def _region(person: Person, name: str) -> np.ndarray:
    return person.regions[person.faces[:, 0]] == REGIONS.index(name)


def test_every_triangle_has_one_colour_and_regions_are_where_they_belong(person: Person) -> None:
    regions = person.regions[person.faces]
    assert (regions == regions[:, :1]).all() and set(regions[:, 0]) == set(range(len(REGIONS)))
    np.testing.assert_array_equal(person.points[person.faces], person.triangles)
    height = {name: person.template[person.faces[_region(person, name)], 1].mean() for name in REGIONS}
    order = ["sole", "shoe", "trousers", "shirt", "lips", "eye", "brow", "hair"]
    assert [height[name] for name in order] == sorted(height[name] for name in order)
    assert all(np.ptp(person.colours[REGIONS.index(name)]) > 0.1 for name in ("skin", "lips"))


def test_soles_stand_on_the_floor(person: Person) -> None:
    """At rest they are flat, both as low, within two millimetres of `sole` below the toe joints."""
    rest = forward_kinematics(np.tile([1.0, 0.0, 0.0, 0.0], (1, 22, 1)), np.zeros((1, 3)), OFFSETS) * person.size
    posed = next(person.vertices(rest))[0]
    floor = rest[0, [10, 11], 1].min() - person.sole
    for side in (1, -1):
        height = posed[np.sign(posed[:, 0]) == side, 1] - floor
        assert abs(height.min()) < 2e-3
        assert (height < 2e-3).sum() > 10


def test_size_scales_path_and_body_alike() -> None:
    child, man = load_person("child"), load_person("man")
    joints = cartwheel(8)
    np.testing.assert_allclose(child.fit(joints), child.size * man.fit(joints), atol=1e-9)
    assert np.ptp(child.template[:, 1]) < 0.75 * np.ptp(man.template[:, 1])
    np.testing.assert_allclose(man.fit(2.0 * joints), man.fit(joints), atol=0.06)  # a giant is drawn as the man


def test_bones_end_at_a_limit() -> None:
    np.testing.assert_allclose(clamp_bones(walk(8)), walk(8), atol=1e-9)
    wild = stretchy(20)
    wild[:, [18, 20]] += [0.5, 0.0, 0.0]
    clamped = clamp_bones(wild)
    shares = bone_lengths(clamped)[:, 1:] / LENGTHS[1:]
    assert shares.min() > LIMITS[0] - 1e-9 and shares.max() < LIMITS[1] + 1e-9
    arm, before = clamped[:, 18] - clamped[:, 16], wild[:, 18] - wild[:, 16]
    np.testing.assert_allclose(np.cross(arm, before), 0, atol=1e-9)  # its direction stays
    np.testing.assert_allclose(clamped[:, 20] - clamped[:, 18], wild[:, 20] - wild[:, 18], atol=0.03)  # it moves along


def test_shirts_tell_figures_apart() -> None:
    man = load_person("man")
    colours = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    alone, beside = paint(man, colours), paint(man, colours, in_company=True)
    changed = np.abs(alone - beside).max(axis=1) > 1e-6
    np.testing.assert_array_equal(changed, man.regions == REGIONS.index("shirt"))
    assert (beside[changed, 1] > beside[changed, 0]).all()
    np.testing.assert_array_equal(alone, man.colours[man.regions])


def test_pictures_show_cloth_and_skin() -> None:
    man = load_person("man")
    options = {"size": (160, 220), "backend": "numpy", "azimuth": 0, "path": False}
    picture = next(frames(walk(1), body="person", person="man", **options)).astype(int)
    sticks = next(frames(walk(1), size=(160, 220), azimuth=0, path=False)).astype(int)
    assert (picture[..., 2] - picture[..., 0] > 50).sum() > 400  # the shirt
    assert (np.abs(picture - sticks).max(axis=-1) > 40).sum() > 1000
    skin = (picture[..., 0] - picture[..., 2] > 30) & (picture[..., 0] > 100)
    assert skin.sum() > 100
    child = next(frames(walk(1), body="person", caption="a little girl walks", **options))
    assert (child[..., 0].astype(int) - child[..., 2] > 100).sum() > 100  # the yellow shirt
    two = mesh_frames([walk(2), cartwheel(2)], [man, load_person("child")], backend="numpy", size=96)
    assert next(two).shape == (96, 96, 3)
    with pytest.raises(ValueError, match="one for each"):
        mesh_frames([walk(1)], [man, man], backend="numpy")
    with pytest.raises(ValueError, match="no person"):
        next(frames(walk(1), body="person", person="robot"))


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("an old man walks slowly", "old man"),
        ("a little girl jumps", "child"),
        ("Grandmother knits", "old woman"),
        ("she waves", "woman"),
        ("a boy runs", "child"),
        ("a person walks forward", "neutral"),
        ("", "neutral"),
        ("run fast", "neutral"),
        ("a person walks like an old man", "neutral"),
        ("walks towards a woman", "neutral"),
        ("a man helps an old woman across the street", "man"),
        ("an elderly lady dances with a boy", "old woman"),
        ("two women shake hands", "woman"),
        ("a man and a child dance", "man"),
        ("a tired, old lady sits down", "old woman"),
        ("the man's hat falls", "neutral"),
        ("someone hugs a child", "neutral"),
        ("a person is pushed by a man", "neutral"),
        ("a person waves with her left hand", "woman"),
        ("a person helps a woman with her bag", "neutral"),
        ("a 5-year-old kicks a ball", "child"),
        ("a 70 year old woman bows", "old woman"),
        ("a 30-year-old man runs", "man"),
        ("an elderly person walks with her cane", "old woman"),
        ("in the park a girl runs", "child"),
        ("a video of an old man walking", "old man"),
        ("a male dancer spins", "man"),
        ("a man with an old hat", "man"),
        ("a person plays the old piano", "neutral"),
        ("mankind, womanly, boyish, manager", "neutral"),
        ("walk one step", "neutral"),
    ],
)
def test_who_acts_in_a_prompt(prompt: str, name: str) -> None:
    assert person_for(prompt) == name


def test_toes_bend_where_a_raised_heel_would_push_them_through_the_floor(person: Person) -> None:
    """The feet stand on their balls, the heels 8 cm higher: nothing of the shoes is below the floor."""
    rest = forward_kinematics(np.tile([1.0, 0.0, 0.0, 0.0], (1, 22, 1)), np.zeros((1, 3)), OFFSETS)
    rest[..., 1] -= rest[:, [10], 1].copy()
    raised = rest.copy()
    others = [joint for joint in range(22) if joint not in (10, 11)]
    raised[:, others, 1] += 0.08
    low = {floor: float(person.pose(raised * person.size, floor)[..., 1].min()) for floor in (None, -10.0)}
    assert low[-10.0] < -person.sole - 0.015  # with the floor far below, toes stay straight
    assert low[None] > -person.sole - 0.006
    heel = [float(person.pose(raised * person.size, floor)[0, :, 1].max()) for floor in (None, -10.0)]
    assert heel[0] == heel[1]  # nothing else moves
