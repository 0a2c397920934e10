"""How a part of a timeline is read that goes on from the motion of the part before it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from scamo.options import MAX_GUIDANCE, GenerationOptions
from scamo.tuned_text import Understood

AWAY_FROM_BEFORE = 1.5  # guidance more than else, where a part is guided away from the action before it


class Part(NamedTuple):
    """A prompt's vectors, float [l, d] of ``scamo.tuned_text.Readings``, and what it was taken to ask for."""

    text_ld: Tensor
    understood: Understood | None


def read_after(
    before: Part | None, own: Part, empty_ld: Tensor | None, options: GenerationOptions
) -> tuple[Tensor, Tensor | None, GenerationOptions]:
    """What stands for a part that begins with tokens of the one before; what to guide away from; and the options.

    A model that sees two seconds of walking behind "a person bows" walks on. What it has learned from are motions of
    both, behind the vectors of both in order: so the last action of the part before is put in front. Where there is
    guidance of more than 1 it leads away from that action, and is stronger by AWAY_FROM_BEFORE. A part is read by
    itself where its encoder tells no actions, and where it begins with the action that was going on.

    before: None where a part begins anew. empty_ld: the vectors of the empty text, or None without guidance.
    """
    before_actions, own_actions = ((part and part.understood and part.understood.actions) for part in (before, own))
    if not before or not before_actions or not own_actions or before_actions[-1] == own_actions[0]:
        return own.text_ld, empty_ld, options
    last = len(before_actions) - 1
    going_ld = before.text_ld[last : last + 1]
    both_ld = torch.cat([going_ld, own.text_ld[:-2], own.text_ld[-1:]])  # the last vector is the style's
    if empty_ld is None or options.guidance is None or options.guidance <= 1:
        return both_ld, empty_ld, options
    away_ld = torch.cat([going_ld, empty_ld[1:-1], before.text_ld[-1:]])
    return both_ld, away_ld, replace(options, guidance=min(MAX_GUIDANCE, options.guidance + AWAY_FROM_BEFORE))
