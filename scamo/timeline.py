"""How the parts of a timeline are read: each with the one before it, whose motion it goes on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from torch import Tensor

from scamo.options import MAX_GUIDANCE, GenerationOptions, Prompt

AWAY_FROM_BEFORE = 1.5  # guidance more than else, where a part is guided away from the one before it
LONGEST = 400  # characters of two prompts that are read as one: all of them are read then


def read_after_one_another(prompts: Sequence[Prompt]) -> list[str]:
    """What a model reads for each part that begins with tokens of the part before: "the one before, then this one".

    A model that sees two seconds of walking behind the words "a person bows" walks on. What it has learned from are
    motions of both, behind the words for both; guidance away from the first words makes it come to the second. A part
    is read alone where one of the two has no words, or both together are too long.
    """
    read = [prompt.text or "" for prompt in prompts]
    for number, (before, own) in enumerate(pairwise(prompts), start=1):
        both = f"{(before.text or '').rstrip('.!? ')}, then {own.text}"
        if before.text and own.text and len(both) <= LONGEST:
            read[number] = both
    return read


def read_part(
    number: int,
    goes_on: bool,
    alone: Sequence[Tensor],
    both: Sequence[Tensor],
    empty_ld: Tensor | None,
    options: GenerationOptions,
) -> tuple[Tensor, Tensor | None, GenerationOptions]:
    """The text [l, d] of a part, the one to guide away from, and the options.

    goes_on: whether it begins with tokens of the part before. alone: each prompt by itself. both: see
    ``read_after_one_another``. empty_ld: the empty text, None without guidance.
    """
    if not goes_on:
        return alone[number], empty_ld, options
    if empty_ld is None or options.guidance is None:
        return both[number], None, options
    guidance = min(MAX_GUIDANCE, options.guidance + AWAY_FROM_BEFORE)
    return both[number], alone[number - 1], replace(options, guidance=guidance)
