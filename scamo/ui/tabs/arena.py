"""The tab "Blind arena": two hidden models, one prompt and one seed; a vote, and what the votes of a session add up to.

Nothing that names a model goes to the browser before the vote: the motions travel as positions without a recipe.
"""

from __future__ import annotations

import collections.abc
import csv
import html
import io
import math
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from scamo.motion import Motion
from scamo.pipeline import ModelCard, Prompt
from scamo.ui.components import controls as making
from scamo.ui.components.downloads import workspace
from scamo.ui.components.motion_player import figure, player, staged
from scamo.ui.messages import note, reason, refusal
from scamo.ui.model_pool import Studio
from scamo.ui.tabs.compare import EXAMPLES, SECONDS

# vote -> what the button says, and the share of a win that goes to the left one
VOTES = {
    "left": ("Left is better", 1.0),
    "right": ("Right is better", 0.0),
    "tie": ("Equally good", 0.5),
    "bad": ("Both are bad", 0.5),
}
MIDDLE, DECADE = 1000.0, 400.0  # Elo's scale: so many points are odds of ten to one


@dataclass(frozen=True)
class Bout:
    """Two models' motions of one prompt and one seed, and one of VOTES once it is cast."""

    prompt: str
    seconds: float
    seed: int
    left: str
    right: str
    vote: str = ""


@dataclass(frozen=True)
class Standing:
    """A model's votes so far and its score."""

    model: str
    wins: int = 0
    losses: int = 0
    ties: int = 0
    both_bad: int = 0
    score: float = MIDDLE


def contenders(studio: Studio) -> dict[str, ModelCard]:
    """All models by the name they are revealed under: codebook and size."""
    return {f"{codebook} · {size}": card for codebook, row in studio.cells.items() for size, card in row.items()}


def paired(names: Sequence[str], chance: random.Random) -> tuple[str, str]:
    """Two different ones, left and right. ValueError where there are no two."""
    if len(set(names)) < 2:
        raise ValueError("A contest needs two models; tick at least two.")
    left, right = chance.sample(sorted(set(names)), 2)
    return left, right


def fought(
    studio: Studio, cards: Sequence[ModelCard], prompt: Prompt, seed: int
) -> collections.abc.Generator[int, None, list[Motion]]:
    """The motions of several models for one prompt and one seed, one after the other; yields at every token."""
    motions = []
    for card in cards:
        stream = studio.generator(card).stream(prompt, seed=seed, temperature=studio.temperature)
        made = yield from stream
        motions.append(made.motion)
    return motions


def scores(bouts: Sequence[Bout]) -> dict[str, float]:
    """Bradley-Terry: the strengths under which the votes are likeliest, as points, 1000 for an average model.

    "tie" and "bad" are half a win for each. Beforehand every model is given a win and a defeat against an average one,
    so that a few votes move it a little and one that never lost stays finite.
    """
    names = sorted({name for bout in bouts for name in (bout.left, bout.right)})
    won, met = np.ones(len(names)), np.zeros((len(names), len(names)))
    for bout in bouts:
        left, right, share = names.index(bout.left), names.index(bout.right), VOTES[bout.vote][1]
        won[[left, right]] += share, 1 - share
        met[[left, right], [right, left]] += 1
    strength = np.zeros(len(names))  # the logarithms of the odds against an average model
    for _ in range(100):  # Newton's method; what is climbed has one summit
        beats = 1 / (1 + np.exp(strength - strength[:, None]))  # the row's model the column's
        average = 1 / (1 + np.exp(-strength))
        bend = met * beats * (1 - beats)
        slope = won - (met * beats).sum(axis=1) - 2 * average
        step = np.linalg.solve(np.diag(bend.sum(axis=1) + 2 * average * (1 - average)) - bend, slope)
        strength += np.clip(step, -1, 1)
        if np.abs(step).max(initial=0) < 1e-9:
            break
    return dict(zip(names, (MIDDLE + DECADE * strength / math.log(10)).tolist(), strict=True))


def standings(bouts: Sequence[Bout]) -> list[Standing]:
    """The table of all models that were voted on, best first."""
    sides = [(bout.left, "left", bout.vote) for bout in bouts] + [(bout.right, "right", bout.vote) for bout in bouts]
    rows = []
    for name, score in scores(bouts).items():
        votes = [("win" if vote == side else vote) for model, side, vote in sides if model == name]
        wins, ties, bad = (votes.count(kind) for kind in ("win", "tie", "bad"))
        rows.append(Standing(name, wins, len(votes) - wins - ties - bad, ties, bad, round(score, 1)))
    return sorted(rows, key=lambda row: (-row.score, row.model))


def table(rows: Sequence[Standing]) -> str:
    """The standings as HTML."""
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


def as_csv(rows: Sequence[Standing | Bout]) -> str:
    """Rows of one kind as comma-separated values, with a line of names above."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(rows[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return text.getvalue()


def revealed(bout: Bout) -> str:
    """What the two were, as HTML."""
    sides = [
        f"<p{' class=winner' * (bout.vote == side)}><small>{side.capitalize()}</small><b>{html.escape(name)}</b></p>"
        for side, name in (("left", bout.left), ("right", bout.right))
    ]
    said = f"{VOTES[bout.vote][0]}, you said. “{bout.prompt}”, seed {bout.seed}."
    return f'<div class="revealed">{"".join(sides)}</div>{note(said)}'


def tab(studio: Studio) -> None:
    """Lay out the tab inside the Blocks being built."""
    cards = contenders(studio)
    held = gr.State(None)  # {"bout": Bout, "stage": what the player shows}, until the vote
    cast: gr.State = gr.State([])
    with gr.Row(elem_classes="bench", equal_height=False):
        with gr.Column(scale=0, min_width=320, elem_classes="tools"):
            prompt = gr.Textbox(EXAMPLES[0], label="What happens?", lines=2, elem_id="arena-prompt")
            with gr.Row():
                draw = gr.Button("Draw two models", variant="primary", size="sm", min_width=150, elem_id="draw")
                stop = gr.Button("Stop", size="sm", min_width=70, elem_id="arena-stop")
            with gr.Group():
                seconds = gr.Slider(*SECONDS, value=4, step=0.2, label="Length in seconds", buttons=[])
                names = gr.CheckboxGroup(list(cards), value=list(cards), label="Drawn from (codebook · size)")
        with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
            status = gr.HTML(
                note("Two models, hidden, make the same sentence with the same seed. Say which is better.")
            )
            stage = player("arena-stage", "The tab Compare has videos.")
            with gr.Row(elem_id="votes"):
                buttons = [
                    gr.Button(says, interactive=False, min_width=140, elem_id=f"vote-{vote}")
                    for vote, (says, _) in VOTES.items()
                ]
            result = gr.HTML(elem_id="revealed")
            sums = gr.HTML(elem_id="standings")
            with gr.Row():
                take_table = gr.DownloadButton(
                    "Table (CSV)", size="sm", interactive=False, min_width=120, elem_id="take-table"
                )
                take_votes = gr.DownloadButton(
                    "Votes (CSV)", size="sm", interactive=False, min_width=120, elem_id="take-votes"
                )

    def ready(yes: bool) -> list[gr.Button]:
        return [gr.Button(interactive=yes) for _ in buttons]

    def fight(text: str, seconds: float, names: list[str]) -> Iterator[tuple[Any, ...]]:
        try:
            if not SECONDS[0] <= seconds <= SECONDS[1]:
                raise ValueError(f"{seconds:g} seconds are not offered; choose {SECONDS[0]:g} to {SECONDS[1]:g}.")
            chance = random.SystemRandom()
            asked = Prompt(text, seconds)
            bout = Bout(text, seconds, chance.randrange(2**31), *paired([n for n in names if n in cards], chance))
        except (ValueError, OverflowError) as error:
            raise refusal(error) from error
        yield WORKING, gr.skip(), None, "", *ready(False)
        try:
            stream = fought(studio, [cards[bout.left], cards[bout.right]], asked, bout.seed)
            progress = making.follow(stream, "", 0)
            while True:
                try:
                    next(progress)
                except StopIteration as end:
                    motions = end.value
                    break
                yield tuple(gr.skip() for _ in outputs)  # a moment at which Stop can end it
        except Exception as error:
            yield note(reason(error)), gr.skip(), None, "", *ready(False)
            return
        shown = staged(list(map(figure, ("Left", "Right"), motions)), uuid.uuid4().hex)
        yield note("Which one does it better?"), shown, {"bout": bout, "stage": shown}, "", *ready(True)

    def judge(vote: str, held: Mapping[str, Any] | None, cast: list[Bout]) -> tuple[Any, ...]:
        if held is None:
            raise refusal(ValueError("There is nothing to vote on; draw two models first."))
        bout = replace(held["bout"], vote=vote)
        cast = [*cast, bout]
        rows, folder = standings(cast), workspace()
        paths = [folder / "arena-table.csv", folder / "arena-votes.csv"]
        for path, text in zip(paths, (as_csv(rows), as_csv(cast)), strict=True):
            path.write_text(text, encoding="utf-8")
        figures = [
            {**figure, "label": name}
            for figure, name in zip(held["stage"]["figures"], (bout.left, bout.right), strict=True)
        ]
        return (
            note(f"{len(cast)} vote{'s'[: len(cast) > 1]} so far. Draw two more."),
            {**held["stage"], "figures": figures}, None, revealed(bout), *ready(False), cast, table(rows),
            *(gr.DownloadButton(value=str(path), interactive=True) for path in paths),
        )  # fmt: skip

    outputs = [status, stage, held, result, *buttons]
    event = gr.on(
        [draw.click, prompt.submit], fight, [prompt, seconds, names], outputs, concurrency_id="motion", **making.QUIET
    )
    for vote, button in zip(VOTES, buttons, strict=True):
        button.click(
            lambda held, cast, vote=vote: judge(vote, held, cast), [held, cast],
            [*outputs, cast, sums, take_table, take_votes], concurrency_limit=None, **making.QUIET,
        )  # fmt: skip
    stop.click(lambda: note("Stopped."), None, status, cancels=[event], queue=False, **making.QUIET)


# No count and no bar that fills: how fast the tokens come would tell who makes them.
WORKING = (
    '<div class="runs" role="status"><div class="run tokens"><b>Two models</b><i class="bar endless"><i></i></i>'
    "<span>at work</span></div></div>"
)
