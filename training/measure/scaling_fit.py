"""Fit the scaling law: how loss, vocabulary, parameters and tokens follow the compute of a sweep's trainings.

    python -m training.measure.scaling_fit --runs runs/sweep --out results
    python -m training.measure.scaling_fit --runs runs/sweep --out results --up-to 1e13

For every budget of compute the run with the lowest normalised loss is taken (IsoFLOP). Least squares through those give
L_u against log10 C, and N_v, N_nv, D as powers of C, each with R^2 and a 95 % bootstrap interval, beside what the paper
prints (eq. 10-14). C = 6 (N_nv + V d) D; the table also has the operations by the appendix's Code 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scamo import checkpoint, flops
from scamo.configs import codebook_label
from training.measure.tables import write_table
from training.provenance import commit

SAME_BUDGET = 0.05
"""Budgets that differ by less than this (in log10 C) count as one."""


@dataclass(frozen=True)
class TrainedModel:
    """One finished training: N_nv, N_v = V d, D in tokens, held-out normalised loss; codebook and size to name it."""

    non_vocabulary: float
    vocabulary: float
    tokens: float
    loss: float
    codebook: int = 0
    size: str = ""
    code1_flops: float = 0.0

    @property
    def flops(self) -> float:
        """C = 6 (N_nv + N_v) D."""
        return flops.training_flops(self.non_vocabulary, self.vocabulary, self.tokens)


@dataclass(frozen=True)
class Fit:
    """y = intercept + slope x with x, y as named; 95 % intervals by bootstrap (None where there are too few points)."""

    name: str
    slope: float
    intercept: float
    r2: float | None
    """None where y does not vary."""
    points: int
    slope_interval: tuple[float, float] | None
    intercept_interval: tuple[float, float] | None
    paper: tuple[float, float]
    """Slope and intercept that the paper prints."""


def least_squares(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float | None]:
    """Least squares: slope, intercept, R^2 (None for a constant). ValueError where all x are one."""
    if len(x) < 2 or np.ptp(x) < 1e-9:
        raise ValueError("A line needs points at two places; train at more budgets.")
    slope, intercept = np.polyfit(x, y, 1)
    spread = ((y - y.mean()) ** 2).sum()
    rest = ((y - intercept - slope * x) ** 2).sum()
    return float(slope), float(intercept), float(1 - rest / spread) if spread > 1e-12 else None


def fit_line(name: str, x: Sequence[float], y: Sequence[float], paper: tuple[float, float], draws: int = 2000) -> Fit:
    """A line with bootstrap intervals: points are drawn with repetition, draws at a single place are left out."""
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    slope, intercept, r2 = least_squares(xs, ys)
    intervals: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None)
    if len(xs) >= 4:
        draw = np.random.default_rng(0)
        rows = draw.integers(len(xs), size=(draws, len(xs)))
        rows = rows[np.ptp(xs[rows], axis=1) > 1e-9]
        x_rows, y_rows = xs[rows] - xs[rows].mean(1, keepdims=True), ys[rows]
        slopes = (x_rows * y_rows).sum(1) / (x_rows**2).sum(1)
        found = np.stack([slopes, y_rows.mean(1) - slopes * xs[rows].mean(1)], axis=1)
        low, high = np.percentile(found, [2.5, 97.5], axis=0)
        intervals = ((float(low[0]), float(high[0])), (float(low[1]), float(high[1])))
    return Fit(name, slope, intercept, r2, len(xs), *intervals, paper)


def select_isoflop(runs: Sequence[TrainedModel]) -> list[TrainedModel]:
    """Of every budget the run with the lowest normalised loss, by rising compute."""
    best: list[TrainedModel] = []
    group: list[TrainedModel] = []
    for run in sorted(runs, key=lambda run: run.flops):
        if group and math.log10(run.flops) - math.log10(group[0].flops) > SAME_BUDGET:
            best.append(min(group, key=lambda run: run.loss))
            group = []
        group.append(run)
    return best + ([min(group, key=lambda run: run.loss)] if group else [])


def fit_laws(best: Sequence[TrainedModel]) -> list[Fit]:
    """The paper's five laws through the best runs; ValueError where there are fewer than two budgets."""
    log_c = [math.log10(run.flops) for run in best]
    log_nv = [math.log10(run.vocabulary) for run in best]
    log_nnv = [math.log10(run.non_vocabulary) for run in best]
    log_d = [math.log10(run.tokens) for run in best]
    powers: list[tuple[str, list[float], flops.PowerLaw]] = [
        ("log10 N_v on log10 C", log_nv, flops.VOCABULARY_OF_COMPUTE),
        ("log10 N_nv on log10 C", log_nnv, flops.NON_VOCABULARY_OF_COMPUTE),
        ("log10 D on log10 C", log_d, flops.TOKENS_OF_COMPUTE),
    ]
    slope = flops.published_loss(10.0) - flops.published_loss(1.0)
    out = [fit_line("L_u on log10 C", log_c, [run.loss for run in best], (slope, flops.published_loss(1.0)))]
    out += [fit_line(name, log_c, y, (law.exponent, law.intercept)) for name, y, law in powers]
    if np.ptp(log_nnv) > 1e-9:  # else one size is the best at every budget, and no line goes through one place
        law = flops.VOCABULARY_OF_NON_VOCABULARY
        out.append(fit_line("log10 N_v on log10 N_nv", log_nnv, log_nv, (law.exponent, law.intercept)))
    return out


def predictions(found: Sequence[Fit], trained: Sequence[TrainedModel]) -> list[dict[str, Any]]:
    """What the laws say of the budgets of other models, beside what those are and reached."""
    loss, vocabulary, non_vocabulary = found[:3]
    rows = []
    for run in trained:
        log_c = math.log10(run.flops)
        rows.append({
            "flops": run.flops, "predicted_loss": loss.intercept + loss.slope * log_c, "loss": run.loss,
            "predicted_vocabulary": 10 ** (vocabulary.intercept + vocabulary.slope * log_c),
            "vocabulary": run.vocabulary, "codebook": run.codebook, "size": run.size,
            "predicted_non_vocabulary": 10 ** (non_vocabulary.intercept + non_vocabulary.slope * log_c),
            "non_vocabulary": run.non_vocabulary,
        })  # fmt: skip
    return rows


def read_model(folder: Path) -> TrainedModel:
    """The numbers on the card of a trained transformer; D is the tokens that it was trained on."""
    card = checkpoint.read_checked(folder, "transformer")
    config, training = card["config"], card["training"]
    tokens = training["tokens"]
    forward = flops.forward_flops_per_token(
        config["layers"], config["heads"], config["width"], config["max_positions"], config["codebook_size"]
    )
    return TrainedModel(
        non_vocabulary=card["parameters"]["non_vocabulary"],
        vocabulary=flops.paper_vocabulary_parameters(config["codebook_size"], config["width"]),
        tokens=tokens,
        loss=card["metrics"]["normalised_loss"],
        codebook=codebook_label(card["levels"]),
        size=card["size"],
        code1_flops=3.0 * forward * tokens,
    )


def synthetic_runs(
    loss: Callable[[float], float],
    vocabulary: flops.PowerLaw,
    non_vocabulary: flops.PowerLaw,
    budgets: Sequence[float],
    grid: int = 41,
    noise: float = 0.0,
    seed: int = 0,
) -> list[TrainedModel]:
    """Trainings of a made-up world whose laws are known, on a grid of vocabularies and sizes at every budget.

    They check that the fit finds the laws again. The loss rises with the square of the distance, in decades, from the
    best vocabulary and size; tokens are what the budget leaves.
    """
    draw = np.random.default_rng(seed)
    runs = []
    for budget in budgets:
        for offset_v in np.linspace(-1, 1, grid):
            for offset_n in np.linspace(-1, 1, grid):
                nv, nnv = vocabulary(budget) * 10**offset_v, non_vocabulary(budget) * 10**offset_n
                value = loss(budget) + 0.4 * offset_v**2 + 0.6 * offset_n**2 + noise * draw.normal()
                runs.append(TrainedModel(nnv, nv, budget / (6 * (nnv + nv)), float(value)))
    return runs


def markdown(
    runs: Sequence[TrainedModel],
    best: Sequence[TrainedModel],
    found: Sequence[Fit],
    tried: Sequence[dict[str, Any]] = (),
) -> str:
    """Fits beside the paper's, predictions, the best run of every budget, and every run."""

    def interval(pair: tuple[float, float] | None) -> str:
        return "" if pair is None else f" [{pair[0]:.3f}, {pair[1]:.3f}]"

    lines = ["| law | slope | intercept | R² | points | paper: slope, intercept |", "|---|---|---|---|---|---|"]
    for fit in found:
        r2 = "–" if fit.r2 is None else f"{fit.r2:.3f}"
        ours = [
            f"{fit.slope:.3f}{interval(fit.slope_interval)}",
            f"{fit.intercept:.3f}{interval(fit.intercept_interval)}",
        ]
        paper = f"{fit.paper[0]:.3f}, {fit.paper[1]:.3f}"
        lines.append(f"| {fit.name} | {ours[0]} | {ours[1]} | {r2} | {fit.points} | {paper} |")
    if tried:
        lines += ["", "Predicted from the budgets above, then trained:", "",
                  "| C | L_u predicted | L_u | N_v predicted | N_v | N_nv predicted | N_nv | best trained |",
                  "|---" * 8 + "|"]  # fmt: skip
    for row in tried:
        lines.append(
            f"| {row['flops']:.3g} | {row['predicted_loss']:.3f} | {row['loss']:.3f} | "
            f"{row['predicted_vocabulary']:.3g} | {row['vocabulary']:.3g} | {row['predicted_non_vocabulary']:.3g} | "
            f"{row['non_vocabulary']:.3g} | {row['codebook']}-{row['size']} |"
        )
    head = "| codebook | size | N_nv | N_v | D | C = 6 (N_nv + N_v) D | Code 1 | L_u |"
    for title, rows in (("Best of every budget", best), ("All runs", sorted(runs, key=lambda run: run.flops))):
        lines += ["", f"{title}:", "", head, "|---" * 8 + "|"]
        for run in rows:
            lines.append(
                f"| {run.codebook} | {run.size} | {run.non_vocabulary:.3g} | {run.vocabulary:.3g} | {run.tokens:.3g} | "
                f"{run.flops:.3g} | {run.code1_flops:.3g} | {run.loss:.4f} |"
            )
    return "\n".join(lines) + "\n"


def plot(runs: Sequence[TrainedModel], best: Sequence[TrainedModel], found: Sequence[Fit], path: Path) -> None:
    """L_u over C with every run, and N_v, N_nv, D of the best ones; our line full, the paper's dashed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(14, 3.6), layout="constrained")
    columns: list[tuple[str, Callable[[TrainedModel], float]]] = [
        ("normalised loss L_u", lambda run: run.loss), ("vocabulary parameters N_v", lambda run: run.vocabulary),
        ("other parameters N_nv", lambda run: run.non_vocabulary), ("tokens D", lambda run: run.tokens)]  # fmt: skip
    reach = np.array([min(run.flops for run in runs), max(run.flops for run in runs)])
    books = sorted({run.codebook for run in runs})
    panels = figure.subplots(1, 4)
    for axes, (title, value), fit in zip(panels, columns, found[:4], strict=True):
        is_loss = value is columns[0][1]
        for number, codebook in enumerate(books if is_loss else ()):
            some = [run for run in runs if run.codebook == codebook]
            places = [run.flops for run in some], [run.loss for run in some]
            axes.scatter(*places, s=14, color=f"C{number + 2}", alpha=0.7, label=f"codebook {codebook}")
        axes.scatter([run.flops for run in best], [value(run) for run in best], s=60, facecolor="none",
                     edgecolor="black", label="best of its budget", zorder=3)  # fmt: skip
        for slope, intercept, style, name in ((fit.slope, fit.intercept, "-", "fit"), (*fit.paper, "--", "paper")):
            y = intercept + slope * np.log10(reach)
            axes.plot(reach, y if is_loss else 10**y, style, color="C0" if name == "fit" else "grey", label=name)
        axes.set(xscale="log", yscale="linear" if is_loss else "log", xlabel="compute C (FLOPs)", ylabel=title)
        for axis in (axes.xaxis, *(() if is_loss else (axes.yaxis,))):
            axis.set_major_locator(LogLocator(numticks=6))
            axis.set_minor_formatter(NullFormatter())
    panels[0].legend(fontsize=7)
    figure.savefig(path, dpi=130)


@dataclass(frozen=True)
class Args:
    """Fit the scaling law to trained models. Intervals need four budgets or more."""

    runs: tuple[Path, ...]
    """Folders below which trained transformers (OUT/model) are looked for."""
    out: Path
    """The folder for scaling.json, .md and .png."""
    up_to: float | None = None
    """Runs of more compute are no part of the fit; what it predicts for them stands beside what they reached."""


def main(args: Args) -> dict[str, Any]:
    """Read every finished run, select, fit, and write JSON, Markdown and the plot."""
    cards = sorted({card.parent for folder in args.runs for card in folder.rglob("card.json")})
    runs = [read_model(card) for card in cards if checkpoint.read_card(card).get("kind") == "transformer"]
    if not runs:
        raise ValueError(f"No trained transformer below {', '.join(map(str, args.runs))}; run training.sweep first.")
    limit = math.inf if args.up_to is None else args.up_to * 10**SAME_BUDGET
    known = [run for run in runs if run.flops <= limit]
    best = select_isoflop(known)
    found = fit_laws(best)
    tried = predictions(found, select_isoflop([run for run in runs if run.flops > limit]))
    result = {
        "fits": [asdict(fit) for fit in found],
        "best": [asdict(run) | {"flops": run.flops} for run in best],
        "runs": [asdict(run) | {"flops": run.flops} for run in runs],
        "predictions": tried,
        "commit": commit(),
    }
    words = markdown(runs, best, found, tried)
    write_table(args.out / "scaling", result, words)
    plot(runs, best, found, args.out / "scaling.png")
    print(words)
    return result


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
