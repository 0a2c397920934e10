"""The page's look: calm, round, one accent. Every font is on the user's machine already."""

from __future__ import annotations

import gradio as gr

ACCENT = gr.themes.Color(
    "#eef6fb", "#d8eaf5", "#b3d5ea", "#82b9da", "#4f9ac7", "#2b7bba", "#22659b", "#1d527e", "#1a4567", "#173a57",
    "#0e2539",
)  # fmt: skip


def theme() -> gr.Theme:
    """Colours and fonts, by day and by night. The layout is in static/*.css."""
    return gr.themes.Base(
        primary_hue=ACCENT,
        secondary_hue=ACCENT,
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
