"""Shirt, trousers and shoes, from the smooth suit (helper-tights) round the body of MakeHuman's mesh, and bare arms.

All measures are metres of the motion, taken on the neutral person; cuts are alike for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from scamo.body.person import REGIONS, world_rotations
from scamo.rotation import quat_to_matrix
from tools.people.mesh import (
    Piece,
    even_borders,
    keep,
    paint,
    piece_of,
    ramp,
    smooth,
    smooth_weights,
    with_rim,
)
from tools.people.skeleton import SIDES, Fitted

Array = NDArray[np.floating]

SKIN, SHIRT, TROUSERS, SHOE, SOLE = (REGIONS.index(name) for name in ("skin", "shirt", "trousers", "shoe", "sole"))
SLEEVE = 0.60  # of the upper arm
_BARE_FROM = 0.44  # of the upper arm: the skin begins under the sleeve
_HEM, _CUFF = 0.085, 0.035  # below the pelvis, above the ankle
_TUCKED = 0.10  # how far trousers reach up under the shirt
_SOLE_HEIGHT, _FLAT = 0.022, 0.014
_COLLAR = 0.004  # how far the collar stands off the neck at most


@dataclass(frozen=True)
class Tailor:
    """Fields on the neutral person, in metres or shares, by which pieces are cut."""

    joints: Array  # [22, 3]

    def collar(self, places: Array) -> Array:
        """How far above the neckline, which is lower in front."""
        return places[:, 1] - (self.joints[12, 1] + 0.022) + 0.62 * (places[:, 2] - self.joints[12, 2])

    def along_arm(self, piece: Piece) -> Array:
        """Where along an arm, 0 at the shoulder, 1 at the elbow, 2 at the wrist; -1 off the arms."""
        out = np.full(len(piece), -1.0)
        for *_, shoulder, elbow, wrist in SIDES.values():
            start, middle, end = self.joints[[shoulder, elbow, wrist]]
            upper, lower = middle - start, end - middle
            share = (piece.first - start) @ upper / (upper @ upper)
            beyond = (piece.first - middle) @ lower / (lower @ lower)
            mine = piece.weights[:, [shoulder, elbow, wrist]].sum(axis=1) > 0.02
            mine &= np.sign(piece.first[:, 0]) == np.sign(start[0])
            out = np.where(mine, np.where(share < 1, share, 1 + np.maximum(beyond, 0)), out)
        return out

    def height(self, piece: Piece) -> Array:
        """How high, arms nowhere: they count as far above."""
        return np.where(self.along_arm(piece) > 0, 9.0, piece.first[:, 1])

    @property
    def hem(self) -> float:
        """The height of the shirt's lower edge."""
        return float(self.joints[0, 1]) - _HEM

    @property
    def cuff(self) -> float:
        """The height of the trousers' lower edge."""
        return float(self.joints[7, 1]) + _CUFF


def suit(fitted: Fitted, faces: NDArray[np.int64], tailor: Tailor) -> Piece:
    """The smooth suit; its weights round the hips are blended, so that cloth bends in a curve when a leg is raised."""
    whole = piece_of(fitted.vertices, fitted.weights, faces, SHIRT)
    y = whole.first[:, 1]
    hips = ramp(tailor.hem - 0.16, tailor.hem - 0.04, y) * ramp(tailor.hem + 0.20, tailor.hem + 0.10, y)
    hips *= tailor.along_arm(whole) <= 0
    return smooth_weights(whole, 12, 0.5 * hips)


def shirt(whole: Piece, body: Piece, tailor: Tailor) -> Piece:
    """A T-shirt that hangs straight over hips and seat. body: the naked body, which the collar follows."""
    piece = keep(whole, -tailor.collar(whole.first))
    arm = tailor.along_arm(piece)
    piece = keep(piece, np.where(arm > 0, SLEEVE - arm, 1))
    piece = even_borders(keep(piece, tailor.height(piece) - tailor.hem).largest())
    y, arm, collar = piece.first[:, 1], tailor.along_arm(piece), tailor.collar(piece.first)
    hanging = ramp(tailor.hem + 0.16, tailor.hem + 0.04, y) * (arm < 0)
    piece = smooth(piece, 4, 0.5 * ~piece.edge())
    straight = smooth(piece, 60, 0.5 * hanging)
    piece = piece.moved((straight.places - piece.places) * [1, 0, 1])
    out = 0.006 + 0.005 * ramp(tailor.hem + 0.25, tailor.hem, y) * (arm < 0)
    out += 0.005 * ramp(0, SLEEVE, arm) - 0.006 * ramp(-0.07, 0, collar)
    piece = piece.moved(piece.normals() * out[:, None])
    piece = even_borders(_at_distance(piece, whole, hanging > 0, least=0.009))
    share = ramp(-0.10, -0.02, collar)
    piece = _at_distance(piece, body, share > 0, most=_COLLAR, share=share)
    rim = np.where(
        y < tailor.hem + 0.05, 0.026, 0.014
    )  # the hem's reaches into the trousers, or one would look under it
    return with_rim(smooth(piece, 2, 0.4 * share * ~piece.edge()), rim)


def _at_distance(
    piece: Piece,
    under: Piece,
    where: NDArray[np.bool_],
    *,
    least: float = -1.0,
    most: float = 1.0,
    share: Array | float = 1.0,
) -> Piece:
    """Bring cloth `where` [V] to between `least` and `most` metres from what is under it, `share` [V] of the way."""
    normals = under.normals()
    part = np.broadcast_to(share, (len(piece),))[where]
    shift = np.zeros_like(piece.places)
    for person, places in enumerate(piece.places):
        _, closest = cKDTree(under.places[person]).query(places[where])
        normal = normals[person][closest]
        off = ((places[where] - under.places[person][closest]) * normal).sum(axis=1)
        shift[person, where] = (part * (np.clip(off, least, most) - off))[:, None] * normal
    return piece.moved(shift)


def trousers(whole: Piece, tailor: Tailor) -> Piece:
    """Long trousers that end under the shirt."""
    height = np.where(tailor.along_arm(whole) > 0, -1, tailor.hem + _TUCKED - whole.first[:, 1])
    piece = keep(whole, height)
    piece = even_borders(keep(piece, piece.first[:, 1] - tailor.cuff))
    piece = smooth(piece, 3, 0.5 * ~piece.edge())
    y = piece.first[:, 1]
    hip, knee = tailor.joints[[1, 4], 1]
    out = 0.004 - 0.008 * ramp(tailor.hem - 0.06, tailor.hem, y)
    out += 0.010 * ramp(knee - 0.05, tailor.cuff, y) + 0.003 * ramp(hip, knee, y)
    piece = with_rim(piece.moved(piece.normals() * out[:, None]), 0.010)
    return replace(piece, regions=np.full(len(piece.faces), TROUSERS))


def shoes(whole: Piece, fitted: Fitted, tailor: Tailor) -> Piece:
    """Two shoes, with soles that are flat when the feet are turned as those of a body at rest."""
    piece = keep(whole, tailor.cuff + 0.035 - tailor.height(whole))
    y = piece.first[:, 1]
    piece = smooth(piece, 2, 0.5 * ~piece.edge())
    piece = piece.moved(piece.normals() * (0.006 * ramp(tailor.cuff + 0.035, tailor.joints[7, 1] - 0.01, y))[:, None])
    turns = quat_to_matrix(world_rotations(fitted.joints))
    places = piece.places.copy()
    for person, joints in enumerate(fitted.joints):
        for _, _, ankle, *_ in SIDES.values():
            mine = np.sign(piece.first[:, 0]) == np.sign(joints[ankle, 0])
            turn = turns[person, ankle]
            upright = (places[person, mine] - joints[ankle]) @ turn
            low = float(upright[:, 1].min())
            upright[:, 1] = np.where(upright[:, 1] < low + _FLAT, low, upright[:, 1])
            places[person, mine] = upright @ turn.T + joints[ankle]
    piece = replace(piece, places=places)
    low = piece.first[:, 1].min()
    piece = paint(piece, piece.first[:, 1] - low - _SOLE_HEIGHT, SHOE, SOLE)
    level = piece.normals() * [1, 0, 1]
    return piece.moved(level * (0.004 * (piece.first[:, 1] < low + _SOLE_HEIGHT + 0.0005))[:, None])


def arms(body: Piece, tailor: Tailor) -> list[Piece]:
    """The bare arms with their hands, one by one; under the sleeve the skin gives way."""
    found = []
    for side in (1, -1):
        mine = np.where(body.first[:, 0] * side > 0, tailor.along_arm(body) - _BARE_FROM, -1)
        piece = keep(body, mine)
        inward = 0.008 * ramp(SLEEVE - 0.03, SLEEVE - 0.11, tailor.along_arm(piece))
        found.append(piece.moved(-piece.normals() * inward[:, None]))
    return found


__all__ = ["SKIN", "Tailor", "arms", "shirt", "shoes", "suit", "trousers"]
