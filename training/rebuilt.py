"""Hold rebuilt checkpoints beside the bundled ones, card number by card number.

    bash training/reproduce.sh --out build --codebooks 1024 --sizes 0.3M
    bash training/reproduce.sh --out again --codebooks 1024 --sizes 0.3M --seed 1
    python -m training.rebuilt --builds build again --out docs/rebuilt

What the seeds differ by is the noise that a single training has; a rebuild is as good as the bundled one where it stays
within that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scamo import checkpoint, zoo

DIGITS = {"l1": 4, "mpjpe_mm": 2, "global_mpjpe_mm": 1, "usage": 3, "entropy": 1, "nll": 3, "normalised_loss": 3}


@dataclass(frozen=True)
class Args:
    """Compare the cards of several builds with the bundled ones of the same name."""

    builds: tuple[Path, ...]
    """Folders that reproduce.sh was given as --out."""
    out: Path | None = None
    """Write OUT.json and OUT.md here."""


def compared(builds: Sequence[Path], bundled: Path = zoo.BUNDLED) -> list[dict[str, Any]]:
    """One row for a number on a bundled card: {"model", "metric", "bundled", "rebuilt": {seed: value}}.

    ValueError where no build holds a model that is bundled.
    """
    rows = []
    for folder in sorted(path.parent for path in bundled.glob("*/card.json")):
        cards = [
            checkpoint.read_card(build / "runs" / folder.name / "model")
            for build in builds
            if (build / "runs" / folder.name / "model").exists()
        ]
        if cards:
            own = checkpoint.read_card(folder)
            rows += [_row(own, cards, metric) for metric in own["metrics"]]
    if not rows:
        raise ValueError("No bundled model was rebuilt there; give the folders that reproduce.sh had as --out.")
    return rows


def _row(own: Mapping[str, Any], cards: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    rebuilt = {str(card["training"]["seed"]): card["metrics"][metric] for card in cards}
    if len(rebuilt) < len(cards):
        raise ValueError(f"Two builds of {own['name']} have the same seed; leave one out.")
    return {"model": own["name"], "metric": metric, "bundled": own["metrics"][metric], "rebuilt": rebuilt}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table, with what the rebuilds of several seeds differ by."""
    seeds = sorted({seed for row in rows for seed in row["rebuilt"]}, key=int)
    lines = [
        "| model | number | bundled | " + " | ".join(f"rebuilt, seed {seed}" for seed in seeds) + " | between seeds |",
        "|---" * (len(seeds) + 4) + "|",
    ]
    for row in rows:
        digits, values = DIGITS.get(row["metric"], 3), row["rebuilt"].values()
        cells = [f"{row['bundled']:.{digits}f}"]
        cells += [f"{row['rebuilt'][seed]:.{digits}f}" if seed in row["rebuilt"] else "–" for seed in seeds]
        cells += [f"{max(values) - min(values):.{digits}f}" if len(values) > 1 else "–"]
        lines.append(f"| {row['model']} | {row['metric']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(args: Args) -> None:
    """Print the table, and write it where ``--out`` says."""
    rows = compared(args.builds)
    print(markdown(rows))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
        args.out.with_suffix(".md").write_text(markdown(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
