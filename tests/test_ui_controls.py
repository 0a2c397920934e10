"""What a click says of itself, which may come from a program that calls what is behind a button."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from scamo.ui.components.controls import clicked, clicked_place


@pytest.mark.parametrize("said", [None, [], ["option"], "option", 3])
def test_a_click_without_words_is_refused(said: Any) -> None:
    for event in (None, gr.EventData(None, said)):
        with pytest.raises(ValueError, match="what was clicked"):
            clicked(event)


@pytest.mark.parametrize("option", [None, -1, "-1", "x", "", 1.5, [0], {}])
def test_an_option_that_is_no_place_is_refused(option: Any) -> None:
    with pytest.raises(ValueError, match="what was clicked"):
        clicked_place(gr.EventData(None, {"option": option}))


def test_places_are_counted_from_0() -> None:
    assert [clicked_place(gr.EventData(None, {"option": option})) for option in ("0", 12)] == [0, 12]
