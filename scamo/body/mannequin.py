"""The mannequin: this project's own body in SMPL's layout, computed here, without a licence to ask for.

It has 6890 vertices, 13776 triangles, 24 joints and skin weights, as a licensed SMPL file has, and goes through smplx
in the same way. Its shape is the zero level of a field of tapered capsules and ellipsoids round the 22-joint skeleton,
blended smoothly (a "smooth union") and turned into triangles by surface nets. It is built in about a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scamo.body.surface import vertex_normals
from scamo.skeleton import PARENTS, forward_kinematics

Array = NDArray[np.floating]

VERTICES = 6890  # SMPL's count, on which smplx's own vertex ids depend
PELVIS = np.array([0.0, -0.2233, 0.0282])  # its place in SMPL's rest pose, so that motions fit both bodies
PARENTS_24 = (*PARENTS, 20, 21)  # SMPL also has the hands
_CUBE = 0.0195  # metres, edge of the grid's cubes; gives slightly too few vertices, so long edges are split
_BLEND = 0.0138  # metres over which parts blend into each other
_FAR = 0.08  # beyond this many metres a part adds nothing
_NOTHING = np.exp(-_FAR / _BLEND)


def rest_joints() -> Array:
    """The 24 joints of the rest pose, [24, 3] metres."""
    rest = forward_kinematics(np.tile([1.0, 0.0, 0.0, 0.0], (22, 1)), PELVIS)
    hands = rest[[20, 21]] + np.array([[0.083, -0.008, 0.004], [-0.083, -0.008, 0.004]])
    return np.concatenate([rest, hands])


@cache
def mannequin() -> dict[str, Any]:
    """SMPL's arrays under SMPL's names, float64 or int64: v_template [V, 3], f [F, 3], weights [V, 24] and the rest.

    Two shape directions: size as a whole, and girth. The result is cached; do not write into it.
    """
    joints = rest_joints()
    parts = _parts(joints)
    vertices, faces = _surface(parts)
    vertices, faces = _split_to(vertices, faces, VERTICES)
    vertices = _settle(vertices, faces, parts, rounds=2)
    normals = vertex_normals(vertices, faces)
    weights = _skin(vertices, joints)
    size = (vertices - joints[0]) * 0.05
    girth = normals * 0.012
    return {
        "v_template": vertices,
        "f": faces,
        "weights": weights,
        "J_regressor": _regressor(vertices, joints),
        "kintree_table": np.array([PARENTS_24, range(24)], dtype=np.int64),
        "shapedirs": np.stack([size, girth], axis=-1),
        "posedirs": np.zeros((VERTICES, 3, 9 * 23), dtype=np.float32),
    }


# --- shape: each part is (from, to, radius there, radius here, stretch x y z) -------------------------------------


Part = tuple[Array, Array, float, float, Array]


def _parts(joints: Array) -> list[Part]:
    """The capsules. Stretch widens a part along x, y, z about its start."""
    parts: list[Part] = []

    def add(a: Array, b: Array, ra: float, rb: float, stretch: tuple[float, float, float] = (1, 1, 1)) -> None:
        parts.append((a, b, ra, rb, np.array(stretch, dtype=np.float64)))

    pelvis, belly, waist, chest, neck, head = joints[[0, 3, 6, 9, 12, 15]]
    add(pelvis + [0, -0.045, 0.0], pelvis + [0, 0.03, 0.0], 0.105, 0.104, (1.38, 1, 1.02))
    add(belly + [0, -0.05, 0.028], waist + [0, -0.03, 0.026], 0.102, 0.102, (1.30, 1, 0.98))
    add(waist + [0, -0.06, 0.024], chest + [0, 0.06, -0.018], 0.104, 0.106, (1.46, 1, 1.02))
    add(chest + [0, 0.08, -0.03], chest + [0, 0.115, -0.035], 0.088, 0.070, (1.80, 1, 0.98))
    add(neck + [0, -0.05, 0.004], head + [0, 0.03, -0.006], 0.060, 0.052)
    skull = head + [0, 0.092, 0.020]
    add(skull, skull, 0.090, 0.090, (0.90, 1.16, 1.10))
    add(skull + [0, -0.055, 0.026], skull + [0, -0.086, 0.046], 0.056, 0.036, (1.0, 1, 1))
    add(skull + [0, -0.018, 0.098], skull + [0, -0.038, 0.110], 0.009, 0.014)
    for side, (hip, knee, ankle, toe, collar, shoulder, elbow, wrist, hand) in (
        (1.0, joints[[1, 4, 7, 10, 13, 16, 18, 20, 22]]),
        (-1.0, joints[[2, 5, 8, 11, 14, 17, 19, 21, 23]]),
    ):
        x = np.array([side, 0.0, 0.0])
        add(hip + 0.012 * x + [0, -0.005, -0.040], hip + 0.014 * x + [0, -0.03, -0.036], 0.082, 0.082)  # buttock
        add(hip + 0.022 * x + [0, -0.02, 0.0], knee + [0, 0.03, 0.004], 0.086, 0.054)
        add(knee, knee + 0.15 * (ankle - knee), 0.053, 0.050)
        add(knee + 0.10 * (ankle - knee), ankle, 0.050, 0.034)
        add(knee + 0.22 * (ankle - knee) + [0, 0, -0.018], knee + 0.42 * (ankle - knee) + [0, 0, -0.016], 0.045, 0.042)
        add(ankle + [0, -0.030, -0.028], ankle + [0, -0.036, -0.026], 0.036, 0.036)  # heel
        add(ankle + [0, -0.012, 0.012], toe + [0, 0.006, 0.0], 0.036, 0.030, (1.12, 1, 1))
        add(toe + 0.000 * x + [0, 0.002, 0.0], toe + 0.004 * x + [0, -0.003, 0.062], 0.029, 0.024, (1.55, 1, 1))
        add(neck + [0, -0.028, 0.0], shoulder + [0, 0.020, 0.004], 0.046, 0.040)  # trapezius
        add(collar + 0.01 * x + [0, -0.055, 0.030], collar + 0.055 * x + [0, -0.06, 0.026], 0.060, 0.056)  # pectoral
        add(collar + 0.045 * x + [0, -0.09, -0.01], shoulder - 0.035 * x + [0, -0.03, 0.0], 0.058, 0.050)  # flank
        add(shoulder - 0.005 * x, shoulder + 0.35 * (elbow - shoulder), 0.058, 0.049)
        add(shoulder + 0.2 * (elbow - shoulder), elbow, 0.048, 0.036)
        add(elbow, wrist, 0.037, 0.026)
        add(elbow + 0.10 * (wrist - elbow), elbow + 0.45 * (wrist - elbow), 0.039, 0.037)
        palm = wrist + 0.42 * (hand - wrist)
        add(palm, hand + 0.25 * (hand - wrist), 0.022, 0.020, (1, 1, 1.85))
        add(hand + 0.2 * (hand - wrist), hand + 0.95 * (hand - wrist), 0.019, 0.014, (1, 1, 1.8))
        add(palm + [0, 0, 0.03], palm + 0.045 * x + [0, -0.004, 0.066], 0.017, 0.013)  # thumb
    return parts


def _field(points: Array, parts: list[Part], near: list[NDArray[np.int64]]) -> Array:
    """Roughly the distance [N] to the body's surface, negative inside. points [N, 3]; near: rows near each part."""
    total = np.full(len(points), _NOTHING)
    for part, rows in zip(parts, near, strict=True):
        total[rows] += _density(points[rows], part)
    return -_BLEND * np.log(total)


def _box(part: Part) -> tuple[Array, Array]:
    """The corners beyond which a part adds nothing."""
    a, b, ra, rb, stretch = part
    reach = max(ra, rb) * stretch + _FAR
    return np.minimum(a, b) - reach, np.maximum(a, b) + reach


def _density(points: Array, part: Part) -> Array:
    """Density [...] of a part at points [..., 3]: 1 on its surface, falling outwards; sums blend parts smoothly."""
    a, b, ra, rb, stretch = part
    along = (b - a) / stretch
    rel = (points - a) / stretch
    share = np.clip(rel @ along / max(float(along @ along), 1e-12), 0.0, 1.0)
    distance = np.linalg.norm(rel - share[..., None] * along, axis=-1) - (ra + share * (rb - ra))
    return np.exp(np.minimum(-distance / _BLEND, 60.0))


def _surface(parts: list[Part]) -> tuple[Array, NDArray[np.int64]]:
    """Surface nets: one vertex in every cube that the surface crosses, one quad for every grid edge that crosses it."""
    boxes = [_box(part) for part in parts]
    low = _CUBE * np.floor(np.min([box[0] for box in boxes], axis=0) / _CUBE)
    high = np.max([box[1] for box in boxes], axis=0)
    grid = np.stack(
        np.meshgrid(*(np.arange(a, b + _CUBE, _CUBE) for a, b in zip(low, high, strict=True)), indexing="ij"), -1
    )
    total = np.full(grid.shape[:3], _NOTHING)
    for part, (start, stop) in zip(parts, boxes, strict=True):
        first, last = ((start - low) / _CUBE).astype(int), ((stop - low) / _CUBE).astype(int) + 2
        block = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        total[block] += _density(grid[block], part)
    value = -_BLEND * np.log(total)
    inside = value < 0
    corners = list(product((0, 1), repeat=3))

    def at(array: NDArray[Any], corner: Sequence[int]) -> NDArray[Any]:
        """The array's values at one corner of every cube."""
        return array[tuple(slice(c, n - 1 + c) for c, n in zip(corner, array.shape, strict=True))]

    count = np.sum([at(inside, corner) for corner in corners], axis=0)
    active = (count > 0) & (count < 8)
    index = np.full(active.shape, -1)
    index[active] = np.arange(active.sum())
    # A cube's vertex is the mean of the points where its edges cross the surface.
    total, hits = np.zeros((int(active.sum()), 3)), np.zeros(int(active.sum()))
    for corner, axis in product(corners, range(3)):
        if corner[axis]:
            continue
        other = [1 if i == axis else c for i, c in enumerate(corner)]
        u, v = at(value, corner)[active], at(value, other)[active]
        cross = (u < 0) != (v < 0)
        share = np.where(cross, u / np.where(cross, u - v, 1.0), 0.0)
        total += (np.array(corner, dtype=np.float64) + share[:, None] * np.eye(3)[axis]) * cross[:, None]
        hits += cross
    where = np.stack(np.nonzero(active), axis=-1)
    vertices = low + _CUBE * (where + total / hits[:, None])
    quads = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        near = inside[tuple(slice(0, -1) if i == axis else slice(None) for i in range(3))]
        far = inside[tuple(slice(1, None) if i == axis else slice(None) for i in range(3))]
        for leaving, order in ((near & ~far, (0, 1, 2, 3)), (~near & far, (0, 3, 2, 1))):
            edge = np.stack(np.nonzero(leaving), axis=-1)
            around = [
                index[tuple((edge + du * np.eye(3, dtype=int)[u] + dv * np.eye(3, dtype=int)[v]).T)]
                for du, dv in ((-1, -1), (0, -1), (0, 0), (-1, 0))
            ]
            quads.append(np.stack([around[i] for i in order], axis=-1))
    quad = np.concatenate(quads)
    assert (quad >= 0).all(), "the grid is too small for the body"
    a, b, c, d = (vertices[quad[:, i]] for i in range(4))
    short = np.linalg.norm(a - c, axis=-1) <= np.linalg.norm(b - d, axis=-1)
    faces = np.concatenate(
        [
            np.where(short[:, None], quad[:, [0, 1, 2]], quad[:, [0, 1, 3]]),
            np.where(short[:, None], quad[:, [0, 2, 3]], quad[:, [1, 2, 3]]),
        ]
    )
    return _settle(vertices, faces, parts, rounds=3), faces


def _settle(vertices: Array, faces: NDArray[np.int64], parts: list[Part], rounds: int) -> Array:
    """Smooth the triangles along the surface and move the vertices back onto it."""
    both = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)  # a closed surface names every edge once in each direction
    degree = np.bincount(both[:, 0], minlength=len(vertices))[:, None]
    boxes = [_box(part) for part in parts]
    near = [np.flatnonzero(((vertices > low) & (vertices < high)).all(axis=1)) for low, high in boxes]
    for _ in range(rounds):
        sums = [np.bincount(both[:, 0], vertices[both[:, 1], i], len(vertices)) for i in range(3)]
        vertices = vertices + 0.5 * (np.stack(sums, axis=-1) / degree - vertices)
        step = 1e-4
        value = _field(vertices, parts, near)
        slope = np.stack([(_field(vertices + step * axis, parts, near) - value) / step for axis in np.eye(3)], axis=-1)
        vertices = vertices - value[:, None] * slope / np.maximum((slope**2).sum(-1, keepdims=True), 0.1)
    return vertices


def _split_to(vertices: Array, faces: NDArray[np.int64], count: int) -> tuple[Array, NDArray[np.int64]]:
    """Split long edges until there are `count` vertices; in each round at most one edge of a triangle."""
    assert len(vertices) <= count, f"the grid gives {len(vertices)} vertices; make its cubes larger"
    while len(vertices) < count:
        edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 3, 2), axis=2)
        length = np.linalg.norm(vertices[edges[..., 0]] - vertices[edges[..., 1]], axis=-1)
        longest = length.argmax(axis=1)
        rows = np.arange(len(faces))
        mine = edges[rows, longest]
        key = mine[:, 0] * len(vertices) + mine[:, 1]
        unique, first, counts = np.unique(key, return_index=True, return_counts=True)
        chosen = unique[counts == 2]  # the longest edge of both its triangles
        order = np.argsort(-length[first[counts == 2], longest[first[counts == 2]]], kind="stable")
        chosen = chosen[order][: count - len(vertices)]
        assert len(chosen), "no edge can be split"
        new = {int(k): len(vertices) + i for i, k in enumerate(chosen)}
        middle = np.stack([vertices[chosen // len(vertices)], vertices[chosen % len(vertices)]]).mean(axis=0)
        halved = np.flatnonzero(np.isin(key, chosen))
        extra = []
        faces = faces.copy()
        for row in halved:
            corner, vertex = longest[row], new[int(key[row])]
            a, b, c = (int(faces[row, (corner + i) % 3]) for i in range(3))
            faces[row] = a, vertex, c
            extra.append((vertex, b, c))
        faces = np.concatenate([faces, np.array(extra)])
        vertices = np.concatenate([vertices, middle])
    return vertices, faces


# --- skin ---------------------------------------------------------------------------------------------------------


def _skin(vertices: Array, joints: Array) -> Array:
    """Weights [V, 24], at most four a vertex: those of the nearest bones, with transitions of a few centimetres."""
    tips = {15: joints[15] + [0, 0.17, 0.02], 10: joints[10] + [0, 0, 0.06], 11: joints[11] + [0, 0, 0.06],
            22: joints[22] + [0.07, 0, 0], 23: joints[23] + [-0.07, 0, 0]}  # fmt: skip
    distance = np.full((len(vertices), 24), np.inf)
    bones = [(parent, joints[parent], joints[child]) for child, parent in enumerate(PARENTS_24) if parent >= 0]
    bones += [(joint, joints[joint], tip) for joint, tip in tips.items()]
    for joint, a, b in bones:
        along = b - a
        share = np.clip((vertices - a) @ along / (along @ along), 0.0, 1.0)
        away = np.linalg.norm(vertices - a - share[:, None] * along, axis=-1)
        distance[:, joint] = np.minimum(distance[:, joint], away)
    side = vertices[:, :1] / 0.02
    left, right = [1, 4, 7, 10, 13, 16, 18, 20, 22], [2, 5, 8, 11, 14, 17, 19, 21, 23]
    likely = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / 0.018)
    likely[:, left] /= 1 + np.exp(np.clip(-2 * side, -50, 50))
    likely[:, right] /= 1 + np.exp(np.clip(2 * side, -50, 50))
    fourth = np.sort(likely, axis=1)[:, -5:-4]
    likely = np.maximum(likely - fourth, 0.0)  # weights fade out instead of jumping where a fifth bone comes in
    return likely / likely.sum(axis=1, keepdims=True)


def _regressor(vertices: Array, joints: Array) -> Array:
    """Weights [24, V] on the vertices round every joint, with the joint exactly as their weighted mean."""
    regressor = np.zeros((len(joints), len(vertices)))
    for row, joint in zip(regressor, joints, strict=True):
        near = np.argsort(np.linalg.norm(vertices - joint, axis=-1))[:160]
        system = np.concatenate([vertices[near].T - joint[:, None], np.ones((1, len(near)))])
        row[near] = np.linalg.lstsq(system, np.array([0.0, 0.0, 0.0, 1.0]), rcond=None)[0]
    return regressor
