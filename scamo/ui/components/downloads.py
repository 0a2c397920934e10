"""A row of buttons, one for each file of a motion. A file is written when its button is clicked."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any

import gradio as gr

from scamo.io.write_options import RIG_NAMES, UNIT_NAMES, WriteOptions
from scamo.ui.components.controls import QUIET, clicked
from scamo.ui.components.figure_choice import FigureChoice
from scamo.ui.messages import refusing
from scamo.ui.motion_files import OFFERS, RecordedMotion, new_folder, write_file

_CLICK_WITH_FIELDS = """element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-option]");
    if (!button) return;
    const fields = {};
    for (const field of element.querySelectorAll("[name]")) {
        if (field.type === "checkbox") fields[field.name] = field.checked;
        else if (field.type === "number") fields[field.name] = field.value === "" ? null : Number(field.value);
        else fields[field.name] = field.value;
    }
    trigger("click", {option: button.dataset.option, fields});
});"""
_LABELS = {
    "rig": ("Rig", "joint names and rest pose, for BVH, GLB and FBX"),
    "unit": ("Unit", "of BVH and FBX; GLB is always in metres"),
    "fps": ("Frame rate", "frames a second of BVH, GLB, FBX and VRMA"),
    "exact": ("Exact joints", "BVH: bones change their length, and no joint leaves its place"),
    "in_place": ("In place", "the figure stays on its spot; a game engine moves it"),
    "loop": ("Loop", "cut and blended so that it repeats without a seam"),
}
_SHOWN = ("in_place", "loop")  # the others are folded away
_CHOICES = {"rig": RIG_NAMES, "unit": UNIT_NAMES}
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
    shown, folded = (
        "".join(map(_field, (one for one in fields(WriteOptions) if (one.name in _SHOWN) is shown)))
        for shown in (True, False)
    )
    details = f"<details><summary>For another program</summary><span>{folded}</span></details>"
    inside = f"{buttons}<span>{shown}</span>{details}"
    inside = f'<div class="take" role="group" aria-label="Take it with you">{inside}</div>'
    row = gr.HTML(inside, js_on_load=_CLICK_WITH_FIELDS)
    file = gr.DownloadButton(visible="hidden")

    def save(value: Any, body: str, person: str, event: gr.EventData) -> str:
        with refusing():
            motion = recorded(value)
            if motion is None:
                raise ValueError("There is no motion yet; make one first.")
            said = clicked(event)
            options = WriteOptions.of_fields(said.get("fields", {}))
            style = figure.style(body, person)
            return str(write_file(motion, str(said.get("option")), new_folder(), options, style))

    saved = row.click(save, [state, *figure.fields], file, concurrency_id="files", **QUIET)
    saved.success(None, file, None, js=_SAVE, api_visibility="private")
    return row


def _field(option: Field[Any]) -> str:
    """The field of one of the options: a tick, a choice or a number, as its default and `_CHOICES` say."""
    name, (label, about) = option.name, _LABELS[option.name]
    if option.default is False:
        inside = f'<input type="checkbox" name="{name}">{label}'
    elif name in _CHOICES:
        choices = "".join(f"<option>{one}</option>" for one in _CHOICES[name])
        inside = f'{label}<select name="{name}"><option value="">usual</option>{choices}</select>'
    else:
        inside = f'{label}<input type="number" name="{name}" min="1" step="any" placeholder="usual">'
    return f'<label title="{html.escape(about)}">{inside}</label>'
