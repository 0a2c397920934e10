"""How long a motion's tokens take, compared with the way the reference makes them.

    python -m benchmarks.generation --size 44M --threads 1
    python -m benchmarks.generation --size 3B --device cuda --out out/performance/generation-3B-gpu.json

Seeded random weights, codebook 65536, 12 text vectors, greedy, 50 passes: 49 tokens and the one that would end them.
"reference" is its way over our model: no cache, at every pass all positions through all layers and the whole head.
"plain cache" is a loop in torch with a cache. The floor is the time to read the weights of blocks and head once a pass
at the bandwidth of the same repetition, in float32 on a CPU, in bfloat16 on a GPU. "generate" is all of
MotionPipeline.generate: tokens, trace, decoder, motion. The variants take turns. --model measures a trained model
instead. Writes JSON to --out.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import OUT, bandwidth, markdown_table, recorded, synchroniser, take_turns
from benchmarks.models import TEXT_LENGTH, random_transformer

if TYPE_CHECKING:
    from torch import Tensor

    from scamo.transformer import PrefixTransformer

TEXT_WIDTH, CODEBOOK = 2048, 65536
PROMPT = "a person walks forward, then turns around and waves with the left hand"


@dataclass(frozen=True)
class Args:
    """Measure the token loop on this machine."""

    size: str = "44M"
    out: Path = OUT / "generation.json"
    threads: int = 0
    """0: as many as there are cores."""
    device: str = "cpu"
    """"cpu" or "cuda"."""
    types: tuple[str, ...] = ("float16", "bfloat16", "int8")
    """Lower precisions to measure on a CPU."""
    passes: int = 50
    repetitions: int = 5
    quick: bool = False
    """2 repetitions of 10 passes."""
    model: str | None = None
    """A trained model's folder, in place of random weights."""


def main(args: Args) -> None:
    """Measure, print and write."""
    passes, repetitions = (10, 2) if args.quick else (args.passes, args.repetitions)
    with recorded(args) as report:
        import torch

        with torch.inference_mode():
            model, text_bld = load_subject(args)
            report["passes"] = passes
            report["variants"] = measure(model, text_bld, passes, repetitions, args.types)
    print(generation_table([report]))


def load_subject(args: Args) -> tuple[PrefixTransformer, Tensor]:
    """The model to measure, laid out as in its file, and a text embedding [1, l, d]."""
    import torch

    import scamo

    if args.model is None:
        model = random_transformer(args.size, CODEBOOK, TEXT_WIDTH, args.device)
        return model, torch.randn(1, TEXT_LENGTH, TEXT_WIDTH, device=args.device)
    dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
    pipeline = scamo.load(args.model, device=args.device, dtype=dtype)
    for parameter in pipeline.transformer.parameters():
        parameter.data = parameter.data.contiguous()
    return pipeline.transformer, pipeline.text_encoder.encode([PROMPT])[0].to(args.device)


def measure(
    model: PrefixTransformer, text_bld: Tensor, passes: int, repetitions: int, types: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """One row per variant: seconds, ratios to the reference, tokens equal to its, and closeness of the logits.

    "ours" is in the model's own type; `types` are tried on a CPU only.
    """
    device = text_bld.device.type
    loops = variants(model, text_bld, passes, types if device == "cpu" else ())
    expected = loops["reference"](None)
    rows = [_compare(name, loop, expected) for name, loop in loops.items()]
    floor: list[float] = []
    tasks = {"floor": lambda: floor.append(passes * weight_bytes(model) / bandwidth(device))}
    tasks |= {name: partial(loop, None) for name, loop in loops.items()}
    times = take_turns(tasks, repetitions, synchroniser(device))
    for row in rows:
        row |= times[row["name"]]
        row["ratios"] = [a / b for a, b in zip(times["reference"]["seconds"], row["seconds"], strict=True)]
        row["floors"] = [a / b for a, b in zip(row["seconds"], floor, strict=True)]
    return [*rows, {"name": "floor", "seconds": floor}]


def variants(
    model: PrefixTransformer, text_bld: Tensor, passes: int, types: Sequence[str]
) -> dict[str, Callable[[Tensor | None], Tensor]]:
    """The loops to compare, each from tokens to follow (or None) to logits [passes, codes]; "generate" gives tokens."""
    import torch

    from scamo.configs import LEVELS, TokenizerConfig
    from scamo.fast_step import compact
    from scamo.pipeline import MotionPipeline
    from scamo.tokenizer import MotionTokenizer

    ours = copy.deepcopy(model) if text_bld.device.type == "cpu" else model  # the quick step lays matrices out anew
    compacted = {name: compact(copy.deepcopy(model), getattr(torch, name)) for name in types}
    levels = next(levels for levels in LEVELS.values() if torch.tensor(levels).prod() == model.config.codebook_size)
    tokenizer = MotionTokenizer(TokenizerConfig(levels)).to(text_bld.device)
    pipeline, seconds = MotionPipeline(tokenizer, ours), passes / tokenizer.config.tokens_per_second
    return {
        "reference": lambda given: uncached_logits(model, text_bld, passes),
        "plain cache": lambda given: cached_logits(model, text_bld, passes, given, quick=False),
        "ours": lambda given: cached_logits(ours, text_bld, passes, given),
        **{name: partial(cached_logits, small, text_bld, passes) for name, small in compacted.items()},
        "generate": lambda given: torch.as_tensor(
            pipeline.generate(embedding=text_bld[0], seconds=seconds, temperature=0).tokens
        ),
    }


def _compare(name: str, loop: Callable[[Tensor | None], Tensor], expected: Tensor) -> dict[str, Any]:
    tokens, passes = expected.argmax(-1), len(expected)
    free = expected if name == "reference" else loop(None)
    chosen = free.cpu() if name == "generate" else free.argmax(-1).cpu()
    equal = int((chosen == tokens.cpu()).sum())
    row: dict[str, Any] = {"name": name, "equal": equal, "of": passes}
    if name not in ("reference", "generate"):
        row |= closeness(free if equal == passes else loop(tokens), expected)
    return row


def uncached_logits(model: PrefixTransformer, text_bld: Tensor, passes: int) -> Tensor:
    """Logits [passes, codes] of a greedy motion, everything computed anew at every pass."""
    import torch

    mask_bl = torch.ones(text_bld.shape[:2], dtype=torch.bool, device=text_bld.device)
    tokens_bn = torch.zeros(1, 0, dtype=torch.long, device=text_bld.device)
    rows = []
    for _ in range(passes):
        logits = model.lm_head(model.transformer.ln_f(model.hidden_states(tokens_bn, text_bld, mask_bl)))
        rows.append(logits[0, -1, : model.config.codebook_size].float())
        tokens_bn = torch.cat([tokens_bn, rows[-1].argmax()[None, None]], dim=1)
    return torch.stack(rows)


def cached_logits(
    model: PrefixTransformer, text_bld: Tensor, passes: int, given: Tensor | None = None, quick: bool = True
) -> Tensor:
    """The same with a cache, by the quick step or the plain one; along the tokens `given` where there are some."""
    import torch

    from scamo.fast_step import stepper

    mask_bl = torch.ones(text_bld.shape[:2], dtype=torch.bool, device=text_bld.device)
    logits_bnv, cache = model.prefill(text_bld, mask_bl, passes - 1)
    step = stepper(model, cache, record=True) if quick else lambda tokens_b: model.step(tokens_b, cache)
    rows = [logits_bnv[0, -1, : model.config.codebook_size]]
    for i in range(passes - 1):
        token = rows[-1].argmax() if given is None else given[i]
        row_v = step(token[None])[0, : model.config.codebook_size]
        rows.append(row_v.clone() if row_v.is_cuda else row_v)  # a recorded step overwrites what it gave before
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
    """Bytes that a pass must read, in the model's own type."""
    parameters = [*model.transformer.h.parameters(), model.lm_head.weight]
    return sum(p.numel() * p.element_size() for p in parameters)


def generation_table(reports: Sequence[dict[str, Any]]) -> str:
    """Reports as one Markdown table."""
    head = ["", "seconds", "CPU seconds", "reference / this", "this / floor", "tokens equal", "argmax", "logit error"]
    rows = []
    for report in reports:
        arguments = report["arguments"]
        threads = arguments["threads"]
        place = "GPU" if arguments["device"] == "cuda" else f"{threads} thread{'s'[: threads > 1]}"
        rows.append([f"**{arguments['model'] or arguments['size']}, {place}**", *[""] * (len(head) - 1)])
        for variant in report["variants"]:
            row = _table_row(variant)
            rows.append(row + [""] * (len(head) - len(row)))
    return markdown_table(head, rows)


def _table_row(variant: dict[str, Any]) -> list[str]:
    row = [variant["name"], f"{statistics.median(variant['seconds']):.2f}"]
    if "cpu" in variant:
        ratios = variant["ratios"]
        row += [
            f"{statistics.median(variant['cpu']):.2f}",
            f"{statistics.median(ratios):.1f} [{min(ratios):.1f}, {max(ratios):.1f}]",
            f"{statistics.median(variant['floors']):.2f}",
            f"{variant['equal']}/{variant['of']}",
        ]
    if "argmax" in variant:
        row += [f"{variant['argmax']:.2f}", f"{variant['error']:.0e}"]
    return row


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
