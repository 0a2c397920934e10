"""How time and memory grow with a clip's length, the batch, the model's size and the codebook; what loading takes.

    python -m benchmarks.growth
    python -m benchmarks.growth --device cuda --size 3B --batches 1 8 64 256 --out out/performance/growth-3B-gpu.json

Seeded random weights; greedy tokens behind 12 text vectors. A clip's tokens are sampled as users get them, in a window
of what the model has in view (60 tokens, later 30), and once more with all tokens kept. Every series goes from
small to large, and memory is the process's peak beyond what it held before the series' models were there (on a GPU what
its allocator handed out). The exponent is the slope of a line through the logarithms of the larger half of the points:
1 is linear, and less where a fixed cost is still felt. A load is measured in a fresh process that has imported
everything. Writes JSON to --out and a picture beside it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import multiprocessing
import statistics
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import (
    OUT,
    markdown_table,
    recorded,
    resident_bytes,
    synchroniser,
    take_turns,
    time_call,
)
from benchmarks.models import TEXT_LENGTH, decoding_tasks, random_transformer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scamo.transformer import PrefixTransformer

TEXT_WIDTH = 384


@dataclass(frozen=True)
class Args:
    """Measure how costs grow."""

    out: Path = OUT / "growth.json"
    threads: int = 0
    """0: as many as there are cores."""
    device: str = "cpu"
    size: str = "4M"
    """Of the series in which the size stays."""
    codebook: int = 1024
    lengths: tuple[int, ...] = (50, 100, 200, 500, 1000, 2000)
    """Tokens of a clip."""
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    sizes: tuple[str, ...] = ("0.3M", "1M", "4M", "44M", "111M")
    codebooks: tuple[int, ...] = (256, 1024, 4096, 16384, 65536)
    tokens: int = 20
    """Of each clip in the series in which the length stays."""
    width: int = 128
    """Channels of the tokenizer's decoder."""
    repetitions: int = 3
    loaded: str = "44M"
    """The size whose loading is measured, at codebook 65536."""
    quick: bool = False
    """Two points a series, one repetition, a small load."""


def main(args: Args) -> None:
    """Measure, print, draw and write."""
    if args.quick:
        args = smallest(args)
    with recorded(args) as report:
        report["series"] = [measure_series(args, name) for name in ("length", "batch", "size", "codebook")]
        report["loading"] = measure_loads(args.loaded, args.codebook if args.quick else 65536)
        report["split"] = measure_attention(args)
    draw_growth(report, args.out.with_suffix(".png"))
    print(growth_table(report))


def smallest(args: Args) -> Args:
    """Two points a series, and the smallest of everything."""
    return Args(
        out=args.out, threads=args.threads, device=args.device, size="0.3M", codebook=256, lengths=(4, 8),
        batches=(1, 2), sizes=("0.3M", "1M"), codebooks=(256, 1024), tokens=4, width=16, repetitions=1,
        loaded="1M", quick=True,
    )  # fmt: skip


def measure_series(args: Args, name: str) -> dict[str, Any]:
    """One series: what grows, its points with seconds and bytes of each task, and the exponents of the seconds."""
    wait = synchroniser(args.device)
    held = peak_bytes(args.device, start=True)
    points = []
    values: Sequence[Any] = {
        "length": args.lengths, "batch": args.batches, "size": args.sizes, "codebook": args.codebooks
    }[name]  # fmt: skip
    model = None
    for value in values:
        if model is None or name in ("size", "codebook"):
            size, codebook = (
                value if name == "size" else args.size,
                value if name == "codebook" else args.codebook,
            )
            model = random_transformer(size, codebook, TEXT_WIDTH, args.device)
        x, tasks = _point(args, name, value, model)
        seconds = {}
        for task, work in tasks.items():
            work()
            seconds[task] = statistics.median(time_call(work, wait)[0] for _ in range(args.repetitions))
        points.append({"value": value, "x": x, "seconds": seconds, "bytes": max(0, peak_bytes(args.device) - held)})
    exponents = {
        task: exponent([point["x"] for point in points], [point["seconds"][task] for point in points])
        for task in points[0]["seconds"]
    }
    return {"name": name, "points": points, "exponents": exponents}


def _point(args: Args, name: str, value: Any, model: PrefixTransformer) -> tuple[float, dict[str, Callable[[], Any]]]:
    if name == "length":
        decoding = decoding_tasks(value, args.codebook, args.width, args.device)
        tokens = {
            "tokens": partial(sample_tokens, model, value),
            "tokens, all kept": partial(generate_tokens, model, value),
        }
        return value, {**tokens, **decoding}
    if name == "batch":
        return value, {"tokens": partial(generate_tokens, model, args.tokens, value)}
    # Against what grows in the model: all its weights with its size, the codes with the codebook.
    grows = model.config.codebook_size if name == "codebook" else sum(model.config.parameter_counts)
    return grows, {"tokens": partial(generate_tokens, model, args.tokens)}


def sample_tokens(model: PrefixTransformer, count: int) -> NDArray[np.int64]:
    """Greedy tokens as users get them: beyond the positions that the model knows, in a window that slides."""
    import torch

    from scamo.engine import LocalEngine, TokenRequest
    from scamo.stream import Stream

    text_bld, mask_bl = torch.ones(1, TEXT_LENGTH, TEXT_WIDTH), torch.ones(1, TEXT_LENGTH, dtype=torch.bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the window slides
        counts = LocalEngine(model).stream([TokenRequest(count, 0, temperature=0.0)], text_bld, mask_bl)
        return Stream(counts, count).finish()[0].tokens


def generate_tokens(model: PrefixTransformer, count: int, rows: int = 1) -> None:
    """Greedy tokens for so many rows at once, each of which sees all before it."""
    import torch

    from scamo.fast_step import stepper

    device = model.lm_head.weight.device
    text_bld = torch.ones(rows, TEXT_LENGTH, TEXT_WIDTH, device=device)
    mask_bl = torch.ones(rows, TEXT_LENGTH, dtype=torch.bool, device=device)
    with torch.inference_mode():
        logits_bnv, cache = model.prefill(text_bld, mask_bl, count - 1)
        step, logits_bv = stepper(model, cache, record=True), logits_bnv[:, -1]
        for _ in range(count - 1):
            logits_bv = step(logits_bv.argmax(-1))


def measure_attention(args: Args) -> list[dict[str, float]]:
    """Seconds of one token behind so many others, and of the attention in it; nothing on a GPU.

    The attention is computed here as scamo.fast_step does it, over keys and values of the same shape.
    """
    import torch

    from scamo.fast_step import stepper

    rows: list[dict[str, float]] = []
    if torch.device(args.device).type != "cpu":
        return rows
    model = random_transformer(args.size, args.codebook, TEXT_WIDTH, "cpu")
    token = torch.zeros(1, dtype=torch.long)
    text_bld, mask_bl = torch.ones(1, TEXT_LENGTH, TEXT_WIDTH), torch.ones(1, TEXT_LENGTH, dtype=torch.bool)
    for length in args.lengths:
        _, cache = model.prefill(text_bld, mask_bl, length, torch.zeros(1, length - 1, dtype=torch.long))
        step, slot = stepper(model, cache), cache.length
        layers = [(k[0].numpy(), v[0].numpy()) for k, v in zip(cache.keys, cache.values, strict=True)]

        def whole(step: Any = step, cache: Any = cache, slot: int = slot) -> None:
            cache.length = slot  # write the same slot again
            step(token)

        def attention(layers: Any = layers, slot: int = slot) -> None:
            for keys, values in layers:
                attend(keys, values, slot)

        times = take_turns({"token": whole, "attention": attention}, 10 * args.repetitions)
        rows.append({"length": length, **{name: statistics.median(t["seconds"]) for name, t in times.items()}})
    return rows


def attend(keys: NDArray[np.float32], values: NDArray[np.float32], slot: int) -> NDArray[np.float32]:
    """Attention of the query in a slot to all slots up to it: keys, values [h, s, e] -> [h * e]."""
    import numpy as np

    query = keys[:, slot, :, None]  # any values of the right shape
    weight = np.matmul(keys[:, : slot + 1], query)[..., 0] * np.float32(keys.shape[-1] ** -0.5)
    weight = np.exp(weight - weight.max(-1, keepdims=True))
    weight /= weight.sum(-1, keepdims=True)
    return np.matmul(weight[:, None], values[:, : slot + 1]).reshape(-1)


def peak_bytes(device: str, start: bool = False) -> int:
    """The most memory in bytes since the last call with `start`, which gives what is held at that moment."""
    import torch

    if torch.device(device).type == "cuda":
        if start:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()
    if start:
        gc.collect()
        with contextlib.suppress(AttributeError, OSError):  # glibc keeps what was freed, and would hide what is needed
            ctypes.CDLL(None).malloc_trim(0)
        forget = Path("/proc/self/clear_refs")
        if forget.exists():
            forget.write_text("5", encoding="utf-8")  # Linux: the peak is what is resident now
    return resident_bytes("VmHWM")


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of log y over log x through the larger half of the points."""
    pairs = [(math.log(a), math.log(b)) for a, b in zip(x, y, strict=True)][-max(2, math.ceil(len(x) / 2)) :]
    return statistics.linear_regression(*zip(*pairs, strict=True)).slope


def measure_loads(size: str, codebook: int, types: Sequence[str] = ("float32", "float16")) -> list[dict[str, Any]]:
    """Peak resident bytes that loading adds to a fresh process, beside those of the weights in their type."""
    import torch

    from scamo.configs import TransformerConfig
    from scamo.transformer import PrefixTransformer

    model = random_transformer(size, codebook, TEXT_WIDTH, "cpu")
    context = multiprocessing.get_context("spawn")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        PrefixTransformer(TransformerConfig(1, 1, 1, 2, 1)).save_pretrained(Path(folder) / "tiny")
        for stored in types:
            model.save_pretrained(Path(folder) / stored, {}, getattr(torch, stored))
            for computed in types:
                answers = context.Queue()
                process = context.Process(target=load_and_report, args=(f"{folder}/{stored}", computed, answers))
                process.start()
                rows.append({"size": size, "stored": stored, "computed": computed, **answers.get(timeout=600)})
                process.join()
    return rows


def load_and_report(folder: str, dtype: str, answers: multiprocessing.Queue) -> None:
    """Load in this process; send the bytes it took at its peak, and those of the weights."""
    import torch

    from scamo.transformer import PrefixTransformer

    PrefixTransformer.from_pretrained(Path(folder).with_name("tiny"))  # imports everything that a load needs
    before = resident_bytes("VmRSS")
    model = PrefixTransformer.from_pretrained(folder, dtype=getattr(torch, dtype))
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    answers.put({"peak": resident_bytes("VmHWM") - before, "weights": weights})


def draw_growth(report: dict[str, Any], path: Path) -> None:
    """Seconds above, memory below, one column a series, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ink, colours = "#46505f", ("#2b7bba", "#8aa9c4", "#e2783c", "#2c7a5b")
    with plt.rc_context({"font.size": 8, "text.color": ink, "axes.labelcolor": ink, "axes.edgecolor": "#c9c5bd",
                         "xtick.color": ink, "ytick.color": ink, "axes.spines.top": False,
                         "axes.spines.right": False}):  # fmt: skip
        figure, axes = plt.subplots(2, 4, figsize=(11, 4.6), sharex="col", layout="constrained")
        words = {"length": "tokens of a clip", "batch": "rows of a batch", "size": "size", "codebook": "codebook"}
        for (above, below), part in zip(axes.T, report["series"], strict=True):
            x = [point["x"] for point in part["points"]]
            for colour, (task, slope) in zip(colours, part["exponents"].items(), strict=False):
                seconds = [point["seconds"][task] for point in part["points"]]
                line = {"color": colour, "markersize": 3, "linewidth": 1.4, "label": f"{task}, x^{slope:.2f}"}
                above.loglog(x, seconds, "o-", **line)
            megabytes = [max(point["bytes"], 1e5) / 1e6 for point in part["points"]]
            below.loglog(x, megabytes, "o-", color=ink, markersize=3, linewidth=1.4)
            above.legend(frameon=False)
            below.set_xlabel(words[part["name"]])
            below.set_xticks(x, [str(point["value"]) for point in part["points"]])
            for ax in (above, below):
                low, high = ax.get_ylim()
                ax.set_ylim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))  # whole decades
                ax.tick_params(which="minor", bottom=False, left=False, labelbottom=False, labelleft=False)
                ax.grid(color="#e8e5df", linewidth=0.6)
        axes[0, 0].set_ylabel("seconds")
        axes[1, 0].set_ylabel("megabytes more at the peak")
        figure.savefig(path, dpi=100)
        plt.close(figure)


def growth_table(report: dict[str, Any]) -> str:
    """The report as Markdown tables."""
    rows = []
    for part in report["series"]:
        first, last = part["points"][0], part["points"][-1]
        for task, slope in part["exponents"].items():
            a, b = first["seconds"][task], last["seconds"][task]
            rows.append([part["name"], f"{first['value']} to {last['value']}", task, f"{1e3 * a:.0f} to {1e3 * b:.0f}",
                         f"{slope:.2f}", f"{last['bytes'] / 1e6:.0f}"])  # fmt: skip
    loading_rows = [
        [f"{row['size']}, {row['stored']}", row["computed"], f"{row['peak'] / 1e6:.0f}", f"{row['weights'] / 1e6:.0f}",
         f"{row['peak'] / row['weights'] - 1:+.0%}"]
        for row in report["loading"]
    ]  # fmt: skip
    parts = [
        markdown_table(["what grows", "from, to", "task", "ms", "exponent", "MB more at the peak"], rows),
        markdown_table(["loaded file", "computed in", "peak, MB", "weights, MB", "beyond the weights"], loading_rows),
    ]
    if report.get("split"):
        split_rows = [
            [f"{row['length']}", f"{1e3 * row['token']:.2f}", f"{1e3 * row['attention']:.2f}",
             f"{row['attention'] / row['token']:.0%}"]
            for row in report["split"]
        ]  # fmt: skip
        parts.append(markdown_table(["a clip's token number", "ms", "of them attention", "share"], split_rows))
    return "\n".join(parts)


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
