"""The page: its look, its tabs, and how it is served."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from scamo.ui import api as programs
from scamo.ui import zero_gpu as zero
from scamo.ui.limits import MAX_UPLOAD, Guard
from scamo.ui.model_pool import Studio
from scamo.ui.tabs import arena, compare, scaling, tokens
from scamo.ui.tabs import timeline as edit
from scamo.ui.tabs import tokenizers as lab

STATIC = Path(__file__).parent / "static"
HEADER = "<header><h1>ScaMo</h1><p>Words become human motion: see what codebook and model size change.</p></header>"


def build(folders: Sequence[str | Path] = (), batch: int = programs.BATCH) -> gr.Blocks:
    """The whole page. `folders` hold models offered beside the bundled ones (and those SCAMO_MODELS names).

    batch: how many requests of programs for one model are made in one pass; 1 makes them one after the other.
    """
    studio = zero.studio(folders)
    with gr.Blocks(title="ScaMo", analytics_enabled=False, delete_cache=(3600, 21600)) as demo:
        gr.HTML(HEADER)
        with gr.Tabs():
            with gr.Tab("Compare"):
                compare.tab(studio)
            with gr.Tab("Continue"):
                edit.tab(studio)
            with gr.Tab("Tokens"):
                tokens.tab(studio)
            with gr.Tab("Tokenizer lab"):
                lab.tab(studio)
            with gr.Tab("Scaling"):
                scaling.tab(studio)
            with gr.Tab("Blind arena"):
                arena.tab(studio)
        gr.HTML(about(studio))
        programs.endpoints(studio, batch)
        # While the prompt is typed, the text encoder comes in.
        demo.load(studio.warm, queue=False, api_visibility="private")
    return demo


def launch(demo: gr.Blocks) -> None:
    """Serve the page until Ctrl-C, on this machine only unless GRADIO_SERVER_NAME says otherwise.

    Gradio's own variables hold. Where its extra "mcp" is installed, programs' endpoints are MCP tools too.
    """
    demo.queue(max_size=20, default_concurrency_limit=1)
    demo.launch(
        theme=theme(),
        css_paths=sorted(STATIC.glob("*.css")),
        max_file_size=MAX_UPLOAD,
        max_threads=64,  # programs' requests wait in them too
        show_error=False,
        run_history=False,
        footer_links=["api"],
        state_session_capacity=500,
        mcp_server=find_spec("mcp") is not None and os.environ.get("GRADIO_MCP_SERVER", "true").lower() == "true",
        app_kwargs={"middleware": [Middleware(Guard)]},
    )


def theme() -> gr.Theme:
    """Calm, round, one accent; every font is on the user's machine already."""
    accent = gr.themes.Color(
        "#eef6fb", "#d8eaf5", "#b3d5ea", "#82b9da", "#4f9ac7", "#2b7bba", "#22659b", "#1d527e", "#1a4567", "#173a57",
        "#0e2539",
    )  # fmt: skip
    return gr.themes.Base(
        primary_hue=accent,
        secondary_hue=accent,
        neutral_hue="stone",
        radius_size="lg",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    ).set(
        body_background_fill="#faf9f7",
        body_background_fill_dark="#161413",
        body_text_color_subdued="*neutral_500",  # the default is too pale to read
        block_background_fill_dark="#211e1c",
        input_background_fill_dark="#2d2926",
        checkbox_label_background_fill="*neutral_100",
        checkbox_label_background_fill_dark="#2d2926",
        button_border_width="1px",
        button_primary_border_color="*primary_500",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="#4a443f",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="#2d2926",
        button_secondary_background_fill_hover_dark="#38332f",
        border_color_primary_dark="#38332f",
    )


def about(studio: Studio) -> str:
    """What the models on this page know, what they do not, and under which licence they are, as HTML."""
    knows = list(dict.fromkeys(card.knows for card in studio.cards if card.knows))
    rights = list(dict.fromkeys(f"{card.licence}. {card.attribution}".strip() for card in studio.cards))
    paragraphs = [*knows, *(f"Weights: {one}" for one in rights)]
    if not studio.cards:
        paragraphs = ["No model was found. Start the page with --models and a folder that holds some."]
    return f"<div id='about'>{''.join(f'<p>{html.escape(text)}</p>' for text in paragraphs)}</div>"
