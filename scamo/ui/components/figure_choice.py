"""The choice of what all motions on the page are shown as: a person, sticks, or the user's licensed SMPL body."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from scamo.body.person import PEOPLE
from scamo.ui.components.controls import INSTANT
from scamo.ui.figure_style import AUTO, BODIES, FigureStyle

# The player never gets a licensed mesh; where SMPL is chosen, a person stands there.
_SHOW = '(body, person) => window.chooseFigure?.(body === "stick" ? "sticks" : "person", person)'


class FigureChoice:
    """Lays the choice out inside the Blocks being built. `fields` are the inputs of events; `style` reads them."""

    def __init__(self, body_model: Path | None = None) -> None:
        self._body_model = body_model
        offered = [(label, name) for name, label in BODIES.items() if name != "smpl" or body_model]
        people = [("by prompt", AUTO), *((name, name) for name in PEOPLE)]
        with gr.Row(elem_id="figure", equal_height=True):
            self.body = gr.Radio(offered, value="person", label="Figure", min_width=180, elem_id="figure-body")
            self.person = gr.Dropdown(people, value=AUTO, label="Who", min_width=120, elem_id="figure-who")
        self.fields = [self.body, self.person]
        gr.on([self.body.change, self.person.change], None, self.fields, None, js=_SHOW, **INSTANT)
        self.body.change(lambda body: gr.Dropdown(interactive=body != "stick"), self.body, self.person, **INSTANT)

    def style(self, body: str, person: str) -> FigureStyle:
        """What the fields say."""
        return FigureStyle(body, person, self._body_model)
