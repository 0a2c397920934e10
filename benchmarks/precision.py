"""Whether training in bfloat16 ends where float32 ends: the same short trainings in both, with several seeds.

    python -m benchmarks.precision

Made-up motions with sentences go the whole way: a dataset, embeddings, tokenizers and transformers, trained by
training.tasks. What a network scores on clips it has not seen is compared with the spread that seeds alone make.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import OUT, markdown_table, recorded

METRICS = {"tokenizer": ("mpjpe_mm", "MPJPE, mm"), "transformer": ("nll", "nats a token")}


@dataclass(frozen=True)
class Args:
    """Train in float32 and in bfloat16 on this machine's CPU."""

    out: Path = OUT / "precision.json"
    threads: int = 0
    """0: as many as there are cores."""
    clips: int = 240
    steps: int = 400
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    width: int = 32
    """Channels of the tokenizer."""
    quick: bool = False
    """3 steps, one seed, few clips."""


def main(args: Args) -> None:
    """Train, print and write."""
    with recorded(args) as report:
        report["rows"] = measure(args)
    print(precision_table(report))


def measure(args: Args) -> list[dict[str, Any]]:
    """A row for each network and precision: what its metric is for every seed, and the seconds of the trainings."""
    from scamo.checkpoint import read_card
    from training.configuration import Run, with_settings
    from training.data import text_embeddings
    from training.data.made_up_motions import write_source
    from training.data.readers import bvh
    from training.tasks import tokenizer, transformer

    clips, steps, seeds = (24, 3, (0,)) if args.quick else (args.clips, args.steps, args.seeds)
    rows = {(kind, precision): {"network": kind, "precision": precision, "metric": [], "seconds": []}
            for kind in METRICS for precision in ("no", "bf16")}  # fmt: skip
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(io.StringIO()):
        folder = Path(name)
        write_source(folder / "source", clips)
        bvh.main(bvh.Args(folder / "source", folder / "data"))
        text_embeddings.main(text_embeddings.Args(folder / "data", folder / "texts"))
        for seed in seeds:
            for precision in ("no", "bf16"):
                run = Run(folder / f"codec-{seed}-{precision}", seed=seed, threads=args.threads, validate_every=10**6)
                codec = tokenizer.TokenizerTraining(folder / "data", run, codebook=256, width=args.width, window=48)
                codec = with_settings(codec, steps=steps, warmup=0.1, precision=precision)
                tokenizer.main(codec)
                run = Run(folder / f"model-{seed}-{precision}", seed=seed, threads=args.threads, validate_every=10**6)
                # Both read the tokens of the float32 tokenizer: other tokens would be another task.
                tokens = folder / f"codec-{seed}-no" / "model"
                model = transformer.TransformerTraining(folder / "data", folder / "texts", tokens, run, size="0.3M")
                transformer.main(with_settings(model, steps=steps, targets=500, lr=3e-3, precision=precision))
                for kind, trained in (("tokenizer", codec.run.out), ("transformer", model.run.out)):
                    card = read_card(trained / "model")
                    rows[kind, precision]["metric"].append(card["metrics"][METRICS[kind][0]])
                    rows[kind, precision]["seconds"].append(card["training"]["seconds"])
    return list(rows.values())


def precision_table(report: dict[str, Any]) -> str:
    """The report as a Markdown table: means, and how far seeds of one precision lie apart."""
    head = ["short trainings on made-up motions", "held out", "float32", "bfloat16", "difference of the means",
            "spread of the seeds in float32"]  # fmt: skip
    rows = []
    for kind, (_, words) in METRICS.items():
        exact, mixed = (
            next(r["metric"] for r in report["rows"] if (r["network"], r["precision"]) == (kind, precision))
            for precision in ("no", "bf16")
        )
        rows.append([f"{kind}, {len(exact)} seeds", words, _range(exact), _range(mixed),
                     f"{statistics.mean(mixed) - statistics.mean(exact):+.3f}",
                     f"{max(exact) - min(exact):.3f}"])  # fmt: skip
    return markdown_table(head, rows)


def _range(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
