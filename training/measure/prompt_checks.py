"""Measure what a model can do: sentences whose motions can be checked on their joints, over many seeds.

    python -m training.measure.prompt_checks --seeds 20 --out docs/abilities

Every action of training.measure.action_checks is asked for by one plain sentence over all seeds, and by the sentences
kept apart from training (training/data/wordings/kept_apart.json) over a few. Motions are as long as the model makes
them, at its own temperature and guidance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import scamo
from training.data.sentences import kept_apart
from training.json_files import read_json
from training.measure.action_checks import BY_ACTION
from training.measure.joint_measures import SECOND, Joints
from training.measure.tables import write_table

PLAIN = {
    "walk": "a person walks forward", "run": "a person runs", "walk-back": "a person walks backwards",
    "walk-left": "a person walks sideways to the left", "walk-right": "a person walks sideways to the right",
    "turn-left": "a person walks and turns left", "turn-right": "a person walks and turns right",
    "raise-left": "a person raises the left hand", "raise-right": "a person raises the right hand",
    "raise-both": "a person raises both hands", "wave-left": "a person waves with the left hand",
    "wave-right": "a person waves with the right hand", "wave-both": "a person waves with both hands",
    "bow": "a person bows", "kick": "a person kicks", "kick-left": "a person kicks with the left leg",
    "kick-right": "a person kicks with the right leg", "punch": "a person punches", "jump": "a person jumps",
    "jump-forward": "a person jumps forward", "sit-down": "a person sits down", "stand-up": "a person stands up",
    "sit": "a person is sitting", "crouch": "a person crouches", "crawl": "a person crawls",
    "pick-up": "a person picks something up", "throw": "a person throws a ball",
    "cartwheel": "a person does a cartwheel", "backflip": "a person does a backflip",
    "roll": "a person rolls on the ground", "lie": "a person lies on the ground",
    "fall": "a person falls down", "get-up": "a person gets up from the ground", "push-up": "a person does push-ups",
    "kneel": "a person kneels down", "jumping-jacks": "a person does jumping jacks",
    "spin": "a person spins around", "stand": "a person stands still",
}  # fmt: skip
"""Action -> the plain sentence that asks for it."""

TWO = (
    ("a person walks forward, then waves with the left hand", "walk", "wave-left"),
    ("a person walks forward, then sits down", "walk", "sit-down"),
    ("a person jumps, then bows", "jump", "bow"),
    ("a person picks something up, then walks forward", "pick-up", "walk"),
)
"""Sentences of two actions, with both."""

KEPT_APART_TWO = (
    ("walk", "bow"), ("run", "jump"), ("sit-down", "stand-up"), ("wave-right", "walk"), ("pick-up", "throw"),
    ("walk", "crouch"), ("bow", "wave-both"), ("punch", "kick"), ("jump", "sit-down"), ("run", "stand"),
    ("crawl", "stand-up"), ("turn-left", "raise-right"),
)  # fmt: skip
"""The actions of kept_apart.json's sentences of "two", in its order."""

BATCH = 64  # motions that are sampled together


@dataclass(frozen=True)
class Question:
    """A sentence and the actions its motion must show, in this order."""

    text: str
    actions: tuple[str, ...]


@dataclass(frozen=True)
class Args:
    """Measure what a model can do; by default the largest bundled one."""

    codebook: int | None = None
    size: str | None = None
    model: Path | None = None
    """A model folder instead of a bundled one."""
    seeds: int = 20
    """How often every plain sentence is asked."""
    kept_apart_seeds: int = 3
    """How often every sentence kept apart is asked."""
    sentences: Path | None = None
    """A file of other sentences to ask in place of those kept apart, such as training/data/wordings/second_set.json."""
    temperature: float | None = None
    """None: the model's own."""
    guidance: float | None = None
    """None: the model's own."""
    out: Path | None = None
    """Write OUT.json and OUT.md here."""


def shows(joints: Joints, actions: Sequence[str]) -> bool:
    """Whether the motion passes the checks of the actions one after the other.

    Of several actions each has a part of the motion, whichever cut serves; a part has a second or more.
    """
    first, *others = actions
    if not others:
        return bool(BY_ACTION[first].check(joints))
    cuts = range(SECOND, len(joints) - SECOND + 1, SECOND // 4)
    return any(BY_ACTION[first].check(joints[:cut]) and shows(joints[cut:], others) for cut in cuts)


def questions(
    seeds: int, kept_apart_seeds: int, apart: Mapping[str, Sequence[str]] | None = None
) -> list[tuple[Question, bool, int]]:
    """(question, whether its words are kept apart, seed), as many as there are motions to make.

    apart: sentences by action in place of those kept apart; "two" asks for KEPT_APART_TWO.
    """
    apart = kept_apart() if apart is None else apart
    plain = [Question(PLAIN[action], (action,)) for action in BY_ACTION]
    plain += [Question(text, (first, second)) for text, first, second in TWO]
    other = [Question(text, (action,)) for action in BY_ACTION for text in apart.get(action, ())]
    if "two" in apart:
        other += [Question(text, pair) for text, pair in zip(apart["two"], KEPT_APART_TWO, strict=True)]
    asked = [(question, False, seed) for question in plain for seed in range(seeds)]
    return asked + [(question, True, seed) for question in other for seed in range(kept_apart_seeds)]


def measure(pipeline: scamo.MotionPipeline, args: Args) -> list[dict[str, Any]]:
    """A row for each action, and one for two actions: of how many motions how many pass, plain and kept apart."""
    apart = read_json(args.sentences)["sentences"] if args.sentences else None
    asked = questions(args.seeds, args.kept_apart_seeds, apart)
    given = {name: value for name in ("temperature", "guidance") if (value := getattr(args, name)) is not None}
    counts: dict[str, np.ndarray] = {}
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        seeds = [1000 * seed + number for number, (_, _, seed) in enumerate(part, start)]
        made = pipeline.generate_batch([question.text for question, _, _ in part], seeds=seeds, **given)
        for (question, apart, _), generation in zip(part, made, strict=True):
            name = question.actions[0] if len(question.actions) == 1 else "two actions"
            row = counts.setdefault(name, np.zeros((2, 2), dtype=int))
            row[int(apart)] += [shows(generation.motion.joints.astype(np.float64), question.actions), 1]
    return [
        {
            "action": name,
            "prompt": PLAIN.get(name, "; ".join(text for text, _, _ in TWO)),
            "asked": BY_ACTION[name].meaning if name in BY_ACTION else "one after the other",
            "passed": int(row[0, 0]), "seeds": int(row[0, 1]),
            "kept_apart_passed": int(row[1, 0]), "kept_apart": int(row[1, 1]),
        }
        for name, row in counts.items()
    ]  # fmt: skip


def ability_rows(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown, with the mean of all actions below."""
    lines = ["| prompt | what is checked | passes | in other words |", "|---|---|---|---|"]
    for r in rows:
        apart = f"{100 * r['kept_apart_passed'] / r['kept_apart']:.0f} %" if r["kept_apart"] else "not asked"
        lines.append(f"| {r['prompt']} | {r['asked']} | {r['passed']} of {r['seeds']} | {apart} |")
    plain = np.mean([r["passed"] / r["seeds"] for r in rows])
    apart = np.mean([r["kept_apart_passed"] / r["kept_apart"] for r in rows if r["kept_apart"]])
    lines.append(f"| all | mean of the rows | {100 * plain:.0f} % | {100 * apart:.0f} % |")
    return "\n".join(lines)


def main(args: Args) -> None:
    """Print the table, and write it to ``--out``."""
    pipeline = scamo.load(args.model, codebook=args.codebook, size=args.size)
    rows = measure(pipeline, args)
    table = ability_rows(rows)
    print(table)
    if args.out:
        own = pipeline.card.sampling
        facts = {
            "model": pipeline.card.name,
            "temperature": own.get("temperature", 1.0) if args.temperature is None else args.temperature,
            "guidance": own.get("guidance", 1.0) if args.guidance is None else args.guidance,
            "sentences": args.sentences.name if args.sentences else "kept_apart.json",
            "rows": rows,
        }
        write_table(args.out, facts, table)


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
