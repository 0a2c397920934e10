"""The tab "Compare": one prompt and one seed, several models, their motions side by side.

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
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from torch import Tensor

from scamo.generate import Generation, ModelCard, Prompt, Sampling
from scamo.render import render_motion
from scamo.ui.files import workspace
from scamo.ui.say import note, reason, sentence
from scamo.ui.studio import Studio

SECONDS = (1.0, 10.0)
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
    """What one click asks of every chosen model."""

    prompt: Prompt
    sampling: Sampling
    cards: tuple[tuple[str, ModelCard], ...]  # label and model


@dataclass(frozen=True)
class Result:
    """A finished motion and its files; title and facts are HTML."""

    title: str
    facts: str
    video: str
    features: str
    joints: str
    recipe: dict[str, Any] = field(hash=False)  # Gradio hashes what a State holds


@dataclass(frozen=True)
class Shown:
    """What stands beside the settings: the motions so far of one click, and for how many there has to be room."""

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
    codebook: int | None,
    sizes: Sequence[str],
    seconds: float | None,
    seed: int | None,
    temperature: float,
) -> Order:
    """Check what a user chose. ValueError, in words for the user, where it cannot be meant."""
    if codebook is None:
        raise ValueError("No model was found on this machine; start the page with --models and a folder.")
    if not sizes:
        raise ValueError("No model is chosen; tick at least one size.")
    if seconds is not None and not SECONDS[0] <= seconds <= SECONDS[1]:
        raise ValueError(f"{seconds:g} seconds are not offered here; choose {SECONDS[0]:g} to {SECONDS[1]:g}.")
    cards = tuple((size, studio.card(int(codebook), size)) for size in dict.fromkeys(sizes))
    sampling = Sampling(seed=random.randrange(2**31) if seed is None else int(seed), temperature=temperature)
    return Order(Prompt(prompt, seconds), sampling, cards)


def run(studio: Studio, order: Order, folder: Path) -> Iterator[tuple[Cell, ...]]:
    """Make the motions one after the other; each is drawn while the next one's tokens come. Yields every change.

    The files go to `folder`. Close it to stop. A model that fails does not keep the others from finishing.
    """
    return _Run(studio, order, folder).changes()


class _Run:
    def __init__(self, studio: Studio, order: Order, folder: Path) -> None:
        self.studio, self.order, self.folder = studio, order, folder
        self.cells = [Cell(label) for label, _ in order.cards]
        self.embeddings: dict[str | None, Tensor] = {}
        self.drawings: dict[int, Future[Result]] = {}
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drawing")
        self.deadline = time.monotonic() + DEADLINE

    def changes(self) -> Iterator[tuple[Cell, ...]]:
        try:
            for index in range(len(self.cells)):
                yield self._now(index, state="tokens")
                try:
                    generation = yield from self._tokens(index)
                except Exception as error:
                    yield self._now(index, state="failed", error=reason(error))
                else:
                    self.drawings[index] = self.pool.submit(draw, generation, self.folder)
                    yield self._now(index, state="drawing")
            while self.drawings:
                time.sleep(0.05)
                yield self._now()
        finally:
            self.pool.shutdown(wait=False, cancel_futures=True)

    def _tokens(self, index: int) -> Generator[tuple[Cell, ...], None, Generation]:
        card, prompt, sampling = self.order.cards[index][1], self.order.prompt, self.order.sampling
        generator = self.studio.generator(card)
        if card.text_encoder not in self.embeddings:
            self.embeddings[card.text_encoder] = self.studio.embed(card, prompt.text or "")
        embedding = self.embeddings[card.text_encoder]
        stream = generator.stream(prompt, seed=sampling.seed, temperature=sampling.temperature, embedding=embedding)
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


def draw(generation: Generation, folder: Path) -> Result:
    """Write a motion's video, features and joints, and say what it is."""
    card, prompt, seed = generation.card, generation.prompt, generation.sampling.seed
    words = re.sub(r"[^a-z0-9]+", "-", (prompt.text or "").lower()).strip("-")[:40].strip("-")
    stem = folder / "-".join(filter(None, [words, str(card.codebook), card.size, f"seed{seed}"]))
    features, joints = stem.with_name(f"{stem.name}-features.npy"), stem.with_name(f"{stem.name}-joints.npy")
    np.save(features, generation.motion.features)
    np.save(joints, generation.motion.joints)
    recipe = {
        "prompt": prompt.text,
        "seconds": prompt.seconds,
        "seed": seed,
        "temperature": generation.sampling.temperature,
        "model": card.name,
        "codebook": card.codebook,
        "size": card.size,
        "tokens": generation.tokens.tolist(),
    }
    path = stem.with_name(f"{stem.name}.mp4")
    render_motion(generation.motion, path, fps=generation.motion.fps, metadata=recipe)
    speed = len(generation.tokens) / max(generation.seconds, 1e-6)
    return Result(
        title=f"<h3>{html.escape(card.size)} <small>codebook {card.codebook}</small></h3>",
        facts=f"<p>{generation.motion.seconds:.1f} s of motion, {len(generation.tokens)} tokens<br>"
        f"<small>made in {generation.seconds:.2f} s, {speed:.0f} tokens/s</small></p>",
        video=str(path),
        features=str(features),
        joints=str(joints),
        recipe=recipe,
    )


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


def tab(studio: Studio) -> None:
    """Lay out the tab inside the Blocks being built."""
    codebooks = list(studio.cells)
    first = 1024 if 1024 in studio.cells else max(codebooks, default=None)

    shown = gr.State(None)
    with gr.Row(elem_id="composer", equal_height=True):
        prompt = gr.Textbox(label="What happens?", placeholder=EXAMPLES[0], lines=2, max_lines=4, scale=1)
        with gr.Column(scale=0, min_width=200, elem_id="actions"):
            start = gr.Button("Generate", variant="primary", elem_id="generate")
            stop = gr.Button("Stop", interactive=False, elem_id="stop")
    gr.Examples([[text] for text in EXAMPLES], prompt, label="For example", api_visibility="private")
    with gr.Row(elem_id="compare", equal_height=False):
        with gr.Column(scale=0, min_width=320, elem_id="settings"):
            with gr.Group():
                codebook = gr.Radio(codebooks, value=first, label="Codebook", info="How many kinds of token there are")
                chosen = _sizes(studio, first, [])
            with gr.Group():
                seconds = gr.Slider(*SECONDS, value=4, step=0.2, label="Length in seconds", buttons=[])
                free = gr.Checkbox(False, label="Let each model decide when it is over")
            with gr.Group():
                temperature = gr.Slider(0, 1.5, value=studio.temperature, step=0.05, label="Temperature", buttons=[])
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1)
                fresh = gr.Checkbox(True, label="A new seed for every click")
        with gr.Column(scale=1, min_width=320, elem_id="results"):
            status = gr.HTML(elem_id="status")

            gr.render(inputs=shown, show_progress="hidden")(_show)

    def accept(seed: float | None, fresh: bool, *choices: Any) -> tuple[str, int | None, gr.Button]:
        """Before a place is free: refuse what cannot be made, settle the seed."""
        order = _ordered(studio, *_request(None if fresh else seed, *choices))
        if not re.search("[a-zA-Z]", order.prompt.text or ""):
            gr.Warning("The models read English; this prompt will mean little to them.")
        return note("Waiting for a free place."), order.sampling.seed, gr.Button(interactive=True)

    def make(*choices: Any) -> Iterator[tuple[Any, ...]]:
        order = _ordered(studio, *_request(*choices))
        text, seed = order.prompt.text or "", order.sampling.seed or 0
        drawn, before, began = 0, 0.0, time.monotonic()
        for cells in run(studio, order, workspace()):
            done = tuple(cell.result for cell in cells if cell.result)
            if len(done) > drawn or time.monotonic() - before > REFRESH:
                # What was there before stays until the first new motion takes its place.
                yield (
                    progress(cells),
                    Shown(text, seed, len(cells), done) if len(done) > drawn else gr.skip(),
                    gr.skip(),
                )
                drawn, before = len(done), time.monotonic()
        yield summary(cells, time.monotonic() - began), gr.skip(), gr.Button(interactive=False)

    choices = [seed, prompt, codebook, chosen, seconds, free, temperature]
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    accepted = gr.on(  # queued, though it never waits: Gradio shows the refusals of queued events only
        [start.click, prompt.submit], accept, [seed, fresh, *choices[1:]], [status, seed, stop],
        concurrency_limit=None, show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    event = accepted.success(
        make, choices, [status, shown, stop], concurrency_id="motion", show_progress="hidden", api_visibility="private"
    )
    stop.click(
        lambda: (note("Stopped. What was finished stays."), gr.Button(interactive=False)),
        None,
        [status, stop],
        cancels=[event],
        **quick,
    )
    seed.input(lambda: False, None, fresh, **quick)  # whoever types a seed wants it
    free.change(lambda free: gr.Slider(interactive=not free), free, seconds, **quick)
    codebook.change(lambda codebook, chosen: _sizes(studio, codebook, chosen), [codebook, chosen], chosen, **quick)


def _request(
    seed: float | None, prompt: str, codebook: int, sizes: list[str], seconds: float, free: bool, temperature: float
) -> tuple[Any, ...]:
    """The page's fields in the order of `read_order`."""
    return prompt, codebook, sizes, None if free else seconds, seed, temperature


def _sizes(studio: Studio, codebook: int | None, chosen: Sequence[str]) -> gr.CheckboxGroup:
    """The sizes of a codebook; ticked are those chosen before, else the bundled ones, which are small."""
    row = studio.cells.get(codebook or 0, {})
    bundled = [size for size, card in row.items() if card.source == "bundled"]
    ticked = [size for size in row if size in chosen] or bundled or list(row)[:3]
    return gr.CheckboxGroup(list(row), value=ticked, label="Model sizes", info="Each makes its own motion")


def _show(shown: Shown | None) -> None:
    if shown is None:
        gr.HTML('<div class="empty"><p>Motions appear here, side by side,<br>each as soon as it is ready.</p></div>')
        return
    with gr.Row(elem_id="shown"):
        gr.HTML(f"<p>“{html.escape(shown.prompt)}”<br><small>seed {shown.seed}</small></p>")
        if shown.places > 1:
            again = gr.Button("Play all from the start", size="sm", scale=0, min_width=190)
            again.click(None, js=_PLAY_ALL, api_visibility="private")
    with gr.Row(elem_classes=["cards", f"of-{shown.places}"]):
        for result in shown.results:
            with gr.Column(min_width=0, elem_classes="card", key=("card", result.video)):
                gr.HTML(result.title, key=("title", result.video))
                gr.Video(
                    result.video, autoplay=True, loop=True, show_label=False, buttons=[], key=("video", result.video)
                )
                gr.HTML(result.facts, key=("facts", result.video))
                with gr.Row(elem_classes="downloads"):
                    files = {"Video": result.video, "Features": result.features, "Joints": result.joints}
                    for name, path in files.items():
                        gr.DownloadButton(name, path, size="sm", min_width=60, key=(name, result.video))


_PLAY_ALL = """() => document.querySelectorAll("#results video").forEach((video) => {
    video.currentTime = 0;
    video.play();
})"""


def _ordered(studio: Studio, *choices: Any) -> Order:
    """`read_order`, its refusals shown on the page. Nothing the user typed or made before is touched then."""
    try:
        return read_order(studio, *choices)
    except (ValueError, OverflowError) as error:
        raise gr.Error(sentence(error), print_exception=False) from error
