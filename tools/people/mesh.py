"""Pieces of a mesh that all people share: cut along a field, smooth, thicken an edge, find what is hidden."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scamo.body.surface import vertex_normals

Array = NDArray[np.floating]
Faces = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """places: [P, V, 3] for every person, weights: [V, 22], faces: [F, 3], regions: [F] places in REGIONS."""

    places: Array
    weights: Array
    faces: Faces
    regions: NDArray[np.int64]

    @property
    def first(self) -> Array:
        """The places in the neutral person, on whom all fields are measured: [V, 3]."""
        return self.places[0]

    def __len__(self) -> int:
        return len(self.weights)

    def normals(self) -> Array:
        """Unit normals [P, V, 3]."""
        return vertex_normals(self.places, self.faces)

    def moved(self, shift: Array) -> Piece:
        """Every vertex moved by shift [P, V, 3]."""
        return replace(self, places=self.places + shift)

    def with_faces(self, faces: Faces, regions: NDArray[np.int64]) -> Piece:
        """The piece with other faces, and no vertex that these do not use."""
        used, corners = np.unique(faces, return_inverse=True)
        return Piece(self.places[:, used], self.weights[used], corners.reshape(-1, 3), regions)

    def only(self, chosen: NDArray[np.bool_]) -> Piece:
        """The chosen faces [F] alone."""
        return self.with_faces(self.faces[chosen], self.regions[chosen])

    def largest(self) -> Piece:
        """The largest of the parts that hang together."""
        edges = self.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
        graph = sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(len(self), len(self)))
        part = connected_components(graph, directed=False)[1][self.faces[:, 0]]
        return self.only(part == np.bincount(part).argmax())

    def edge(self) -> NDArray[np.bool_]:
        """Which vertices lie on an open border, [V]."""
        return np.isin(np.arange(len(self)), borders(self.faces))


def piece_of(places: Array, weights: Array, faces: Faces, region: int) -> Piece:
    """The part of a mesh that some faces make, of one region."""
    proper = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return Piece(places, weights, faces, np.full(len(faces), region)).only(proper)


def cut(piece: Piece, field: Array, snap: float = 0.12) -> tuple[Piece, NDArray[np.bool_], Array]:
    """Cut the triangles along field [V] = 0. Returns the piece, which of its faces lie where the field is positive, and
    the field of its vertices.

    Vertices that lie within `snap` of an edge's length from the cut are put on it, so that no slivers appear.
    """
    field = field.copy()
    edges = np.unique(np.sort(piece.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    a, b = field[edges].T
    crossed = a * b < 0
    share = np.divide(a, a - b, out=np.full(len(a), 0.5), where=crossed)
    field[edges[crossed & (share < snap), 0]] = 0
    field[edges[crossed & (share > 1 - snap), 1]] = 0
    edges = edges[field[edges[:, 0]] * field[edges[:, 1]] < 0]
    share = field[edges[:, 0]] / (field[edges[:, 0]] - field[edges[:, 1]])
    count = len(piece)
    middle = {(int(i), int(j)): count + k for k, (i, j) in enumerate(edges)}

    def mixed(values: Array) -> Array:
        along = values[..., edges[:, 0], :] * (1 - share[:, None]) + values[..., edges[:, 1], :] * share[:, None]
        return np.concatenate([values, along], axis=-2)

    sides = np.sign(field)[piece.faces].astype(int)
    whole = sides.min(axis=1) * sides.max(axis=1) >= 0
    faces, origin = piece.faces[whole].tolist(), np.flatnonzero(whole).tolist()
    positive = (sides[whole].sum(axis=1) >= 0).tolist()
    for face in np.flatnonzero(~whole):
        side = sides[face]
        if 0 in side:
            special = int(np.flatnonzero(side == 0)[0])
        else:  # the corner that is alone on its side
            special = int(np.flatnonzero(side == -np.sign(side.sum()))[0])
        i, j, k = (int(corner) for corner in np.roll(piece.faces[face], -special))
        if 0 in side:
            m = middle[min(j, k), max(j, k)]
            parts = [(i, j, m), (i, m, k)]
            signs = [field[j] > 0, field[k] > 0]
        else:
            m, n = middle[min(i, j), max(i, j)], middle[min(i, k), max(i, k)]
            parts = [(i, m, n), (m, j, n), (n, j, k)]
            signs = [field[i] > 0, field[j] > 0, field[j] > 0]
        faces += parts
        positive += signs
        origin += [face] * len(parts)
    out = Piece(
        mixed(piece.places), mixed(piece.weights), np.array(faces, dtype=np.int64), piece.regions[np.array(origin)]
    )
    return out, np.array(positive, dtype=bool), np.concatenate([field, np.zeros(len(edges))])


def keep(piece: Piece, field: Array, snap: float = 0.12) -> Piece:
    """The part of a piece where the field is positive."""
    out, positive, _ = cut(piece, field, snap)
    return out.only(positive)


def paint(piece: Piece, field: Array, region: int, other: int | None = None) -> Piece:
    """Give the part where the field is positive another region, and the rest `other` if that is given."""
    out, positive, _ = cut(piece, field)
    rest = out.regions if other is None else np.full(len(positive), other)
    return replace(out, regions=np.where(positive, region, rest))


def borders(faces: Faces) -> Faces:
    """The open edges [E, 2], each in the direction of its face."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    _, place, count = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    return edges[count[place.reshape(-1)] == 1]


def neighbours(faces: Faces, count: int) -> sparse.csr_matrix:
    """Which vertices share an edge: rows [V, V] that sum to one."""
    edges = faces[:, [0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 0, 2]].reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count)).tocsr()
    graph.data[:] = 1
    return sparse.diags(1 / np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1)) @ graph


def smooth(piece: Piece, rounds: int, share: Array | float = 0.5) -> Piece:
    """Move every vertex towards the middle of its neighbours, `share` [V] of the way."""
    graph, places = neighbours(piece.faces, len(piece)), piece.places
    part = np.broadcast_to(share, (len(piece),))[:, None]
    for _ in range(rounds):
        places = np.stack([one + part * (graph @ one - one) for one in places])
    return replace(piece, places=places)


def smooth_weights(piece: Piece, rounds: int, share: Array) -> Piece:
    """Blend every vertex' weights with those of its neighbours, `share` [V] of the way."""
    graph, weights = neighbours(piece.faces, len(piece)), piece.weights
    for _ in range(rounds):
        weights = weights + share[:, None] * (graph @ weights - weights)
    return replace(piece, weights=weights)


def even_borders(piece: Piece, rounds: int = 4) -> Piece:
    """Smooth the lines of the open borders along themselves."""
    edges = borders(piece.faces)
    both = np.concatenate([edges, edges[:, ::-1]])
    graph = sparse.coo_matrix((np.ones(len(both)), both.T), shape=(len(piece), len(piece))).tocsr()
    simple = (np.bincount(both[:, 0], minlength=len(piece)) == 2)[:, None]
    places = piece.places
    for _ in range(rounds):
        places = np.stack([np.where(simple, 0.5 * one + 0.25 * (graph @ one), one) for one in places])
    return replace(piece, places=places)


def with_rim(piece: Piece, depth: float) -> Piece:
    """Turn the open borders inwards, `depth` metres: backs of triangles are not drawn, so one would look through."""
    edges = borders(piece.faces)
    line, corners = np.unique(edges, return_inverse=True)
    first, second = (corners.reshape(-1, 2) + len(piece)).T
    inner = (piece.places - depth * piece.normals())[:, line]
    a, b = edges.T
    rim = np.concatenate([np.stack([b, a, first], axis=1), np.stack([b, first, second], axis=1)])
    region = np.bincount(piece.regions).argmax()
    return Piece(
        np.concatenate([piece.places, inner], axis=1),
        np.concatenate([piece.weights, piece.weights[line]]),
        np.concatenate([piece.faces, rim]),
        np.concatenate([piece.regions, np.full(len(rim), region)]),
    )


def joined(pieces: list[Piece]) -> Piece:
    """Several pieces as one."""
    starts = np.cumsum([0, *(len(piece) for piece in pieces)])
    return Piece(
        np.concatenate([piece.places for piece in pieces], axis=1),
        np.concatenate([piece.weights for piece in pieces]),
        np.concatenate([piece.faces + start for piece, start in zip(pieces, starts, strict=False)]),
        np.concatenate([piece.regions for piece in pieces]),
    )


def seen_from_outside(vertices: Array, faces: Faces, views: int = 40, pixel: float = 0.002) -> NDArray[np.bool_]:
    """Which faces [F] are seen from one of `views` directions: the nearest of all points of the surface in a pixel."""
    shares = np.array([(i, j, 8 - i - j) for i in range(9) for j in range(9 - i)]) / 8
    shares = 0.92 * shares + 0.08 / 3  # not on the edges
    points = np.einsum("sk,fkx->fsx", shares, vertices[faces])
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    seen = np.zeros(len(faces), dtype=bool)
    for view in range(views):
        up = 1 - (2 * view + 1) / views  # a spiral from pole to pole
        turn = 2 * np.pi * view / ((1 + np.sqrt(5)) / 2)
        towards = np.array([np.sqrt(1 - up**2) * np.cos(turn), up, np.sqrt(1 - up**2) * np.sin(turn)])
        across = np.cross([0.0, 1.0, 0.0], towards)
        across /= np.linalg.norm(across)
        grid = np.stack([points @ across, points @ np.cross(towards, across)], axis=-1) / pixel
        cell = (grid - grid.min(axis=(0, 1))).astype(int)
        place = cell[..., 0] * (cell[..., 1].max() + 1) + cell[..., 1]
        near = points @ towards
        nearest = np.full(place.max() + 1, -np.inf)
        np.maximum.at(nearest, place.reshape(-1), near.reshape(-1))
        visible = near > nearest[place] - 0.5 * pixel
        seen |= visible.any(axis=1) & (normals @ towards > 0)
    return seen


def ramp(start: float, end: float, values: Array) -> Array:
    """0 up to `start`, 1 from `end` on, smooth between them; `end` may be the smaller one."""
    share = np.clip((values - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)
