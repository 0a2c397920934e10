"""Rigs: which joint of a foreign skeleton is which of ours, by names in any spelling, then by the shape of the tree.

A name is read as a side and a word: "mixamorig:LeftUpLeg", "Bip01 L Thigh" and "thigh_l" are the left "upleg" or
"thigh". WORDS says what each word may be. What names do not tell, `scamo.io.rig_shape` finds by branches and lengths.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scamo.io.rig_shape import find_by_shape
from scamo.options import listed
from scamo.skeleton import JOINTS

Array = NDArray[np.floating]

SIDED = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
NEEDED = tuple(f"{side}_{limb}" for limb in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
               for side in ("left", "right"))  # fmt: skip
"""The joints without which no motion is read; the others are placed by these."""
OTHER_NAMES = {"spine": "spine2", "chest": "spine3", "left_toe": "left_foot", "right_toe": "right_foot"}
"""Names of ours that older joint maps use."""

WORDS: dict[str, tuple[str, ...]] = {
    "hip": ("upleg", "upperleg", "upperlegs", "thigh", "thighbend", "femur", "legupper", "uleg", "hip"),
    "knee": ("lowerleg", "lowleg", "calf", "shin", "knee", "tibia", "leglower"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toes", "toe", "toe0", "ball", "balls", "toe1", "toe01", "metatarsals"),
    "collar": ("collar", "clavicle", "clav", "collarbone"),
    "shoulder": ("upperarm", "uparm", "uarm", "shldr", "shldrbend", "humerus", "arm", "shoulder"),
    "elbow": ("forearm", "lowerarm", "lowarm", "farm", "forearmbend", "elbow", "radius"),
    "wrist": ("wrist", "hand"),
}
"""What rigs call our joints on either side, in small letters; the first that a rig has counts."""
_UPPER_ARM = frozenset(WORDS["shoulder"][:-1])
_PELVIS = ("hips", "hip", "pelvis", "spinebase", "hipcenter", "root", "body")
_BACK = re.compile(r"(spine|chest|torso|abdomen|lowerback|midback|upperback|thorax|upperchest|waist|back|spinenavel|"
                   r"spinechest|spinemid|abdomenlower|abdomenupper|chestlower|chestupper)\d*")  # fmt: skip
_NECK = re.compile(r"(neck|lowerneck|necklower|necktwist|spineshoulder|shouldercenter)\d*")
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_PREFIXES = ("mixamorig", "def", "jnt", "joint", "bone", "bn", "b", "sk")
_OURS = {*SIDED, "pelvis", "spine1", "spine2", "spine3", "neck", "head"}


@dataclass(frozen=True)
class Rig:
    """Where the joints are in a file: our name -> index. is_ours: the skeleton is HumanML3D's or SMPL's own."""

    at: Mapping[str, int]
    is_ours: bool = False
    notes: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A joint's name without namespace, case and punctuation."""
    return "".join(letter for letter in re.split(r"[:|]", name)[-1].lower() if letter.isalnum())


def find_rig(
    names: Sequence[str], parents: Sequence[int], positions: Array, joints: Mapping[str, str] | None = None
) -> Rig:
    """The rig of a file. positions: [T, J, 3] in any axes and unit.

    joints: our names -> the file's, for what cannot be found. ValueError lists the joints of the file, and what is
    missing.
    """
    trees = _trees(parents)
    given = _given(names, joints or {})
    words = [*map(_word, _without_prefix(names))]
    for tree in [*trees, list(range(len(names)))]:
        found = _by_names({index: words[index] for index in tree}, parents)
        if given or set(NEEDED) <= set(found):
            at = {**found, **given}
            if set(NEEDED) <= set(at):
                ours = not given and set(at) >= set(JOINTS) and {words[at[joint]][1] for joint in JOINTS} == _OURS
                return Rig(at, ours, _other_figures(words, trees, tree))
    shape = find_by_shape(parents, positions)
    at = {**shape, **_by_names(dict(enumerate(words)), parents), **given}
    if set(NEEDED) <= set(at):
        return Rig(at, notes=("the rig's names are not known; its joints are found by the shape of the skeleton",))
    lacking = ", ".join(joint for joint in NEEDED if joint not in at)
    raise ValueError(
        f"it has the joints {listed(names)}; no known rig has them. "
        f"Pass joints= (--joints) with what it calls {lacking}"
    )


def _given(names: Sequence[str], joints: Mapping[str, str]) -> dict[str, int]:
    places = {plain(name): index for index, name in reversed(list(enumerate(names)))}
    found = {}
    for ours, theirs in joints.items():
        ours = OTHER_NAMES.get(ours, ours)
        if ours not in JOINTS:
            raise ValueError(f'the joint map names "{ours}"; our joints are {", ".join(JOINTS)}')
        if not isinstance(theirs, str) or plain(theirs) not in places:
            raise ValueError(f'the joint map calls {ours} "{theirs}", and the file has no such joint')
        found[ours] = places[plain(theirs)]
    return found


def _trees(parents: Sequence[int]) -> list[list[int]]:
    """The joints below each root."""
    roots: list[int] = []
    for joint, parent in enumerate(parents):
        roots.append(joint if parent < 0 else roots[parent])
    trees: dict[int, list[int]] = {}
    for joint, root in enumerate(roots):
        trees.setdefault(root, []).append(joint)
    return list(trees.values())


def _other_figures(words: list[tuple[str, str]], trees: list[list[int]], tree: list[int]) -> tuple[str, ...]:
    others = [other for other in trees if other != tree]
    figures = sum(set(NEEDED) <= set(_by_names({index: words[index] for index in one}, None)) for one in others)
    return (f"it holds {figures + 1} figures; the first is read",) if figures and tree in trees else ()


def _without_prefix(names: Sequence[str]) -> list[list[str]]:
    """The tokens of every name, without namespace and without those with which nearly all begin or end."""
    tokens = [_TOKEN.findall(re.split(r"[:|]", name)[-1]) for name in names]
    for end in (0, 0, 0, 0, -1):
        ends = Counter(one[end].lower() for one in tokens if len(one) > 1)
        word, count = ends.most_common(1)[0] if ends else ("", 0)
        if count < max(8, 0.6 * len(tokens)) or word in ("l", "r", "left", "right"):
            continue
        rest = slice(1, None) if end == 0 else slice(None, -1)
        tokens = [one[rest] if len(one) > 1 and one[end].lower() == word else one for one in tokens]
    return [one[1:] if len(one) > 1 and one[0].lower() in _PREFIXES else one for one in tokens]


def _word(tokens: list[str]) -> tuple[str, str]:
    """(side, word) of a name's tokens: (Left, Up, Leg) is ("left", "upleg")."""
    small = [token.lower() for token in tokens]
    sides = {"l", "r", "left", "right"} & set(small)
    if sides and len(small) > 1 and re.fullmatch(r"0\d\d", small[-1]):  # a copy's number
        small = small[:-1]
    if len(small) > 1 and small[0] in ("c", "m"):  # the middle, where sides are L and R
        small = small[1:]
    if len(small) > 1 and small[0] in ("lu", "lf", "ru", "rf"):  # LUArm, RFArm
        small = [small[0][0], small[0][1], *small[1:]]
    for place in (0, -1):
        if len(small) > 1 and (side := {"l": "left", "r": "right"}.get(small[place], small[place])) in (
            "left",
            "right",
        ):
            return side, "".join(small[1:] if place == 0 else small[:-1])
    inner = [i for i, token in enumerate(small) if token in ("left", "right")]
    if len(inner) == 1:
        return small[inner[0]], "".join(small[: inner[0]] + small[inner[0] + 1 :])
    joined = "".join(small)
    known = {word for words in WORDS.values() for word in words} | {"leg"}
    for start, side in (("left", "left"), ("right", "right"), ("l", "left"), ("r", "right")):
        if joined.startswith(start) and joined[len(start) :] in known:
            return side, joined[len(start) :]
        if len(start) > 1 and joined.endswith(start) and joined[: -len(start)] in known:
            return side, joined[: -len(start)]
    return "", joined


def _by_names(words: Mapping[int, tuple[str, str]], parents: Sequence[int] | None) -> dict[str, int]:
    """Our joints among named ones; the first of a name counts."""
    first: dict[tuple[str, str], int] = {}
    for index, word in words.items():
        first.setdefault(word, index)
    found: dict[str, int] = {}
    for side in ("left", "right"):
        have = {word for whose, word in first if whose == side}
        for joint, limb in _limbs(have).items():
            found[f"{side}_{joint}"] = first[side, limb]
    middle = [(index, word) for index, (side, word) in words.items() if not side]
    pelvis = next((index for wanted in _PELVIS for index, word in middle if word == wanted), None)
    if pelvis is not None:
        found["pelvis"] = pelvis
    neck = next((index for index, word in middle if _NECK.fullmatch(word)), None)
    head = next((index for index, word in middle if word in ("head", "head1", "head01")), None)
    found |= {} if neck is None else {"neck": neck}
    found |= {} if head is None else {"head": head}
    back = [index for index, word in middle if _BACK.fullmatch(word) and index != pelvis]
    if pelvis is None and len(back) > 3:  # Rigify's lowest joint of the spine
        found["pelvis"] = back.pop(0)
    return found | _spine(back, found, parents)


def _limbs(have: Collection[str]) -> dict[str, str]:
    """Our joints on one side -> the words for them, out of all words that the side has."""
    words = {joint: list(choices) for joint, choices in WORDS.items()}
    if {"shin", "calf", "lowerleg"} & set(have) and not set(WORDS["hip"]) & set(have):
        words["hip"].append("leg")  # above a shin, a leg is a thigh
    else:
        words["knee"].append("leg")
    if "ankle" in have:
        words["foot"].append("foot")
    if _UPPER_ARM & set(have):
        words["collar"].append("shoulder")
    found = {}
    for joint, choices in words.items():
        if word := next((word for word in choices if word in have), None):
            found[joint] = word
    return found


def _spine(back: list[int], found: Mapping[str, int], parents: Sequence[int] | None) -> dict[str, int]:
    """spine1, spine2 and spine3 among the joints of the back, which are in file order, from below."""
    if parents is not None and "left_shoulder" in found:
        line, joint = set(), found["left_shoulder"]
        while joint >= 0:
            line.add(joint)
            joint = parents[joint]
        back = [joint for joint in back if joint in line] or back
    if not back:
        return {}
    count = len(back)
    if count == 1:
        return {"spine2": back[0], "spine3": back[0]}
    if count == 2:
        return {"spine2": back[0], "spine3": back[1]}
    if count <= 4:
        return {"spine1": back[0], "spine2": back[1], "spine3": back[2]}
    return {"spine1": back[0], "spine2": back[(count - 1) // 2], "spine3": back[round(0.75 * (count - 1))]}
