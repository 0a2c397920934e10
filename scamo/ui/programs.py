"""What programs call: /generate makes a motion, /models lists what can make one."""

from __future__ import annotations

from typing import Any

import gradio as gr

from scamo.export import export
from scamo.generate import Prompt, Sampling
from scamo.recipe import recipe
from scamo.ui.files import stem_of, workspace
from scamo.ui.say import refusal
from scamo.ui.studio import Studio

SECONDS = (1.0, 10.0)
EXAMPLE = "a person walks forward"


def endpoints(studio: Studio) -> None:
    """Register the endpoints in the Blocks being built. Their inputs are never shown."""
    with gr.Row(visible=False):
        prompt = gr.Textbox(label="prompt", value=EXAMPLE)
        codebook = gr.Number(label="codebook", value=max(studio.cells, default=0), precision=0)
        size = gr.Textbox(label="size", value="4M")
        seconds = gr.Number(label="seconds", value=4)
        seed = gr.Number(label="seed", value=0, precision=0)
        temperature = gr.Number(label="temperature", value=studio.temperature)
        picture, features, joints = gr.Video(), gr.File(label="features"), gr.File(label="joints")
        made, cards = gr.JSON(label="recipe"), gr.JSON(label="models")
        button = gr.Button()

    def generate(
        prompt: str, codebook: int, size: str, seconds: float | None, seed: int | None, temperature: float
    ) -> tuple[str, str, str, dict[str, Any]]:
        """Make one motion of an English prompt.

        Args:
            prompt: What the person does.
            codebook: The codebook's nominal size; see /models.
            size: The transformer's size; see /models.
            seconds: Length, 1 to 10; null lets the model decide.
            seed: The same seed gives the same motion; null draws one.
            temperature: 0 takes the likeliest token, 1 what the model says.

        Returns:
            The video, features.npy [T, 263], joints.npy [T, 22, 3] in metres, and the recipe with tokens and seed.
        """
        try:
            card, asked = studio.card(int(codebook), size), Prompt(prompt, _length(seconds))
            options = Sampling(None if seed is None else int(seed), temperature)
            one = studio.generator(card).generate(asked, seed=options.seed, temperature=options.temperature)
            told = recipe(card, [one.prompt], one.sampling, one.tokens)
            paths = export(one.motion, "mp4,npy", workspace(), stem_of(told), told)
        except (ValueError, OverflowError, OSError) as error:
            raise refusal(error) from error
        video, features, joints = map(str, paths)
        return video, features, joints, told

    def models() -> list[dict[str, Any]]:
        """List the models /generate can use."""
        return [
            {"codebook": codebook, "size": size, "name": card.name, "licence": card.licence, "bytes": card.disk_bytes}
            for codebook, row in studio.cells.items()
            for size, card in row.items()
        ]

    inputs = [prompt, codebook, size, seconds, seed, temperature]
    button.click(generate, inputs, [picture, features, joints, made], api_name="generate", concurrency_id="motion")
    button.click(models, None, cards, api_name="models", queue=False)


def _length(seconds: float | None) -> float | None:
    if seconds is not None and not SECONDS[0] <= seconds <= SECONDS[1]:
        raise ValueError(f"{seconds:g} seconds are not offered here; choose {SECONDS[0]:g} to {SECONDS[1]:g}.")
    return seconds
