"""What all tabs share: the figure that motions are shown as, and the way of a motion from one tab to another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from scamo.ui.components.controls import OPTION_CLICK, QUIET, clicked
from scamo.ui.components.figure_choice import FigureChoice
from scamo.ui.messages import refusing
from scamo.ui.motion_files import RecordedMotion

WAYS = {"Tokens": "Open in Tokens", "Continue": "Continue this", "Tokenizer lab": "Send to the Tokenizer lab"}
"""The tabs that take motions of others, and the words on the button that leads there."""

# Gradio drops what it sends to a tab that has not been opened yet, so this waits until its player is there.
_OPENED = """async () => {
    for (let i = 0; i < 200 && !document.querySelector("#%s .scamo-player"); i++)
        await new Promise((go) => setTimeout(go, 20));
}"""


@dataclass(frozen=True, eq=False)  # each click is another one, also of the same motion
class Passed:
    """A motion on its way to another tab."""

    recorded: RecordedMotion
    number: int


class Stage:
    """Lays the frame of the tabs out inside the Blocks being built; tabs go inside `tabs`."""

    def __init__(self, figure: FigureChoice | None = None) -> None:
        self.figure = figure or FigureChoice()
        self.tabs = gr.Tabs()
        self._inboxes = {tab: gr.State(None) for tab in WAYS}
        self._numbers = itertools.count()

    def pass_on(
        self, state: gr.State, recorded: Callable[[Any], RecordedMotion | None], but: Sequence[str] = ()
    ) -> gr.HTML:
        """Lay out buttons that take a motion to other tabs, except some.

        recorded: takes the motion out of the state's value; None where there is none yet.
        """
        ways = {tab: words for tab, words in WAYS.items() if tab not in but}
        buttons = "".join(f'<button type="button" data-option="{tab}">{words}</button>' for tab, words in ways.items())
        inside = f'<div class="take" role="group" aria-label="Go on with it">{buttons}</div>'
        row = gr.HTML(inside, js_on_load=OPTION_CLICK)

        def send(value: Any, event: gr.EventData) -> list[Any]:
            with refusing():
                motion, chosen = recorded(value), str(clicked(event).get("option"))
                if motion is None:
                    raise ValueError("There is no motion yet; make one first.")
                if chosen not in ways:
                    raise ValueError(f"There is no tab {chosen}; choose {', '.join(ways)}.")
            passed = Passed(motion, next(self._numbers))
            return [gr.Tabs(selected=chosen), *(passed if tab == chosen else gr.skip() for tab in ways)]

        row.click(send, state, [self.tabs, *(self._inboxes[tab] for tab in ways)], queue=True, **QUIET)
        return row

    def receive(
        self, tab: str, player: str, show: Callable[..., Any], outputs: Sequence[Any], inputs: Sequence[Any] = ()
    ) -> None:
        """Let a tab take motions of others. show(recorded, *inputs) gives values of the outputs.

        player: the elem_id of the tab's player, which is there once the tab is open.
        """

        def take(passed: Passed | None, *values: Any) -> Any:
            if passed is None:
                return [gr.skip() for _ in outputs]
            with refusing():
                return show(passed.recorded, *values)

        inbox = self._inboxes[tab]
        opened = inbox.change(None, None, None, js=_OPENED % player, **QUIET)
        opened.then(take, [inbox, *inputs], list(outputs), concurrency_id="motion", **QUIET)
