"""The two sheets of the tab "Scaling": what a budget buys, and what a model costs."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from scamo import flops
from scamo.configs import LEVELS, SIZES, Size, TokenizerConfig, TransformerConfig
from scamo.ui.formatting import gpu_time, scientific, three_digits, with_prefix
from scamo.ui.jobs.scaling_plan import Plan, nearest_codebook
from scamo.ui.messages import note

NOT_CLOSED = (
    "The printed laws are rounded and do not close: at 1e18 FLOPs eq. 12 as printed gives 5.5G parameters, where the "
    "paper trained 3B, and the three together cost 1.66e18."
)
_PAPER_TOKENIZER = TokenizerConfig(LEVELS[65536])


def plan_sheet(plan: Plan, gpu: str, utilisation: float) -> str:
    """A plan as HTML: what the laws ask for, the nearest named model, and what each costs."""
    hours = plan.budget / flops.gpu_flops(gpu, 1, utilisation)
    best, named = plan.best, plan.named
    width, times = SIZES[plan.size].width, best.flops / plan.budget
    by_size = flops.VOCABULARY_OF_NON_VOCABULARY(best.non_vocabulary)
    rows = [
        ("Budget C", f"{scientific(plan.budget)} FLOPs; {gpu_time(hours)} on {gpu}"),
        ("Model N_nv (eq. 12)", f"{with_prefix(best.non_vocabulary)} parameters"),
        ("Vocabulary N_v (eq. 11)", f"{with_prefix(best.vocabulary)} parameters; {with_prefix(by_size)} by eq. 10"),
        ("Tokens D (eq. 13)", _tokens(best.tokens)),
        ("Normalised loss (eq. 14)", f"{plan.loss:.3f}"),
        (
            "These three cost (eq. 7)",
            f"{scientific(best.flops)} FLOPs, {times:.3g} times the budget",
        ),
        ("Nearest named size", f"{plan.size}, {with_prefix(named.non_vocabulary)} parameters"),
        (
            "Nearest codebook",
            f"{plan.codebook}; with a width of {width:,} eq. 11 asks for {three_digits(best.vocabulary / width)} codes",
        ),
        ("That pair on D tokens", f"{scientific(named.flops)} FLOPs, {named.flops / plan.budget:.3g} times the budget"),
        ("That pair on the budget", _tokens(plan.affordable)),
    ]
    return _sheet(rows) + note(NOT_CLOSED)


def model_sheet(
    shape: Size, codebook: int, context: int, text_width: int, tokens: float, gpu: str, utilisation: float
) -> str:
    """What a model costs, as HTML. Raises ValueError in words for the user."""
    layers, heads, width = shape
    if not (1 <= layers <= 1000 and 1 <= width <= 100_000 and 1 <= heads <= width):
        raise ValueError("Choose 1 to 1,000 layers, a width of 1 to 100,000, and no more heads than the width.")
    if width % heads or width // heads % 2:
        raise ValueError(f"A width of {width} does not split into {heads} heads of an even size; change one of them.")
    if not 1 <= context <= 1_000_000:
        raise ValueError("Choose a context of 1 to 1,000,000 tokens.")
    if not 1 <= tokens <= 1e15:
        raise ValueError("Choose 1 to 1e15 training tokens.")
    codes = math.prod(LEVELS[codebook])
    counts = TransformerConfig(codes, layers, heads, width, text_width).parameter_counts
    inner = counts.non_vocabulary
    vocabulary = flops.paper_vocabulary_parameters(codes, width)
    forward = flops.forward_flops_per_token(layers, heads, width, context, codes)
    run, precise = flops.training_flops(inner, vocabulary, tokens), 3 * forward * tokens
    suits = flops.VOCABULARY_OF_NON_VOCABULARY(inner)
    rows = [
        ("Parameters without vocabulary", with_prefix(inner)),
        ("Vocabulary N_v = V d", f"{with_prefix(vocabulary)}; stored {with_prefix(counts.vocabulary)}"),
        ("FLOPs per token, forward (Code 1)", scientific(forward)),
        ("FLOPs per token, training", f"{scientific(3 * forward)}; {scientific(run / tokens)} by eq. 7"),
        ("Training run (eq. 7)", f"{scientific(run)} FLOPs; {scientific(precise)} by Code 1"),
        (f"On {gpu} at {100 * utilisation:.0f} %", gpu_time(run / flops.gpu_flops(gpu, 1, utilisation))),
        (
            "Codebook that suits it (eq. 10)",
            f"{nearest_codebook(suits / width)}; it asks for {three_digits(suits / width)} codes",
        ),
    ]
    return _sheet(rows)


def _tokens(count: float) -> str:
    return f"{with_prefix(count)} tokens, {three_digits(count / _PAPER_TOKENIZER.tokens_per_second / 3600)} h of motion"


def _sheet(rows: Sequence[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f'<div class="sheet sums"><table><tbody>{body}</tbody></table></div>'
