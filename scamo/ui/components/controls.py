"""Fields that several tabs have: the choice of one model, temperature, guidance, seed; options of Gradio events, and
what was clicked."""

from __future__ import annotations

from typing import Any

import gradio as gr

from scamo.options import GenerationOptions
from scamo.ui.limits import MAX_SEED
from scamo.ui.model_pool import ModelPool

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
INSTANT: dict[str, Any] = {**QUIET, "queue": False}

# A click on a button with data-option becomes the component's click, with that option.
OPTION_CLICK = """element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-option]");
    if (button) trigger("click", {option: button.dataset.option});
});"""


def clicked(event: gr.EventData | None) -> dict[str, Any]:
    """What a click says of itself: the option, and the fields beside it. Raises ValueError where it says nothing.

    It comes from a browser, or from a program that calls what is behind a button.
    """
    said = getattr(event, "_data", None)
    if not isinstance(said, dict):
        raise ValueError("It is not known what was clicked; click it on the page.")
    return said


def clicked_place(event: gr.EventData | None) -> int:
    """The option of a click that is a place, counted from 0. Raises ValueError where it is none."""
    option = clicked(event).get("option")
    if not isinstance(option, (str, int)) or not str(option).isdecimal():
        raise ValueError("It is not known what was clicked; click it on the page.")
    return int(option)


def model_choice(pool: ModelPool) -> tuple[gr.Radio, gr.Radio]:
    """Lay out the choice of one model: its codebook and its size."""
    codebook = gr.Radio(list(pool.by_codebook), value=pool.default_key[0], label="Codebook")
    size = _size_choice(pool, *pool.default_key)
    codebook.change(lambda book, now: _size_choice(pool, book, now), [codebook, size], size, **INSTANT)
    return codebook, size


def temperature_slider(pool: ModelPool) -> gr.Slider:
    """Lay out the temperature, which starts at the models' own."""
    return gr.Slider(0, 1.5, value=pool.default_temperature, step=0.05, label="Temperature", buttons=[])


def guidance_slider() -> gr.Slider:
    """Lay out the guidance, which starts at 0: each model's own, for models are trained for different ones."""
    return gr.Slider(
        0, 10, value=0, step=0.1, label="Guidance",
        info="0 is each model's own, 1 is off; more follows the words closer, in twice the time", buttons=[],
    )  # fmt: skip


def chosen_guidance(value: float) -> float | None:
    """The slider's value as an option: None is the model's own."""
    return value or None


def seed_field(info: str | None = None) -> gr.Number:
    """Lay out the seed."""
    return gr.Number(0, label="Seed", info=info, precision=0, minimum=0, maximum=MAX_SEED)


def sampling_fields(pool: ModelPool) -> list[gr.Slider | gr.Number]:
    """Lay out temperature, guidance and seed."""
    return [temperature_slider(pool), guidance_slider(), seed_field("Another seed, another motion")]


def read_sampling(temperature: float, guidance: float, seed: float | None) -> GenerationOptions:
    """What the fields of `sampling_fields` say; an empty seed is drawn."""
    given = None if seed is None else int(seed)
    return GenerationOptions(seed=given, temperature=temperature, guidance=chosen_guidance(guidance))


def _size_choice(pool: ModelPool, codebook: int | None, now: str | None) -> gr.Radio:
    row = list(pool.by_codebook.get(codebook or 0, {}))
    return gr.Radio(row, value=now if now in row else next(iter(row[-1:]), None), label="Model size")
