"""A row of buttons, one for each file of a motion. A file is written when its button is clicked."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from scamo.ui.components.controls import QUIET
from scamo.ui.components.figure_choice import FigureChoice
from scamo.ui.messages import refusing
from scamo.ui.motion_files import OFFERS, VARIANTS, RecordedMotion, new_folder, write_file

_CLICK_WITH_VARIANTS = """element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-option]");
    const ticked = [...element.querySelectorAll("input:checked")].map((box) => box.name);
    if (button) trigger("click", {option: button.dataset.option, variants: ticked});
});"""
_SAVE = """(file) => {
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name;
    link.click();
}"""


def downloads(state: gr.State, recorded: Callable[[Any], RecordedMotion | None], figure: FigureChoice) -> gr.HTML:
    """Lay out the row. recorded: takes the motion to write out of the state's value; None where there is none yet.

    figure: what files that show a figure show.
    """
    buttons = "".join(
        f'<button type="button" data-option="{name}" title="{html.escape(offer.about)}">{name}</button>'
        for name, offer in OFFERS.items()
    )
    ticks = "".join(
        f'<label title="{html.escape(about)}"><input type="checkbox" name="{name}">{label}</label>'
        for name, (label, about) in VARIANTS.items()
    )
    inside = f'<div class="take" role="group" aria-label="Take it with you">{buttons}<span>{ticks}</span></div>'
    row = gr.HTML(inside, js_on_load=_CLICK_WITH_VARIANTS)
    file = gr.DownloadButton(visible="hidden")

    def save(value: Any, body: str, person: str, event: gr.EventData) -> str:
        with refusing():
            motion = recorded(value)
            if motion is None:
                raise ValueError("There is no motion yet; make one first.")
            clicked = event._data  # from a browser, so it may be anything
            variants = [str(name) for name in clicked.get("variants", [])]
            return str(
                write_file(motion, str(clicked.get("option")), new_folder(), variants, figure.style(body, person))
            )

    saved = row.click(save, [state, *figure.fields], file, concurrency_id="files", **QUIET)
    saved.success(None, file, None, js=_SAVE, api_visibility="private")
    return row
