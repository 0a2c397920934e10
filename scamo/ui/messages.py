"""What the page says to people: notes, refusals, and no inner details."""

from __future__ import annotations

import html
import logging

import gradio as gr

logger = logging.getLogger(__name__)


def note(text: str) -> str:
    """A quiet line, as HTML."""
    return f'<p class="note">{html.escape(text)}</p>'


def sentence(error: Exception) -> str:
    """An error's words as a sentence."""
    text = str(error).removesuffix(".") + "."
    return text[:1].upper() + text[1:] if text.split()[0].isalpha() else text  # a file's name stays as it is


def reason(error: Exception) -> str:
    """What a user may read: the library's own words for a mistake, no inner details for a defect."""
    if isinstance(error, ValueError):
        return sentence(error)
    logger.error("something failed", exc_info=error)
    return "Something went wrong here; the log of the server has the details."


def refusal(error: Exception) -> gr.Error:
    """The same as an error that Gradio shows; nothing the user typed or made before is touched then."""
    return gr.Error(reason(error), print_exception=False)
