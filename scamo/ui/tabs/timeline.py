"""The tab "Continue": prompts that follow each other, and motions that go on in another way from any moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from scamo.body.person import person_for
from scamo.options import Prompt
from scamo.registry import ModelCard
from scamo.ui.components.controls import INSTANT, QUIET, model_choice, read_sampling, sampling_fields
from scamo.ui.components.downloads import downloads
from scamo.ui.components.motion_player import motion_player, player_figure, player_value
from scamo.ui.components.progress import step_row
from scamo.ui.components.reading_fields import ReadingFields, checked_file, read_fields
from scamo.ui.components.stage import Stage
from scamo.ui.jobs.continuation import continue_motion, open_motion, read_parts, story
from scamo.ui.jobs.follow import Steps, follow
from scamo.ui.limits import SECONDS, checked_seconds
from scamo.ui.messages import note, reading_notes, refusing
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import RecordedMotion

MAX_PARTS = 5
PLAYER = "continue-stage"
FIRST_PARTS = (("a person walks forward", 3.0), ("a person bows", 3.0))


class TimelineTab:
    """Lays the tab out inside the Blocks being built."""

    def __init__(self, pool: ModelPool, stage: Stage | None = None) -> None:
        self._pool = pool
        self._stage = stage or Stage()
        self.made = gr.State(None)  # a RecordedMotion
        with gr.Row(elem_classes="bench", equal_height=False):
            with gr.Column(scale=0, min_width=320, elem_classes="tools"):
                self._lay_out_parts()
            with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
                self._lay_out_motion()
        self._connect()

    def _lay_out_parts(self) -> None:
        self.parts = [_part_fields(place) for place in range(MAX_PARTS)]
        with gr.Row():
            self.more = gr.Button("Add a part", size="sm")
            self.start = gr.Button("Make it", variant="primary", size="sm", elem_id="join")
        with gr.Group():
            self.codebook, self.size = model_choice(self._pool)
            self.sampling = sampling_fields(self._pool)

    def _lay_out_motion(self) -> None:
        self.status = gr.HTML(note("Parts follow each other without a seam. Make a motion, or open one."))
        self.player = motion_player(PLAYER, "The MP4 below shows the same.")
        downloads(self.made, lambda made: made, self._stage.figure)
        self._stage.pass_on(self.made, lambda made: made, but=["Continue"])
        with gr.Group():
            self.keep = gr.Slider(0, 10, value=10, step=0.2, label="Keep the first seconds", buttons=[])
            self.prompt = gr.Textbox(label="and then", placeholder="a person waves with both hands")
            self.seconds = gr.Slider(*SECONDS, value=3, step=0.2, label="for so many seconds", buttons=[])
        with gr.Row():
            self.go_on = gr.Button("Go on from there", size="sm", elem_id="go-on")
            self.stop = gr.Button("Stop", size="sm")
        self.file = gr.File(label="Or begin with any motion file", height=160)
        self.reading = ReadingFields()

    def _connect(self) -> None:
        outputs = [self.status, self.player, self.made, self.keep]
        busy: dict[str, Any] = {**QUIET, "concurrency_id": "motion"}
        texts = [field for _, *pair in self.parts for field in pair]
        joining = self.start.click(self._generate, [self.codebook, self.size, *self.sampling, *texts], outputs, **busy)
        continuing = gr.on(
            [self.go_on.click, self.prompt.submit],
            self._continue,
            [self.made, self.keep, self.prompt, self.seconds, *self.sampling],
            outputs,
            **busy,
        )
        given = [self.file, self.codebook, self.size, *self.reading.fields]
        gr.on([self.file.upload, self.reading.again.click], self._open, given, outputs, **busy)
        self._stage.receive("Continue", PLAYER, self._shown, outputs)
        self.stop.click(lambda: note("Stopped."), None, self.status, cancels=[joining, continuing], **INSTANT)
        used = gr.State(len(FIRST_PARTS))
        self.more.click(
            lambda used: [min(used + 1, MAX_PARTS), *(gr.Group(visible=place <= used) for place in range(MAX_PARTS))],
            used,
            [used, *(group for group, *_ in self.parts)],
            **INSTANT,
        )

    def _generate(
        self, codebook: int, size: str, temperature: float, guidance: float, seed: float, *fields: Any
    ) -> Iterator[tuple[Any, ...]]:
        with refusing():
            prompts = read_parts(list(zip(fields[::2], fields[1::2], strict=True)))
            card, options = self._pool.card(codebook, size), read_sampling(temperature, guidance, seed)
            stream = self._pool.pipeline(card).stream_timeline(prompts, options)
            yield from self._run(card, stream, RecordedMotion.of)

    def _continue(
        self, before: RecordedMotion | None, keep: float, text: str, seconds: float, *sampling: Any
    ) -> Iterator[tuple[Any, ...]]:
        with refusing():
            if before is None:
                raise ValueError("There is no motion to go on from; make or open one first.")
            card, prompt = self._pool.card_of_recipe(before.recipe), Prompt(text, checked_seconds(seconds))
            options = read_sampling(*sampling)
            steps = continue_motion(self._pool.pipeline(card), before.recipe, keep, prompt, options)
            yield from self._run(card, steps, lambda made: made, before)

    def _run(
        self,
        card: ModelCard,
        steps: Steps[Any],
        recorded: Callable[[Any], RecordedMotion],
        before: RecordedMotion | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        for step in follow(steps):
            if step.result is None:
                yield step_row(card.size, step), gr.skip(), gr.skip(), gr.skip()
            else:
                yield self._shown(recorded(step.result), before)

    def _open(self, path: str | None, codebook: int, size: str, *reading: Any) -> tuple[Any, ...]:
        with refusing():
            return self._shown(open_motion(self._pool, checked_file(path), codebook, size, read_fields(*reading)))

    def _shown(self, made: RecordedMotion, before: RecordedMotion | None = None) -> tuple[Any, ...]:
        """before: the motion that was continued; it stands beside where it went on in another way."""
        codec = self._pool.card_of_recipe(made.recipe).tokenizer
        seconds = codec.seconds_of(len(made.recipe.tokens))
        motions = {"": made.motion}
        if before and made.recipe.tokens[: len(before.recipe.tokens)] != before.recipe.tokens:
            motions = {"before": before.motion, "after": made.motion}
        person = person_for(made.recipe.prompt)
        figures = [player_figure(label, motion, person) for label, motion in motions.items()]
        return (
            note(" ".join([story(made.recipe, codec), *made.recipe.notes, *reading_notes(made.notes)])),
            player_value(figures, uuid.uuid4().hex),
            made,
            gr.Slider(maximum=seconds, value=seconds),
        )


def _part_fields(place: int) -> tuple[gr.Group, gr.Textbox, gr.Slider]:
    text, seconds = FIRST_PARTS[place] if place < len(FIRST_PARTS) else ("", 3.0)
    with gr.Group(visible=place < len(FIRST_PARTS)) as group:
        prompt = gr.Textbox(text, label="First" if place == 0 else "Then", lines=1)
        length = gr.Slider(*SECONDS, value=seconds, step=0.2, label="Seconds", buttons=[])
    return group, prompt, length
