"""Files that leave the page, and files that come back to it.

A motion's files are written when one is asked for, from its recipe alone, so that making it stays fast.
"""

from __future__ import annotations

import contextlib
import html
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from scamo.io.recipe import read_recipe
from scamo.io.write import export
from scamo.motion import Motion
from scamo.pipeline import ModelCard, Prompt, Sampling
from scamo.ui.messages import refusal
from scamo.ui.model_pool import Studio

# What stands on the button -> the format, the end of the file's name, what it is for.
OFFERS = {
    "MP4": ("mp4", ".mp4", "video, with the recipe inside"),
    "GIF": ("gif", ".gif", "moving picture"),
    "Features": ("npy", "_features.npy", "float32 [frames, 263]"),
    "Joints": ("npy", "_joints.npy", "float32 [frames, 22, 3] in metres"),
    "BVH": ("bvh", ".bvh", "skeleton for Blender and others"),
    "GLB": ("glb", ".glb", "animated figure, with the recipe inside"),
    "SMPL": ("npz", ".npz", "poses and places as AMASS keeps them"),
    "Recipe": ("json", ".json", "prompt, seed, model, settings, tokens"),
}
MAX_TOKENS = 300  # a minute

# What a tick changes in every file but the recipe, as `scamo.io.write.for_engine` does it -> its label, what it is for.
VARIANTS = {
    "in_place": ("In place", "the figure stays on its spot; a game engine moves it"),
    "loop": ("Loop", "cut and blended so that it repeats without a seam"),
}

# A click on a button with data-option becomes the component's click, with that option.
CLICKED = """element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-option]");
    if (button) trigger("click", {option: button.dataset.option});
});"""
_TAKEN = """element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-option]");
    const ticked = [...element.querySelectorAll("input:checked")].map((box) => box.name);
    if (button) trigger("click", {option: button.dataset.option, variants: ticked});
});"""
_SAVE = """(file) => {
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name;
    link.click();
}"""


def workspace() -> Path:
    """A new folder for the files of one click. Old ones go: Gradio serves copies, which have their own time to live."""
    for old in Path(tempfile.gettempdir()).glob("scamo-page-*"):
        with contextlib.suppress(OSError):  # another click may be first
            if time.time() - old.stat().st_mtime > 3600:
                shutil.rmtree(old)
    return Path(tempfile.mkdtemp(prefix="scamo-page-"))


def card_of(studio: Studio, recipe: dict[str, Any]) -> ModelCard:
    """The model of a recipe, which may come from a user's file. ValueError says what there is instead."""
    codebook, size = recipe.get("codebook"), recipe.get("size")
    if not isinstance(codebook, int) or not isinstance(size, str):
        raise ValueError("This recipe does not name its model; give a file that was made here.")
    fitting = [card for card in studio.cards if (card.codebook, card.size) == (codebook, size)]
    same = [card for card in fitting if card.sha256 == recipe.get("model_sha256")]  # several may have one size
    return (same or fitting or [studio.card(codebook, size)])[0]


def tokens_of(recipe: dict[str, Any]) -> list[int]:
    """The tokens of a recipe. ValueError where it has none, or what are none."""
    tokens = recipe.get("tokens")
    if not isinstance(tokens, list) or not 0 < len(tokens) <= MAX_TOKENS:
        raise ValueError(f"This recipe holds no motion of 1 to {MAX_TOKENS} tokens; give a file that was made here.")
    if not all(isinstance(token, int) for token in tokens):
        raise ValueError("The tokens of this recipe are no whole numbers; give a file that was made here.")
    return tokens


def motion_of(studio: Studio, recipe: dict[str, Any]) -> Motion:
    """The motion of a recipe: its tokens decoded again."""
    generator = studio.generator(card_of(studio, recipe))
    return Motion(generator.tokenizer.decode(np.array(tokens_of(recipe))), generator.fps)


def settings(studio: Studio, path: str) -> dict[str, Any]:
    """What a file that was made here was asked for: prompt, codebook, size, seconds, seed, temperature.

    The values come from a user's file and are checked; seconds is None where the model decided. ValueError says what
    is wrong with them.
    """
    found = read_recipe(path)
    card = card_of(studio, found)
    size = next(label for label, other in studio.cells[card.codebook].items() if other is card)
    prompt = Prompt(found.get("prompt"), found.get("seconds"))
    sampling = Sampling(found.get("seed"), found.get("temperature"))  # type: ignore[arg-type]  # it refuses what is none
    if not prompt.text:
        raise ValueError(f'"{Path(path).name}" tells no prompt; give a file that was made here.')
    return {
        "prompt": prompt.text, "codebook": card.codebook, "size": size, "seconds": prompt.seconds,
        "seed": sampling.seed, "temperature": sampling.temperature,
    }  # fmt: skip


def restorer(
    studio: Studio, prompt: gr.Textbox, cells: gr.HTML, seconds: gr.Slider, free: gr.Checkbox, temperature: gr.Slider,
    seed: gr.Number, fresh: gr.Checkbox,
) -> gr.File:  # fmt: skip
    """A place to drop a file that was made here: the given fields become as they were for it."""
    file = gr.File(label="Drop a file made here to get its settings back", height=160)

    def restore(path: str) -> tuple[Any, ...]:
        try:
            was = settings(studio, path)
        except (ValueError, OSError) as error:
            raise refusal(error) from error
        length = gr.skip() if was["seconds"] is None else was["seconds"]
        return (
            was["prompt"], [[was["codebook"], was["size"]]], length, was["seconds"] is None, was["temperature"],
            was["seed"], False,
        )  # fmt: skip

    fields = [prompt, cells, seconds, free, temperature, seed, fresh]
    file.upload(restore, file, fields, show_progress="hidden", api_visibility="private")
    return file


def stem_of(recipe: dict[str, Any]) -> str:
    """A name for a recipe's files: words, codebook, size and seed."""
    words = re.sub(r"[^a-z0-9]+", "-", str(recipe.get("prompt") or "motion").lower()).strip("-")[:40].strip("-")
    parts = (words, recipe.get("codebook"), recipe.get("size"), f"seed{recipe.get('seed')}")
    return re.sub(r"[^a-zA-Z0-9.-]+", "-", "-".join(str(part) for part in parts if part))


def written(studio: Studio, recipe: dict[str, Any], offer: str, folder: Path, variants: Sequence[str] = ()) -> Path:
    """Write one of the OFFERS into `folder`, changed by some of the VARIANTS, and return its path."""
    if offer not in OFFERS or not VARIANTS.keys() >= set(variants):
        raise ValueError(f"This file is not offered; choose {', '.join(OFFERS)}.")
    kind, ending, _ = OFFERS[offer]
    stem = "-".join([stem_of(recipe), *(name.replace("_", "-") for name in VARIANTS if name in variants)])
    changes: dict[str, Any] = dict.fromkeys(variants, True) if kind != "json" else {}
    paths = export(motion_of(studio, recipe), [kind], folder, stem, recipe, **changes)
    return next(path for path in paths if path.name.endswith(ending))


def downloads(studio: Studio, recipe: gr.State | dict[str, Any]) -> gr.HTML:
    """A row of buttons, one for each of the OFFERS; a click writes the file and saves it.

    recipe: a State that holds one or None, or in what `gr.render` draws the recipe itself.
    """
    buttons = "".join(
        f'<button type="button" data-option="{name}" title="{html.escape(about)}">{name}</button>'
        for name, (_, _, about) in OFFERS.items()
    )
    ticks = "".join(
        f'<label title="{html.escape(about)}"><input type="checkbox" name="{name}">{label}</label>'
        for name, (label, about) in VARIANTS.items()
    )
    inside = f'<div class="take" role="group" aria-label="Take it with you">{buttons}<span>{ticks}</span></div>'
    row = gr.HTML(inside, js_on_load=_TAKEN)
    file = gr.DownloadButton(visible="hidden")

    def save(recipe: dict[str, Any] | None, event: gr.EventData) -> str:
        try:
            if recipe is None:
                raise ValueError("There is no motion yet; make one first.")
            clicked = event._data  # from a browser, so it may be anything
            variants = [str(name) for name in clicked.get("variants", [])]
            return str(written(studio, recipe, str(clicked.get("option")), workspace(), variants))
        except (ValueError, OSError) as error:
            raise refusal(error) from error

    held = recipe if isinstance(recipe, gr.State) else gr.State(recipe)
    done = row.click(save, held, file, show_progress="hidden", concurrency_id="files", api_visibility="private")
    done.success(None, file, None, js=_SAVE, api_visibility="private")
    return row
