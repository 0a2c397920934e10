"""The tab "Tokens": what a motion is made of, how sure the model was of it, and what else it could have been."""

from __future__ import annotations

import collections.abc
import html
import math
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from scamo.io.recipe import read_recipe, recipe
from scamo.pipeline import Generation, Generator, Prompt, Sampling
from scamo.ui.components import controls as making
from scamo.ui.components.downloads import CLICKED, card_of, downloads, motion_of, tokens_of
from scamo.ui.messages import note, refusal
from scamo.ui.model_pool import Studio

SECONDS = (1.0, 10.0)
TOKENS_A_SECOND = 5
EXAMPLE = "a person walks forward"

Recipe = dict[str, Any]
Thoughts = dict[str, list[Any]]  # a Trace's fields as lists, which a page can hold
View = dict[str, Any]  # before: Recipe or None, now: Recipe, thoughts: Thoughts, codes: int


def seen(generation: Generation, before: Recipe | None = None) -> View:
    """What the tab holds of a motion: its recipe, the one before a change, and what the model thought."""
    return {
        "before": before,
        "now": recipe(generation.card, [generation.prompt], generation.sampling, generation.tokens),
        "thoughts": {name: part.tolist() for name, part in generation.trace._asdict().items()},
        "codes": math.prod(generation.card.levels),
    }


def changed(
    generator: Generator, now: Recipe, place: int, token: int, branch: bool
) -> collections.abc.Generator[int, None, View]:
    """Another token at one place: the others stay, or with `branch` all after it are sampled anew.

    The seed stays too, so that a branch differs by that choice alone and by what follows from it.
    """
    tokens = tokens_of(now)
    if not 0 <= place < len(tokens):
        raise ValueError(f"This motion has {len(tokens)} tokens; click one of them.")
    start = [*tokens[:place], token, *([] if branch else tokens[place + 1 :])]
    return seen((yield from _sampled(generator, now, start)), now)


def understood(generator: Generator, now: Recipe) -> View:
    """What the model thinks of a motion that is there; nothing is sampled."""
    stream = _sampled(generator, now, tokens_of(now))
    while True:
        try:
            next(stream)
        except StopIteration as end:
            return seen(end.value)


def _sampled(generator: Generator, now: Recipe, start: list[int]) -> collections.abc.Generator[int, None, Generation]:
    options = Sampling(now.get("seed"), now.get("temperature") or 0.0, now.get("top_k"), now.get("top_p"))
    return generator.stream(
        Prompt(now.get("prompt") or ""), seconds=len(tokens_of(now)) / TOKENS_A_SECOND, seed=options.seed,
        temperature=options.temperature, top_k=options.top_k, top_p=options.top_p, start=start,
    )  # fmt: skip


def strip(view: View | None, place: int | None = None) -> str:
    """The tokens as buttons, one for a fifth of a second: the surer the model, the fuller the colour.

    The bar under each is its entropy, full where every code would have been as likely. Changed ones wear a ring.
    """
    if view is None:
        return ""
    tokens, thoughts = tokens_of(view["now"]), view["thoughts"]
    before = tokens_of(view["before"]) if view["before"] else tokens
    most = math.log(view["codes"])
    cells = []
    for index, (token, share, entropy) in enumerate(
        zip(tokens, thoughts["probability"], thoughts["entropy"], strict=True)
    ):
        names = ["picked"] * (index == place) + ["changed"] * (index >= len(before) or token != before[index])
        sure = html.escape(_percent(share))
        about = f"{index / TOKENS_A_SECOND:.1f} s: token {token}, {sure}, entropy {entropy:.2f} nats"
        cells.append(
            f'<button type="button" data-option="{index}" class="{" ".join(names)}" title="{about}" '
            f'aria-label="{about}" style="--sure: {100 * share**0.5:.0f}%; --open: {100 * entropy / most:.0f}%">'
            f"<b>{token}</b><small>{sure}</small></button>"
        )
    return f'<div class="strip">{"".join(cells)}</div>'


def alternatives(view: View, place: int) -> list[tuple[str, int]]:
    """What the model would have liked at a place, likeliest first, as the choices of a Radio."""
    now = tokens_of(view["now"])[place]
    top, shares = view["thoughts"]["top"][place], view["thoughts"]["top_probability"][place]
    return [
        (f"{token} · {_percent(share)}{' · now' * (token == now)}", token)
        for token, share in zip(top, shares, strict=True)
    ]


def facts(view: View) -> str:
    """How sure the model was, in one line."""
    thoughts, tokens = view["thoughts"], tokens_of(view["now"])
    usual = _percent(float(np.exp(np.mean(np.log(np.maximum(thoughts["probability"], 1e-12))))))
    return (
        f"{len(tokens)} tokens of {view['codes']} kinds, {len(set(tokens))} different. On average the model gave a "
        f"token {usual} and had an entropy of {np.mean(thoughts['entropy']):.2f} nats. Click a token."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %" if share > 0 else "0 %"


def tab(studio: Studio) -> None:
    """Lay out the tab inside the Blocks being built."""
    view, place, held = gr.State(None), gr.State(None), gr.State(None)
    with gr.Row(elem_classes="bench", equal_height=False):
        with gr.Column(scale=0, min_width=320, elem_classes="tools"):
            prompt = gr.Textbox(EXAMPLE, label="What happens?", lines=2)
            with gr.Row():
                make = gr.Button("Make it", variant="primary", size="sm", elem_id="tokenise")
                stop = gr.Button("Stop", size="sm")
            with gr.Group():
                codebook, size = making.model(studio)
                seconds = gr.Slider(*SECONDS, value=4, step=0.2, label="Length in seconds", buttons=[])
                temperature, seed = making.sampling(studio)
            file = gr.File(label="Or open a motion made here (MP4, GLB, JSON)", height=160)
        with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
            status = gr.HTML(note("Every token is a fifth of a second. Make a motion to see what it is made of."))
            video = gr.Video(
                interactive=False, show_label=False, autoplay=True, loop=True, buttons=[], elem_classes="film"
            )
            cells = gr.HTML(js_on_load=CLICKED, elem_id="strip")
            with gr.Group(visible=False, elem_id="choice") as choice:
                other = gr.Radio([], label="What else it could have been")
                with gr.Row():
                    put = gr.Button("Replace it", size="sm", elem_id="replace")
                    branch = gr.Button("Branch from here", size="sm", elem_id="branch")
            downloads(studio, held)

    def shown(new: View) -> tuple[Any, ...]:
        motions = {"before": motion_of(studio, new["before"])} if new["before"] else {}
        motions["after" if motions else ""] = motion_of(studio, new["now"])
        return (
            note(facts(new)), making.film(motions, new["now"]), strip(new),
            gr.Group(visible=False), new, None, new["now"],
        )  # fmt: skip

    def work(label: str, total: int, stream: making.Stream[View]) -> Iterator[tuple[Any, ...]]:
        progress = making.follow(stream, label, total)
        rest = [gr.skip()] * (len(outputs) - 1)
        while True:
            try:
                yield next(progress), *rest
            except StopIteration as end:
                yield note("Drawing."), *rest
                yield shown(end.value)
                return

    def first(
        text: str, codebook: int, size: str, seconds: float, temperature: float, seed: float | None
    ) -> Iterator[tuple[Any, ...]]:
        try:
            card, sampling = studio.card(codebook or 0, size or ""), making.drawn_with(temperature, seed)
            stream = studio.generator(card).stream(
                text, seconds=seconds, seed=sampling.seed, temperature=sampling.temperature
            )
            yield from work(card.size, round(seconds * TOKENS_A_SECOND), _as_view(stream))
        except (ValueError, OverflowError, OSError) as error:
            raise refusal(error) from error

    def change(branch: bool, view: View | None, place: int | None, token: int | None) -> Iterator[tuple[Any, ...]]:
        try:
            if view is None or place is None or token is None:
                raise ValueError("Nothing is chosen; click a token, then what shall stand in its place.")
            card = card_of(studio, view["now"])
            stream = changed(studio.generator(card), view["now"], place, int(token), branch)
            yield from work(card.size, len(tokens_of(view["now"])), stream)
        except (ValueError, OverflowError, OSError) as error:
            raise refusal(error) from error

    def open_file(path: str) -> tuple[Any, ...]:
        try:
            found = read_recipe(path)
            if found.get("timeline"):
                raise ValueError("This motion has several prompts; open it under Continue.")
            return shown(understood(studio.generator(card_of(studio, found)), found))
        except (ValueError, OSError) as error:
            raise refusal(error) from error

    def pick(view: View, event: gr.EventData) -> tuple[Any, ...]:
        place = int(event._data["option"])
        label = f"What else it could have been at {place / TOKENS_A_SECOND:.1f} s"
        others = gr.Radio(alternatives(view, place), value=None, label=label)
        return place, strip(view, place), gr.Group(visible=True), others

    outputs = [status, video, cells, choice, view, place, held]
    busy: dict[str, Any] = {**making.QUIET, "concurrency_id": "motion"}
    firsts = gr.on(
        [make.click, prompt.submit], first, [prompt, codebook, size, seconds, temperature, seed], outputs, **busy
    )
    putting = put.click(lambda *given: (yield from change(False, *given)), [view, place, other], outputs, **busy)
    branching = branch.click(lambda *given: (yield from change(True, *given)), [view, place, other], outputs, **busy)
    file.upload(open_file, file, outputs, **busy)
    cells.click(pick, view, [place, cells, choice, other], queue=False, **making.QUIET)
    stop.click(
        lambda: note("Stopped."), None, status, cancels=[firsts, putting, branching], queue=False, **making.QUIET
    )


def _as_view(
    stream: collections.abc.Generator[int, None, Generation],
) -> collections.abc.Generator[int, None, View]:
    return seen((yield from stream))
