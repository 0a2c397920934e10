"""The tab "Continue": prompts that follow each other, and motions that go on otherwise from any moment."""

from __future__ import annotations

import collections.abc
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
import numpy as np

from scamo.io.read import load_motion
from scamo.io.recipe import PICTURES, read_recipe, recipe
from scamo.pipeline import DEFAULT_CONTEXT, DEFAULT_MAX_TOKENS, Generator, Prompt, Sampling
from scamo.ui.components import controls as making
from scamo.ui.components.downloads import MAX_TOKENS, card_of, downloads, motion_of, stem_of, tokens_of
from scamo.ui.messages import note, refusal
from scamo.ui.model_pool import Studio

ROWS = 5
SECONDS = (1.0, 10.0)
FIRST = (("a person walks forward", 3.0), ("a person bows", 3.0))
TOKENS_A_SECOND = 5

Recipe = dict[str, Any]


def read_rows(rows: Sequence[tuple[str, float]]) -> list[Prompt]:
    """The prompts of the rows that hold words. ValueError where none does or a length is not offered."""
    prompts = [Prompt(text, _length(seconds)) for text, seconds in rows if text.strip()]
    if not prompts:
        raise ValueError("The timeline is empty; say what happens first.")
    return prompts


def joined(
    generator: Generator, prompts: Sequence[Prompt], sampling: Sampling
) -> collections.abc.Generator[int, None, Recipe]:
    """The recipe of a motion in which prompts follow each other."""
    made = yield from generator.stream_timeline(prompts, seed=sampling.seed, temperature=sampling.temperature)
    return recipe(generator.card, made.prompts, made.sampling, made.tokens)


def continued(
    generator: Generator, before: Recipe, keep: float, prompt: Prompt, sampling: Sampling
) -> collections.abc.Generator[int, None, Recipe]:
    """The recipe of a motion that keeps the first `keep` seconds of another and goes on with a prompt for its seconds.

    A new prompt sees the last two seconds; the prompt it was made of sees all that is kept, as when it was made.
    """
    kept = tokens_of(before)[: round(keep * TOKENS_A_SECOND)]
    fresh = round((prompt.seconds or 0) * TOKENS_A_SECOND)
    if len(kept) + fresh > MAX_TOKENS:
        raise ValueError(f"That makes more than {MAX_TOKENS / TOKENS_A_SECOND:g} seconds; keep less of it.")
    whole = before.get("prompt") == prompt.text and len(kept) + fresh <= DEFAULT_MAX_TOKENS
    context = len(kept) if whole else min(len(kept), round(DEFAULT_CONTEXT * TOKENS_A_SECOND))
    cut = len(kept) - context
    made = yield from generator.stream(
        prompt.text, seconds=(context + fresh) / TOKENS_A_SECOND, seed=sampling.seed,
        temperature=sampling.temperature, start=kept[cut:],
    )  # fmt: skip
    parts = [*_parts(before, len(kept) / TOKENS_A_SECOND), prompt]
    return recipe(generator.card, parts, made.sampling, np.array([*kept[:cut], *made.tokens.tolist()]))


def opened(studio: Studio, path: str, codebook: int | None, size: str | None) -> Recipe:
    """A file as something to go on from: a recipe's own motion, or any other as tokens of the chosen model."""
    if path.lower().endswith((*PICTURES, ".glb", ".json")):
        found = read_recipe(path)
        motion_of(studio, found)  # refuses what is none
        return found
    card = studio.card(codebook or 0, size or "")
    tokens = studio.generator(card).tokenizer.encode(load_motion(path).features[: MAX_TOKENS * 4])
    seconds = len(tokens) / TOKENS_A_SECOND
    return recipe(card, [Prompt("a motion of your own", seconds)], Sampling(0), tokens)


def _parts(before: Recipe, seconds: float) -> list[Prompt]:
    """What the first seconds of a motion were made of."""
    timeline = before.get("timeline")
    if not isinstance(timeline, list) or not all(isinstance(part, dict) for part in timeline):
        timeline = [{"prompt": before.get("prompt"), "seconds": seconds}]
    parts: list[Prompt] = []
    for part in timeline:
        length = min(float(part.get("seconds") or seconds), seconds)
        if round(length * TOKENS_A_SECOND) < 1:
            break
        parts.append(Prompt(str(part.get("prompt") or "a motion"), length))
        seconds -= length
    return parts


def _length(seconds: float | None) -> float:
    if seconds is None or not SECONDS[0] <= seconds <= SECONDS[1]:
        raise ValueError(f"A part of {seconds or 0:g} seconds is not offered; choose {SECONDS[0]:g} to {SECONDS[1]:g}.")
    return seconds


def story(recipe: Recipe) -> str:
    """What happens when, in one line."""
    seconds = len(tokens_of(recipe)) / TOKENS_A_SECOND
    parts = [f"{part.text} ({part.seconds:.1f} s)" for part in _parts(recipe, seconds)]
    return f"{seconds:.1f} s: {', then '.join(parts)}."


def tab(studio: Studio) -> None:
    """Lay out the tab inside the Blocks being built."""
    held = gr.State(None)
    with gr.Row(elem_classes="bench", equal_height=False):
        with gr.Column(scale=0, min_width=320, elem_classes="tools"):
            rows = [_row(place) for place in range(ROWS)]
            with gr.Row():
                more = gr.Button("Add a part", size="sm")
                make = gr.Button("Make it", variant="primary", size="sm", elem_id="join")
            with gr.Group():
                codebook, size = making.model(studio)
                temperature, seed = making.sampling(studio)
        with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
            status = gr.HTML(note("Parts follow each other without a seam. Make a motion, or open one."))
            video = gr.Video(
                interactive=False, show_label=False, autoplay=True, loop=True, buttons=[], elem_classes="film"
            )
            downloads(studio, held)
            with gr.Group():
                keep = gr.Slider(0, 10, value=10, step=0.2, label="Keep the first seconds", buttons=[])
                prompt = gr.Textbox(label="and then", placeholder="a person waves with both hands")
                seconds = gr.Slider(*SECONDS, value=3, step=0.2, label="for so many seconds", buttons=[])
            with gr.Row():
                go_on = gr.Button("Go on from there", size="sm", elem_id="go-on")
                stop = gr.Button("Stop", size="sm")
            file = gr.File(label="Or begin with any motion file", height=160)

    def shown(made: Recipe) -> tuple[Any, ...]:
        motion = motion_of(studio, made)
        length = len(tokens_of(made)) / TOKENS_A_SECOND
        return (
            note(story(made)),
            making.film({stem_of(made): motion}, made),
            made,
            gr.Slider(maximum=length, value=length),
        )

    def work(card: Any, total: float, stream: making.Stream[Recipe]) -> Iterator[tuple[Any, ...]]:
        made = yield from _waiting(making.follow(stream, card.size, round(total * TOKENS_A_SECOND)))
        yield note("Drawing."), gr.skip(), gr.skip(), gr.skip()
        yield shown(made)

    def join(codebook: int, size: str, temperature: float, seed: float, *fields: Any) -> Iterator[tuple[Any, ...]]:
        try:
            prompts = read_rows(list(zip(fields[::2], fields[1::2], strict=True)))
            card = studio.card(codebook or 0, size or "")
            chosen = making.drawn_with(temperature, seed)
            total = sum(part.seconds or 0 for part in prompts)
            yield from work(card, total, joined(studio.generator(card), prompts, chosen))
        except (ValueError, OverflowError, OSError) as error:
            raise refusal(error) from error

    def extend(
        before: Recipe | None, keep: float, text: str, seconds: float, temperature: float, seed: float
    ) -> Iterator[tuple[Any, ...]]:
        try:
            if before is None:
                raise ValueError("There is no motion to go on from; make or open one first.")
            card, prompt = card_of(studio, before), Prompt(text, _length(seconds))
            stream = continued(studio.generator(card), before, keep, prompt, making.drawn_with(temperature, seed))
            yield from work(card, min(keep, DEFAULT_CONTEXT) + seconds, stream)
        except (ValueError, OverflowError, OSError) as error:
            raise refusal(error) from error

    def open_file(path: str, codebook: int, size: str) -> tuple[Any, ...]:
        try:
            return shown(opened(studio, path, codebook, size))
        except (ValueError, OSError) as error:
            raise refusal(error) from error

    outputs = [status, video, held, keep]
    fields = [field for _, *pair in rows for field in pair]
    busy: dict[str, Any] = {**making.QUIET, "concurrency_id": "motion"}
    joining = make.click(join, [codebook, size, temperature, seed, *fields], outputs, **busy)
    going = gr.on(
        [go_on.click, prompt.submit], extend, [held, keep, prompt, seconds, temperature, seed], outputs, **busy
    )
    file.upload(open_file, [file, codebook, size], outputs, **busy)
    stop.click(lambda: note("Stopped."), None, status, cancels=[joining, going], queue=False, **making.QUIET)
    used = gr.State(len(FIRST))
    more.click(
        lambda used: [min(used + 1, ROWS), *(gr.Group(visible=place <= used) for place in range(ROWS))],
        used, [used, *(group for group, *_ in rows)], queue=False, **making.QUIET,
    )  # fmt: skip


def _waiting(progress: collections.abc.Generator[str, None, Recipe]) -> collections.abc.Generator[Any, None, Recipe]:
    """Progress in the place of the status; all else stays as it is."""
    while True:
        try:
            yield next(progress), gr.skip(), gr.skip(), gr.skip()
        except StopIteration as end:
            return end.value


def _row(place: int) -> tuple[gr.Group, gr.Textbox, gr.Slider]:
    text, seconds = FIRST[place] if place < len(FIRST) else ("", 3.0)
    with gr.Group(visible=place < len(FIRST)) as group:
        prompt = gr.Textbox(text, label="First" if place == 0 else "Then", lines=1)
        length = gr.Slider(*SECONDS, value=seconds, step=0.2, label="Seconds", buttons=[])
    return group, prompt, length
