"""How a part of a timeline is read behind the motion of another."""

from __future__ import annotations

import pytest
import torch

from scamo.options import MAX_GUIDANCE, GenerationOptions
from scamo.timeline import AWAY_FROM_BEFORE, Part, read_after
from scamo.tuned_text import Understood

SLOTS = 4
NAMES = {"": 0.0, "walk": 1.0, "bow": 2.0, "jump": 3.0}


def part(*actions: str, style: float = 10.0) -> Part:
    """Vectors as a tuned encoder gives them: one for each action, "nothing more", and the style."""
    filled = (*actions, *[""] * (SLOTS - len(actions)))
    values = [*(NAMES[action] for action in filled), style]
    return Part(torch.tensor(values)[:, None].expand(-1, 3), Understood(actions, str(style), 0.9))


EMPTY_LD = part(style=0.0).text_ld


def read(
    before: Part | None, own: Part, guidance: float | None = 1.5
) -> tuple[list[float], list[float] | None, float | None]:
    empty_ld = None if guidance == 1 else EMPTY_LD
    text_ld, away_ld, options = read_after(before, own, empty_ld, GenerationOptions(guidance=guidance))
    return text_ld[:, 0].tolist(), None if away_ld is None else away_ld[:, 0].tolist(), options.guidance


def test_the_last_action_stands_before_a_parts_own() -> None:
    before, own = part("jump", "walk", style=11.0), part("bow", style=12.0)
    text, away, guidance = read(before, own)
    assert text == [1, 2, 0, 0, 12] and away == [1, 0, 0, 0, 11] and guidance == 1.5 + AWAY_FROM_BEFORE
    assert read(before, part("bow", "jump", "walk", "bow"))[0] == [1, 2, 3, 1, 10]  # no more than there are places
    assert read(before, own, MAX_GUIDANCE)[2] == MAX_GUIDANCE


@pytest.mark.parametrize("guidance", [0.0, 0.7, 1.0])
def test_no_guidance_stays_none(guidance: float) -> None:
    text, away, found = read(part("walk"), part("bow"), guidance)
    assert text == [1, 2, 0, 0, 10] and found == guidance
    assert away == (None if guidance == 1 else EMPTY_LD[:, 0].tolist())


def test_what_goes_on_or_is_not_told_is_read_by_itself() -> None:
    own = part("walk", "bow")
    for before in (None, part("jump", "walk"), part(), Part(part("jump").text_ld, None)):
        text, away, guidance = read(before, own)
        assert text == own.text_ld[:, 0].tolist() and away == EMPTY_LD[:, 0].tolist() and guidance == 1.5
    for unclear in (part(), Part(own.text_ld, None)):
        assert read(part("walk"), unclear)[0] == unclear.text_ld[:, 0].tolist()
