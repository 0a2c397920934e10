"""What the page says to people: notes, refusals, and no inner details."""

from __future__ import annotations

import contextlib
import html
import logging
from collections.abc import Iterator, Sequence

import gradio as gr

logger = logging.getLogger(__name__)


def note(text: str) -> str:
    """A quiet line, as HTML."""
    return f'<p class="note">{html.escape(text)}</p>'


def reading_notes(notes: Sequence[str]) -> list[str]:
    """What a reader assumed of a file, as sentences."""
    return [f"{text[:1].upper()}{text[1:]}." for text in notes]


def sentence(error: Exception) -> str:
    """An error's words as a sentence."""
    text = str(error).removesuffix(".") + "."
    return text[:1].upper() + text[1:] if text.split()[0].isalpha() else text  # a file's name stays as it is


def reason(error: Exception) -> str:
    """What a user may read: the library's own words for a mistake, no inner details of a defect."""
    if isinstance(error, (ValueError, OverflowError)):
        return sentence(error)
    logger.error("something failed", exc_info=error)
    return "Something went wrong here; the log of the server has the details."


def refusal(text: str) -> gr.Error:
    """Gradio's error with words for the page. Its window shows HTML, and the words may repeat a file's or a user's."""
    return gr.Error(html.escape(text, quote=False), print_exception=False)


@contextlib.contextmanager
def refusing(to_program: bool = False) -> Iterator[None]:
    """Show a user's mistake inside the block as Gradio's error. What the user typed and made before stays.

    to_program: the words go to a program, as they are.
    """
    try:
        yield
    except (ValueError, OverflowError, OSError) as error:
        words = reason(error)
        raise (gr.Error(words, print_exception=False) if to_program else refusal(words)) from error
