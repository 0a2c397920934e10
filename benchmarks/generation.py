"""How long a motion's tokens take on a CPU, beside the way the reference makes them. The variants run in turn.

    python -m benchmarks.generation --size 44M --threads 1 --out generation.json

Seeded random weights, codebook 65536, 12 text vectors, greedy, 50 passes: 49 tokens and the one that would end them.
"reference" is its way over our model: no cache, at every pass all positions through all layers and the whole head.
The floor is the time to read the weights of blocks and head once per pass in float32, at the bandwidth of the same
repetition. "generate" is all of Generator.generate: tokens, trace, decoder, motion. --model measures a trained model
instead, with its own prompts' embedding. Writes JSON to --out and a Markdown table beside it.
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from scamo.transformer import PrefixTransformer

TEXT, TEXT_WIDTH, LABEL = 12, 2048, 65536
PROMPT = "a person walks forward, then turns around and waves with the left hand"


@dataclass(frozen=True)
class Args:
    """Measure the token loop on this machine's CPU."""

    size: str = "44M"
    out: Path = Path("generation.json")
    threads: int = 0
    """0: as many as there are cores."""
    passes: int = 50
    repetitions: int = 5
    quick: bool = False
    """2 repetitions of 10 passes."""
    model: str | None = None
    """A trained model's folder, in place of random weights."""


def main(args: Args) -> None:
    """Measure, print and write."""
    threads = args.threads or os.cpu_count() or 1
    for library in ("OMP", "OPENBLAS", "MKL"):  # each reads its own when it is first imported
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    import numpy
    import torch

    torch.set_num_threads(threads)
    passes, repetitions = (10, 2) if args.quick else (args.passes, args.repetitions)
    load = os.getloadavg()[0]
    with torch.inference_mode():
        model, text_bld = subject(args)
        rows = measured(model, text_bld, passes, repetitions)
    report = {
        "arguments": {**asdict(args), "out": args.out.name, "threads": threads},
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__},
        "load": [load, os.getloadavg()[0]],
        "variants": rows,
        "memory": memory(model),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=2) + "\n")
    table = markdown(report)
    args.out.with_suffix(".md").write_text(table)
    print(table)


def subject(args: Args) -> tuple[PrefixTransformer, Tensor]:
    """The model to measure, laid out as in its file, and a text embedding [1, l, d]."""
    import torch

    from scamo import zoo
    from scamo.tokenizer import LEVELS
    from scamo.transformer import SIZES, PrefixTransformer, TransformerConfig

    if args.model is not None:
        generator = zoo.load(args.model)
        for parameter in generator.transformer.parameters():
            parameter.data = parameter.data.contiguous()
        return generator.transformer, generator.text_encoder.encode([PROMPT])[0]
    torch.manual_seed(0)
    codes = torch.tensor(LEVELS[LABEL]).prod().item()
    model = PrefixTransformer(TransformerConfig(int(codes), *SIZES[args.size], TEXT_WIDTH))
    return model.eval().requires_grad_(False), torch.randn(1, TEXT, TEXT_WIDTH)


def measured(model: PrefixTransformer, text_bld: Tensor, passes: int, repetitions: int) -> list[dict[str, Any]]:
    """One row per variant: seconds, ratios to the reference, tokens equal to its, and closeness of the logits."""
    import torch

    from scamo.decode import compact
    from scamo.generate import Generator
    from scamo.tokenizer import LEVELS, MotionTokenizer, TokenizerConfig

    ours = copy.deepcopy(model)
    kept = {
        str(dtype).removeprefix("torch."): compact(copy.deepcopy(model), dtype)
        for dtype in (torch.float16, torch.bfloat16, torch.int8)
    }
    levels = next(levels for levels in LEVELS.values() if torch.tensor(levels).prod() == model.config.codebook_size)
    generator = Generator(MotionTokenizer(TokenizerConfig(levels)), ours)
    loops: dict[str, Callable[[Tensor | None], Tensor]] = {
        "reference": lambda given: uncached(model, text_bld, passes),
        "plain cache": lambda given: cached(model, text_bld, passes, given, quick=False),
        "float32": lambda given: cached(ours, text_bld, passes, given),
        **{name: partial(cached, small, text_bld, passes) for name, small in kept.items()},
        "generate": lambda given: torch.as_tensor(
            generator.generate(embedding=text_bld[0], seconds=passes / 5, temperature=0).tokens
        ),
    }
    expected = loops["reference"](None)
    tokens = expected.argmax(-1)
    rows = []
    for name, loop in loops.items():
        free = expected if name == "reference" else loop(None)
        chosen = free if name == "generate" else free.argmax(-1)
        row: dict[str, Any] = {"name": name, "equal": int((chosen == tokens).sum()), "of": passes}
        if name not in ("reference", "generate"):
            row |= closeness(loop(tokens), expected)
        rows.append({**row, "seconds": [], "cpu": []})
    floor: list[float] = []
    for _ in range(repetitions):
        floor.append(passes * weight_bytes(model) / bandwidth())
        for row in rows:
            wall, cpu = time.perf_counter(), time.process_time()
            loops[row["name"]](None)
            row["seconds"].append(time.perf_counter() - wall)
            row["cpu"].append(time.process_time() - cpu)
    for row in rows:
        row["ratios"] = [a / b for a, b in zip(rows[0]["seconds"], row["seconds"], strict=True)]
        row["floors"] = [a / b for a, b in zip(row["seconds"], floor, strict=True)]
    return [*rows, {"name": "floor", "seconds": floor}]


def uncached(model: PrefixTransformer, text_bld: Tensor, passes: int) -> Tensor:
    """Logits [passes, codes] of a greedy motion, everything computed anew at every pass."""
    import torch

    mask_bl = torch.ones(text_bld.shape[:2], dtype=torch.bool)
    tokens_bn = torch.zeros(1, 0, dtype=torch.long)
    rows = []
    for _ in range(passes):
        logits = model.lm_head(model.transformer.ln_f(model.hidden_states(tokens_bn, text_bld, mask_bl)))
        rows.append(logits[0, -1, : model.config.codebook_size].clone())
        tokens_bn = torch.cat([tokens_bn, rows[-1].argmax()[None, None]], dim=1)
    return torch.stack(rows)


def cached(
    model: PrefixTransformer, text_bld: Tensor, passes: int, given: Tensor | None = None, quick: bool = True
) -> Tensor:
    """The same with a cache, by the quick step or the plain one; along the tokens `given` where there are some."""
    import torch

    from scamo.decode import stepper

    mask_bl = torch.ones(text_bld.shape[:2], dtype=torch.bool)
    logits_bnv, cache = model.prefill(text_bld, mask_bl, passes - 1)
    step = stepper(model, cache) if quick else lambda tokens_b: model.step(tokens_b, cache)
    rows = [logits_bnv[0, -1, : model.config.codebook_size]]
    for i in range(passes - 1):
        token = rows[-1].argmax() if given is None else given[i]
        rows.append(step(token[None])[0, : model.config.codebook_size])
    return torch.stack(rows)


def closeness(logits: Tensor, expected: Tensor) -> dict[str, float]:
    """Along the reference's own tokens: share of equal argmax, error of the logits, divergence in nats per token."""
    log_p, log_q = expected.double().log_softmax(-1), logits.double().log_softmax(-1)
    return {
        "argmax": (logits.argmax(-1) == expected.argmax(-1)).double().mean().item(),
        "error": ((logits - expected).pow(2).mean().sqrt() / expected.std()).item(),
        "divergence": (log_p.exp() * (log_p - log_q)).sum(-1).mean().item(),
    }


def weight_bytes(model: PrefixTransformer) -> int:
    """Bytes of what a pass must read."""
    return 4 * (sum(p.numel() for p in model.transformer.h.parameters()) + model.lm_head.weight.numel())


def bandwidth() -> float:
    """Bytes per second of reading memory, the best of three."""
    import torch

    block = torch.ones(1 << 26)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        block.sum()
        seconds.append(time.perf_counter() - start)
    return block.numel() * 4 / min(seconds)


def memory(model: PrefixTransformer) -> list[dict[str, Any]]:
    """Peak resident bytes that loading adds to a fresh process, beside those of the weights in their type."""
    import torch

    from scamo.transformer import PrefixTransformer, TransformerConfig

    context = multiprocessing.get_context("spawn")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        PrefixTransformer(TransformerConfig(1, 1, 1, 2, 1)).save_pretrained(Path(folder) / "tiny")
        for stored in ("float32", "float16"):
            model.save_pretrained(Path(folder) / stored, {}, getattr(torch, stored))
            for computed in ("float32", "float16"):
                answers = context.Queue()
                process = context.Process(target=loading, args=(f"{folder}/{stored}", computed, answers))
                process.start()
                rows.append({"stored": stored, "computed": computed, **answers.get()})
                process.join()
    return rows


def loading(folder: str, dtype: str, answers: multiprocessing.Queue) -> None:
    """Load in this process; send what it took at its peak, and what the weights have."""
    import torch

    from scamo.transformer import PrefixTransformer

    PrefixTransformer.from_pretrained(Path(folder).with_name("tiny"))  # so that what else a load needs is there
    before = resident("VmRSS")
    model = PrefixTransformer.from_pretrained(folder, dtype=getattr(torch, dtype))
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    answers.put({"peak": resident("VmHWM") - before, "weights": weights})


def resident(field: str) -> int:
    """A figure of this process's memory in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), 0)


def markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    arguments, versions = report["arguments"], report["versions"]
    what = arguments["model"] or f"{arguments['size']} of random weights"
    lines = [
        f"## Tokens of {what}, {arguments['threads']} thread(s)",
        "",
        f"{report['machine']}; torch {versions['torch']}, numpy {versions['numpy']}; "
        f"load {report['load'][0]:.1f} to {report['load'][1]:.1f}. Medians.",
        "",
        "| | seconds | CPU seconds | reference / this | this / floor | tokens equal | argmax | error | divergence |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in report["variants"]:
        cells = [row["name"], f"{statistics.median(row['seconds']):.2f}"]
        if "cpu" in row:
            ratios = row["ratios"]
            cells += [
                f"{statistics.median(row['cpu']):.2f}",
                f"{statistics.median(ratios):.1f} [{min(ratios):.1f}, {max(ratios):.1f}]",
                f"{statistics.median(row['floors']):.2f}",
                f"{row['equal']}/{row['of']}",
            ]
        if "argmax" in row:
            cells += [f"{row['argmax']:.2f}", f"{row['error']:.1e}", f"{row['divergence']:.1e}"]
        lines.append(f"| {' | '.join(cells + [''] * (9 - len(cells)))} |")
    lines += ["", "| stored | computed | peak of a load, MB | weights, MB |", "|---|---|---|---|"]
    for row in report["memory"]:
        lines.append(f"| {row['stored']} | {row['computed']} | {row['peak'] / 1e6:.0f} | {row['weights'] / 1e6:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
