"""The tab "Blind arena": two hidden models, one prompt and one seed; a vote, and what a session's votes add up to.

Nothing that names a model goes to the browser before the vote: the motions travel as positions without a recipe.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from scamo.body.person import person_for
from scamo.motion import Motion
from scamo.options import Prompt
from scamo.registry import ModelCard
from scamo.ui.components.controls import INSTANT, QUIET
from scamo.ui.components.motion_player import motion_player, player_figure, player_value
from scamo.ui.components.progress import hidden_row
from scamo.ui.components.stage import Stage
from scamo.ui.components.vote_tables import revealed_names, score_sheet
from scamo.ui.jobs.arena_scores import VOTES, Contest, as_csv, draw_pair, score_table
from scamo.ui.jobs.follow import Deadline, follow
from scamo.ui.limits import MAX_SEED, SECONDS, checked_seconds
from scamo.ui.messages import note, reason, refusing
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import new_folder

EXAMPLE = "a person walks forward"
MAX_VOTES = 1000  # of a visit; older ones are forgotten, so that nobody fills the memory


@dataclass(frozen=True, eq=False)  # the player's value is a dict, which has no hash
class HiddenContest:
    """A contest before its vote, and what the player shows of it."""

    contest: Contest
    player: dict[str, Any]


def contenders(pool: ModelPool) -> dict[str, ModelCard]:
    """All models by the name they are revealed under: codebook and size."""
    return {f"{codebook} · {size}": card for codebook, row in pool.by_codebook.items() for size, card in row.items()}


def generate_contest(pool: ModelPool, card: ModelCard, prompt: Prompt, seed: int, deadline: Deadline) -> Iterator[Any]:
    """One model's motion for a prompt and a seed, step by step; the last step has the Generation."""
    stream = pool.pipeline(card).stream(prompt, seed=seed, temperature=pool.default_temperature)
    return follow(stream, deadline)


class ArenaTab:
    """Lays the tab out inside the Blocks being built."""

    def __init__(self, pool: ModelPool, stage: Stage | None = None) -> None:
        self._pool, self._cards = pool, contenders(pool)
        self.hidden = gr.State(None)  # a HiddenContest, until the vote
        self.contests: gr.State = gr.State([])  # those that were voted on
        with gr.Row(elem_classes="bench", equal_height=False):
            with gr.Column(scale=0, min_width=320, elem_classes="tools"):
                self._lay_out_tools()
            with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
                self._lay_out_contest()
        self._connect()

    def _lay_out_tools(self) -> None:
        self.prompt = gr.Textbox(EXAMPLE, label="What happens?", lines=2, elem_id="arena-prompt")
        with gr.Row():
            self.start = gr.Button("Draw two models", variant="primary", size="sm", min_width=150, elem_id="draw")
            self.stop = gr.Button("Stop", size="sm", min_width=70, elem_id="arena-stop")
        with gr.Group():
            self.seconds = gr.Slider(*SECONDS, value=4, step=0.2, label="Length in seconds", buttons=[])
            names = list(self._cards)
            self.names = gr.CheckboxGroup(names, value=names, label="Drawn from (codebook · size)")

    def _lay_out_contest(self) -> None:
        self.status = gr.HTML(
            note("Two models, hidden, make the same sentence with the same seed. Say which is better.")
        )
        self.player = motion_player("arena-stage", "The tab Compare has videos.")
        with gr.Row(elem_id="votes"):
            self.buttons = [
                gr.Button(words, interactive=False, min_width=140, elem_id=f"vote-{vote}")
                for vote, (words, _) in VOTES.items()
            ]
        self.revealed = gr.HTML(elem_id="revealed")
        self.scores = gr.HTML(elem_id="standings")
        with gr.Row():
            self.downloads = [
                gr.DownloadButton(words, size="sm", interactive=False, min_width=120, elem_id=name)
                for words, name in (("Table (CSV)", "take-table"), ("Votes (CSV)", "take-votes"))
            ]

    def _connect(self) -> None:
        outputs = [self.status, self.player, self.hidden, self.revealed, *self.buttons]
        drawing = gr.on(
            [self.start.click, self.prompt.submit],
            self.draw_contest,
            [self.prompt, self.seconds, self.names],
            outputs,
            concurrency_id="motion",
            **QUIET,
        )
        for vote, button in zip(VOTES, self.buttons, strict=True):
            button.click(
                partial(self.cast_vote, vote),
                [self.hidden, self.contests],
                [*outputs, self.contests, self.scores, *self.downloads],
                concurrency_limit=None,
                **QUIET,
            )
        self.stop.click(lambda: note("Stopped."), None, self.status, cancels=[drawing], **INSTANT)

    def draw_contest(self, text: str, seconds: float, names: list[str]) -> Iterator[tuple[Any, ...]]:
        """Two of the named models make the same prompt; values of the outputs, at last with both motions."""
        chance = random.SystemRandom()
        with refusing():
            prompt = Prompt(text, checked_seconds(seconds))
            pair = draw_pair([name for name in names if name in self._cards], chance)
        contest = Contest(text, seconds, chance.randrange(MAX_SEED + 1), *pair)
        # Without a count: the speed of the tokens would give the model away.
        yield hidden_row("Two models", "at work"), gr.skip(), None, "", *self._vote_buttons(False)
        try:
            motions: list[Motion] = []
            deadline = Deadline()
            for name in pair:
                for step in generate_contest(self._pool, self._cards[name], prompt, contest.seed, deadline):
                    if step.result is not None:
                        motions.append(step.result.motion)
                    yield tuple(gr.skip() for _ in range(4 + len(self.buttons)))  # at a yield, Stop can end it
            sides = zip(("Left", "Right"), motions, strict=True)
            figures = [player_figure(side, motion, person_for(text)) for side, motion in sides]
            shown = player_value(figures, uuid.uuid4().hex)
        except Exception as error:
            yield note(reason(error)), gr.skip(), None, "", *self._vote_buttons(False)
            return
        hidden = HiddenContest(contest, shown)
        yield note("Which one does it better?"), shown, hidden, "", *self._vote_buttons(True)

    def cast_vote(self, vote: str, hidden: HiddenContest | None, contests: list[Contest]) -> tuple[Any, ...]:
        """One of VOTES on the hidden contest: the models' names, and the scores with this vote."""
        with refusing():
            if hidden is None:
                raise ValueError("There is nothing to vote on; draw two models first.")
        contest = replace(hidden.contest, vote=vote)
        contests = [*contests, contest][-MAX_VOTES:]
        rows, folder = score_table(contests), new_folder()
        paths = [folder / "arena-table.csv", folder / "arena-votes.csv"]
        for path, text in zip(paths, (as_csv(rows), as_csv(contests)), strict=True):
            path.write_text(text, encoding="utf-8")
        return (
            note(f"{len(contests)} vote{'s'[: len(contests) > 1]} so far. Draw two more."),
            _with_names(hidden.player, contest), None, revealed_names(contest), *self._vote_buttons(False),
            contests, score_sheet(rows), *(gr.DownloadButton(value=str(path), interactive=True) for path in paths),
        )  # fmt: skip

    def _vote_buttons(self, interactive: bool) -> list[gr.Button]:
        return [gr.Button(interactive=interactive) for _ in self.buttons]


def _with_names(player: Mapping[str, Any], contest: Contest) -> dict[str, Any]:
    """The player's value with the models' names in the place of Left and Right."""
    names = (contest.left, contest.right)
    figures = [{**figure, "label": name} for figure, name in zip(player["figures"], names, strict=True)]
    return {**player, "figures": figures}
