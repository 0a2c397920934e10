"""What the arena shows after a vote: the two models' names, and the scores so far."""

from __future__ import annotations

import html
from collections.abc import Sequence

from scamo.ui.jobs.arena_scores import VOTES, Contest, ModelScore
from scamo.ui.messages import note


def revealed_names(contest: Contest) -> str:
    """Which models the two were, as HTML."""
    sides = [
        f"<p{' class=winner' * (contest.vote == side)}><small>{side.capitalize()}</small><b>{html.escape(name)}</b></p>"
        for side, name in (("left", contest.left), ("right", contest.right))
    ]
    vote = f"{VOTES[contest.vote][0]}, you said. “{contest.prompt}”, seed {contest.seed}."
    return f'<div class="revealed">{"".join(sides)}</div>{note(vote)}'


def score_sheet(rows: Sequence[ModelScore]) -> str:
    """The scores as HTML; empty before the first vote."""
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in ("Model", "Wins", "Losses", "Ties", "Both bad", "Score"))
    body = "".join(
        f"<tr><th>{html.escape(row.model)}</th><td>{row.wins}</td><td>{row.losses}</td><td>{row.ties}</td>"
        f"<td>{row.both_bad}</td><td>{row.score:.0f}</td></tr>"
        for row in rows
    )
    return (
        f'<div class="sheet standings"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        + note(
            "Bradley-Terry on Elo's scale: 1000 is average, 400 points more win ten to one. Only you see this table."
        )
    )
