"""How much a lower precision changes what the bundled models write.

    python -m benchmarks.agreement --threads 1

Takes the models along their own float32 motions, likeliest and sampled, and counts how often a lower precision finds
the same token likeliest, and what it does to the cross-entropy. Nothing held out comes with the package, so these are
the models' own words. Writes JSON to --out.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.generation import PROMPT, cached_logits
from benchmarks.machine import OUT, markdown_table, recorded

if TYPE_CHECKING:
    from torch import Tensor

    from scamo.pipeline import MotionPipeline
    from scamo.transformer import PrefixTransformer

SECONDS = 4.0
PROMPTS = (
    PROMPT,
    "an old man walks forward",
    "a person runs forward",
    "someone walks backwards",
    "a person turns left",
    "a person turns right",
    "a person raises the left hand",
    "a person raises both hands",
    "a man waves with his left hand",
    "a person bows",
    "a happy child dances",
    "a man kicks with his right leg",
)


@dataclass(frozen=True)
class Args:
    """Compare precisions on the bundled models."""

    out: Path = OUT / "agreement.json"
    threads: int = 0
    """0: as many as there are cores."""
    types: tuple[str, ...] = ("float16", "bfloat16", "int8")
    """Lower precisions to compare with float32."""
    model: str | None = None
    """The folder of one model, in place of the bundled ones."""
    quick: bool = False
    """One model and two sentences."""


def main(args: Args) -> None:
    """Measure, print and write."""
    with recorded(args) as report:
        report["models"] = measure_models(args)
    print(agreement_table(report))


def measure_models(args: Args) -> list[dict[str, Any]]:
    """The rows of every model, each named by its codebook and size."""
    import torch

    from scamo import registry
    from scamo.pipeline import MotionPipeline

    bundled = [card for card in registry.models() if card.source == "bundled"]
    cards = [registry.find_model(args.model)] if args.model else bundled
    cards, prompts = (cards[:1], PROMPTS[:2]) if args.quick else (cards, PROMPTS)
    rows = []
    texts: dict[str | None, list[Tensor]] = {}  # by the encoder, which models share
    for card in cards:
        pipeline = MotionPipeline.from_pretrained(card)
        with torch.inference_mode():
            if card.text_encoder not in texts:
                texts[card.text_encoder] = [pipeline.text_encoder.encode([prompt])[0] for prompt in prompts]
            of_types = measure(pipeline, texts[card.text_encoder], SECONDS, args.types)
        rows += [{"codebook": card.codebook, "size": card.size, **row} for row in of_types]
        print(f"{card.name}: {of_types}", flush=True)
    return rows


def measure(
    pipeline: MotionPipeline, texts: Sequence[Tensor], seconds: float, types: Sequence[str]
) -> list[dict[str, Any]]:
    """How close each type stays to float32 along float32's own motions for text embeddings [1, l, d].

    One row per type: share of equal argmax and cross-entropies in nats a token, of likeliest motions ("greedy") and of
    sampled ones; and the share of motions that are the same to the last token when each type goes its own way.
    """
    import torch

    from scamo.fast_step import compact

    model = copy.deepcopy(pipeline.transformer)
    compacted = {name: compact(copy.deepcopy(model), getattr(torch, name)) for name in types}
    values: dict[str, dict[str, list[float]]] = {name: {} for name in types}
    for seed, text_bld in enumerate(texts):
        for kind, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            generation = pipeline.generate(
                embedding=text_bld[0], seconds=seconds, seed=seed, temperature=temperature
            )  # fmt: skip
            tokens = torch.from_numpy(generation.tokens)
            exact = cached_logits(model, text_bld, len(tokens), tokens)
            for name, small in compacted.items():
                for measure, value in compare(small, text_bld, tokens, exact, kind).items():
                    values[name].setdefault(measure, []).append(value)
    return [
        {"type": name, "motions": len(texts), **{measure: statistics.fmean(found) for measure, found in own.items()}}
        for name, own in values.items()
    ]


def compare(
    model: PrefixTransformer, text_bld: Tensor, tokens: Tensor, exact: Tensor, kind: str
) -> dict[str, float]:  # fmt: skip
    """Measures of a model along tokens [n] whose logits in float32 are `exact` [n, codes]; `kind` names them."""
    import torch

    logits = cached_logits(model, text_bld, len(tokens), tokens)
    measures = {
        f"{kind}_argmax": (logits.argmax(-1) == exact.argmax(-1)).float().mean().item(),
        f"{kind}_nll": cross_entropy(logits, tokens),
        f"{kind}_nll_float32": cross_entropy(exact, tokens),
    }
    if kind == "greedy":
        free = cached_logits(model, text_bld, len(tokens)).argmax(-1)
        measures["same_motion"] = float(torch.equal(free, tokens))
    return measures


def cross_entropy(logits_nv: Tensor, tokens_n: Tensor) -> float:
    """Mean of -log p of the tokens, in nats."""
    return -logits_nv.double().log_softmax(-1).gather(1, tokens_n[:, None]).mean().item()


def agreement_table(report: dict[str, Any]) -> str:
    """The report as a Markdown table: the mean over the models, then each by itself."""
    head = [
        "model", "type", "argmax, greedy", "argmax, sampled", "cross-entropy of sampled", "float32's", "same motion"
    ]  # fmt: skip
    rows = []
    models = report["models"]
    for kind in dict.fromkeys(row["type"] for row in models):
        own = [row for row in models if row["type"] == kind]
        mean = {key: statistics.fmean(row[key] for row in own) for key, value in own[0].items() if type(value) is float}
        rows.append(_table_row("all", {"type": kind, **mean}))
    rows += [_table_row(f"{row['codebook']}, {row['size']}", row) for row in models]
    return markdown_table(head, rows)


def _table_row(name: str, row: dict[str, Any]) -> list[str]:
    return [
        name,
        row["type"],
        f"{row['greedy_argmax']:.1%}",
        f"{row['sampled_argmax']:.1%}",
        f"{row['sampled_nll']:.4f}",
        f"{row['sampled_nll_float32']:.4f}",
        f"{row['same_motion']:.0%}",
    ]


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
