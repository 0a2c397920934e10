"""Fewer triangles, the same for all people, by half-edge collapses: every vertex that stays was there before.

The cost of a collapse is the quadric error of Garland and Heckbert (1997), summed over the people, plus a little of the
edge's length. Borders and lines between colours stay where they are: vertices on them move only along them.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from tools.people.mesh import Piece

Array = NDArray[np.floating]

_LINE = 8.0  # what a border's own quadric counts
_LENGTH = 2e-7  # what an edge's length counts
_TURN = 0.35  # the least cosine between a triangle's normals before and after
_SLIVER = 0.06  # a triangle's least height, in its longest sides


def decimate(piece: Piece, target: int, importance: Array | float) -> Piece:
    """A piece with about `target` vertices. importance: [V], how much more an error counts there."""
    collapse = _Collapse(piece, np.broadcast_to(importance, (len(piece),)))
    collapse.run(target)
    alive = np.array([face is not None for face in collapse.faces])
    faces = np.array([face for face in collapse.faces if face is not None])
    return piece.with_faces(faces, piece.regions[alive])


class _Collapse:
    def __init__(self, piece: Piece, importance: Array) -> None:
        self.places, self.importance = piece.places, importance
        self.points = np.insert(piece.places, 3, 1.0, axis=2)
        self.faces: list[tuple[int, ...] | None] = [tuple(map(int, face)) for face in piece.faces]
        self.around: list[set[int]] = [set() for _ in range(len(piece))]
        for number, face in enumerate(piece.faces):
            for corner in face:
                self.around[corner].add(number)
        lines, beside = _lines(piece)
        self.lines = {tuple(map(int, line)) for line in lines}
        self.degree = np.bincount(lines.reshape(-1), minlength=len(piece))
        self.quadrics = _quadrics(piece, lines, beside)
        self.gone = np.zeros(len(piece), dtype=bool)
        self.stamp = [0] * len(piece)
        self.refused: dict[int, set[int]] = {}
        self.heap: list[tuple[float, int, int, int]] = []

    def run(self, target: int) -> None:
        """Collapse edges, the cheapest first, until `target` vertices are left or nothing more is allowed."""
        left = sum(map(bool, self.around))
        for vertex in range(len(self.around)):
            self._offer(vertex)
        while left > target and self.heap:
            _, vertex, goal, stamp = heapq.heappop(self.heap)
            if self.gone[vertex] or self.gone[goal] or stamp != self.stamp[vertex]:
                continue
            if self._allowed(vertex, goal):
                self._move(vertex, goal)
                left -= 1
            else:
                self.refused.setdefault(vertex, set()).add(goal)
                self._offer(vertex)

    def _neighbours(self, vertex: int) -> set[int]:
        return {corner for face in self.around[vertex] for corner in self.faces[face] or ()} - {vertex}

    def _offer(self, vertex: int) -> None:
        """Put the cheapest collapse of a vertex on the heap."""
        if self.gone[vertex]:
            return
        goals = self._neighbours(vertex) - self.refused.get(vertex, set())
        if self.degree[vertex]:
            on_line = self.degree[vertex] == 2
            goals = {goal for goal in goals if _edge(vertex, goal) in self.lines} if on_line else set()
        if not goals:
            return
        order = sorted(goals)
        point = self.points[:, order]  # [P, G, 4]
        quadrics = self.quadrics[vertex] + self.quadrics[order]  # [G, P, 4, 4]
        error = np.einsum("pgi,gpij,pgj->g", point, quadrics, point)
        length = ((self.places[:, order] - self.places[:, vertex, None]) ** 2).sum(axis=(0, 2))
        cost = (error + _LENGTH * length * np.sqrt(self.importance[vertex])) * self.importance[vertex]
        best = int(cost.argmin())
        self.stamp[vertex] += 1
        heapq.heappush(self.heap, (float(cost[best]), vertex, order[best], self.stamp[vertex]))

    def _allowed(self, vertex: int, goal: int) -> bool:
        """Whether the surface keeps its shape: no fold, no sliver, no two sheets that touch."""
        around = [self.faces[face] or () for face in self.around[vertex]]
        shared = {corner for face in around if goal in face for corner in face}
        if self._neighbours(vertex) & self._neighbours(goal) != shared - {vertex, goal}:
            return False
        rest = [face for face in around if goal not in face]
        if not rest:
            return True
        before = np.array(rest)
        after = np.where(before == vertex, goal, before)
        old, new = self.places[:, before], self.places[:, after]
        a, b = (np.cross(c[:, :, 1] - c[:, :, 0], c[:, :, 2] - c[:, :, 0]) for c in (old, new))
        sizes = [np.linalg.norm(normal, axis=-1) for normal in (a, b)]
        turn = (a * b).sum(axis=-1) / np.maximum(sizes[0] * sizes[1], 1e-18)
        longest = ((new - np.roll(new, 1, axis=2)) ** 2).sum(axis=-1).max(axis=-1)
        return bool(turn.min() > _TURN and (sizes[1] / np.maximum(longest, 1e-15)).min() > _SLIVER)

    def _move(self, vertex: int, goal: int) -> None:
        """Collapse a vertex into another."""
        touched = self._neighbours(vertex) | {goal}
        if self.degree[vertex] == 2:  # the line goes on from the goal
            self.lines.discard(_edge(vertex, goal))
            for other in touched - {goal}:
                if _edge(vertex, other) in self.lines:
                    self.lines.discard(_edge(vertex, other))
                    if _edge(goal, other) in self.lines:
                        self.degree[goal] = 9  # two lines meet: it stays
                    self.lines.add(_edge(goal, other))
        for number in list(self.around[vertex]):
            face = self.faces[number] or ()
            if goal in face:
                for corner in face:
                    self.around[corner].discard(number)
                self.faces[number] = None
            else:
                self.faces[number] = tuple(goal if corner == vertex else corner for corner in face)
                self.around[goal].add(number)
        self.around[vertex] = set()
        self.gone[vertex] = True
        self.quadrics[goal] += self.quadrics[vertex]
        for other in touched:
            self.refused.pop(other, None)
            self._offer(other)


def _edge(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _lines(piece: Piece) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The edges [E, 2] on a border or between two regions, and a face beside each [E]."""
    edges = np.sort(piece.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    owner = np.repeat(np.arange(len(piece.faces)), 3)
    order = np.lexsort((owner, edges[:, 1], edges[:, 0]))
    unique, start, count = np.unique(edges[order], axis=0, return_index=True, return_counts=True)
    first = owner[order][start]
    second = owner[order][np.minimum(start + 1, len(order) - 1)]
    line = (count == 1) | (piece.regions[first] != piece.regions[second])
    return unique[line], first[line]


def _quadrics(piece: Piece, lines: NDArray[np.int64], beside: NDArray[np.int64]) -> Array:
    """The quadrics of the vertices, [V, P, 4, 4]."""
    corners = piece.places[:, piece.faces]
    normals = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    area = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals /= np.maximum(area, 1e-12)
    out = np.zeros((len(piece), len(piece.places), 4, 4))

    def add(normal: Array, through: Array, weight: Array, vertices: NDArray[np.int64]) -> None:
        plane = np.concatenate([normal, -(normal * through).sum(axis=-1, keepdims=True)], axis=-1)
        quadric = weight[..., None] * plane[..., :, None] * plane[..., None, :]
        for column in vertices.T:
            np.add.at(out, column, np.moveaxis(quadric, 0, 1))

    add(normals, corners[:, :, 0], area, piece.faces)
    start, end = piece.places[:, lines[:, 0]], piece.places[:, lines[:, 1]]
    across = np.cross(end - start, normals[:, beside])
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-12)
    add(across, start, _LINE * ((end - start) ** 2).sum(axis=-1, keepdims=True), lines)
    return out
