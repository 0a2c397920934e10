"""How steady a model's motions are beside real ones: feet that slide, joints that shake.

    python -m training.measure.smoothness --data data/many-actions --out docs/tables/smoothness

For every action that has a check, the model's motions to a plain sentence stand beside the real clips of it in the
normal style, and beside those clips as the tokenizer gives them back, which is the best that a model can do on it. Both
numbers are means over clips, of ``scamo.metrics.foot_slide`` and ``scamo.metrics.jitter``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import scamo
from scamo.metrics import foot_slide, jitter
from training.data.dataset import Dataset
from training.measure.action_checks import BY_ACTION, Joints, given_back, joints_of, real_clips
from training.measure.prompt_checks import PLAIN
from training.measure.tables import write_table

MEASURES = {"slide": foot_slide, "jitter": jitter}
LEAST = 4  # frames that both can be measured on


@dataclass(frozen=True)
class Args:
    """Compare sliding feet and shaking joints of a model with those of real clips."""

    data: Path
    """The corpus of training.data.many_actions."""
    model: Path | None = None
    """A model's folder; the default model without it."""
    seeds: int = 8
    """Motions for each sentence."""
    clips: int = 40
    """At most so many real clips of a label."""
    seed: int = 0
    out: Path | None = None
    """Write OUT.json and OUT.md here."""


def measured(motions: Sequence[Joints]) -> dict[str, float]:
    """The mean of each measure over motions [T, 22, 3]; shorter ones than four frames are left out."""
    long = [joints for joints in motions if len(joints) >= LEAST]
    return {name: float(np.mean([measure(joints) for joints in long])) for name, measure in MEASURES.items()}


def compare(pipeline: scamo.MotionPipeline, data: Dataset, args: Args) -> list[dict[str, Any]]:
    """A row for each action with real clips: its sentence, and the measures of real, given back and made motions."""
    features = real_clips(data, args.clips, args.seed, style="normal")
    rows = []
    for action, check in BY_ACTION.items():
        own = {label: features[label] for label in check.clips if label in features}
        if not own:
            continue
        made = pipeline.generate_batch([PLAIN[action]] * args.seeds, seeds=range(args.seeds))
        groups = {
            "real": joints_of(own),
            "back": joints_of(given_back(own, pipeline.tokenizer)),
            "made": {action: [one.motion.joints.astype(np.float64) for one in made]},
        }
        numbers = {
            group: measured([one for clips in found.values() for one in clips]) for group, found in groups.items()
        }
        rows.append({"action": action, "prompt": PLAIN[action], "clips": sum(map(len, own.values())), **numbers})
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table; below them how much of the real clips' slide and jitter the made motions have."""
    lines = [
        "| prompt | real clips | slide, cm/s: real | given back | made | jitter, m/s³: real | given back | made |",
        "|---" * 8 + "|",
    ]
    groups = ("real", "back", "made")
    for row in rows:
        cells = [f"{100 * row[group]['slide']:.1f}" for group in groups]
        cells += [f"{row[group]['jitter']:.0f}" for group in groups]
        lines.append(f"| {row['prompt']} | {row['clips']} | " + " | ".join(cells) + " |")
    means = {name: {group: np.mean([row[group][name] for row in rows]) for group in groups} for name in MEASURES}
    slide, shake = means["slide"], means["jitter"]
    cells = [f"{100 * slide[group]:.1f}" for group in groups] + [f"{shake[group]:.0f}" for group in groups]
    lines += [f"| mean of the rows |  | {' | '.join(cells)} |", ""]
    ratios = {name: mean["made"] / mean["real"] for name, mean in means.items()}
    lines.append(
        f"Made motions slide {ratios['slide']:.2f} times as much as real clips of the same action, and shake "
        f"{ratios['jitter']:.2f} times as much."
    )
    return "\n".join(lines)


def main(args: Args) -> None:
    """Print the table, and write it to ``--out``."""
    pipeline = scamo.load(args.model)
    rows = compare(pipeline, Dataset(args.data), args)
    print(markdown(rows))
    if args.out:
        facts = {"model": pipeline.card.name, "seeds": args.seeds, "clips": args.clips, "rows": rows}
        write_table(args.out, facts, markdown(rows))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
