"""How long a motion's tokens take, beside the way the reference makes them; and what lower precision changes.

    python -m benchmarks.generation --size 44M --threads 1 --out generation.json
    python -m benchmarks.generation --size 3B --device cuda --out generation-3B.json
    python -m benchmarks.generation --agreement --out agreement.json

Seeded random weights, codebook 65536, 12 text vectors, greedy, 50 passes: 49 tokens and the one that would end them.
"reference" is its way over our model: no cache, at every pass all positions through all layers and the whole head.
"plain cache" is a loop in torch with a cache. The floor is the time to read the weights of blocks and head once a pass
at the bandwidth of the same repetition, in float32 on a CPU, in bfloat16 on a GPU. "generate" is all of
Generator.generate: tokens, trace, decoder, motion. The variants take turns. --model measures a trained model instead.

--agreement takes the bundled models along their own float32 motions, likeliest and sampled, and says how often a lower
precision finds the same token likeliest, and what it does to the cross-entropy. Nothing held out comes with the
package, so these are the models' own words.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import bandwidth, load, set_threads, synchroniser, table, turns, write

if TYPE_CHECKING:
    from torch import Tensor

    from scamo.pipeline import Generator
    from scamo.transformer import PrefixTransformer

TEXT, TEXT_WIDTH, LABEL = 12, 2048, 65536
PROMPTS = (
    "a person walks forward, then turns around and waves with the left hand",
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
    """Measure the token loop on this machine."""

    size: str = "44M"
    out: Path = Path("generation.json")
    threads: int = 0
    """0: as many as there are cores."""
    device: str = "cpu"
    """"cpu" or "cuda"."""
    types: tuple[str, ...] = ("float16", "bfloat16", "int8")
    """Lower precisions to measure on a CPU."""
    passes: int = 50
    repetitions: int = 5
    quick: bool = False
    """2 repetitions of 10 passes; one model and two sentences for --agreement."""
    model: str | None = None
    """A trained model's folder, in place of random weights."""
    agreement: bool = False
    """Compare precisions on the bundled models instead."""


def main(args: Args) -> None:
    """Measure, print and write."""
    threads = set_threads(args.threads)
    arguments = {**asdict(args), "out": args.out.name, "threads": threads}
    if args.agreement:
        report: dict[str, Any] = {"arguments": arguments, "models": _agreements(args)}
        write(args.out, report)
        print(agreement_table(report))
        return
    passes, repetitions = (10, 2) if args.quick else (args.passes, args.repetitions)
    before = load()
    import torch

    with torch.inference_mode():
        model, text_bld = subject(args)
        rows = measured(model, text_bld, passes, repetitions, args.types)
    report = {"arguments": arguments, "load": [before, load()], "passes": passes, "variants": rows}
    write(args.out, report)
    print(generation_table([report]))


def subject(args: Args) -> tuple[PrefixTransformer, Tensor]:
    """The model to measure, laid out as in its file, and a text embedding [1, l, d]."""
    import torch

    from scamo import registry
    from scamo.tokenizer import LEVELS
    from scamo.transformer import SIZES, PrefixTransformer, TransformerConfig

    dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
    if args.model is not None:
        generator = registry.load(args.model, device=args.device, dtype=dtype)
        for parameter in generator.transformer.parameters():
            parameter.data = parameter.data.contiguous()
        return generator.transformer, generator.text_encoder.encode([PROMPTS[0]])[0].to(args.device)
    torch.manual_seed(0)
    codes = torch.tensor(LEVELS[LABEL]).prod().item()
    with torch.device(args.device):
        model = PrefixTransformer(TransformerConfig(int(codes), *SIZES[args.size], TEXT_WIDTH)).to(dtype)
        text_bld = torch.randn(1, TEXT, TEXT_WIDTH)
    return model.eval().requires_grad_(False), text_bld


def measured(
    model: PrefixTransformer, text_bld: Tensor, passes: int, repetitions: int, types: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """One row per variant: seconds, ratios to the reference, tokens equal to its, and closeness of the logits.

    "ours" is in the model's own type; `types` are tried on a CPU only.
    """
    import torch

    from scamo.fast_step import compact
    from scamo.pipeline import Generator
    from scamo.tokenizer import LEVELS, MotionTokenizer, TokenizerConfig

    device = text_bld.device.type
    on_cpu = device == "cpu"
    ours = copy.deepcopy(model) if on_cpu else model  # the quick step lays matrices out anew
    kept = {name: compact(copy.deepcopy(model), getattr(torch, name)) for name in (types if on_cpu else ())}
    levels = next(levels for levels in LEVELS.values() if torch.tensor(levels).prod() == model.config.codebook_size)
    generator = Generator(MotionTokenizer(TokenizerConfig(levels)).to(device), ours)
    loops: dict[str, Callable[[Tensor | None], Tensor]] = {
        "reference": lambda given: uncached(model, text_bld, passes),
        "plain cache": lambda given: cached(model, text_bld, passes, given, quick=False),
        "ours": lambda given: cached(ours, text_bld, passes, given),
        **{name: partial(cached, small, text_bld, passes) for name, small in kept.items()},
        "generate": lambda given: torch.as_tensor(
            generator.generate(embedding=text_bld[0], seconds=passes / 5, temperature=0).tokens
        ),
    }
    expected = loops["reference"](None)
    tokens = expected.argmax(-1)
    rows: list[dict[str, Any]] = []
    for name, loop in loops.items():
        free = expected if name == "reference" else loop(None)
        chosen = free.cpu() if name == "generate" else free.argmax(-1).cpu()
        equal = int((chosen == tokens.cpu()).sum())
        row: dict[str, Any] = {"name": name, "equal": equal, "of": passes}
        if name not in ("reference", "generate"):
            row |= closeness(free if equal == passes else loop(tokens), expected)
        rows.append(row)
    floor: list[float] = []
    tasks = {"floor": lambda: floor.append(passes * weight_bytes(model) / bandwidth(device))}
    tasks |= {name: partial(loop, None) for name, loop in loops.items()}
    found = turns(tasks, repetitions, synchroniser(device))
    for row in rows:
        row |= found[row["name"]]
        row["ratios"] = [a / b for a, b in zip(found["reference"]["seconds"], row["seconds"], strict=True)]
        row["floors"] = [a / b for a, b in zip(row["seconds"], floor, strict=True)]
    return [*rows, {"name": "floor", "seconds": floor}]


def uncached(model: PrefixTransformer, text_bld: Tensor, passes: int) -> Tensor:
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


def cached(
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
        rows.append(row_v.clone() if row_v.is_cuda else row_v)  # a recorded step overwrites it; see decode.py
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
    """Bytes of what a pass must read, in the model's own type."""
    parameters = [*model.transformer.h.parameters(), model.lm_head.weight]
    return sum(p.numel() * p.element_size() for p in parameters)


def _agreements(args: Args) -> list[dict[str, Any]]:
    import torch

    from scamo import registry

    cards = (
        registry.models([args.model])
        if args.model
        else [card for card in registry.models([]) if card.source == "bundled"]
    )
    cards, prompts = (cards[:1], PROMPTS[:2]) if args.quick else (cards, PROMPTS)
    rows = []
    texts: dict[str | None, list[Tensor]] = {}  # by the encoder, which models share
    for card in cards:
        generator = registry.load(card)
        with torch.inference_mode():
            if card.text_encoder not in texts:
                texts[card.text_encoder] = [generator.text_encoder.encode([prompt])[0] for prompt in prompts]
            found = agreement(generator, texts[card.text_encoder], 4.0, args.types)
        rows += [{"codebook": card.codebook, "size": card.size, **row} for row in found]
        print(f"{card.name}: {found}", flush=True)
    return rows


def agreement(
    generator: Generator, texts: Sequence[Tensor], seconds: float, types: Sequence[str]
) -> list[dict[str, Any]]:
    """How close each type stays to float32 along float32's own motions for text embeddings [1, l, d].

    One row per type: share of equal argmax and cross-entropies in nats a token, of likeliest motions ("greedy") and of
    sampled ones; and the share of motions that come out the same to the last token when each type goes its own way.
    """
    import torch

    from scamo.fast_step import compact

    model = copy.deepcopy(generator.transformer)
    kept = {name: compact(copy.deepcopy(model), getattr(torch, name)) for name in types}
    sums: dict[str, dict[str, list[float]]] = {name: {} for name in types}
    for seed, text_bld in enumerate(texts):
        for kind, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            made = generator.generate(embedding=text_bld[0], seconds=seconds, seed=seed, temperature=temperature)
            tokens = torch.from_numpy(made.tokens)
            exact = cached(model, text_bld, len(tokens), tokens)
            for name, small in kept.items():
                logits = cached(small, text_bld, len(tokens), tokens)
                measures = {
                    f"{kind}_argmax": (logits.argmax(-1) == exact.argmax(-1)).float().mean().item(),
                    f"{kind}_nll": _nll(logits, tokens),
                    f"{kind}_nll_float32": _nll(exact, tokens),
                }
                if kind == "greedy":
                    free = cached(small, text_bld, len(tokens)).argmax(-1)
                    measures["same_motion"] = float(torch.equal(free, tokens))
                for measure, value in measures.items():
                    sums[name].setdefault(measure, []).append(value)
    return [
        {
            "type": name,
            "motions": len(texts),
            **{measure: statistics.fmean(values) for measure, values in found.items()},
        }
        for name, found in sums.items()
    ]


def _nll(logits_nv: Tensor, tokens_n: Tensor) -> float:
    return -logits_nv.double().log_softmax(-1).gather(1, tokens_n[:, None]).mean().item()


def generation_table(reports: Sequence[dict[str, Any]]) -> str:
    """Reports as one Markdown table."""
    head = ["", "seconds", "CPU seconds", "reference / this", "this / floor", "tokens equal", "argmax", "logit error"]
    rows = []
    for report in reports:
        arguments = report["arguments"]
        place = (
            "GPU"
            if arguments["device"] == "cuda"
            else f"{arguments['threads']} thread{'s'[: arguments['threads'] > 1]}"
        )
        rows.append([f"**{arguments['model'] or arguments['size']}, {place}**", *[""] * (len(head) - 1)])
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
                cells += [f"{row['argmax']:.2f}", f"{row['error']:.0e}"]
            rows.append(cells + [""] * (len(head) - len(cells)))
    return table(head, rows)


def agreement_table(report: dict[str, Any]) -> str:
    """The agreement of precisions as a Markdown table, the mean over the models and each by itself."""
    head = [
        "model",
        "type",
        "argmax, greedy",
        "argmax, sampled",
        "cross-entropy of sampled",
        "float32's",
        "same motion",
    ]
    rows = []
    models = report["models"]
    for kind in dict.fromkeys(row["type"] for row in models):
        own = [row for row in models if row["type"] == kind]
        mean = {key: statistics.fmean(row[key] for row in own) for key, value in own[0].items() if type(value) is float}
        rows.append(_agreement_cells("all", {"type": kind, **mean}))
    rows += [_agreement_cells(f"{row['codebook']}, {row['size']}", row) for row in models]
    return table(head, rows)


def _agreement_cells(name: str, row: dict[str, Any]) -> list[str]:
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
