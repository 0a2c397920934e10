"""How fast networks learn here, beside a straightforward loop over the same data.

    python -m benchmarks.training
    python -m benchmarks.training --device cuda --precision bf16 --size 343M --targets 32768 --width 512 --batch 256

Made-up motions with the lengths of real training clips and made-up sentences. "straightforward" is the way of the
reference: rows in any order, every motion padded to the longest there may be, float32, and either the same stored
embeddings of the text or, as the reference does, the sentence encoded anew in every step (here by the small MiniLM; the
reference's encoder has a hundred times its size). Both predict as many targets a step, and the loss of the same rows is
the same. For the tokenizer it is torch's DataLoader over the same windows. The loops take turns.

Useful operations are those of real slots and targets, none of padding, three forward passes a step; their share of the
speed of one large matrix product, measured in the same run, is the utilisation ("MFU").
"""

from __future__ import annotations

import contextlib
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.machine import OUT, markdown_table, median_ratio, recorded, synchroniser, take_turns, time_call

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scamo.configs import TransformerConfig
    from scamo.text import TextEncoder
    from training.data.token_cache import TokenClip
    from training.tasks.transformer import NextToken

# Tokens of the Bandai-Namco training clips (joined ones included) at the deciles of their lengths.
LENGTHS = (2, 15, 20, 24, 27, 29, 32, 34, 36, 39, 49)
LONGEST = 50  # tokens, the reference's
PHRASES = (
    "a person walks forward", "an exhausted old man walks slowly", "then turns around", "and waves with the left hand",
    "someone runs", "before she bows", "while looking proud", "a young woman dances happily on the spot",
    "then kicks with the right leg", "and raises both hands above the head", "he punches twice with his right fist",
)  # fmt: skip


@dataclass(frozen=True)
class Args:
    """Measure training steps on this machine."""

    out: Path = OUT / "training.json"
    threads: int = 0
    """0: as many as there are cores."""
    device: str = "cpu"
    precision: Literal["no", "bf16", "auto"] = "no"
    """"no" (float32), "bf16" or "auto" (bf16 on a CPU that multiplies in it), of ours; the other loop is float32."""
    size: str = "4M"
    codebook: int = 1024
    targets: int = 1500
    """Motion tokens a step."""
    width: int = 128
    """Channels of the tokenizer."""
    batch: int = 32
    """Windows of the tokenizer."""
    steps: int = 8
    clips: int = 600
    quick: bool = False
    """2 steps over 40 clips, a small network."""


def main(args: Args) -> None:
    """Measure, print and write."""
    with recorded(args) as report:
        from scamo.text import load_text_encoder

        report |= measure(args, load_text_encoder("minilm", device=args.device))
    print(training_table(report))


def measure(args: Args, encoder: TextEncoder) -> dict[str, Any]:
    """All figures of a run."""
    import torch

    from training.configuration import Optimisation

    args = replace(args, precision=Optimisation(1, 1.0, precision=args.precision).resolved().precision)
    torch.manual_seed(0)
    size, clips, steps = ("0.3M", 40, 2) if args.quick else (args.size, args.clips, args.steps)
    dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
    peak = matrix_speed(args.device, dtype, 256 if args.quick else 8192 if args.device == "cuda" else 2048)
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "transformer": measure_transformer(args, size, clips, steps, encoder, Path(folder) / "texts"),
            "tokenizer": measure_tokenizer(args, clips, steps, Path(folder) / "data"),
        }
    for part in found.values():
        for row in part["loops"]:
            row["utilisation"] = part["flops_per_unit"] * row["units_per_second"] / peak
    return {"peak_flops": peak, "precision": args.precision, **found}


def matrix_speed(device: str, dtype: Any, size: int) -> float:
    """Operations per second of a large matrix product, the best of five."""
    import torch

    a = torch.randn(size, size, device=device, dtype=dtype)
    wait = synchroniser(device)
    a @ a
    return 2 * size**3 / min(time_call(lambda: a @ a, wait)[0] for _ in range(5))


def measure_transformer(
    args: Args, size: str, clips: int, steps: int, encoder: TextEncoder, folder: Path
) -> dict[str, Any]:
    """Steps of `training.tasks.transformer`'s objective beside the straightforward ones."""
    import numpy as np
    import torch

    from scamo.configs import LEVELS, SIZES, TransformerConfig
    from scamo.transformer import PrefixTransformer
    from training.data.text_embeddings import TextBank
    from training.data.token_cache import TokenClip
    from training.tasks.transformer import NextToken

    draw = np.random.default_rng(0)
    codes = math.prod(LEVELS[args.codebook])
    lengths = np.interp(draw.random(clips), np.linspace(0, 1, len(LENGTHS)), LENGTHS).round().astype(int)
    sentences = [" ".join(draw.choice(PHRASES, size=draw.integers(1, 5))) for _ in range(clips)]
    rows = [
        TokenClip(draw.integers(codes, size=length), (sentence,), 1, "real")
        for length, sentence in zip(lengths, sentences, strict=True)
    ]
    texts = TextBank(write_embeddings(folder, sentences, encoder))
    config = TransformerConfig(codes, *SIZES[size], texts.width, tied=True)
    model = PrefixTransformer(config).to(args.device)
    task = NextToken(model, {"train": rows, "val": [], "test": []}, texts, args.targets, 0)
    per_step = max(1, round(args.targets / (lengths.mean() + 1)))

    def batch(step: int, anew: bool) -> dict[str, Any]:
        order = np.random.default_rng([1, step // (clips // per_step or 1)]).permutation(clips)
        first = step % (clips // per_step or 1) * per_step
        return pad_to_longest(task, [rows[i] for i in order[first : first + per_step]], encoder if anew else None)

    amp = torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bf16")
    loops = {
        "ours": lambda step: (task.batch(step, 0, 1), amp),
        "straightforward": lambda step: (batch(step, False), contextlib.nullcontext()),
        "straightforward, text encoded anew": lambda step: (batch(step, True), contextlib.nullcontext()),
    }
    whole, short = (
        task.loss(model, on_device(made, args.device))[0].item()
        for made in (pad_to_longest(task, rows[:per_step], None), task.collate(rows[:per_step], sentences[:per_step]))
    )
    flops = sum(useful_flops(config, texts.length(row.captions[0]), len(row.tokens)) for row in rows)
    return {
        "what": f"{size}, codebook {args.codebook}, {args.targets} targets a step",
        "unit": "tokens",
        "flops_per_unit": flops / float((lengths + 1).sum()),
        "loss_of_same_rows": {"ours": short, "straightforward": whole},
        "loops": compare_loops(model, task.loss, loops, steps, args.device),
    }


def pad_to_longest(task: NextToken, rows: Sequence[TokenClip], encoder: TextEncoder | None) -> dict[str, Any]:
    """A batch in which every motion takes as many slots as the longest may; sentences encoded if `encoder` is given."""
    import torch
    from torch.nn.functional import pad

    captions = [row.captions[0] for row in rows]
    batch = task.collate(list(rows), captions)
    del batch["real_r"]  # all slots are computed
    more = LONGEST - batch["tokens_bn"].shape[1]
    for key in ("tokens_bn", "targets_bn"):
        batch[key] = pad(batch[key], (0, more), value=task.pad)
    if encoder is not None:
        with torch.no_grad():
            batch["text_bld"], batch["mask_bl"] = encoder.encode(captions)
    return batch | {"units": sum(len(row.tokens) + 1 for row in rows)}


def write_embeddings(folder: Path, sentences: Sequence[str], encoder: TextEncoder) -> Path:
    """A folder for TextBank."""
    import numpy as np

    vectors, places, start = [], [], 0
    for sentence in dict.fromkeys(sentences):
        text_bld, mask_bl = encoder.encode([sentence])
        vectors.append(text_bld[0][mask_bl[0]].cpu().numpy().astype(np.float16))
        places.append((sentence, start, start + len(vectors[-1])))
        start += len(vectors[-1])
    folder.mkdir(parents=True)
    np.save(folder / "embeddings.npy", np.concatenate(vectors))
    (folder / "index.json").write_text(json.dumps({"encoder": "minilm", "places": places}), encoding="utf-8")
    return folder


def useful_flops(config: TransformerConfig, words: int, tokens: int) -> float:
    """Operations of a training step on one motion: forward and, twice as many, backward."""
    slots, c = words + tokens, config.width
    blocks = config.layers * (slots * (8 * c * c + 6 * c * config.hidden) + 4 * slots * slots * c)
    return 3.0 * (2 * words * config.text_width * c + blocks + 2 * (tokens + 1) * c * config.head_rows)


def measure_tokenizer(args: Args, clips: int, steps: int, folder: Path) -> dict[str, Any]:
    """Steps of `training.tasks.tokenizer`'s objective beside those over a DataLoader."""
    import numpy as np
    import torch
    from torch.utils.data import DataLoader
    from torch.utils.data import Dataset as Items
    from torch.utils.flop_counter import FlopCounterMode

    from scamo.configs import LEVELS, TokenizerConfig
    from scamo.tokenizer import MotionTokenizer
    from training.data.dataset import Dataset, DatasetWriter
    from training.tasks.reconstruction import Reconstruction

    draw, window = np.random.default_rng(0), 64
    with DatasetWriter(folder, {"mirrored": True}) as writer:
        for number in range(clips):
            frames = max(window, 4 * round(float(np.interp(draw.random(), np.linspace(0, 1, len(LENGTHS)), LENGTHS))))
            writer.add(str(number), draw.standard_normal((frames, 263), dtype=np.float32), "train", ())
    data = Dataset(folder)
    width = 16 if args.quick else args.width
    model = MotionTokenizer(TokenizerConfig(LEVELS[args.codebook], width=width, code_width=width)).to(args.device)
    task = Reconstruction(model, data, window, args.batch, 0, data.statistics)

    class Windows(Items):
        def __len__(self) -> int:
            return 1 << 20

        def __getitem__(self, number: int) -> Tensor:
            clip = data.clips[number % len(data.clips)]
            start = np.random.default_rng(number).integers(clip.frames - window + 1)
            features = data[clip][start : start + window]
            return torch.from_numpy((features - data.statistics.mean) / data.statistics.std)

    windows = iter(DataLoader(Windows(), batch_size=args.batch, shuffle=False))
    units = args.batch * window
    amp = torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bf16")
    loops = {
        "ours": lambda step: (task.batch(step, 0, 1), amp),
        "straightforward": lambda step: ({"x_btd": next(windows), "units": units}, contextlib.nullcontext()),
    }
    with FlopCounterMode(display=False) as counter:
        task.loss(model, on_device(task.batch(0, 0, 1), args.device))[0].backward()
    model.zero_grad(set_to_none=True)
    return {
        "what": f"{width} channels, codebook {args.codebook}, {args.batch} windows of {window} frames a step",
        "unit": "frames",
        "flops_per_unit": counter.get_total_flops() / units,
        "loops": compare_loops(model, task.loss, loops, steps, args.device),
    }


def compare_loops(
    model: nn.Module,
    loss: Callable[[nn.Module, dict[str, Any]], Any],
    loops: dict[str, Callable[[int], tuple[dict[str, Any], Any]]],
    steps: int,
    device: str,
) -> list[dict[str, Any]]:
    """Whole optimiser steps of every loop in turn, after one that does not count."""
    import torch

    model.train()
    adam = torch.optim.AdamW(model.parameters(), lr=1e-5)
    counts = dict.fromkeys(loops, -1)
    units: dict[str, list[int]] = {name: [] for name in loops}

    def step(name: str) -> None:
        counts[name] += 1
        batch, precision = loops[name](counts[name])
        units[name].append(batch["units"])
        with precision:
            value = loss(model, on_device(batch, device))[0]
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad(set_to_none=True)

    tasks = {name: lambda name=name: step(name) for name in loops}
    wait = synchroniser(device)
    take_turns(tasks, 1, wait)
    found = take_turns(tasks, steps, wait)
    # Batches of one step hold a few targets more or fewer: what is compared is the time per unit.
    each = {name: [t / n for t, n in zip(found[name]["seconds"], units[name][1:], strict=True)] for name in loops}
    return [
        {
            "name": name,
            "units_per_second": sum(units[name][1:]) / sum(found[name]["seconds"]),
            "step": statistics.median(found[name]["seconds"]),
            "ours_is_faster": median_ratio(each[name], each["ours"]),
        }
        for name in loops
    ]


def on_device(batch: dict[str, Any], device: str) -> dict[str, Any]:
    """The batch with its tensors on the device."""
    return {key: value.to(device) if hasattr(value, "to") else value for key, value in batch.items()}


def training_table(report: dict[str, Any]) -> str:
    """The report as Markdown tables."""
    parts = []
    for name in ("transformer", "tokenizer"):
        part = report[name]
        rows = [
            [row["name"], f"{row['units_per_second']:,.0f}", f"{row['step']:.2f}", f"{row['utilisation']:.0%}",
             f"{row['ours_is_faster']:.1f}"]
            for row in part["loops"]
        ]  # fmt: skip
        head = [f"{name}: {part['what']}", f"{part['unit']}/s", "s a step", "MFU", "ours is faster by"]
        parts.append(markdown_table(head, rows))
    losses = report["transformer"]["loss_of_same_rows"]
    types = "bfloat16 where it multiplies" if report.get("precision") == "bf16" else "float32"
    parts.append(
        f"Ours computes in {types}, the others in float32. Loss of the same rows in float32: {losses['ours']:.6f} in "
        f"ours, {losses['straightforward']:.6f} in the other. A large matrix product in ours' type runs at "
        f"{report['peak_flops'] / 1e9:,.0f} GFLOP/s.\n"
    )
    return "\n".join(parts)


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
