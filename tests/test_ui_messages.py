"""What the page says to people."""

from __future__ import annotations

import pytest

pytest.importorskip("gradio")

import gradio as gr

from scamo.ui.messages import note, reason, refusing, sentence


def test_errors_become_sentences_and_file_names_stay():
    assert sentence(ValueError("the prompt is empty")) == "The prompt is empty."
    assert sentence(ValueError("weights.safetensors is missing.")) == "weights.safetensors is missing."


def test_mistakes_are_said_and_defects_are_not():
    assert reason(ValueError("the seed is too large")) == "The seed is too large."
    assert "division" not in reason(ZeroDivisionError("division by zero"))


@pytest.mark.parametrize("error", [ValueError("too long"), OverflowError("too large"), OSError("disk full")])
def test_a_users_mistake_is_shown_as_gradios_error(error):
    with pytest.raises(gr.Error), refusing():
        raise error


def test_what_a_file_or_a_user_says_is_text_in_the_window():
    with pytest.raises(gr.Error) as shown, refusing():
        raise ValueError('there is no <img src=x onerror="alert(1)"> & more')
    assert shown.value.message == 'There is no &lt;img src=x onerror="alert(1)"&gt; &amp; more.'
    with pytest.raises(gr.Error) as shown, refusing(to_program=True):
        raise ValueError("there is no <b>")
    assert shown.value.message == "There is no <b>."


def test_a_defect_is_left_to_gradio():
    with pytest.raises(ZeroDivisionError), refusing():
        raise ZeroDivisionError


def test_notes_are_text():
    assert note("<b>") == '<p class="note">&lt;b&gt;</p>'
