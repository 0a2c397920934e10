"""Runs every benchmark, one after the other, and writes the page of all measurements.

    python -m benchmarks.all --out docs/performance

Takes about 16 minutes on two quiet cores; on a busy machine the figures mean little. With a GPU its own measurements
follow. Writes a JSON file each, and a page beside the folder: docs/performance.md (see `benchmarks.report`).
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report
from benchmarks.machine import OUT

ON_CPU = {
    "generation-44M-1": "generation --size 44M --threads 1 --repetitions 3",
    "generation-44M-2": "generation --size 44M --threads 2 --repetitions 3",
    "generation-111M-2": "generation --size 111M --threads 2 --repetitions 3",
    "generation-343M-2": "generation --size 343M --threads 2 --repetitions 2 --types float16 int8",
    "agreement": "agreement --threads 1",
    "rendering": "rendering",
    "app": "app",
    "click": "click",
    "training": "training --precision auto",
    "precision": "precision",
    "growth": "growth",
}
ON_GPU = {
    "generation-343M-gpu": "generation --size 343M --device cuda",
    "generation-3B-gpu": "generation --size 3B --device cuda",
    "growth-3B-gpu": "growth --device cuda --size 3B --codebook 65536 --batches 1 4 16 64 256 --sizes 44M 343M 3B",
    "training-343M-gpu": "training --device cuda --precision bf16 --size 343M --codebook 65536 --targets 32768 "
    "--width 512 --batch 256 --clips 6000",
}


@dataclass(frozen=True)
class Args:
    """Run all benchmarks."""

    out: Path = OUT
    """The folder for the JSON files; the page is written beside it, under its name with .md."""
    only: tuple[str, ...] = ()
    """Names of the files to write again; without it all."""
    quick: bool = False
    """Tiny runs of everything, to see that all of it works."""


def main(args: Args) -> None:
    """Run the benchmarks. The names of those that fail are printed at the end, and the rest is written."""
    import torch

    commands = ON_CPU | (ON_GPU if torch.cuda.is_available() else {})
    unknown = [name for name in args.only if name not in commands]
    if unknown:
        raise ValueError(f"there is no benchmark {unknown[0]!r}; choose among {', '.join(commands)}")
    failed, begin = [], time.perf_counter()
    for name in args.only or commands:
        words = [f"benchmarks.{commands[name].split()[0]}", *commands[name].split()[1:]]
        words += ["--out", str(args.out / f"{name}.json"), *(["--quick"] if args.quick else [])]
        start = time.perf_counter()
        status = subprocess.run([sys.executable, "-m", *words], cwd=Path(__file__).parents[1], check=False).returncode
        failed += [name] if status else []
        print(f"{name}: {time.perf_counter() - start:.0f} s, {time.perf_counter() - begin:.0f} s in all", flush=True)
    report.main(report.Args(args.out, args.out.with_suffix(".md")))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
