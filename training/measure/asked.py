"""How often every bundled model does what it is asked: plain sentences, unfamiliar ones, and a second set of those.

    python -m training.measure.asked --out docs/tables/asked

The questions and checks are those of ``training.measure.prompt_checks``, with fewer seeds. Models that the file has
already, by their checkpoint's hash, are not asked again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import scamo
from training.data.sentences import WORDINGS
from training.json_files import read_json
from training.measure import prompt_checks
from training.measure.tables import with_ending, write_table

SETS = {"plain": "plain sentences", "kept_apart": "kept apart", "second_set": "second set"}
"""What a row calls each set of sentences, and what the table does."""


@dataclass(frozen=True)
class Args:
    """Ask every bundled model for every action, in three sets of words."""

    seeds: int = 5
    """How often every plain sentence is asked."""
    kept_apart_seeds: int = 2
    """How often every sentence kept apart is asked."""
    second_seeds: int = 1
    """How often every sentence of the second set is asked."""
    out: Path | None = None
    """Write OUT.json and OUT.md here."""


def ask(pipeline: scamo.MotionPipeline, args: Args) -> dict[str, dict[str, tuple[int, int]]]:
    """For each set of sentences, by action: how many motions passed, of how many."""
    rows = prompt_checks.measure(pipeline, prompt_checks.Args(seeds=args.seeds, kept_apart_seeds=args.kept_apart_seeds))
    second = prompt_checks.Args(seeds=0, kept_apart_seeds=args.second_seeds, sentences=WORDINGS / "second_set.json")
    return {
        "plain": {row["action"]: (row["passed"], row["seeds"]) for row in rows},
        "kept_apart": _apart(rows),
        "second_set": _apart(prompt_checks.measure(pipeline, second)),
    }


def _apart(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    return {row["action"]: (row["kept_apart_passed"], row["kept_apart"]) for row in rows if row["kept_apart"]}


def share(found: Mapping[str, Sequence[int]]) -> float:
    """The mean over actions of the share of motions that passed."""
    return float(np.mean([passed / asked for passed, asked in found.values()]))


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each model: the means over actions, and the actions that most often fail in unfamiliar words."""
    lines = [
        f"| model | {' | '.join(SETS.values())} | least often, of those kept apart |",
        "|---" * (len(SETS) + 2) + "|",
    ]
    for row in rows:
        apart = {action: passed / asked for action, (passed, asked) in row["kept_apart"].items()}
        worst = sorted(apart, key=lambda action: apart[action])[:4]
        cells = [f"{100 * share(row[name]):.0f} %" for name in SETS]
        least = ", ".join(f"{action} {100 * apart[action]:.0f} %" for action in worst)
        lines.append(f"| {row['model']} | {' | '.join(cells)} | {least} |")
    return "\n".join(lines)


def main(args: Args) -> None:
    """Print the table, and write it to ``--out``."""
    counts = {"seeds": args.seeds, "kept_apart_seeds": args.kept_apart_seeds, "second_seeds": args.second_seeds}
    file = with_ending(args.out, ".json") if args.out else None
    before = read_json(file) if file and file.exists() else {}
    known = {row["sha256"]: row for row in before.get("rows", ()) if before["asked"] == counts}
    rows = []
    for card in scamo.models():
        if card.source != "bundled":
            continue
        rows.append(
            known.get(card.sha256) or {"model": card.name, "sha256": card.sha256, **ask(scamo.load(card), args)}
        )
        print(json.dumps({"model": card.name, **{name: round(share(rows[-1][name]), 3) for name in SETS}}), flush=True)
    rows.sort(key=lambda row: (int(row["model"].split("-")[0]), float(row["model"].split("-")[1].rstrip("M"))))
    print(markdown(rows))
    if args.out:
        write_table(args.out, {"asked": counts, "rows": rows}, markdown(rows))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
