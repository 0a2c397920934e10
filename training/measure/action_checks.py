"""What a motion must do to count as an action: plain geometry on its joints, for every action that geometry can tell.

    python -m training.measure.action_checks --data data/many-actions --out docs/tables/action-checks

A check is worth something only where real clips pass it and clips of other actions do not; the command writes that
table. Actions that are defined by what is held (driving, eating, shooting) are left to training.measure
.action_classifier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scamo.motion import Motion, mirror_features
from scamo.tokenizer import MotionTokenizer
from training.data.dataset import Dataset
from training.measure.action_classifier import mirrored_label
from training.measure.joint_measures import (
    ANKLES,
    LEFT,
    RIGHT,
    SEATED,
    STANDING,
    WRISTS,
    Joints,
    above_head,
    above_neck_once,
    distance_reached,
    end_uprightness,
    foot_height,
    forward_metres,
    head_dip,
    height_at,
    is_inverted,
    is_on_feet,
    is_up,
    jacks,
    kicks,
    kneels,
    left_metres,
    limb_speed,
    low_seconds,
    one_hand_raised,
    pelvis_height,
    punches,
    raised,
    seconds_in_air,
    speed,
    sways,
    turned_degrees,
    turning,
    uprightness,
    wrists_rise,
)
from training.measure.tables import write_table

Features = NDArray[Any]


@dataclass(frozen=True)
class ActionCheck:
    """What a motion of an action does, in words and on joints.

    clips: the labels of real clips that show it, mirror images among them. also: labels that may pass as well, because
    they contain it or look like it.
    """

    action: str
    meaning: str
    check: Callable[[Joints], bool]
    clips: tuple[str, ...]
    also: tuple[str, ...] = ()


_RAISES = ("raise-up-both-hands", "raise-up-left-hand", "raise-up-right-hand", "wave-both-hands", "wave-left-hand",
           "wave-right-hand", "bye", "byebye", "respond", "greet")  # fmt: skip
_JUMPS = ("jump", "jump-forward", "jump-down", "jump-turn", "jumping-jacks", "leap", "hop", "backflip")
_DANCES = ("dance-short", "dance-long", "whirl-dance", "ballet", "breakdance", "leap", "spin", "dab")
_LOW = ("sit", "sit-down", "stand-up", "sit-then-stand", "crouch", "crouch-walk", "kneel", "kneel-tired", "drive")
_LYING = ("crawl", "lie", "push-up", "get-up", "fall", "swim", "roll", "tread-water")
_BLOWS = ("punch", "punch-left", "punch-right", "karate", "fight-stance", "defend", "slash", "throw", "push", "spell")

CHECKS = (
    ActionCheck(
        "walk", "goes 1 m or more forward, upright, never faster than 2 m/s, turning less than 60 degrees",
        lambda j: forward_metres(j) > 1 and speed(j) < 2 and abs(turned_degrees(j)) < 60 and is_up(j),
        ("walk", "walk-slow", "walk-brisk"), ("walk-stride", "uneven", "zombie", "dribble", "torch", "go-under",
                                              "walk-left", "walk-right", "jump-forward"),
    ),
    ActionCheck(
        "run", "1.6 m/s or more over a second", lambda j: speed(j) > 1.6 and forward_metres(j) > 1 and is_up(j),
        ("run", "dash", "ninja-run"), ("leap", "jump-forward", "ballet", "walk-stride", "walk-brisk"),
    ),
    ActionCheck("walk-back", "goes 0.7 m or more backward", lambda j: forward_metres(j) < -0.7 and is_up(j),
                ("walk-back",), ("dribble-back",)),
    ActionCheck("walk-left", "goes 0.6 m or more to its left, turning less than 40 degrees",
                lambda j: left_metres(j) > 0.6 and abs(turned_degrees(j)) < 40 and is_up(j), ("walk-left",),
                ("dribble-side", *_DANCES, *_JUMPS)),
    ActionCheck("walk-right", "goes 0.6 m or more to its right, turning less than 40 degrees",
                lambda j: left_metres(j) < -0.6 and abs(turned_degrees(j)) < 40 and is_up(j), ("walk-right",),
                ("dribble-side", *_DANCES, *_JUMPS)),
    ActionCheck("turn-left", "turns 45 degrees or more to the left while walking",
                lambda j: turned_degrees(j) > 45 and forward_metres(j) > 0.5 and is_up(j), ("walk-turn-left",),
                (*_DANCES, *_JUMPS, "uneven", "dribble", "walk-stride")),
    ActionCheck("turn-right", "turns 45 degrees or more to the right while walking",
                lambda j: turned_degrees(j) < -45 and forward_metres(j) > 0.5 and is_up(j), ("walk-turn-right",),
                (*_DANCES, *_JUMPS, "uneven", "dribble", "walk-stride")),
    ActionCheck("raise-left", "the left wrist alone is at shoulder height or higher",
                lambda j: one_hand_raised(j, LEFT), ("raise-up-left-hand", "respond"), _RAISES),
    ActionCheck("raise-right", "the right wrist alone is at shoulder height or higher",
                lambda j: one_hand_raised(j, RIGHT), ("raise-up-right-hand",),
                (*_RAISES, "slash", "throw", "shoot-gun", "torch", "call")),
    ActionCheck("raise-both", "both wrists rise by 40 cm to shoulder height or higher, on the spot",
                lambda j: raised(j, LEFT) and raised(j, RIGHT) and speed(j) < 1 and is_up(j) and wrists_rise(j) > 0.4,
                ("raise-up-both-hands",), (*_RAISES, *_DANCES, "hang", "dangle", "climb", "climb-down", "reach-up",
                                           "jumping-jacks", "celebrate", "jump-down", *_BLOWS)),
    ActionCheck("wave-left", "the left wrist alone is at shoulder height or higher, and sways three times or more",
                lambda j: one_hand_raised(j, LEFT) and sways(j, LEFT) >= 3, ("wave-left-hand",), _RAISES),
    ActionCheck("wave-right", "the right wrist alone is at shoulder height or higher, and sways three times or more",
                lambda j: one_hand_raised(j, RIGHT) and sways(j, RIGHT) >= 3, ("wave-right-hand",),
                (*_RAISES, "slash")),
    ActionCheck("wave-both", "both wrists are at shoulder height or higher and sway three times or more",
                lambda j: min(sways(j, LEFT), sways(j, RIGHT)) >= 3 and speed(j) < 1,
                ("wave-both-hands",), (*_RAISES, *_DANCES, "hang", "dangle", "climb", "climb-down")),
    ActionCheck("bow", "the head comes down by 12 cm or more and up again, while the pelvis stays up",
                lambda j: head_dip(j) > 0.12 and bool(pelvis_height(j).min() > 0.78) and speed(j) < 0.8, ("bow",),
                (*_DANCES, *_BLOWS, "greet", "wash", "dizzy", "guide")),
    ActionCheck("kick", "a foot comes up by 40 cm or more, fast, on the spot",
                lambda j: kicks(j, LEFT) or kicks(j, RIGHT), ("kick", "kick-right", "spin-kick"),
                (*_DANCES, *_JUMPS, "karate", "cartwheel", "run", "climb", "climb-down", "dash")),
    ActionCheck("kick-left", "the left foot comes up by 40 cm or more, fast", lambda j: kicks(j, LEFT),
                ("kick-left",), (*_DANCES, *_JUMPS, "karate", "cartwheel", "run", "climb", "climb-down", "dash",
                                 "spin-kick")),
    ActionCheck("kick-right", "the right foot comes up by 40 cm or more, fast", lambda j: kicks(j, RIGHT),
                ("kick-right",), (*_DANCES, *_JUMPS, "karate", "cartwheel", "run", "climb", "climb-down", "kick",
                                  "spin-kick", "dash")),
    ActionCheck("punch", "a wrist shoots forward at the height of the chest, upright, on the spot",
                lambda j: (punches(j, LEFT) or punches(j, RIGHT)) and is_up(j) and speed(j) < 1.4
                and not above_head(j, LEFT) and not above_head(j, RIGHT), ("punch", "punch-left", "punch-right"),
                (*_BLOWS, *_DANCES, "shoot", "kick", "kick-right", "interact", "angry-gesture")),
    ActionCheck("jump", "both feet are off the floor for 0.2 s or more, and the pelvis dips before",
                lambda j: seconds_in_air(j) >= 0.2 and float(uprightness(j).min()) > 0.2 and speed(j) < 4,
                ("jump", "jump-forward"), (*_JUMPS, *_DANCES, "run", "climb", "climb-down", "hang", "dangle", "roll",
                                           "get-up", "fall", "karate", "spin-kick", "levitate", "fly", "reach-up")),
    ActionCheck("jump-forward", "both feet are off the floor for 0.2 s or more; lands 0.5 m or more ahead",
                lambda j: seconds_in_air(j) >= 0.2 and forward_metres(j) > 0.5, ("jump-forward",),
                (*_JUMPS, *_DANCES, "run", "climb", "climb-down", "hang", "dangle", "roll", "get-up", "fall",
                 "cartwheel", "dash")),
    ActionCheck("sit-down", "the pelvis goes from standing to a seat's height, the trunk upright at the end",
                lambda j: height_at(j, 0) > STANDING and 0.35 < height_at(j, -1) < SEATED and end_uprightness(j) > 0.75,
                ("sit-down",), ("crouch", "crouch-walk", "kneel", "kneel-tired")),
    ActionCheck("stand-up", "the pelvis goes from a seat's height to standing",
                lambda j: height_at(j, 0) < 0.72 and height_at(j, -1) > STANDING, ("stand-up",),
                ("get-up", "crouch", "crouch-walk", "jump", *_LYING, "breakdance", "hang")),
    ActionCheck("sit", "the pelvis stays at a seat's height, the trunk upright",
                lambda j: 0.4 < float(np.median(pelvis_height(j))) < SEATED and float(np.median(uprightness(j))) > 0.85
                and speed(j) < 0.5, ("sit",), (*_LOW, "kneel-tired")),
    ActionCheck("crouch", "the pelvis is below a seat's height for half a second, both feet on the floor",
                lambda j: low_seconds(j) >= 0.5 and float(uprightness(j).min()) > 0.25 and is_on_feet(j),
                ("crouch", "crouch-walk"), (*_LOW, "pick-up", "jump", "jump-down", "karate", "go-under", "breakdance",
                                            "kneel", "jump-forward", "jump-turn", "fight-stance", "wash")),
    ActionCheck("crawl", "the trunk is level and near the floor, and moves 0.3 m or more",
                lambda j: bool(np.median(uprightness(j)) < 0.5) and bool(np.median(pelvis_height(j)) < 0.6)
                and distance_reached(j) > 0.3, ("crawl",), (*_LYING, "breakdance")),
    ActionCheck("pick-up", "a wrist comes below 45 cm and the body stands up again",
                lambda j: bool(j[:, WRISTS, 1].min() < 0.45) and min(height_at(j, 0), height_at(j, -1)) > STANDING
                and seconds_in_air(j) < 0.15 and float(uprightness(j).min()) > -0.2,
                ("pick-up",), ("wash", *_LOW, "breakdance", "go-under", "jump", "jump-forward")),
    ActionCheck("throw", "a wrist passes the head at 3.5 m/s or more, upright",
                lambda j: any(limb_speed(j, wrist) > 3.5 and above_neck_once(j, wrist) for wrist in WRISTS)
                and is_up(j) and speed(j) < 1.5, ("throw",), (*_BLOWS, *_DANCES, *_JUMPS, *_RAISES, "shoot", "run",
                                                               "celebrate", "dash", "jumping-jacks", "kick-right")),
    ActionCheck("cartwheel", "the body is upside down and ends on its feet, without a jump from both",
                lambda j: is_inverted(j) and height_at(j, -1) > 0.7 and float(pelvis_height(j).min()) > 0.6
                and max(foot_height(j, LEFT), foot_height(j, RIGHT)) > 0.7, ("cartwheel",), ("breakdance",)),
    ActionCheck("backflip", "the body is upside down in the air", lambda j: is_inverted(j) and seconds_in_air(j) >= 0.25
                and float(pelvis_height(j).min()) > 0.5, ("backflip",), ("cartwheel", "breakdance")),
    ActionCheck("roll", "the body is upside down near the floor and stands again",
                lambda j: is_inverted(j) and float(pelvis_height(j).min()) < 0.4 and height_at(j, -1) > 0.7, ("roll",),
                ("get-up", "breakdance")),
    ActionCheck("lie", "the trunk is level on the floor and stays there",
                lambda j: bool(np.median(np.abs(uprightness(j))) < 0.5)
                and bool(np.quantile(pelvis_height(j), 0.9) < 0.4) and distance_reached(j) < 0.5, ("lie",), (*_LYING,)),
    ActionCheck("fall", "stands, then lies", lambda j: height_at(j, 0) > 0.75 and height_at(j, -1) < 0.35, ("fall",),
                ("breakdance", "lie", "roll")),
    ActionCheck("get-up", "lies, then stands", lambda j: height_at(j, 0) < 0.4 and height_at(j, -1) > 0.75, ("get-up",),
                ("breakdance",)),
    ActionCheck("push-up", "the trunk is level and the pelvis goes up and down by 8 cm or more on the spot",
                lambda j: bool(np.median(np.abs(uprightness(j))) < 0.5) and float(np.ptp(pelvis_height(j))) > 0.08
                and float(pelvis_height(j).max()) < 0.6 and distance_reached(j) < 0.6, ("push-up",),
                (*_LYING, "breakdance")),
    ActionCheck("kneel", "a knee is on the floor while the trunk is not", kneels, ("kneel", "kneel-tired"),
                (*_LOW, *_LYING, "breakdance", "pick-up", "wash", "go-under", "karate", "meditate", "jump-down")),
    ActionCheck("jumping-jacks", "both wrists come over the head while the feet go apart, twice or more",
                lambda j: jacks(j) >= 2, ("jumping-jacks",), (*_DANCES,)),
    ActionCheck("spin", "turns 270 degrees or more about itself",
                lambda j: turning(j) > 270 and distance_reached(j) < 4, ("spin",),
                (*_DANCES, *_LYING, "jump-turn", "karate", "walk-turn-left", "walk-turn-right", "cartwheel", "backflip",
                 "spin-kick", "dribble", "jump-down", "slash")),
    ActionCheck("stand", "stays on the spot, upright, hands down",
                lambda j: distance_reached(j) < 0.8 and is_up(j) and not raised(j, LEFT) and not raised(j, RIGHT)
                and max(limb_speed(j, joint) for joint in (*WRISTS, *ANKLES)) < 3, ("stand",),
                ("listen", "nod", "sword-stance", "talk", "confused", "interact", "shiver", "torch", "bow", "guide",
                 "fight-stance", "refuse", "dizzy", "call", "eat", "shoot-gun", "angry-gesture", "pick-up-table")),
)  # fmt: skip
"""Of each action the check that real clips of it pass and clips of other actions do not."""

BY_ACTION = {check.action: check for check in CHECKS}


@dataclass(frozen=True)
class Args:
    """Try the checks on real clips: those of each action, and those of others."""

    data: Path
    """The corpus of training.data.many_actions."""
    clips: int = 60
    """At most so many clips of a label."""
    tokenizer: Path | None = None
    """A tokenizer's folder: count also how many of an action's clips pass when it has given them back."""
    out: Path | None = None
    """Write OUT.json and OUT.md here."""
    seed: int = 0


def real_clips(data: Dataset, clips: int, seed: int, style: str | None = None) -> dict[str, list[Features]]:
    """Features of single-action clips that are no copies, and of their mirror images, by label; of a style, or all."""
    found: dict[str, list[Any]] = {}
    for split in ("train", "test", "val"):
        for clip in data.split(split):
            kind, contents = clip.labels.get("kind"), clip.labels.get("contents", ())
            if style not in (None, clip.labels.get("style")):
                continue
            if len(contents) == 1 and (kind == "real" or (kind == "action" and clip.name.endswith("-0"))):
                found.setdefault(contents[0], []).append(clip)
    draw = np.random.default_rng(seed)
    features: dict[str, list[Features]] = {}
    for label, rows in sorted(found.items()):
        for number in draw.permutation(len(rows))[:clips]:
            one = np.asarray(data[rows[number]])
            for name, own in ((label, one), (mirrored_label(label), mirror_features(one))):
                features.setdefault(name, []).append(own)
    return features


def joints_of(features: dict[str, list[Features]]) -> dict[str, list[Joints]]:
    """Joints [T, 22, 3] of each clip, by label."""
    return {label: [Motion(own).joints.astype(np.float64) for own in rows] for label, rows in features.items()}


def given_back(features: dict[str, list[Features]], tokenizer: MotionTokenizer) -> dict[str, list[Features]]:
    """Clips as a tokenizer gives them back; those of less than a token are left out."""
    least = tokenizer.frames_per_token
    return {
        label: [tokenizer.decode(tokenizer.encode(own)) for own in rows if len(own) >= least]
        for label, rows in features.items()
    }


def rates(check: ActionCheck, joints: dict[str, list[Joints]]) -> dict[str, Any]:
    """How many real clips of the action pass, how many of others, and the labels of those that pass wrongly."""
    passed = {label: [bool(check.check(one)) for one in clips] for label, clips in joints.items()}
    own = [one for label in check.clips for one in passed.get(label, [])]
    others = {label: flags for label, flags in passed.items() if label not in (*check.clips, *check.also)}
    wrong = {label: sum(flags) for label, flags in others.items() if sum(flags) > 0.1 * len(flags)}
    count = sum(map(len, others.values()))
    return {
        "action": check.action, "meaning": check.meaning, "own": len(own), "own_passed": sum(own), "others": count,
        "others_passed": sum(map(sum, others.values())), "wrong": wrong,
    }  # fmt: skip


def main(args: Args) -> None:
    """Print the table, and write it to ``--out``."""
    data = Dataset(args.data)
    features = real_clips(data, args.clips, args.seed)
    joints = joints_of(features)
    rows = [rates(check, joints) for check in CHECKS]
    if args.tokenizer:
        own = {label: features[label] for check in CHECKS for label in check.clips if label in features}
        back = joints_of(given_back(own, MotionTokenizer.from_pretrained(args.tokenizer)))
        for row, check in zip(rows, CHECKS, strict=True):
            passed = [bool(check.check(one)) for label in check.clips for one in back.get(label, [])]
            row |= {"back": len(passed), "back_passed": sum(passed)}
    last = " given back pass |" if args.tokenizer else ""
    lines = [f"| action | what is checked | real clips of it pass | others pass | of these |{last}",
             "|---|---|---|---|---|" + "---|" * bool(last)]  # fmt: skip
    for r in rows:
        wrong = ", ".join(f"{label} {count}" for label, count in sorted(r["wrong"].items(), key=lambda w: -w[1])[:5])
        lines.append(
            f"| {r['action']} | {r['meaning']} | {r['own_passed']} of {r['own']} | "
            f"{100 * r['others_passed'] / max(r['others'], 1):.1f} % of {r['others']} | {wrong} |"
            + (f" {r['back_passed']} of {r['back']} |" if args.tokenizer else "")
        )
    print("\n".join(lines))
    if args.out:
        write_table(args.out, {"rows": rows, "clips": args.clips, "seed": args.seed}, "\n".join(lines))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
