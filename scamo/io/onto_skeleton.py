"""From the places of a file's joints to joints of our skeleton: the rig found, upright, in metres, retargeted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scamo.io.read_options import ReadOptions
from scamo.io.retarget import retarget
from scamo.io.rigs import find_rig
from scamo.io.upright import UNITS, Axis, find_unit, find_up, leg_length, turned_up, unit_note, without_rest_frame
from scamo.rotation import unit
from scamo.skeleton import BONE_LENGTHS, JOINTS, REST_DIRECTIONS, bone_lengths, rest_offsets

Array = NDArray[np.floating]

_LENGTHS_ALIKE, _ANGLES_ALIKE = 0.25, 0.1  # by which proportions and cosines of our own skeleton may differ
_ANGLES = ((1, 2), (1, 3), (2, 3), (12, 13), (12, 14), (13, 14))  # between bones that are fixed to pelvis and chest


def joints_of_rig(
    names: Sequence[str], parents: Sequence[int], places: Array, rest: Array | None, usual: Axis | None,
    options: ReadOptions,
) -> tuple[Array, list[str]]:  # fmt: skip
    """Joints [T, 22, 3] in metres, Y up, of a tree of named ones [T, J, 3]; and what was assumed.

    rest: [J, 3] of the first joints, where the file has a rest pose. usual: the axis that the format has up. ValueError
    where no rig is found, or it hangs upside down.
    """
    rig = find_rig(names, parents, places, options.joints)
    if rest is not None and max(rig.at.values()) < len(rest):
        usual = _rest_axis(rest, rig.at)
    all_there = set(rig.at) >= set(JOINTS)
    own = places[:, [rig.at[joint] for joint in JOINTS]] if all_there else None
    if own is not None and (rig.is_ours or has_our_proportions(own)):
        joints, notes = own_joints(own, places, usual, options)
    else:
        joints, notes = retargeted({joint: places[:, at] for joint, at in rig.at.items()}, places, usual, options)
    joints, left_out = without_rest_frame(joints)
    return joints, [*rig.notes, *notes, *left_out]


def has_our_proportions(joints: Array) -> bool:
    """Whether joints [T, 22, 3] of any unit are HumanML3D's skeleton, whatever its joints are called.

    Bones of a network's motion differ from HumanML3D's by a tenth, those of other rigs by a third and more: `spine3` is
    short in ours. The angles between the bones of pelvis and chest are compared too.
    """
    some = joints[:: max(1, len(joints) // 100)]
    lengths = np.median(bone_lengths(some), axis=0)[1:] / BONE_LENGTHS[1:]
    middle = float(np.median(lengths))
    if not middle > 0 or np.abs(lengths / middle - 1).max() > _LENGTHS_ALIKE:
        return False
    cosines = []
    for bones in (rest_offsets(some), REST_DIRECTIONS):
        along = unit(bones)
        cosines.append([(along[one] * along[other]).sum() for one, other in _ANGLES])
    return bool(np.abs(np.subtract(cosines[0], cosines[1])).max() < _ANGLES_ALIKE)


def _rest_axis(rest: Array, at: Mapping[str, int]) -> Axis | None:
    """The axis from the ankles up to the shoulders in the rest pose, if it is nearly one."""
    ends = [(rest[at[f"left_{joint}"]] + rest[at[f"right_{joint}"]]) / 2 for joint in ("ankle", "shoulder")]
    body = ends[1] - ends[0]
    axis = int(np.abs(body).argmax())
    clear = body[axis] > 0.9 * np.linalg.norm(body) and body[axis] > 0
    return ("x", "y", "z")[axis] if clear else None


def own_joints(joints: Array, places: Array, usual: Axis | None, options: ReadOptions) -> tuple[Array, list[str]]:
    """Joints [T, 22, 3] of our own skeleton, turned upright and in metres; and what was assumed.

    places: [T, J, 3] of all that the file shows, for the floor.
    """
    leg, notes = leg_length(joints), list[str]()
    up = options.up or find_up(places, joints[:, 15], (joints[:, 7] + joints[:, 8]) / 2, usual, leg)
    if options.up is None and up != "y":
        notes.append(f"{up.upper()} is up")
    unit = options.unit or find_unit(leg)
    return turned_up(joints, up) * UNITS[unit], [*notes, *(unit_note(unit) if options.unit is None else [])]


def retargeted(
    at: Mapping[str, Array], places: Array, usual: Axis | None, options: ReadOptions
) -> tuple[Array, list[str]]:
    """Joints [T, 22, 3] of a foreign rig's, which are given by our names; and what was assumed."""
    legs = [np.diff([at[f"{side}_{joint}"][0] for joint in ("hip", "knee", "ankle")], axis=0)
            for side in ("left", "right")]  # fmt: skip
    leg = float(np.linalg.norm(legs, axis=-1).sum() / 2)
    head = at.get("head", (at["left_shoulder"] + at["right_shoulder"]) / 2)
    feet = (at.get("left_foot", at["left_ankle"]) + at.get("right_foot", at["right_ankle"])) / 2
    up = options.up or find_up(places, head, feet, usual, leg)
    notes = [f"{up.upper()} is up"] if options.up is None and up != "y" else []
    unit = options.unit or find_unit(leg)
    joints = retarget({joint: turned_up(place, up) for joint, place in at.items()})
    return joints, [*notes, *(unit_note(unit) if options.unit is None else [])]
