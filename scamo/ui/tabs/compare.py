"""The tab "Compare": one prompt and one seed, several models, their motions on one floor and side by side.

`run` does the work and knows nothing of Gradio; `tab` lays out the page and hands the snapshots on.
"""

from __future__ import annotations

import html
import random
import re
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from scamo.io.recipe import recipe
from scamo.metrics import foot_slide, jitter, roughness_score
from scamo.motion import Motion
from scamo.pipeline import Generation, ModelCard, Prompt, Sampling
from scamo.render import render_motion
from scamo.ui.components import model_grid as grid
from scamo.ui.components.downloads import CLICKED, downloads, motion_of, restorer, stem_of, workspace
from scamo.ui.components.motion_player import figure, player, staged
from scamo.ui.cost_estimate import Machine, blocked, in_bytes, told
from scamo.ui.messages import note, reason, refusal, sentence
from scamo.ui.model_pool import Studio

SECONDS = (1.0, 10.0)
SAMPLES = 8  # at most, of one model for one click
DEADLINE = 600.0  # seconds of computing for one click
REFRESH = 0.2  # seconds between two pictures of the progress
EXAMPLES = (
    "a person walks forward",
    "an exhausted old man walks forward, then bows",
    "a woman raises her left hand",
    "someone walks while turning left",
    "a happy child dances",
    "a man kicks with his right leg",
)


@dataclass(frozen=True)
class Order:
    """What one click asks of every chosen model: samples of one prompt, with the seed and those that follow it."""

    prompt: Prompt
    sampling: Sampling
    cards: dict[str, ModelCard]  # by the label they are shown under
    samples: int = 1

    @property
    def seeds(self) -> list[int]:
        """One for each sample."""
        return [(self.sampling.seed or 0) + sample for sample in range(self.samples)]


@dataclass(frozen=True)
class Sample:
    """A motion as its recipe, and what was measured of it: foot slide in m/s, jitter in m/s^3, and `unrest` of both."""

    recipe: dict[str, Any] = field(hash=False)  # Gradio hashes what a State holds
    slide: float
    jitter: float
    unrest: float


@dataclass(frozen=True, eq=False)  # arrays have no single truth to compare
class Result:
    """What a model made, the smoothest first; `picked` of them is the one that is shown, with its motion and video.

    seconds: the time it took to make them all; drawing: the time the video took.
    """

    label: str
    card: ModelCard
    samples: tuple[Sample, ...]
    seconds: float
    picked: int
    motion: Motion
    video: str
    drawing: float = 0.0

    @property
    def recipe(self) -> dict[str, Any]:
        """Of the sample that is shown."""
        return self.samples[self.picked].recipe

    @cached_property
    def figure(self) -> dict[str, Any]:
        """As the player shows it."""
        return figure(self.label, self.motion)


@dataclass(frozen=True)
class Shown:
    """What stands beside the settings: the motions so far of one click, and for how many there has to be room."""

    run: str  # its name, one for each click
    prompt: str
    seed: int
    places: int
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Cell:
    """One model's part of a run. state: waiting, tokens, drawing, done or failed."""

    label: str
    state: str = "waiting"
    count: int = 0
    total: int | None = None
    result: Result | None = None
    error: str = ""


def read_order(
    studio: Studio,
    prompt: str,
    cells: Any,
    seconds: float | None,
    seed: int | None,
    temperature: float,
    samples: int = 1,
) -> Order:
    """Check what a user chose; cells is what the grid holds. ValueError, in words for the user, where it is wrong."""
    cards = grid.chosen(studio, cells)
    if seconds is not None and not SECONDS[0] <= seconds <= SECONDS[1]:
        raise ValueError(f"{seconds:g} seconds are not offered here; choose {SECONDS[0]:g} to {SECONDS[1]:g}.")
    if not 1 <= samples <= SAMPLES:
        raise ValueError(f"{samples} samples are not offered here; choose 1 to {SAMPLES}.")
    sampling = Sampling(seed=random.randrange(2**31) if seed is None else int(seed), temperature=temperature)
    return Order(Prompt(prompt, seconds), sampling, cards, int(samples))


def run(studio: Studio, order: Order, folder: Path) -> Iterator[tuple[Cell, ...]]:
    """Make the motions one model after the other; each is drawn while the next one's tokens come. Yields every change.

    The videos go to `folder`. Close it to stop. A model that fails does not keep the others from finishing.
    """
    return _Run(studio, order, folder).changes()


class _Run:
    def __init__(self, studio: Studio, order: Order, folder: Path) -> None:
        self.studio, self.order, self.folder = studio, order, folder
        self.cells = [Cell(label) for label in order.cards]
        self.embeddings: dict[str | None, Tensor] = {}
        self.drawings: dict[int, Future[Result]] = {}
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drawing")
        self.deadline = time.monotonic() + DEADLINE

    def changes(self) -> Iterator[tuple[Cell, ...]]:
        try:
            for index, (label, card) in enumerate(self.order.cards.items()):
                yield self._now(index, state="tokens")
                try:
                    made = yield from self._tokens(index, card)
                except Exception as error:
                    yield self._now(index, state="failed", error=reason(error))
                else:
                    self.drawings[index] = self.pool.submit(finished, label, card, made, self.folder / str(index))
                    yield self._now(index, state="drawing")
            while self.drawings:
                time.sleep(0.05)
                yield self._now()
        finally:
            self.pool.shutdown(wait=False, cancel_futures=True)

    def _tokens(self, index: int, card: ModelCard) -> Generator[tuple[Cell, ...], None, list[Generation]]:
        prompt, seeds = self.order.prompt, self.order.seeds
        generator = self.studio.generator(card)
        if card.text_encoder not in self.embeddings:
            self.embeddings[card.text_encoder] = self.studio.embed(card, prompt.text or "")
        stream = generator.stream_batch(
            [prompt] * len(seeds),
            seed=seeds,
            temperature=self.order.sampling.temperature,
            embedding=self.embeddings[card.text_encoder],
        )
        per_second = generator.fps / generator.tokenizer.frames_per_token
        total = None if prompt.seconds is None else max(1, round(prompt.seconds * per_second))
        while True:
            try:
                count = next(stream)
            except StopIteration as end:
                return end.value
            if time.monotonic() > self.deadline:
                raise ValueError("This took too long; choose a smaller model or a shorter length.")
            yield self._now(index, count=count, total=total)

    def _now(self, index: int | None = None, **change: Any) -> tuple[Cell, ...]:
        """All cells after a change to one of them, and with the drawings that have become ready."""
        if index is not None:
            self.cells[index] = replace(self.cells[index], **change)
        for index in [index for index, drawing in self.drawings.items() if drawing.done()]:
            drawing = self.drawings.pop(index)
            try:
                change = {"state": "done", "result": drawing.result()}
            except Exception as error:
                change = {"state": "failed", "error": reason(error)}
            self.cells[index] = replace(self.cells[index], **change)
        return tuple(self.cells)


def finished(label: str, card: ModelCard, made: Sequence[Generation], folder: Path) -> Result:
    """Measure the samples that a model made, and draw the smoothest."""
    slides = [foot_slide(one.motion.joints, one.motion.fps) for one in made]
    jitters = [jitter(one.motion.joints, one.motion.fps) for one in made]
    recipes = [recipe(card, [one.prompt], one.sampling, one.tokens) for one in made]
    samples = list(map(Sample, recipes, slides, jitters, roughness_score(slides, jitters).tolist()))
    order = sorted(range(len(made)), key=lambda sample: samples[sample].unrest)
    motion, begun = made[order[0]].motion, time.perf_counter()
    video = film(motion, recipes[order[0]], folder)
    drawing = time.perf_counter() - begun
    return Result(label, card, tuple(samples[sample] for sample in order), made[0].seconds, 0, motion, video, drawing)


def film(motion: Motion, recipe: dict[str, Any], folder: Path) -> str:
    """Draw a motion into a video in a folder; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem_of(recipe)}.mp4"
    return str(render_motion(motion, path, fps=motion.fps, metadata=recipe))


def picked(studio: Studio, shown: Shown, result: Result, sample: int, folder: Path) -> Shown:
    """The same with another sample of one model in its place, decoded and drawn anew."""
    if not 0 <= sample < len(result.samples):
        raise ValueError(f"There are {len(result.samples)} samples; choose one of them.")
    recipe = result.samples[sample].recipe
    motion = motion_of(studio, recipe)
    other = replace(result, picked=sample, motion=motion, video=film(motion, recipe, folder))
    return replace(shown, results=tuple(other if one is result else one for one in shown.results))


def on_stage(shown: Shown) -> dict[str, Any]:
    """The player's value: a figure for every model that is done."""
    figures = [result.figure for result in shown.results]
    return staged(figures, shown.run, shown.places, shown.results[0].motion.fps)


def progress(cells: Sequence[Cell]) -> str:
    """The progress of all models as HTML, one row each."""
    return f'<div class="runs" role="status">{"".join(map(_row, cells))}</div>' if cells else ""


def summary(cells: Sequence[Cell], took: float) -> str:
    """What is left to say when a run is over: the time, and what failed."""
    done = sum(cell.state == "done" for cell in cells)
    failed = progress([cell for cell in cells if cell.state == "failed"])
    return failed + (note(f"{done} motion{'s'[: done > 1]} in {took:.1f} s, videos included.") if done else "")


def _row(cell: Cell) -> str:
    words = {
        "waiting": "waiting",
        "tokens": f"{cell.count} of {cell.total} tokens" if cell.total else f"{cell.count} tokens",
        "drawing": "drawing",
        "done": "done",
        "failed": html.escape(cell.error),
    }[cell.state]
    if cell.state == "tokens" and not cell.count:
        words = "loading"
    bar = ""
    if cell.state == "tokens" and cell.total:
        bar = f'<i class="bar"><i style="width: {100 * cell.count / cell.total:.0f}%"></i></i>'
    elif cell.state in ("tokens", "drawing"):  # nobody knows how long: the bar only moves
        bar = '<i class="bar endless"><i></i></i>'
    return f'<div class="run {cell.state}"><b>{html.escape(cell.label)}</b>{bar}<span>{words}</span></div>'


def facts(result: Result) -> str:
    """What is to be told under a motion, as HTML."""
    sample, count = result.samples[result.picked], len(result.samples)
    tokens = sum(len(one.recipe["tokens"]) for one in result.samples)
    lines = {
        "Motion": f"{result.motion.seconds:.1f} s, {len(sample.recipe['tokens'])} tokens",
        "Made in": f"{result.seconds:.2f} s{f' (all {count})' * (count > 1)}, {tokens / result.seconds:.0f} tokens/s",
        "Model": f"{in_bytes(result.card.memory_bytes)} of memory",
        "Foot slide": f"{100 * sample.slide:.1f} cm/s",
        "Shaking": f"{sample.jitter:.0f} m/s³",
    }
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in lines.items())}</dl>"


def scores(result: Result) -> str:
    """All samples of a model as a table of buttons, the smoothest first."""
    rows = "".join(
        f'<tr><td><button type="button" data-option="{place}" aria-pressed="{str(place == result.picked).lower()}">'
        f"{one.recipe['seed']}</button></td><td>{100 * one.slide:.1f}</td><td>{one.jitter:.0f}</td>"
        f"<td>{one.unrest:.2f}</td></tr>"
        for place, one in enumerate(result.samples)
    )
    head = "<th>Seed</th><th>Slide, cm/s</th><th>Shaking, m/s³</th><th>Score</th>"
    return f'<div class="samples"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def tab(studio: Studio) -> None:
    """Lay out the tab inside the Blocks being built."""
    shown, machine = gr.State(None), Machine()
    with gr.Row(elem_id="composer", equal_height=True):
        prompt = gr.Textbox(label="What happens?", placeholder=EXAMPLES[0], lines=2, max_lines=4, scale=1)
        with gr.Column(scale=0, min_width=200, elem_id="actions"):
            start = gr.Button("Generate", variant="primary", elem_id="generate")
            stop = gr.Button("Stop", interactive=False, elem_id="stop")
    expected = gr.HTML(elem_id="expected")
    examples = [[text] for text in EXAMPLES]
    gr.Examples(examples, prompt, label="For example", elem_id="examples", api_visibility="private")
    with gr.Row(elem_id="compare", equal_height=False):
        with gr.Column(scale=0, min_width=320, elem_id="settings"):
            cells = grid.cells(studio)
            with gr.Group():
                seconds = gr.Slider(*SECONDS, value=4, step=0.2, label="Length in seconds", buttons=[])
                free = gr.Checkbox(False, label="Let each model decide when it is over")
            with gr.Group():
                temperature = gr.Slider(0, 1.5, value=studio.temperature, step=0.05, label="Temperature", buttons=[])
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1)
                fresh = gr.Checkbox(True, label="A new seed for every click")
            samples = gr.Slider(
                1, SAMPLES, value=1, step=1, label="Samples of each model", info="The smoothest is shown first",
                buttons=[], elem_id="samples",
            )  # fmt: skip
            restorer(studio, prompt, cells, seconds, free, temperature, seed, fresh)
        with gr.Column(scale=1, min_width=320, elem_id="results"):
            status = gr.HTML(elem_id="status")
            stage = player("stage", "The videos below show the same.")

            @gr.render(inputs=shown, show_progress="hidden")
            def show(now: Shown | None) -> None:
                if now is not None:
                    _cards(studio, now, shown, stage)

    def accept(seed: float | None, fresh: bool, *choices: Any) -> tuple[str, int | None, gr.Button]:
        """Before a place is free: refuse what cannot be made, settle the seed."""
        order = _ordered(studio, *_request(None if fresh else seed, *choices))
        for cell, why in blocked(studio, machine).items():
            if studio.card(*cell) in order.cards.values():
                raise gr.Error(f"{cell[0]} · {cell[1]} cannot run here. {why}", print_exception=False)
        if not re.search("[a-zA-Z]", order.prompt.text or ""):
            gr.Warning("The models read English; this prompt will mean little to them.")
        return note("Waiting for a free place."), order.sampling.seed, gr.Button(interactive=True)

    def make(*choices: Any) -> Iterator[tuple[Any, ...]]:
        order, folder = _ordered(studio, *_request(*choices)), workspace()
        text, seed = order.prompt.text or "", order.sampling.seed or 0
        drawn, before, began = 0, 0.0, time.monotonic()
        for cells in run(studio, order, folder):
            done = tuple(cell.result for cell in cells if cell.result)
            for result in done[drawn:]:
                tokens = max(len(one.recipe["tokens"]) for one in result.samples)
                machine.made(result.card, len(result.samples), tokens, result.seconds)
                machine.drew(len(result.motion), result.drawing)
            if len(done) > drawn:  # what was there before stays until the first new motion takes its place
                now = Shown(folder.name, text, seed, len(cells), done)
                yield progress(cells), now, on_stage(now), gr.skip()
            elif time.monotonic() - before > REFRESH:
                yield progress(cells), gr.skip(), gr.skip(), gr.skip()
            else:
                continue
            drawn, before = len(done), time.monotonic()
        yield summary(cells, time.monotonic() - began), gr.skip(), gr.skip(), gr.Button(interactive=False)

    def expect(cells: Any, seconds: float, free: bool, samples: int) -> tuple[str, gr.HTML]:
        no = blocked(studio, machine)
        try:
            cards = grid.chosen(studio, cells)
        except (ValueError, OverflowError):
            cards = {}
        words = told(machine, cards, None if free else seconds, samples, no)
        return words, gr.HTML(blocked={grid.key(cell): why for cell, why in no.items()})

    choices = [seed, prompt, cells, seconds, free, temperature, samples]
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    accepted = gr.on(  # queued, though it never waits: Gradio shows the refusals of queued events only
        [start.click, prompt.submit], accept, [seed, fresh, *choices[1:]], [status, seed, stop],
        concurrency_limit=None, show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    event = accepted.success(
        make, choices, [status, shown, stage, stop], concurrency_id="motion", show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip
    stop.click(
        lambda: (note("Stopped. What was finished stays."), gr.Button(interactive=False)),
        None,
        [status, stop],
        cancels=[event],
        **quick,
    )
    asked = {"fn": expect, "inputs": [cells, seconds, free, samples], "outputs": [expected, cells]}
    gr.on(None, **asked, **quick)  # as the page opens, and at every change
    event.then(**asked, **quick)
    seed.input(lambda: False, None, fresh, **quick)  # whoever types a seed wants it
    free.change(lambda free: gr.Slider(interactive=not free), free, seconds, **quick)


def _request(
    seed: float | None, prompt: str, cells: Any, seconds: float, free: bool, temperature: float, samples: int
) -> tuple[Any, ...]:
    """The page's fields in the order of `read_order`."""
    return prompt, cells, None if free else seconds, seed, temperature, samples


def _cards(studio: Studio, now: Shown, shown: gr.State, stage: gr.HTML) -> None:
    """Under the player: a video for every model that is done, and what is told of it."""
    with gr.Row(elem_id="shown"):
        gr.HTML(f"<p>“{html.escape(now.prompt)}”<br><small>seed {now.seed}</small></p>")
        if now.places > 1:
            again = gr.Button("Play all from the start", size="sm", scale=0, min_width=190)
            again.click(None, js=_PLAY_ALL, api_visibility="private")
    with gr.Row(elem_classes=["cards", f"of-{now.places}"]):
        for result in now.results:
            with gr.Column(min_width=0, elem_classes="card", key=("card", result.video)):
                title = html.escape(result.card.size)
                gr.HTML(f"<h3>{title} <small>codebook {result.card.codebook}</small></h3>", key=("title", result.video))
                gr.Video(
                    result.video, autoplay=True, loop=True, show_label=False, buttons=[], key=("video", result.video)
                )
                gr.HTML(facts(result), key=("facts", result.video))
                if len(result.samples) > 1:
                    _pick(studio, result, shown, stage)
                downloads(studio, result.recipe)
    gr.HTML(note(_MEASURES + _SCORE * (len(now.results[0].samples) > 1)))


def _pick(studio: Studio, result: Result, shown: gr.State, stage: gr.HTML) -> None:
    def pick(now: Shown, event: gr.EventData) -> tuple[Any, ...]:
        try:
            other = picked(studio, now, result, int(event._data["option"]), workspace())
        except (ValueError, OSError) as error:
            raise refusal(error) from error
        return other, on_stage(other)

    table = gr.HTML(scores(result), js_on_load=CLICKED, apply_default_css=False)
    table.click(pick, shown, [shown, stage], show_progress="hidden", concurrency_id="files", api_visibility="private")


_MEASURES = (
    "Foot slide: how fast the toes move over the floor while they stand on it. Shaking: how abruptly the joints change "
    "their course (the mean jerk). Lower is better in both."
)
_SCORE = (
    " Score: half of it foot slide, half shaking, each against the mean of these samples; the lowest is shown first. A "
    "figure that hardly moves scores well too, and none of this reads the prompt, so look for yourself."
)
_PLAY_ALL = """() => {
    for (const video of document.querySelectorAll("#results video")) {
        video.currentTime = 0;
        video.play();
    }
    const { player } = document.querySelector("#stage .scamo-player");
    player?.seek(0);
    player?.play();
}"""


def _ordered(studio: Studio, *choices: Any) -> Order:
    """`read_order`, its refusals shown on the page. Nothing the user typed or made before is touched then."""
    try:
        return read_order(studio, *choices)
    except (ValueError, OverflowError) as error:
        raise gr.Error(sentence(error), print_exception=False) from error
