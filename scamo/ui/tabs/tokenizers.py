"""The tab "Tokenizer lab": one motion through every codebook there is, and what each makes of it."""

from __future__ import annotations

import uuid
from typing import Any

import gradio as gr

from scamo.body.person import person_for
from scamo.io.read import read_motion
from scamo.motion import Motion
from scamo.options import Prompt
from scamo.ui.components.controls import INSTANT, QUIET
from scamo.ui.components.downloads import downloads
from scamo.ui.components.motion_player import motion_player, player_figure, player_value
from scamo.ui.components.reading_fields import ReadingFields, checked_file, read_fields
from scamo.ui.components.reconstruction_report import error_curves, error_table
from scamo.ui.components.stage import Stage
from scamo.ui.jobs.reconstruction import reconstruct, scale_end, tokenizer_cards
from scamo.ui.messages import note, reading_notes, refusing
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import RecordedMotion

MAX_FRAMES = 400  # twenty seconds
PLAYER = "lab-stage"
EXAMPLE = Prompt("a person walks forward", 5.0)


def example_motion(pool: ModelPool) -> Motion:
    """A motion to begin with, by the largest model of the largest codebook: the package holds no captured motion."""
    if not pool.cards:
        raise ValueError("No model was found on this machine; start the page with --models and a folder.")
    return pool.pipeline(pool.cards[-1]).generate(EXAMPLE, seed=0).motion


class TokenizersTab:
    """Lays the tab out inside the Blocks being built."""

    def __init__(self, pool: ModelPool, stage: Stage | None = None) -> None:
        self._pool = pool
        self._stage = stage or Stage()
        self.offered = list(tokenizer_cards(pool))
        self.recorded = gr.State({})  # label -> RecordedMotion of its reconstruction
        self.chosen = gr.State(None)  # the RecordedMotion that is taken along
        with gr.Row(elem_classes="bench", equal_height=False):
            with gr.Column(scale=0, min_width=320, elem_classes="tools"):
                self.file = gr.File(label="Drop a motion (npy, npz, BVH, GLB)", height=160)
                self.reading = ReadingFields()
                self.example = gr.Button("Use an example", size="sm", elem_id="example")
                self.codebooks = gr.CheckboxGroup(self.offered, value=self.offered[-5:], label="Codebooks")
            with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
                self._lay_out_report()
        self._connect()

    def _lay_out_report(self) -> None:
        self.status = gr.HTML(note("A motion becomes tokens and comes back: the larger the codebook, the closer."))
        self.player = motion_player(PLAYER, "The table below says how they differ.")
        self.plot = gr.LinePlot(  # the kind of its axes is taken from the first values it gets
            x="seconds", y="error in mm", color="codebook", title="Error over time", height=240, show_label=False,
            buttons=[], visible=False,
        )  # fmt: skip
        self.table = gr.HTML()
        self.which = gr.Radio([], label="Take the motion of this codebook with you", visible=False)
        self.files = downloads(self.chosen, lambda chosen: chosen, self._stage.figure)
        self.ways = self._stage.pass_on(self.chosen, lambda chosen: chosen, but=["Tokenizer lab"])

    def _connect(self) -> None:
        outputs = [
            self.status, self.player, self.plot, self.table, self.recorded, self.which, self.chosen, self.files,
            self.ways,
        ]  # fmt: skip
        busy: dict[str, Any] = {**QUIET, "concurrency_id": "motion", "show_progress": "minimal"}
        given = [self.file, self.codebooks, *self.reading.fields]
        gr.on([self.file.upload, self.reading.again.click], self._open, given, outputs, **busy)
        self.example.click(self._use_example, self.codebooks, outputs, **busy)
        self._stage.receive("Tokenizer lab", PLAYER, self._receive, outputs, [self.codebooks])
        self.which.input(
            lambda recorded, label: recorded.get(label), [self.recorded, self.which], self.chosen, **INSTANT
        )

    def _open(self, path: str | None, codebooks: list[str], *reading: Any) -> tuple[Any, ...]:
        with refusing():
            motion, notes = read_motion(checked_file(path), **read_fields(*reading).given)
            return self._shown(motion, "Your motion", codebooks, notes)

    def _receive(self, recorded: RecordedMotion, codebooks: list[str]) -> tuple[Any, ...]:
        return self._shown(recorded.motion, recorded.recipe.prompt, codebooks)

    def _use_example(self, codebooks: list[str]) -> tuple[Any, ...]:
        with refusing():
            return self._shown(example_motion(self._pool), "An example made here", codebooks)

    def _shown(self, motion: Motion, name: str, codebooks: list[str], notes: tuple[str, ...] = ()) -> tuple[Any, ...]:
        if not codebooks:
            raise ValueError("No codebook is chosen; tick at least one.")
        motion = Motion(motion.features[:MAX_FRAMES], motion.fps)
        ordered = sorted(codebooks, key=self.offered.index)  # they come in the order in which they were ticked
        found = [reconstruct(self._pool, motion, label) for label in ordered]
        recorded: dict[str, RecordedMotion] = {}
        for one in found:  # files hold a recipe, which names a model
            with_recipe = one.recorded(name)
            if with_recipe:
                recorded[one.label] = with_recipe
        last = next(reversed(recorded), "")
        chosen = recorded.get(last)
        person = person_for(name)
        figures = [player_figure("as it was", motion, person)]
        figures += [player_figure(one.label, one.motion, person, one.errors) for one in found]
        story = f"{name}: {motion.seconds:.1f} s, as it was and as {len(found)} codebooks give it back."
        return (
            note(" ".join([story, *reading_notes(notes)])),
            player_value(figures, uuid.uuid4().hex, worst=scale_end(found)),
            gr.LinePlot(error_curves(found), visible=True),
            error_table(found),
            recorded,
            gr.Radio(list(recorded), value=last or None, visible=bool(last) and len(found) > 1),
            chosen,
            gr.HTML(visible=bool(last)),
            gr.HTML(visible=bool(last)),
        )
