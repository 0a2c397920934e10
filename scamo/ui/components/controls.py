"""What every tab that makes motions shares: choosing one model, following its tokens, and stopping."""

from __future__ import annotations

import collections.abc
import time
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from scamo.motion import Motion
from scamo.pipeline import Sampling
from scamo.render import render_motion
from scamo.ui.components.downloads import stem_of, workspace
from scamo.ui.model_pool import Studio
from scamo.ui.tabs.compare import DEADLINE, REFRESH, Cell, progress

_T = TypeVar("_T")
Stream = collections.abc.Generator[int, None, _T]
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def first(studio: Studio) -> tuple[int | None, str | None]:
    """The codebook and the size to begin with: the largest model of 1024 codes, or of the largest codebook."""
    codebook = 1024 if 1024 in studio.cells else max(studio.cells, default=None)
    return codebook, next(reversed(studio.cells.get(codebook or 0, {})), None)


def model(studio: Studio) -> tuple[gr.Radio, gr.Radio]:
    """Lay out the choice of one model: its codebook and its size."""
    begin = first(studio)
    codebook = gr.Radio(list(studio.cells), value=begin[0], label="Codebook")
    size = _sizes(studio, *begin)
    codebook.change(lambda book, now: _sizes(studio, book, now), [codebook, size], size, queue=False, **QUIET)
    return codebook, size


def sampling(studio: Studio) -> tuple[gr.Slider, gr.Number]:
    """Lay out temperature and seed."""
    temperature = gr.Slider(0, 1.5, value=studio.temperature, step=0.05, label="Temperature", buttons=[])
    seed = gr.Number(0, label="Seed", info="Another seed, another motion", precision=0, minimum=0, maximum=2**31 - 1)
    return temperature, seed


def drawn_with(temperature: float, seed: float | None) -> Sampling:
    """What the fields of `sampling` say; an empty seed is drawn."""
    return Sampling(None if seed is None else int(seed), temperature).resolved()


def follow(stream: Stream[_T], label: str, total: int) -> collections.abc.Generator[str, None, _T]:
    """The progress of a stream of tokens as HTML, a few times a second; returns what the stream returns."""
    before, deadline = 0.0, time.monotonic() + DEADLINE
    while True:
        try:
            count = next(stream)
        except StopIteration as end:
            return end.value
        now = time.monotonic()
        if now > deadline:
            raise ValueError("This took too long; choose a smaller model or a shorter length.")
        if now - before > REFRESH:
            yield progress([Cell(label, "tokens", count, total)])
            before = now


def film(motions: dict[str, Motion], recipe: dict[str, Any]) -> str:
    """A video of motions side by side and in step, each under its label; returns the path."""
    path: Path = workspace() / f"{stem_of(recipe)}.mp4"
    figures = list(motions.values())
    options: dict[str, Any] = {"labels": list(motions)} if len(motions) > 1 else {}
    size = (480 if len(motions) < 3 else 300 * len(motions), 480)
    return str(render_motion(figures, path, fps=figures[0].fps, metadata=recipe, size=size, **options))


def _sizes(studio: Studio, codebook: int | None, now: str | None) -> gr.Radio:
    row = list(studio.cells.get(codebook or 0, {}))
    return gr.Radio(row, value=now if now in row else next(iter(row[-1:]), None), label="Model size")
