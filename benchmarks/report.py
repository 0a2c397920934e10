"""Writes the page of all measurements from the JSON files that the benchmarks leave in a folder.

    python -m benchmarks.report --folder docs/performance --out docs/performance.md

The figures come from the files, the aims from benchmarks/targets.py, and the words from benchmarks/report.md.tmpl.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from benchmarks.agreement import agreement_table
from benchmarks.app import app_table
from benchmarks.click import click_table
from benchmarks.generation import generation_table
from benchmarks.growth import growth_table
from benchmarks.machine import OUT, markdown_table
from benchmarks.precision import precision_table
from benchmarks.rendering import rendering_table
from benchmarks.targets import Reports, targets
from benchmarks.training import training_table

TEMPLATE = Path(__file__).with_name("report.md.tmpl")


def _each(table: Callable[[dict[str, Any]], str]) -> Callable[[Sequence[dict[str, Any]]], str]:
    return lambda reports: "\n".join(map(table, reports))


# By the first part of a file's name: what makes one text of all reports of a kind.
TABLES: dict[str, Callable[[Sequence[dict[str, Any]]], str]] = {
    "generation": generation_table,
    "agreement": _each(agreement_table),
    "rendering": _each(rendering_table),
    "app": _each(app_table),
    "click": _each(click_table),
    "training": _each(training_table),
    "precision": _each(precision_table),
    "growth": _each(growth_table),
}


@dataclass(frozen=True)
class Args:
    """Write the page of all measurements."""

    folder: Path = OUT
    """Where the JSON files are."""
    out: Path = Path(f"{OUT}.md")


def main(args: Args) -> None:
    """Read the reports and write the page. Raises ValueError where there are none."""
    paths = sorted(args.folder.glob("*.json"))
    if not paths:
        raise ValueError(f"there are no measurements in {args.folder}; run benchmarks.all first")
    reports = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(page(reports), encoding="utf-8")
    print(f"{args.out}: {len(reports)} measurements")


def page(reports: Reports) -> str:
    """The whole page as Markdown; sections without a measurement are left out."""
    contents = {"machines": machine_lines(reports), "aims": markdown_table(["", "aim", "found", ""], aims(reports))}
    for kind, table in TABLES.items():
        names = [name for name in reports if name.split("-")[0] == kind]
        if names:
            dates = " ".join(date_line(name, reports[name]) for name in names)
            contents[kind] = f"{table([reports[name] for name in names])}\n{dates}\n"
    sections = re.split(r"^(?=## )", TEMPLATE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    measured = [section for section in sections if contents.keys() >= {*re.findall(r"\$(\w+)", section)}]
    return Template("".join(measured)).substitute(contents).rstrip("\n") + "\n"


def aims(reports: Reports) -> list[list[str]]:
    """The rows of the table of aims."""
    return [target.row() for target in targets(reports)]


def date_line(name: str, report: dict[str, Any]) -> str:
    """When a report was made, and how busy the machine was."""
    loads = [f"{value:.1f}" for value in report.get("load", []) if value is not None]
    busy = f", load {' to '.join(loads)}" if loads else ""
    quick = ", a quick run" if report["arguments"].get("quick") else ""
    return f"<small>{name}: {report['machine']['date']}{busy}{quick}.</small>"


def machine_lines(reports: Reports) -> str:
    """What the figures were taken on; every machine once."""
    lines = []
    for report in reports.values():
        facts = report["machine"]
        versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items() if number)
        extensions = ", ".join(facts["extensions"]) or "no vector extensions known"
        gpu = f"; {facts['gpu']}" if facts["gpu"] else ""
        lines.append(f"{facts['cpu']}, {facts['cores']} cores ({extensions}){gpu}; {facts['system']}; {versions}.")
    taken = "".join(f"Taken on: {line}\n" for line in dict.fromkeys(lines))
    has_gpu = any(report["machine"]["gpu"] for report in reports.values())
    return taken if has_gpu else f"{taken}\nNo GPU was at hand: nothing on this page was measured on one.\n"


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
