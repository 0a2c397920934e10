"""Writes docs/performance.md from the JSON files that the benchmarks leave in docs/performance.

    python -m benchmarks.report

What was measured comes from the files; the words about it, and the aims, stand here.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.app import app_table
from benchmarks.generation import agreement_table, generation_table
from benchmarks.growth import growth_table
from benchmarks.machine import table
from benchmarks.rendering import rendering_table
from benchmarks.training import training_table

Reports = dict[str, dict[str, Any]]

TOP = """# How fast it is, and how that was measured

Every figure comes from a command in `benchmarks/`; all of them from `python -m benchmarks.all --out docs/performance`,
which also writes this page. Figures are ratios or times of one run on one machine: what is compared takes turns within
one process. The reference (the authors' code) is not in this repository; "reference" is its way of doing the same over
our model, and the rendering and training comparisons are our own plain versions of what it does. Random weights have a
fixed seed. "met" and "missed" are about this run.
"""

TOKENS = """Batch 1, codebook 65536, 12 text vectors, seeded random weights, greedy. All float32 variants must write the
same tokens. The floor is the time in which memory brings the weights of blocks and head in float32, so half-precision
and int8 may go below 1. "argmax" and "logit error" (relative to the spread of the logits) are along the reference's
tokens; random weights make low precision look worse than trained ones, see the next section.

What was done: weights laid out column by column and read by numpy's BLAS, which reaches the memory's bandwidth for a
single row where torch's `F.linear` does not; a cache reserved at once; no torch call between the matrices; nothing
between the tokens that wakes torch's threads, which after any shared work (the copy of one row of 64,000 logits is
enough) keep a core busy for several milliseconds, and with two cores that is the one numpy's second thread needs;
float16 by fbgemm's packed product, which keeps the activations in float32 (`torch.mv` took two to three times as long);
int8 by fbgemm with activations as a coarse and a fine integer in one pass. What was tried and left: `torch.compile` (in
an early trial as fast as numpy's BLAS, but it needs a compiler and time to compile); float32 products in torch's own
threads, as a batch of one part of the inputs for each (`torch.bmm`: about as fast as numpy's on two free cores, no
faster, and it suffers more where other programs want them) or as `embedding_bag` (slower); bfloat16 on a CPU without
instructions for it; int8 weights by `torch._weight_int8pack_mm` (slower than fbgemm, and far slower with float32
activations). "generate" also draws in float64, keeps every token's probability, entropy and alternatives (worked out
at the end, for all tokens at once), and decodes the motion.
"""

AGREEMENT = """The bundled models along their own float32 motions of 4 s for twelve sentences, the likeliest one and one
sampled at temperature 1: how often a lower precision finds the same token likeliest, the cross-entropy (nats a token)
it gives the sampled tokens beside float32's, and how often a greedy motion comes out the same to its last token. No
held-out data comes with the package, so these are the models' own words.
"""

RENDERING = """The plain version draws as the reference's function does: for each frame a new matplotlib figure with 3D
axes. Ours draws with the same rasteriser (Agg) but without figure and axes: numpy projects 32 frames at a time,
outlines are paths made once, and frames go to ffmpeg with the fourth channel the rasteriser leaves, since cutting it
off took longer than all of numpy's part. A canvas is used again once nobody holds its frame, and only the boxes drawn
on are cleaned; a shadow is four long outlines. "The same in the picture" has figure, path and floor as the other has,
and shadows on top; "as people get it" adds a caption and the floor's grid, whose lines are then the largest part.
Drawing and encoding run side by side. Agg's cost follows the length of outlines; no antialiasing, other caps, filled
quadrilaterals or one path for the whole grid changed little.
"""

APP = """One bundled model, 4 s of motion, through the same endpoint programs use; the text encoder and the model are
loaded by a fresh page's first request. The stages are measured one after the other in one process; in the page drawing
and encoding overlap. Requests for one model that come while others are being made are made together in one pass. Their
videos are still drawn one by one, by two threads.
"""

TRAINING = """Batches of rows of similar length with as many targets as the plain loop has: the same loss on the same
rows, and neither motions' nor sentences' padding is computed outside attention. Against a loop that pads every motion
to 50 tokens the gain is bounded by how much of that is padding; encoding the sentence in every step, as the reference
does, adds to the other's time. The tokenizer learns from windows of one length in both loops, so there is no padding to
save, and nearly all of its time is the convolutions', which are the same in both.
"""

GROWTH = """![Time and memory against clip length, batch, size and codebook](performance/growth.png)

Exponents are slopes between logarithms over the larger half of the points: 1 is linear. A clip's tokens must read the
keys and values of all tokens before them, which is the only part that could grow faster, and the last table says how
much of a token's time it is; decoder and joints see each frame once. At 2,000 tokens keys and values are as large as
the matrices of 4M, so by the bytes read alone its exponent from 500 tokens on is 1.2. Keys with the slots last, heads
one by one and a softmax in place were no faster. A batch reads the weights once for all its rows. With the size, small
models are held up by the work around the matrices and large ones by memory. Of the codebook only embedding and head
grow. A load copies what it must convert piece by piece, and lets go of the file's pages with each.
"""


@dataclass(frozen=True)
class Args:
    """Write the page of all measurements."""

    folder: Path = Path("docs/performance")
    out: Path = Path("docs/performance.md")


@dataclass(frozen=True)
class Target:
    """An aim and what was found; `below` where less is better. found None: not measured."""

    what: str
    aim: float
    found: float | None
    below: bool = False
    unit: str = ""

    def cells(self) -> list[str]:
        """What, aim, found, and by how much."""
        aim = f"{'<=' if self.below else '>='} {self.aim:g}{self.unit}"
        if self.found is None:
            return [self.what, aim, "", "not measured on this machine"]
        met = self.found <= self.aim if self.below else self.found >= self.aim
        off = abs(self.found / self.aim - 1)
        return [self.what, aim, f"{self.found:.3g}{self.unit}", "met" if met else f"**missed** by {off:.0%}"]


def main(args: Args) -> None:
    """Read, and write."""
    reports = {path.stem: json.loads(path.read_text()) for path in sorted(args.folder.glob("*.json"))}
    if not reports:
        raise ValueError(f"There are no measurements in {args.folder}; make them with benchmarks.all.")
    partial = args.out.with_suffix(".partial")
    partial.write_text(page(reports))
    os.replace(partial, args.out)
    print(f"{args.out}: {len(reports)} measurements")


def page(reports: Reports) -> str:
    """The whole page as Markdown."""
    parts = [
        TOP,
        machine_lines(reports),
        "## Aims\n",
        table(["", "aim", "found", ""], [t.cells() for t in targets(reports)]),
    ]
    for title, words, names, tables in (
        ("Tokens of a motion", TOKENS, _like(reports, "generation"), generation_table),
        ("Lower precision on the bundled models", AGREEMENT, _like(reports, "agreement"), None),
        ("From tokens to a video", RENDERING, _like(reports, "rendering"), None),
        ("The page", APP, _like(reports, "app"), None),
        ("Training", TRAINING, _like(reports, "training"), None),
        ("How cost grows", GROWTH, _like(reports, "growth"), None),
    ):
        if not names:
            continue
        parts += [f"## {title}\n", words]
        if tables is not None:
            parts.append(tables([reports[name] for name in names]))
        else:
            parts += [TABLES[name.split("-")[0]](reports[name]) for name in names]
        parts.append(f"{' '.join(_taken(reports[name], name) for name in names)}\n")
    return "\n".join(parts)


TABLES = {
    "agreement": agreement_table,
    "rendering": rendering_table,
    "app": app_table,
    "training": training_table,
    "growth": growth_table,
}


def _like(reports: Reports, kind: str) -> list[str]:
    return [name for name in reports if name.split("-")[0] == kind]


def _taken(report: dict[str, Any], name: str) -> str:
    loads = [f"{value:.1f}" for value in report.get("load", []) if value is not None]
    quick = ", a quick run" if report["arguments"].get("quick") else ""
    busy = f", load {' to '.join(loads)}" if loads else ""
    return f"<small>{name}: {report['machine']['date']}{busy}{quick}.</small>"


def machine_lines(reports: Reports) -> str:
    """What the figures were taken on; every machine once."""
    told = []
    for report in reports.values():
        facts = report["machine"]
        versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items() if number)
        gpu = f"; {facts['gpu']}" if facts["gpu"] else ""
        told.append(
            f"{facts['cpu']}, {facts['cores']} cores ({', '.join(facts['extensions']) or 'no vector extensions known'})"
            f"{gpu}; {facts['system']}; {versions}."
        )
    return "".join(f"Taken on: {line}\n" for line in dict.fromkeys(told))


def targets(reports: Reports) -> Iterator[Target]:
    """Every aim with what was found."""
    for name in ("44M-1", "44M-2", "111M-2", "343M-2"):
        size, threads = name.split("-")
        rows = {row["name"]: row for row in reports.get(f"generation-{name}", {}).get("variants", [])}
        where = f"{size}, {threads} thread{'s'[: threads != '1']}"
        yield Target(f"tokens, {where}, float32: times the reference", 7, _median(rows, "ours", "ratios"), unit="x")
        yield Target(f"tokens, {where}, float32: share equal to the reference's", 1, _equal(rows))
        yield Target(f"tokens, {where}, float32: times the floor", 1.5, _median(rows, "ours", "floors"), True, "x")
        yield Target(f"tokens, {where}, float16: times the reference", 8, _median(rows, "float16", "ratios"), unit="x")
        yield Target(f"tokens, {where}, int8: times the reference", 10, _median(rows, "int8", "ratios"), unit="x")
    rows = {row["name"]: row for row in reports.get("generation-3B-gpu", {}).get("variants", [])}
    yield Target("tokens, 3B on a GPU: times weights / bandwidth", 2, _median(rows, "ours", "floors"), True, "x")
    drawn = reports.get("rendering", {})
    yield Target("stick figure, 960 pixels: times plain matplotlib", 50,
                 drawn.get("ratios", {}).get("the same in the picture"), unit="x")  # fmt: skip
    clip = drawn.get("variants", {}).get("stick", {}).get("together")
    yield Target("196 frames drawn and encoded", 2.5, clip, True, " s")
    steps = drawn.get("steps")
    yield Target(
        "196 frames decoded at width 512, with joints", 0.3, sum(steps.values()) if steps else None, True, " s"
    )
    app = reports.get("app", {})
    yield Target("from `python app.py` to a page that answers", 15, _middle(app.get("cold")), True, " s")
    yield Target("click to the video, warm", 2, _middle(app.get("click")), True, " s")
    beside = app.get("side_by_side", {})
    yield Target("side by side / the sum of each alone", 1, beside.get("ratio"), True)
    training = reports.get("training", {})
    for part, name, words in (
        ("transformer", "straightforward, text encoded anew", "the plain loop"),
        ("transformer", "straightforward", "the plain loop with stored embeddings"),
        ("tokenizer", "straightforward", "the plain loop"),
    ):
        loops = {row["name"]: row for row in training.get(part, {}).get("loops", [])}
        faster = loops.get(name, {}).get("ours_is_faster")
        yield Target(f"training, {part}: times {words}", 2, faster, unit="x")
    gpu = reports.get("training-343M-gpu", {}).get("transformer", {}).get("loops", [{}])[0]
    yield Target("training, 343M on a GPU: utilisation", 0.4, gpu.get("utilisation"))
    growth = reports.get("growth", {})
    for part in growth.get("series", []):
        if part["name"] == "length":
            for task, slope in part["exponents"].items():
                yield Target(f"growth with a clip's length, {task}: exponent", 1.1, slope, True)
    for row in growth.get("loading", []):
        beyond = row["peak"] / row["weights"]
        what = f"load of {row['size']}, stored in {row['stored']}, computed in {row['computed']}: peak / weights"
        yield Target(what, 1.1, beyond, True)


def _median(rows: dict[str, Any], name: str, key: str) -> float | None:
    return statistics.median(rows[name][key]) if name in rows else None


def _equal(rows: dict[str, Any]) -> float | None:
    return rows["ours"]["equal"] / rows["ours"]["of"] if rows else None


def _middle(values: list[float] | None) -> float | None:
    return statistics.median(values) if values else None


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
