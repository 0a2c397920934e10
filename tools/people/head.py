"""Head and neck with a painted face, the eyes, and hair: the scalp made thicker, and a bun for the women."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scamo.body.person import PEOPLE, REGIONS
from tools.people.clothes import Tailor
from tools.people.mesh import (
    Piece,
    even_borders,
    keep,
    paint,
    piece_of,
    ramp,
    seen_from_outside,
    smooth,
    with_rim,
)
from tools.people.skeleton import Fitted

Array = NDArray[np.floating]

HAIR, LIPS, EYE, IRIS, BROW, PUPIL = (REGIONS.index(name) for name in ("hair", "lips", "eye", "iris", "brow", "pupil"))
_UNDER_SHIRT = 0.042  # how far the neck goes on below the neckline
_WOMEN = [PEOPLE.index("woman"), PEOPLE.index("old woman")]
_FULL = {"woman": 1.15, "old woman": 1.15, "old man": 0.8}  # how thick the hair is
# The hairline from the nape to the forehead: metres forward, metres above the head joint.
_HAIRLINE = np.array([
    (-0.10, 0.012), (-0.05, 0.012), (-0.02, 0.018), (0.005, 0.03), (0.022, 0.055), (0.033, 0.092), (0.048, 0.103),
    (0.062, 0.098), (0.069, 0.068), (0.080, 0.068), (0.088, 0.102), (0.10, 0.124), (0.12, 0.136), (0.15, 0.142),
])  # fmt: skip


def head(body: Piece, tailor: Tailor) -> Piece:
    """Head and neck without what nobody sees, the neck's lower end pushed in under the collar."""
    field = tailor.collar(body.first) + _UNDER_SHIRT
    piece = keep(body, np.where(np.abs(body.first[:, 0]) > 0.13, -1, field)).largest()
    inward = 0.020 * ramp(0.004, -0.04, tailor.collar(piece.first))
    piece = piece.moved(-piece.normals() * inward[:, None])
    seen = np.zeros(len(piece.faces), dtype=bool)
    for person in (0, PEOPLE.index("old man")):
        seen |= seen_from_outside(piece.places[person], piece.faces)
    touched = np.isin(np.arange(len(piece)), piece.faces[seen])
    return piece.only(seen | touched[piece.faces].all(axis=1)).largest()


def with_face(piece: Piece, eye: Array) -> Piece:
    """Brows and lips. eye: the middle of the neutral person's left eye."""
    piece = paint(piece, _brow(piece.first, eye), BROW)
    x, y, z = (piece.first - eye * [0, 1, 1]).T
    return paint(piece, np.where(z > -0.01, 1 - (x / 0.025) ** 2 - ((y + 0.0700) / 0.0085) ** 2, -1), LIPS)


def _brow(places: Array, eye: Array) -> Array:
    """Positive in an arched stripe above each eye, narrower outwards."""
    along = (np.abs(places[:, 0]) - eye[0]) / 0.019
    off = places[:, 1] - (eye[1] + 0.0215 + 0.0032 * (1 - along**2))
    half = np.maximum(0.0031 * (1 - 0.45 * np.clip(along, -1.2, 1.2)), 0.0015)
    inside = 1 - np.maximum((np.abs(along) / 1.15) ** 4, np.abs(off) / half)
    return np.where(places[:, 2] > eye[2] - 0.035, inside, -1)


def eyeball(fitted: Fitted, faces: NDArray[np.int64], side: int) -> Piece:
    """The front of an eye with iris and pupil. side: 1 left, -1 right."""
    piece = piece_of(fitted.vertices, fitted.weights, faces, EYE)
    centres = piece.places.mean(axis=1)
    piece = piece.only(((piece.first - centres[0])[:, 2] > -0.004)[piece.faces].all(axis=1))
    piece = _finer(piece, centres)
    axis = np.array([side * 0.05, -0.05, 1])
    for degrees, region in ((27, IRIS), (11, PUPIL)):
        ray = piece.first - centres[0]
        angle = np.degrees(np.arccos(np.clip(ray @ axis / np.linalg.norm(ray, axis=1) / np.linalg.norm(axis), -1, 1)))
        piece = paint(piece, degrees - angle, region)
    return piece


def _finer(piece: Piece, centres: Array) -> Piece:
    """Every triangle as four, new vertices as far from the centre as those beside them."""
    edges, place = np.unique(
        np.sort(piece.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0, return_inverse=True
    )
    rays = piece.places - centres[:, None]
    radii = np.linalg.norm(rays, axis=-1, keepdims=True)
    middle = rays[:, edges].mean(axis=2)
    middle *= radii[:, edges].mean(axis=2) / np.linalg.norm(middle, axis=-1, keepdims=True)
    a, b, c = piece.faces.T
    ab, bc, ca = place.reshape(-1, 3).T + len(piece)
    faces = np.concatenate(
        [np.stack(corners, axis=1) for corners in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    )
    return Piece(
        np.concatenate([piece.places, middle + centres[:, None]], axis=1),
        np.concatenate([piece.weights, piece.weights[edges].mean(axis=1)]),
        faces,
        np.tile(piece.regions, 4),
    )


def above_hairline(places: Array, tailor: Tailor) -> Array:
    """Metres above the hairline."""
    return places[:, 1] - tailor.joints[15, 1] - np.interp(places[:, 2], *_HAIRLINE.T)


def hair(bare: Piece, tailor: Tailor) -> Piece:
    """Short hair on a head without its face."""
    # Measured on a head without folds, or the line would be jagged at the ears.
    field = above_hairline(smooth(bare, 8, 0.5 * ~bare.edge()).first, tailor)
    piece = even_borders(keep(bare, field, snap=0.2).largest(), 24)
    thick = 0.0035 + 0.012 * ramp(0, 0.05, above_hairline(piece.first, tailor))
    normals = smooth(piece, 6).normals()
    full = np.array([_FULL.get(name, 1.0) for name in PEOPLE])
    piece = smooth(piece, 3)
    piece = with_rim(piece.moved(normals * thick[:, None] * full[:, None, None]), 0.010)
    return replace(piece, regions=np.full(len(piece.faces), HAIR))


def under_hair(piece: Piece, tailor: Tailor) -> Piece:
    """A head whose scalp gives way to the hair on it."""
    inward = 0.006 * ramp(0.006, 0.02, above_hairline(piece.first, tailor))
    return piece.moved(-piece.normals() * inward[:, None])


def bun(bare: Piece, joints: Array) -> Piece:
    """A ball of hair at the back of the women's heads; a point inside the head for others. joints: [P, 22, 3]."""
    ball = _sphere()
    places = np.zeros((len(PEOPLE), len(ball), 3))
    for person, head_places in enumerate(bare.places):
        woman, old = person in _WOMEN, person != _WOMEN[0]
        height = joints[person, 15, 1] + (0.085 if old else 0.115)
        back = head_places[np.abs(head_places[:, 1] - height) < 0.02][:, 2].min()
        depth = back - 0.016 if woman else joints[person, 15, 2] + 0.02
        size = np.array([0.040, 0.036, 0.033]) * (0.85 if old else 1.0) if woman else np.full(3, 0.001)
        places[person] = ball.first * size + [0, height, depth]
    weights = np.zeros((len(ball), 22))
    weights[:, 15] = 1
    return Piece(places, weights, ball.faces, np.full(len(ball.faces), HAIR))


def _sphere() -> Piece:
    """A ball of 80 triangles: an icosahedron, every triangle as four."""
    g = (1 + np.sqrt(5)) / 2
    corners = np.array([(0, i, j * g) for i in (-1, 1) for j in (-1, 1)])
    corners = np.concatenate([np.roll(corners, turn, axis=1) for turn in range(3)])
    distance = np.linalg.norm(corners[:, None] - corners, axis=-1)
    near = np.isclose(distance, 2)
    triples = ((i, j, k) for i in range(12) for j in range(i) for k in range(j))
    faces = [(i, j, k) for i, j, k in triples if near[i, j] and near[j, k] and near[i, k]]
    outwards = [face if np.linalg.det(corners[list(face)]) > 0 else face[::-1] for face in faces]
    piece = Piece(corners[None], np.zeros((12, 1)), np.array(outwards), np.zeros(20, dtype=np.int64))
    fine = _finer(piece, np.zeros((1, 3)))
    return replace(fine, places=fine.places / np.linalg.norm(fine.places, axis=-1, keepdims=True))
