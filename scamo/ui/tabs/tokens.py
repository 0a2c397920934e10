"""The tab "Tokens": what a motion is made of, how sure the model was of it, and what else it could have been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from scamo.body.person import person_for
from scamo.io.recipe import Recipe, read_recipe
from scamo.registry import ModelCard
from scamo.ui.components.controls import (
    INSTANT,
    QUIET,
    clicked_place,
    model_choice,
    read_sampling,
    sampling_fields,
)
from scamo.ui.components.downloads import downloads
from scamo.ui.components.motion_player import motion_player, player_figure, player_value
from scamo.ui.components.progress import step_row
from scamo.ui.components.reading_fields import checked_file
from scamo.ui.components.stage import Stage
from scamo.ui.components.token_strip import FOLLOW_PLAYER, alternatives, certainty, time_of, token_strip
from scamo.ui.jobs.drawing import tokens_first
from scamo.ui.jobs.follow import Steps, follow
from scamo.ui.jobs.token_changes import TokenChange, replace_token, trace_recipe
from scamo.ui.limits import SECONDS, checked_seconds
from scamo.ui.messages import note, refusing
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import RecordedMotion

EXAMPLE = "a person walks forward"
PLAYER = "tokens-stage"


class TokensTab:
    """Lays the tab out inside the Blocks being built."""

    def __init__(self, pool: ModelPool, stage: Stage | None = None) -> None:
        self._pool = pool
        self._stage = stage or Stage()
        self.change = gr.State(None)  # a TokenChange
        self.place = gr.State(None)  # of the token that was clicked
        with gr.Row(elem_classes="bench", equal_height=False):
            with gr.Column(scale=0, min_width=320, elem_classes="tools"):
                self._lay_out_tools()
            with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
                self._lay_out_motion()
        self.outputs = [self.status, self.player, self.strip, self.choice, self.change, self.place]
        self._connect()

    def _lay_out_tools(self) -> None:
        self.prompt = gr.Textbox(EXAMPLE, label="What happens?", lines=2)
        with gr.Row():
            self.start = gr.Button("Make it", variant="primary", size="sm", elem_id="tokenise")
            self.stop = gr.Button("Stop", size="sm")
        with gr.Group():
            self.codebook, self.size = model_choice(self._pool)
            self.seconds = gr.Slider(*SECONDS, value=4, step=0.2, label="Length in seconds", buttons=[])
            self.sampling = sampling_fields(self._pool)
        self.file = gr.File(label="Or open a motion made here (MP4, GLB, JSON)", height=160)

    def _lay_out_motion(self) -> None:
        self.status = gr.HTML(note("Every token is a short piece of motion. Make a motion to see what it is made of."))
        self.player = motion_player(PLAYER, "The MP4 below shows the same.")
        self.strip = gr.HTML(js_on_load=FOLLOW_PLAYER % PLAYER, elem_id="strip")
        with gr.Group(visible=False, elem_id="choice") as self.choice:
            self.other = gr.Radio([], label="What else it could have been")
            with gr.Row():
                self.replace = gr.Button("Replace it", size="sm", elem_id="replace")
                self.branch = gr.Button("Branch from here", size="sm", elem_id="branch")
        downloads(self.change, _recorded, self._stage.figure)
        self._stage.pass_on(self.change, _recorded, but=["Tokens"])

    def _connect(self) -> None:
        busy: dict[str, Any] = {**QUIET, "concurrency_id": "motion"}
        generating = gr.on(
            [self.start.click, self.prompt.submit],
            self._generate,
            [self.prompt, self.codebook, self.size, self.seconds, *self.sampling],
            self.outputs,
            **busy,
        )
        chosen = [self.change, self.place, self.other]
        replacing = self.replace.click(self._replace, chosen, self.outputs, **busy)
        branching = self.branch.click(self._branch, chosen, self.outputs, **busy)
        self.file.upload(self._open, self.file, self.outputs, **busy)
        self._stage.receive("Tokens", PLAYER, lambda recorded: self._trace(recorded.recipe), self.outputs)
        self.strip.click(self._pick, self.change, [self.place, self.strip, self.choice, self.other], **INSTANT)
        self.stop.click(
            lambda: note("Stopped."), None, self.status, cancels=[generating, replacing, branching], **INSTANT
        )

    def _generate(
        self, text: str, codebook: int, size: str, seconds: float, *sampling: Any
    ) -> Iterator[tuple[Any, ...]]:
        with refusing():
            card, options = self._pool.card(codebook, size), read_sampling(*sampling)
            stream = self._pool.pipeline(card).stream(text, options, seconds=checked_seconds(seconds))
            yield from self._run(card, stream, TokenChange)

    def _replace(self, change: TokenChange | None, place: int | None, token: int | None) -> Iterator[tuple[Any, ...]]:
        yield from self._put_token(change, place, token, branch=False)

    def _branch(self, change: TokenChange | None, place: int | None, token: int | None) -> Iterator[tuple[Any, ...]]:
        yield from self._put_token(change, place, token, branch=True)

    def _put_token(
        self, change: TokenChange | None, place: int | None, token: int | None, branch: bool
    ) -> Iterator[tuple[Any, ...]]:
        with refusing():
            if change is None or place is None or token is None:
                raise ValueError("Nothing is chosen; click a token, then what shall stand in its place.")
            card = change.now.card
            steps = replace_token(self._pool.pipeline(card), change.now, place, int(token), branch)
            yield from self._run(card, steps, lambda changed: changed)

    def _run(
        self, card: ModelCard, steps: Steps[Any], as_change: Callable[[Any], TokenChange]
    ) -> Iterator[tuple[Any, ...]]:
        rest = [gr.skip()] * (len(self.outputs) - 1)
        for step in follow(steps):
            if step.result is None:
                yield step_row(card.size, step), *rest
            else:
                yield self._shown(as_change(step.result))

    def _open(self, path: str | None) -> tuple[Any, ...]:
        with refusing():
            return self._trace(read_recipe(checked_file(path)))

    def _trace(self, recipe: Recipe) -> tuple[Any, ...]:
        if len(recipe.prompts) > 1:
            raise ValueError("This motion has several prompts; open it under Continue.")
        pipeline = self._pool.pipeline(self._pool.card_of_recipe(recipe))
        with tokens_first.sampling():
            return self._shown(TokenChange(trace_recipe(pipeline, recipe)))

    def _pick(self, change: TokenChange | None, event: gr.EventData) -> tuple[Any, ...]:
        with refusing():
            place = clicked_place(event)
            if change is None or place >= len(change.now.tokens):
                raise ValueError("There is no such token here; make a motion and click one of its tokens.")
        label = f"What else it could have been at {time_of(change.now, place):.1f} s"
        others = gr.Radio(alternatives(change.now, place), value=None, label=label)
        return place, token_strip(change, place), gr.Group(visible=True), others

    def _shown(self, change: TokenChange) -> tuple[Any, ...]:
        motions = {"": change.now.motion}
        if change.before:
            motions = {"before": change.before.motion, "after": change.now.motion}
        recipe = change.now.recipe
        person = person_for(recipe.prompt)
        figures = [player_figure(label, motion, person) for label, motion in motions.items()]
        # A change of tokens keeps the clock and the view.
        player = player_value(figures, f"{recipe.file_stem} {len(recipe.tokens)}")
        return (
            note(f"“{recipe.prompt}”: {certainty(change.now)}"),
            player,
            token_strip(change),
            gr.Group(visible=False),
            change,
            None,
        )


def _recorded(change: TokenChange | None) -> RecordedMotion | None:
    return RecordedMotion.of(change.now) if change else None
