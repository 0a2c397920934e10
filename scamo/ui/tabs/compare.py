"""The tab "Compare": one prompt and one seed, several models, their motions on one floor and side by side."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from scamo.body.person import person_for
from scamo.ui.components.controls import (
    INSTANT,
    OPTION_CLICK,
    QUIET,
    chosen_guidance,
    clicked_place,
    guidance_slider,
    seed_field,
    temperature_slider,
)
from scamo.ui.components.downloads import downloads
from scamo.ui.components.model_grid import block, model_grid
from scamo.ui.components.motion_player import motion_player, player_figure, player_value
from scamo.ui.components.progress import progress_rows, summary
from scamo.ui.components.reading_fields import checked_file
from scamo.ui.components.result_cards import MEASURES, SCORE, facts, prompt_line, sample_table, title, video_place
from scamo.ui.components.stage import Stage
from scamo.ui.cost_estimate import CostEstimator, describe_cost, models_without_room
from scamo.ui.figure_style import FigureStyle
from scamo.ui.jobs import compare as compare_job
from scamo.ui.jobs.drawing import Desk, DrawingRoom, Order, Video
from scamo.ui.jobs.follow import REFRESH
from scamo.ui.limits import MAX_SAMPLES, SECONDS
from scamo.ui.messages import note, refusal, refusing
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import read_settings

EXAMPLES = (
    "a person walks forward",
    "an exhausted old man walks forward, then bows",
    "a woman throws a ball",
    "a little girl jumps",
    "somebody crouches, then walks",
    "a man does a cartwheel",
    "an old woman picks something up",
)
CARDS_EVERY = 1.0  # seconds: a browser takes longer for cards than for figures, which are to play at once
_PLAY_ALL = """() => {
    for (const video of document.querySelectorAll("#results video")) {
        video.currentTime = 0;
        video.play();
    }
    const { player } = document.querySelector("#stage .scamo-player");
    player?.seek(0);
    player?.play();
}"""


class CompareTab:
    """Lays the tab out inside the Blocks being built."""

    def __init__(self, pool: ModelPool, stage: Stage | None = None) -> None:
        self._pool = pool
        self._stage = stage or Stage()
        self._estimator = CostEstimator(pool)
        self._room = DrawingRoom()
        self.comparison = gr.State(None)
        self.videos = gr.State({})  # by the keys of `orders`: those of the motions that are shown
        self.desk = gr.State(Desk())
        self._lay_out_prompt()
        with gr.Row(elem_id="compare", equal_height=False):
            with gr.Column(scale=0, min_width=320, elem_id="settings"):
                self._lay_out_settings()
            with gr.Column(scale=1, min_width=320, elem_id="results"):
                self.status = gr.HTML(elem_id="status")
                self.player = motion_player("stage", "The videos below show the same.")
                shown = [self.comparison, self.videos, *self._stage.figure.fields]
                gr.render(inputs=shown, show_progress="hidden")(self._show_cards)
        self._connect_run()
        self._connect_fields()

    def _lay_out_prompt(self) -> None:
        with gr.Row(elem_id="composer", equal_height=True):
            self.prompt = gr.Textbox(label="What happens?", placeholder=EXAMPLES[0], lines=2, max_lines=4, scale=1)
            with gr.Column(scale=0, min_width=200, elem_id="actions"):
                self.start = gr.Button("Generate", variant="primary", elem_id="generate")
                self.stop = gr.Button("Stop", interactive=False, elem_id="stop")
        self.expected = gr.HTML(elem_id="expected")
        examples = [[text] for text in EXAMPLES]
        gr.Examples(examples, self.prompt, label="For example", elem_id="examples", api_visibility="private")

    def _lay_out_settings(self) -> None:
        self.models = model_grid(self._pool)
        with gr.Group():
            self.seconds = gr.Slider(*SECONDS, value=4, step=0.2, label="Length in seconds", buttons=[])
            self.free_length = gr.Checkbox(False, label="Let each model decide when it is over")
        with gr.Group():
            self.temperature = temperature_slider(self._pool)
            self.guidance = guidance_slider()
            self.seed = seed_field()
            self.fresh_seed = gr.Checkbox(True, label="A new seed for every click")
        self.samples = gr.Slider(
            1, MAX_SAMPLES, value=1, step=1, label="Samples of each model", info="The smoothest is shown first",
            buttons=[], elem_id="samples",
        )  # fmt: skip
        self.file = gr.File(label="Drop a file made here to get its settings back", height=160)

    def _connect_run(self) -> None:
        choices = [
            self.seed, self.prompt, self.models, self.seconds, self.free_length, self.temperature, self.guidance,
            self.samples,
        ]  # fmt: skip
        accepted = gr.on(  # queued, although it never waits: Gradio shows the errors of queued events only
            [self.start.click, self.prompt.submit],
            self._accept,
            [self.fresh_seed, *choices],
            [self.status, self.seed, self.stop],
            concurrency_limit=None,
            **QUIET,
        )
        running = accepted.success(
            self._generate,
            choices,
            [self.status, self.comparison, self.player, self.stop],
            concurrency_id="motion",
            **QUIET,
        )
        self.stop.click(
            lambda: (note("Stopped. What was finished stays."), gr.Button(interactive=False)),
            None,
            [self.status, self.stop],
            cancels=[running],
            **INSTANT,
        )
        estimate: dict[str, Any] = {
            "fn": self._estimate,
            "inputs": [self.models, self.seconds, self.free_length, self.samples, self.guidance],
            "outputs": [self.expected, self.models],
        }
        gr.on(None, **estimate, **INSTANT)  # when the page opens, and at every change
        running.then(**estimate, **INSTANT)
        figure = self._stage.figure.fields
        gr.on(
            [self.comparison.change, *(field.change for field in figure)],  # type: ignore[attr-defined]
            self._draw,
            [self.comparison, self.videos, self.desk, *figure],
            self.videos,
            concurrency_limit=None,  # nobody waits here for a turn: the drawing room has a queue of its own
            trigger_mode="multiple",
            **QUIET,
        )

    def _connect_fields(self) -> None:
        self.seed.input(lambda: False, None, self.fresh_seed, **INSTANT)  # a seed that was typed is kept
        self.free_length.change(lambda free: gr.Slider(interactive=not free), self.free_length, self.seconds, **INSTANT)
        fields = [
            self.prompt, self.models, self.seconds, self.free_length, self.temperature, self.guidance, self.seed,
            self.fresh_seed,
        ]  # fmt: skip
        self.file.upload(self._restore, self.file, fields, **QUIET)

    def _read(
        self,
        seed: float | None,
        prompt: str,
        models: Any,
        seconds: float,
        free: bool,
        temperature: float,
        guidance: float,
        samples: int,
    ) -> compare_job.CompareRequest:
        """The page's fields as a request. A mistake is shown; what the user typed and made before stays."""
        with refusing():
            length = None if free else seconds
            sampling = temperature, chosen_guidance(guidance), samples
            return compare_job.read_compare_request(self._pool, prompt, models, length, seed, *sampling)

    def _accept(self, fresh: bool, seed: float | None, *choices: Any) -> tuple[str, int, gr.Button]:
        """Before the request waits for its turn: refuse what cannot be made, and settle the seed."""
        request = self._read(None if fresh else seed, *choices)
        for (codebook, label), reason in models_without_room(self._pool, self._estimator).items():
            if self._pool.card(codebook, label) in request.cards.values():
                raise refusal(f"{codebook} · {label} cannot run here. {reason}")
        return note("Waiting for a free place."), request.seed, gr.Button(interactive=True)

    def _generate(self, *choices: Any) -> Iterator[tuple[Any, ...]]:
        request, run = self._read(*choices), uuid.uuid4().hex
        person = person_for(request.text)
        figures: list[dict[str, Any]] = []
        began = reported = listed_at = time.monotonic()
        played = listed = 0  # figures on the player, results with a card
        with closing(compare_job.compare(self._pool, request)) as running:
            for models in running:
                results = tuple(model.result for model in models if model.result)
                for result in results[len(figures) :]:
                    self._record_time(result)
                    figures.append(player_figure(result.label, result.motion, person))
                now = compare_job.Comparison(run, request.text, request.seed, len(models), results)
                clock = time.monotonic()
                play, card = len(figures) > played, len(results) > listed and clock - listed_at > CARDS_EVERY
                if play or card or clock - reported > REFRESH:
                    player = player_value(figures, run, now.places) if play else gr.skip()
                    yield progress_rows(models), now if card else gr.skip(), player, gr.skip()
                    played, reported = len(figures), time.monotonic()
                    listed, listed_at = (len(results), reported) if card else (listed, listed_at)
        notes = dict.fromkeys(text for result in results for text in result.recipe.notes)
        words = summary(models, time.monotonic() - began) + "".join(map(note, notes))
        last = now if len(results) > listed else gr.skip()
        yield words, last, gr.skip(), gr.Button(interactive=False)

    def _record_time(self, result: compare_job.ModelResult) -> None:
        tokens, guidance = max(len(sample.recipe.tokens) for sample in result.samples), result.recipe.options.guidance
        self._estimator.record_generation(result.card, len(result.samples), tokens, result.elapsed, guidance)

    async def _draw(
        self, comparison: compare_job.Comparison | None, videos: dict[Any, Video], desk: Desk, body: str, person: str
    ) -> AsyncIterator[dict[Any, Video]]:
        """The videos of all motions that are shown, each when it is ready."""
        if comparison is None:
            return
        with refusing():
            wanted = orders(comparison, self._stage.figure.style(body, person))
        lengths = {order.key: len(order.motion) for order in wanted}
        async for found in self._room.draw(desk, wanted, videos):
            key, video = next(reversed(found.items()))
            if video.path:
                self._estimator.record_drawing(lengths[key], video.elapsed)
            yield found

    def _estimate(self, models: Any, seconds: float, free: bool, samples: int, guidance: float) -> tuple[str, gr.HTML]:
        without_room = models_without_room(self._pool, self._estimator)
        try:
            cards = self._pool.selected(models)
        except (ValueError, OverflowError):
            cards = {}
        length, own = None if free else seconds, chosen_guidance(guidance)
        words = describe_cost(self._estimator, cards, length, samples, without_room, own)
        return words, block(without_room)

    def _restore(self, path: str | None) -> tuple[Any, ...]:
        """The fields as they were when a file was made."""
        with refusing():
            recipe = read_settings(self._pool, checked_file(path))
            card = self._pool.card_of_recipe(recipe)
        model = [card.codebook, self._pool.label_of(card)]
        length = gr.skip() if recipe.seconds is None else recipe.seconds
        options = recipe.options
        guidance = 1.0 if options.guidance is None else options.guidance
        free = recipe.seconds is None
        return recipe.prompt, [model], length, free, options.temperature, guidance, options.seed, False

    def _show_cards(
        self, comparison: compare_job.Comparison | None, videos: dict[Any, Video], body: str, person: str
    ) -> None:
        """Under the player: a video for every model that is done, its facts, its samples and its files."""
        if comparison is None:
            return
        with gr.Row(elem_id="shown"):
            gr.HTML(prompt_line(comparison))
            if comparison.places > 1:
                again = gr.Button("Play all from the start", size="sm", scale=0, min_width=190)
                again.click(None, js=_PLAY_ALL, api_visibility="private")
        with gr.Row(elem_classes=["cards", f"of-{comparison.places}"]):
            for result, order in zip(
                comparison.results, orders(comparison, self._stage.figure.style(body, person)), strict=True
            ):
                with gr.Column(min_width=0, elem_classes="card", key=("card", comparison.run, result.label)):
                    self._show_card(result, order.key, videos.get(order.key))
        gr.HTML(note(MEASURES + SCORE * (len(comparison.results[0].samples) > 1)))

    def _show_card(self, result: compare_job.ModelResult, key: Any, video: Video | None) -> None:
        gr.HTML(title(result), key=("title", key))
        if video and video.path:
            gr.Video(video.path, autoplay=True, loop=True, show_label=False, buttons=[], key=("video", video.path))
        else:
            gr.HTML(video_place(video.problem if video else ""), key=("place", key, video.problem if video else ""))
        gr.HTML(facts(result), key=("facts", key))
        if len(result.samples) > 1:
            self._connect_samples(result)
        downloads(self.comparison, lambda _: result.recorded, self._stage.figure)
        self._stage.pass_on(self.comparison, lambda _: result.recorded)

    def _connect_samples(self, result: compare_job.ModelResult) -> None:
        def pick(now: compare_job.Comparison, event: gr.EventData) -> tuple[Any, ...]:
            with refusing():
                other = compare_job.pick_sample(self._pool, now, result, clicked_place(event))
            return other, player_of(other)

        table = gr.HTML(sample_table(result), js_on_load=OPTION_CLICK, apply_default_css=False)
        table.click(pick, self.comparison, [self.comparison, self.player], concurrency_id="files", **QUIET)


def orders(comparison: compare_job.Comparison, style: FigureStyle) -> list[Order]:
    """The video of every motion that is shown, as this figure."""
    return [
        Order((comparison.run, result.label, result.picked, style), result.motion, result.recipe, style)
        for result in comparison.results
    ]


def player_of(comparison: compare_job.Comparison) -> dict[str, Any]:
    """The player's value: a figure for every model that is done."""
    person = person_for(comparison.prompt)
    figures = [player_figure(result.label, result.motion, person) for result in comparison.results]
    return player_value(figures, comparison.run, comparison.places)
