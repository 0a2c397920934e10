"""Ask a tuned text encoder what sentences ask for: whether a wrong motion is the words' fault or the transformer's.

    python -m training.measure.understood --sentences training/data/wordings/development_set.json

A sentence is understood where the first action that is read is one of those whose clips pass the check of the action
that was asked for (training.measure.action_checks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scamo.prompt_notes import SURE
from scamo.registry import BUNDLED
from scamo.text import PretrainedTextEncoder, load_text_encoder
from training.json_files import read_json
from training.measure.action_checks import BY_ACTION
from training.measure.action_classifier import mirrored_label
from training.measure.tables import write_table


@dataclass(frozen=True)
class Args:
    """Count how many sentences of a file are understood."""

    sentences: Path
    """A file of sentences by action, such as training/data/wordings/development_set.json."""
    encoder: Path = BUNDLED / "text-encoder"
    """The folder of training.tasks.text_encoder."""
    wrong: bool = False
    """Print the sentences that are not understood. Not of a set by which nothing is to be decided."""
    out: Path | None = None
    """Write OUT.json and OUT.md here."""


def fitting_labels(action: str) -> set[str]:
    """Labels whose motion is what a check's action asks for; of either side where it names none."""
    fits = set(BY_ACTION[action].clips)
    has_side = {"left", "right"} & set(action.split("-"))
    return fits if has_side else fits | set(map(mirrored_label, fits))


def measure(encoder: PretrainedTextEncoder, asked: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """A row for each action: sentences, how many are understood, surely understood, and what is read of the others."""
    rows = []
    for action in (action for action in BY_ACTION if asked.get(action)):
        fits, read = fitting_labels(action), encoder.understood(asked[action])
        right = [bool(fits.intersection(found.actions[:1])) for found in read]
        wrong = {text: list(found.actions) for text, found, is_right in zip(asked[action], read, right, strict=True)
                 if not is_right}  # fmt: skip
        sure = sum(found.sureness >= SURE for found, is_right in zip(read, right, strict=True) if is_right)
        rows.append({"action": action, "sentences": len(read), "understood": sum(right), "sure": sure, "wrong": wrong})
    return rows


def main(args: Args) -> None:
    """Print the share that is understood, by action and in all, and write it to ``--out``."""
    encoder = load_text_encoder(str(args.encoder))
    assert isinstance(encoder, PretrainedTextEncoder)
    rows = measure(encoder, read_json(args.sentences)["sentences"])
    mean = float(np.mean([row["understood"] / row["sentences"] for row in rows]))
    lines = ["| action | sentences | understood | and surely |", "|---|---|---|---|"]
    lines += [f"| {row['action']} | {row['sentences']} | {row['understood']} | {row['sure']} |" for row in rows]
    count, right, sure = (sum(row[key] for row in rows) for key in ("sentences", "understood", "sure"))
    lines += [f"| mean of the rows | {count} | {100 * mean:.1f} % | {100 * sure / max(right, 1):.0f} % of these |"]
    print("\n".join(lines))
    for row in rows if args.wrong else ():
        for text, read in row["wrong"].items():
            print(f"{row['action']}: {text!r} was read as {', then '.join(read) or 'nothing'}")
    if args.out:
        own = [{key: value for key, value in row.items() if key != "wrong"} for row in rows]
        write_table(args.out, {"rows": own, "mean": mean, "sentences": args.sentences.name}, "\n".join(lines))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
