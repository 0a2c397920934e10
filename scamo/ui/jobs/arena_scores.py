"""The arena's arithmetic: who meets whom, what votes add up to, and both as CSV."""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

VOTES = {
    "left": ("Left is better", 1.0),
    "right": ("Right is better", 0.0),
    "tie": ("Equally good", 0.5),
    "bad": ("Both are bad", 0.5),
}
"""A vote -> the words on its button, and the share of a win that goes to the left one."""
MEAN_SCORE, DECADE = 1000.0, 400.0  # Elo's scale: so many points more win ten to one


@dataclass(frozen=True)
class Contest:
    """Two models' motions of one prompt and one seed, and one of VOTES once it is cast."""

    prompt: str
    seconds: float
    seed: int
    left: str
    right: str
    vote: str = ""


@dataclass(frozen=True)
class ModelScore:
    """A model's votes so far and its score."""

    model: str
    wins: int = 0
    losses: int = 0
    ties: int = 0
    both_bad: int = 0
    score: float = MEAN_SCORE


def draw_pair(names: Sequence[str], chance: random.Random) -> tuple[str, str]:
    """Two different names, left and right. Raises ValueError where there are no two."""
    if len(set(names)) < 2:
        raise ValueError("A contest needs two models; tick at least two.")
    left, right = chance.sample(sorted(set(names)), 2)
    return left, right


def bradley_terry(contests: Sequence[Contest]) -> dict[str, float]:
    """The strengths under which the votes are likeliest, as points; an average model has 1000.

    "tie" and "bad" are half a win for each. Every model begins with a win and a defeat against an average one, so that
    a few votes move it a little and one that never lost stays finite.
    """
    names = sorted({name for contest in contests for name in (contest.left, contest.right)})
    wins, meetings = np.ones(len(names)), np.zeros((len(names), len(names)))
    for contest in contests:
        left, right, share = names.index(contest.left), names.index(contest.right), VOTES[contest.vote][1]
        wins[[left, right]] += share, 1 - share
        meetings[[left, right], [right, left]] += 1
    strength = np.zeros(len(names))  # the logarithms of the odds against an average model
    for _ in range(100):  # Newton's method; the likelihood is concave
        beats = 1 / (1 + np.exp(strength - strength[:, None]))  # the row's model the column's
        beats_average = 1 / (1 + np.exp(-strength))
        curvature = meetings * beats * (1 - beats)
        gradient = wins - (meetings * beats).sum(axis=1) - 2 * beats_average
        own = curvature.sum(axis=1) + 2 * beats_average * (1 - beats_average)
        step = np.linalg.solve(np.diag(own) - curvature, gradient)
        strength += np.clip(step, -1, 1)
        if np.abs(step).max(initial=0) < 1e-9:
            break
    return dict(zip(names, (MEAN_SCORE + DECADE * strength / math.log(10)).tolist(), strict=True))


def score_table(contests: Sequence[Contest]) -> list[ModelScore]:
    """The scores of all models that were voted on, best first."""
    sides = [(contest.left, "left", contest.vote) for contest in contests]
    sides += [(contest.right, "right", contest.vote) for contest in contests]
    rows = []
    for name, score in bradley_terry(contests).items():
        votes = [("win" if vote == side else vote) for model, side, vote in sides if model == name]
        wins, ties, bad = (votes.count(kind) for kind in ("win", "tie", "bad"))
        rows.append(ModelScore(name, wins, len(votes) - wins - ties - bad, ties, bad, round(score, 1)))
    return sorted(rows, key=lambda row: (-row.score, row.model))


def as_csv(rows: Sequence[ModelScore | Contest]) -> str:
    """Rows of one kind as comma-separated values, with a line of names above."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(rows[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return text.getvalue()
