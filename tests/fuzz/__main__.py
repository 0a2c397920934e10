"""`python -m tests.fuzz`: see the package."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import write_report
from scamo.command import run_command
from tests.fuzz.search import FAULTS, Report, search
from tests.fuzz.smaller import make_smaller
from tests.fuzz.targets import TARGETS


@dataclass(frozen=True)
class Args:
    """Search for inputs that break the readers, the endpoints or the commands."""

    inputs: int = 1_000_000
    """Stop after so many inputs."""
    minutes: float | None = None
    """Stop after this time."""
    seed: int = 0
    """Another seed tries other inputs."""
    target: tuple[str, ...] = ()
    """Some of motions, recipes, bodies, datasets, models, official, generate, reconstruct, export, page, commands."""
    out: Path | None = None
    """Keep the cases in this folder; without it in a new one in the system's folder for temporary files."""
    table: Path | None = None
    """Write the counts as JSON too, with the date and the machine."""


def main(args: Args) -> int:
    """Search, print a table, and return 1 where a fault was found."""
    if unknown := set(args.target) - set(TARGETS):
        raise ValueError(f"there is no target {', '.join(sorted(unknown))}; choose from {', '.join(TARGETS)}")
    folder = args.out or Path(tempfile.mkdtemp(prefix="scamo-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder, start, said = folder.resolve(), time.monotonic(), set[str]()

    def tell(report: Report) -> None:
        for place, words in report.faults.items():
            if place not in said:
                said.add(place)
                print(words, flush=True)
        if args.table is not None:  # also of a search that is stopped
            arguments = {"inputs": args.inputs, "minutes": args.minutes, "seed": args.seed, "target": args.target}
            write_report(args.table, {"arguments": arguments, "elapsed": time.monotonic() - start, **report.to_dict()})
        print(f"{time.monotonic() - start:.0f} s: {report.inputs} inputs", file=sys.stderr, flush=True)

    seconds = None if args.minutes is None else 60 * args.minutes
    report = search(folder, args.inputs, args.seed, args.target, seconds, tell)
    print("\n".join(report.rows()))
    found = sum(report.counts[name, kind] for name in TARGETS for kind in FAULTS)
    if found:
        make_smaller(folder / "kept")
        print(f"the cases, and smaller ones where that was possible: {folder / 'kept'}")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(run_command(main, Args, prog="python -m tests.fuzz"))
