"""Write the tables of README.md and docs/training.md from the cards and from the measurements in docs.

python -m training.measure.readme_tables            # rewrite what stands between the markers
python -m training.measure.readme_tables --check    # only print whether both are up to date
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scamo import checkpoint, registry
from training.json_files import read_json, write_text

ROOT = Path(__file__).parents[2]


def tokenizer_table(folder: Path = registry.BUNDLED) -> str:
    """One line for each bundled tokenizer: codes, levels and the held-out columns of appendix Tab. 3."""
    lines = [
        "| codebook | codes (levels) | L1 | MPJPE, pelvis-aligned | MPJPE, global | codes used | exp. entropy |",
        "|---|---|---|---|---|---|---|",
    ]
    cards = [checkpoint.read_card(path) for path in folder.glob("tokenizer-*")]
    for card in sorted(cards, key=lambda card: int(card["name"].split("-")[-1])):
        codebook = card["name"].split("-")[-1]
        levels, metrics = card["config"]["levels"], card["metrics"]
        codes = 1
        for level in levels:
            codes *= level
        lines.append(
            f"| {codebook} | {codes:,} ({', '.join(map(str, levels))}) | {metrics['l1']:.3f} "
            f"| {metrics['mpjpe_mm']:.2f} mm | {metrics['global_mpjpe_mm']:.0f} mm | {metrics['usage']:.0%} "
            f"| {metrics['entropy']:.0f} |"
        )
    return "\n".join(lines)


def model_table() -> str:
    """One line for each bundled model: parameters, file size, held-out losses and what its training cost."""
    lines = [
        "| codebook | size | parameters (and vocabulary) | file | cross-entropy | normalised loss | trained |",
        "|---|---|---|---|---|---|---|",
    ]
    cards = [card for card in registry.models() if card.source == "bundled"]
    for card in sorted(cards, key=lambda card: (card.codebook, card.transformer.width)):
        raw = checkpoint.read_card(card.location)
        counts, metrics, cost = raw["parameters"], raw["metrics"], raw["training"]
        total = counts["vocabulary"] + counts["non_vocabulary"]
        own = sum(file["bytes"] for file in raw["files"].values())
        lines.append(
            f"| {card.codebook} | {card.size} | {counts['non_vocabulary'] / 1e6:.2f}M ({total / 1e6:.2f}M) "
            f"| {own / 1e6:.1f} MB | {metrics['nll']:.2f} | {metrics['normalised_loss']:.2f} "
            f"| {cost['tokens'] / 1e6:.1f}M tokens, {cost['seconds'] / 60:.0f} min on {cost['device']} |"
        )
    return "\n".join(lines)


def ability_table() -> str:
    """The last measurement of training.measure.prompt_checks."""
    return (ROOT / "docs" / "abilities.md").read_text(encoding="utf-8").strip()


def asked_table() -> str:
    """The last measurement of training.measure.asked."""
    return (ROOT / "docs" / "tables" / "asked.md").read_text(encoding="utf-8").strip()


def rebuilt_table() -> str:
    """The last measurement of training.measure.seed_variance."""
    return (ROOT / "docs" / "tables" / "rebuilt.md").read_text(encoding="utf-8").strip()


def noise_sentences() -> str:
    """How much the numbers of the tables vary from seed to seed, from the same measurement."""
    rows = read_json(ROOT / "docs" / "tables" / "rebuilt.json")
    rows = [row for row in rows if row["noise"] is not None]
    found = {(row["model"], row["metric"]): row for row in rows}

    def spread(model: str, metric: str, digits: int) -> str:
        values = list(found[model, metric]["rebuilt"].values())
        return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"

    seeds = max(len(row["rebuilt"]) for row in rows)
    words = (
        f"How much a number means: `training/reproduce.sh`, with {seeds} seeds and the Bandai-Namco clips alone, comes "
        f"to an MPJPE of {spread('tokenizer-1024', 'mpjpe_mm', 1)} mm for a tokenizer of 1024, and to normalised "
        f"losses of {spread('1024-0.3M', 'normalised_loss', 2)} for a 0.3M and "
        f"{spread('1024-1M', 'normalised_loss', 2)} for "
        "a 1M on it (mean and standard deviation; [all of them](docs/tables/rebuilt.md))."
    )
    return textwrap.fill(words, 120, break_long_words=False, break_on_hyphens=False)


PAGES = {
    "README.md": {
        "tokenizers": tokenizer_table,
        "noise": noise_sentences,
        "models": model_table,
        "asked": asked_table,
        "abilities": ability_table,
    },
    "docs/training.md": {"rebuilt": rebuilt_table},
}


def filled(page: str) -> str:
    """A page's text with new tables between its markers. ValueError where a marker is missing."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, table in PAGES[page].items():
        start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
        if text.count(start) != 1 or text.count(end) != 1:
            raise ValueError(f"{page} needs the markers {start} and {end} once each.")
        head, rest = text.split(start)
        text = f"{head}{start}\n{table()}\n{end}{rest.split(end)[1]}"
    return text


@dataclass(frozen=True)
class Args:
    """Write the tables of README.md and docs/training.md."""

    check: bool = False
    """Change nothing; exit with 1 if a page is not up to date."""


def main(args: Args) -> int:
    """0, or 1 where ``--check`` finds a page out of date."""
    stale = 0
    for page in PAGES:
        text = filled(page)
        new = text != (ROOT / page).read_text(encoding="utf-8")
        print(json.dumps({"page": page, "up_to_date": not new}))
        stale |= new
        if not args.check:
            write_text(ROOT / page, text)
    return int(stale and args.check)


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
