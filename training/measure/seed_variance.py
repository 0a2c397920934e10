"""Compare rebuilt checkpoints with the bundled ones, number by number of their cards.

    for seed in 1 2 3; do
        bash training/reproduce.sh --out build-$seed --codebooks 1024 --sizes 0.3M 1M --seed $seed
    done
    python -m training.measure.seed_variance --bundled build/checkpoints --builds build-1 build-2 build-3 --out rebuilt

Several seeds of one recipe show how much the numbers of a single training vary. With 95 % confidence a further training
ends within their mean plus or minus t s sqrt(1 + 1/n), where s is their standard deviation and t is Student's of n - 1
degrees of freedom. A bundled number, whose seed is not among them, should lie in that interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scamo import checkpoint, registry
from training.measure.tables import write_table

DIGITS = {"l1": 4, "mpjpe_mm": 2, "global_mpjpe_mm": 1, "usage": 3, "entropy": 1, "nll": 3, "normalised_loss": 3}


@dataclass(frozen=True)
class Args:
    """Compare the cards of several builds with the bundled ones of the same name."""

    builds: tuple[Path, ...]
    """Folders that reproduce.sh was given as --out."""
    bundled: Path = registry.BUNDLED
    """The folder of the models to compare with."""
    out: Path | None = None
    """Write OUT.json and OUT.md here."""


def interval_half_width(values: Sequence[float]) -> float | None:
    """Half the width of the interval in which one more training of the recipe ends, with 95 % confidence.

    None for fewer than three values.
    """
    from scipy.stats import t

    n = len(values)
    if n < 3:
        return None
    return float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) * math.sqrt(1 + 1 / n))


def compare_cards(builds: Sequence[Path], bundled: Path = registry.BUNDLED) -> list[dict[str, Any]]:
    """One row for each number of the bundled cards: {"model", "metric", "bundled", "rebuilt": {seed: value}, "noise"}.

    ValueError where no build holds a model that is bundled, where two builds have the same seed, or where one has the
    bundled model's.
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
    seeds = [card["training"]["seed"] for card in cards]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"Two builds of {own['name']} have the same seed; leave one out.")
    if own["training"]["seed"] in seeds:
        raise ValueError(f"The bundled {own['name']} has seed {own['training']['seed']} too; rebuild with others.")
    rebuilt = {str(seed): card["metrics"][metric] for seed, card in zip(seeds, cards, strict=True)}
    return {"model": own["name"], "metric": metric, "bundled": own["metrics"][metric], "rebuilt": rebuilt,
            "noise": interval_half_width(list(rebuilt.values()))}  # fmt: skip


def is_within(row: Mapping[str, Any]) -> bool | None:
    """Whether the bundled number lies in the interval of one more training; None for fewer than three rebuilds."""
    if row["noise"] is None:
        return None
    return bool(abs(row["bundled"] - np.mean(list(row["rebuilt"].values()))) <= row["noise"])


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table: bundled, every seed, and the interval of one more training."""
    seeds = sorted({seed for row in rows for seed in row["rebuilt"]}, key=int)
    lines = [
        "| model | number | bundled | "
        + " | ".join(f"seed {seed}" for seed in seeds)
        + " | mean | deviation | one more training | within |",
        "|---" * (len(seeds) + 7) + "|",
    ]
    for row in rows:
        digits, values = DIGITS.get(row["metric"], 3), list(row["rebuilt"].values())
        cells = [f"{row['bundled']:.{digits}f}"]
        cells += [f"{row['rebuilt'][seed]:.{digits}f}" if seed in row["rebuilt"] else "–" for seed in seeds]
        cells += [f"{np.mean(values):.{digits}f}"]
        cells += [f"{np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else "–"]
        cells += ["–" if row["noise"] is None else f"± {row['noise']:.{digits}f}"]
        cells += [{None: "–", True: "yes", False: "no"}[is_within(row)]]
        lines.append(f"| {row['model']} | {row['metric']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(args: Args) -> None:
    """Print the table, and write it to ``--out``."""
    rows = compare_cards(args.builds, args.bundled)
    print(markdown(rows))
    if args.out:
        write_table(args.out, rows, markdown(rows))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
