"""How measurements are written: JSON, Markdown tables with the paper's rows beside ours, and plots."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from training.data.dataset import Dataset
from training.json_files import write_json, write_text
from training.provenance import commit

COLUMNS = {
    "fid": "FID ↓", "r_precision_1": "R@1 ↑", "r_precision_2": "R@2 ↑", "r_precision_3": "R@3 ↑",
    "matching_score": "matching ↓", "diversity": "diversity", "multimodality": "multimodality",
    "normalised_loss": "normalised loss ↓", "foot_slide": "foot slide (m/s)", "jitter": "jitter (m/s³)",
}  # fmt: skip
"""Of the generation table, as in appendix Tab. 4 and beyond it."""


def published(section: str, **wanted: Any) -> list[dict[str, Any]]:
    """Rows of the paper's tables ("tokenizers" or "generation") whose values are the ``wanted`` ones."""
    rows = json.loads(files("scamo").joinpath("published.json").read_text(encoding="utf-8"))[section]
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def origin(config: Any, data: Dataset, evaluator: str) -> dict[str, Any]:
    """How a table came about: data, evaluator, command, settings, commit and date. Paths are shortened or left out."""
    return {
        "data": data.about.get("source", data.folder.name),
        "evaluator": evaluator,
        "split": config.split,
        "command": " ".join(["python -m", _module(sys.argv[0]), *map(_short, sys.argv[1:])]),
        "settings": {key: value for key, value in asdict(config).items() if isinstance(value, (int, float, str))},
        "commit": commit(),
        "date": date.today().isoformat(),
    }


def _module(program: str) -> str:
    parts = Path(program).with_suffix("").parts
    return ".".join(parts[parts.index("training") :]) if "training" in parts else parts[-1]


def _short(word: str) -> str:
    """A word of a command; of an absolute path only the last two folders."""
    return str(Path(*Path(word).parts[-2:])) if Path(word).is_absolute() else word


def model_name(folder: Path) -> str:
    """What a table calls the model of a folder: the run's name, where the folder is a run's ``model``."""
    return folder.resolve().parent.name if folder.name == "model" else folder.resolve().name


def cell(value: float | None, digits: int) -> str:
    """A number as a table shows it; a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def with_ending(stem: Path, ending: str) -> Path:
    """``stem`` and an ending: results/v1.5 and ".md" -> results/v1.5.md."""
    return stem.with_name(stem.name + ending)


def write_table(stem: Path, facts: Any, markdown: str) -> None:
    """Write STEM.json and STEM.md."""
    write_json(with_ending(stem, ".json"), facts, indent=1)
    write_text(with_ending(stem, ".md"), markdown.rstrip("\n") + "\n")


def _footer(result: dict[str, Any]) -> str:
    return (
        f"\n\nMeasured on the {result['split']} split of {result['data']} by {result['evaluator']}; the paper's rows "
        "are of other data and evaluators and do not compare in FID, R-precision, matching and diversity."
    )


def tokenizers_markdown(result: dict[str, Any]) -> str:
    """The table of tokenizers. Below each row are the paper's of the same quantiser and codebook on both datasets."""
    lines = [
        "| quantiser | codebook | data | L1 | FID | MPJPE (mm) | usage | entropy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        for shown, name in [(row, f"**{result['data']}**"), *((r, f"{r['data']}, paper") for r in row["published"])]:
            cells = [cell(shown.get(key), digits) for key, digits in
                     (("l1", 3), ("fid", 3), ("mpjpe_mm", 1), ("usage", 3), ("entropy", 1))]  # fmt: skip
            lines.append(f"| {row['quantiser'].upper()} | {row['codebook']} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + _footer(result)


def generation_markdown(result: dict[str, Any]) -> str:
    """The table of generation. Below each row is the paper's of the same codebook and size."""
    lines = ["| model | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in result["rows"]:
        name = f"**{row['codebook']}, {row['size']}**" if "codebook" in row else row["model"]
        shown = {key: f"{mean:.3f} ± {half:.3f}" for key, (mean, half) in row["metrics"].items()}
        shown |= {key: cell(row.get(key), 3) for key in ("normalised_loss", "multimodality")}
        lines.append(f"| {name} | " + " | ".join(shown.get(key, "–") for key in COLUMNS) + " |")
        for paper in row.get("published", []):
            cells = " | ".join(cell(paper.get(key), 3) for key in COLUMNS)
            lines.append(f"| {paper['codebook']}, {paper['size']}, paper on {paper['data']} | {cells} |")
    return (
        "\n".join(lines)
        + _footer(result)
        + f" {result['clips']} clips in pools of {result['pool']}, {result['repeats']} repetitions. The normalised "
        "loss is the card's, on the test split of what a model was trained on.\n"
    )


def plot_tokenizers(result: dict[str, Any], path: Path) -> None:
    """L1, MPJPE, usage and entropy over the codebook; ours in full lines, the paper's MotionUnion rows dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.2), layout="constrained")
    panels = (("l1", "L1 (normalised)"), ("mpjpe_mm", "MPJPE (mm)"), ("usage", "share of codes used"),
              ("entropy", "exponential entropy"))  # fmt: skip
    for axes, (key, title) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for quantiser, colour in (("fsq", "tab:blue"), ("vq", "tab:red")):
            ours = [row for row in result["rows"] if row["quantiser"] == quantiser]
            paper = [r for row in ours for r in row["published"] if r["data"] == "MotionUnion"]
            for rows, style, name in ((ours, "o-", "ours"), (paper, "s--", "paper, MotionUnion")):
                if rows:
                    points = [row["codebook"] for row in rows], [row[key] for row in rows]
                    axes.plot(*points, style, color=colour, label=f"{quantiser.upper()} {name}", alpha=0.9)
        axes.set(xscale="log", xlabel="codebook", title=title, yscale="log" if key == "entropy" else "linear")
        axes.set_xscale("log", base=2)
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=130)


def plot_generation(result: dict[str, Any], path: Path) -> None:
    """FID, R@1 and normalised loss over the parameters without vocabulary, a line for each codebook."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    real, *rows = result["rows"]
    panels = (("fid", "FID"), ("r_precision_1", "R-precision@1"), ("normalised_loss", "normalised loss"))
    for axes, (key, title) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for codebook in sorted({row["codebook"] for row in rows}):
            own = [row for row in rows if row["codebook"] == codebook and row.get("parameters")]
            own.sort(key=lambda row: row["parameters"]["non_vocabulary"])
            x = [row["parameters"]["non_vocabulary"] for row in own]
            if key == "normalised_loss":
                axes.plot(x, [row[key] for row in own], "o-", label=str(codebook))
            else:
                values = np.array([row["metrics"][key] for row in own]).reshape(-1, 2)
                axes.errorbar(x, values[:, 0], values[:, 1], fmt="o-", label=str(codebook), capsize=2)
        if key == "r_precision_1":
            axes.axhline(real["metrics"][key][0], color="grey", linestyle=":", label="real")
        axes.set(xscale="log", xlabel="parameters without vocabulary", title=title)
    axes.legend(title="codebook", fontsize=7)
    figure.savefig(path, dpi=130)
