"""A rig without known names: legs, arms, trunk and head by the branches of its tree and the lengths of its bones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scamo.rotation import unit

Array = NDArray[np.floating]

_BIG = 0.15  # share of the figure's size from which a branch is a limb, the neck or the trunk, and no finger

_SMALL = 0.05  # from which one is a head, where arms hang on the neck


class _Pair(NamedTuple):
    node: int
    first: int
    second: int
    reach: float


def find_by_shape(parents: Sequence[int], positions: Array) -> dict[str, int]:
    """Our joints in a tree with two legs, two arms and a head; {} where there is no such tree.

    positions: [T, J, 3] in any unit and axes, right-handed. A parent comes before its children. Left and right follow
    from where the feet point.
    """
    count = len(parents)
    lengths = _lengths(parents, positions)
    children: list[list[int]] = [[] for _ in range(count)]
    for joint, parent in enumerate(parents):
        if parent >= 0:
            children[parent].append(joint)
    lengths[_above_the_figure(children, parents)] = 0.0  # from a reference on the floor to the figure is no bone
    reach = lengths.copy()  # from a joint's parent to the farthest end beyond the joint
    for joint in reversed(range(count)):
        if children[joint]:
            reach[joint] += max(reach[child] for child in children[joint])
    pairs = _pairs(children, reach)
    legs, arms = _legs_and_arms(pairs, children, reach, parents)
    if legs is None or arms is None:
        return {}
    sides = [_chain(start, children, reach) for start in (legs.first, legs.second, arms.first, arms.second)]
    if min(map(len, sides)) < 3:
        return {}
    found = _limbs(sides, lengths)
    trunk = [joint for joint in _line(arms.node, parents) if joint not in set(_line(legs.node, parents))][::-1]
    found |= {"pelvis": legs.node}
    if trunk:
        found |= {"spine2": trunk[(len(trunk) - 1) // 2], "spine3": trunk[-1]}
    up = [c for c in children[arms.node] if c not in (arms.first, arms.second) and reach[c] > _SMALL * reach.max()]
    if up:
        neck = max(up, key=lambda joint: reach[joint])
        line = _chain(neck, children, reach)
        found |= {"neck": line[0], "head": line[min(1, len(line) - 1)]}
    return _sided(found, positions)


def _lengths(parents: Sequence[int], positions: Array) -> Array:
    """Of the bones that end in each joint; 0 for the way of a figure from a reference that stays where it is."""
    out = np.zeros(len(parents))
    for joint, parent in enumerate(parents):
        if parent >= 0:
            times = np.linalg.norm(positions[:, joint] - positions[:, parent], axis=-1)
            steady = (
                0.02 if parents[parent] < 0 else 0.5
            )  # a network's bones change, those to a root's children are short
            out[joint] = times[0] if np.ptp(times) <= steady * times.mean() else 0.0
    return out


def _above_the_figure(children: list[list[int]], parents: Sequence[int]) -> list[int]:
    """The joints from which nothing but one limb or figure hangs, from the roots down to where a figure begins."""
    depth = [1] * len(parents)
    for joint in reversed(range(len(parents))):
        if parents[joint] >= 0:
            depth[parents[joint]] = max(depth[parents[joint]], depth[joint] + 1)
    found = []
    for root in (joint for joint, parent in enumerate(parents) if parent < 0):
        deep = [root]
        while len(deep) == 1:
            found += deep
            deep = [child for child in children[deep[0]] if depth[child] > 2]
    return found


def _pairs(children: list[list[int]], reach: Array) -> list[_Pair]:
    """Two branches of the same length at one joint."""
    out = []
    for node, below in enumerate(children):
        big = [child for child in below if reach[child] > 2 * _BIG * reach.max()]
        out += [_Pair(node, a, b, float(reach[a] + reach[b])) for i, a in enumerate(big) for b in big[i + 1 :]
                if abs(reach[a] - reach[b]) < 0.12 * max(reach[a], reach[b])]  # fmt: skip
    return out


def _legs_and_arms(
    pairs: list[_Pair], children: list[list[int]], reach: Array, parents: Sequence[int]
) -> tuple[_Pair | None, _Pair | None]:
    best: tuple[float, _Pair, _Pair] | None = None
    for one in pairs:
        for other in pairs:
            apart = one.node != other.node and not {one.first, one.second} & set(_line(other.node, parents))
            if not apart or {other.first, other.second} & set(_line(one.node, parents)):
                continue
            heads = [c for c in children[other.node] if c not in (other.first, other.second)
                     and _BIG * reach.max() < reach[c] and c not in _line(one.node, parents)]  # fmt: skip
            worth = one.reach + other.reach + (reach.max() if heads else 0.0) + 0.1 * one.reach
            if best is None or worth > best[0]:
                best = worth, one, other
    return (best[1], best[2]) if best else (None, None)


def _line(joint: int, parents: Sequence[int]) -> list[int]:
    """The joint and all above it."""
    out = []
    while joint >= 0:
        out.append(joint)
        joint = parents[joint]
    return out


def _chain(start: int, children: list[list[int]], reach: Array) -> list[int]:
    """From a joint along the farthest branches to the end."""
    out = [start]
    while children[out[-1]]:
        out.append(max(children[out[-1]], key=lambda joint: reach[joint]))
    return out


def _limbs(chains: list[list[int]], lengths: Array) -> dict[str, int]:
    """The joints of two legs and two arms, as sides "a" and "b": in each, the two longest bones that follow."""
    found: dict[str, int] = {}
    limbs = (("hip", "knee", "ankle"),) * 2 + (("shoulder", "elbow", "wrist"),) * 2
    for chain, side, names in zip(chains, "abab", limbs, strict=True):
        bones = lengths[chain]
        start = int(np.argmax([min(bones[i + 1], bones[i + 2]) for i in range(len(chain) - 2)]))
        found |= {f"{side}_{name}": chain[start + i] for i, name in enumerate(names)}
        if names[0] == "hip" and start + 3 < len(chain):
            found[f"{side}_foot"] = chain[start + 3]
        if names[0] == "shoulder" and start > 0:
            found[f"{side}_collar"] = chain[start - 1]
    return found


def _sided(found: dict[str, int], positions: Array) -> dict[str, int]:
    """Sides "a" and "b" of legs and arms as left and right: feet point forward, and so do bent knees."""
    forward = np.zeros_like(positions[:, 0])
    for side in "ab":
        hip, knee, ankle = (positions[:, found[f"{side}_{joint}"]] for joint in ("hip", "knee", "ankle"))
        leg = unit(ankle - hip)
        bend = knee - hip
        forward += bend - (bend * leg).sum(-1, keepdims=True) * leg
        if f"{side}_foot" in found:
            forward += positions[:, found[f"{side}_foot"]] - ankle
    if np.linalg.norm(forward, axis=-1).max() < 1e-3 * np.ptp(positions[0], axis=0).max():
        return {}
    middle = (positions[:, found["a_hip"]] + positions[:, found["b_hip"]]) / 2
    up = (positions[:, found["a_shoulder"]] + positions[:, found["b_shoulder"]]) / 2 - middle
    left = np.cross(up, forward)
    out = {name: index for name, index in found.items() if name[:2] not in ("a_", "b_")}
    limbs = {"hip": ("hip", "knee", "ankle", "foot"), "shoulder": ("collar", "shoulder", "elbow", "wrist")}
    for limb, parts in limbs.items():
        across = positions[:, found[f"a_{limb}"]] - positions[:, found[f"b_{limb}"]]
        a_is_left = float((across * left).sum()) > 0
        for part in parts:
            for side in "ab":
                if f"{side}_{part}" in found:
                    out[f"{'left' if (side == 'a') == a_is_left else 'right'}_{part}"] = found[f"{side}_{part}"]
    return out
