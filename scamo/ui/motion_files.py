"""Motions that leave the page as files, and recipes that come back to it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scamo.io.recipe import Recipe, read_recipe
from scamo.io.write import export, options_for
from scamo.io.write_options import WriteOptions
from scamo.motion import Motion
from scamo.options import MAX_SECONDS
from scamo.pipeline import Generation
from scamo.render import frames, write_video
from scamo.ui.figure_style import FigureStyle
from scamo.ui.model_pool import ModelPool

VIDEO_PIXELS = 416  # of a video's sides, a multiple of x264's blocks; beside 480 a quarter less work for all of it
_KEPT_SECONDS = 3600  # Gradio serves copies of the files, which it deletes by itself


class FileOffer(NamedTuple):
    """A file that people can take along: its format, the end of its name, and what it is for."""

    format: str
    ending: str
    about: str


OFFERS = {
    "MP4": FileOffer("mp4", ".mp4", "video, with the recipe inside"),
    "GIF": FileOffer("gif", ".gif", "moving picture"),
    "Features": FileOffer("npy", "_features.npy", "float32 [frames, 263]"),
    "Joints": FileOffer("npy", "_joints.npy", "float32 [frames, 22, 3] in metres"),
    "BVH": FileOffer("bvh", ".bvh", "skeleton for Blender and others"),
    "GLB": FileOffer("glb", ".glb", "animated figure, with the recipe inside"),
    "FBX": FileOffer("fbx", ".fbx", "animated figure for Unity, Unreal and Maya"),
    "VRMA": FileOffer("vrma", ".vrma", "motion for any VRM avatar"),
    "SMPL": FileOffer("npz", ".npz", "poses and places as AMASS keeps them"),
    "Recipe": FileOffer("json", ".json", "prompt, seed, model, settings, tokens"),
}
"""By the words on its button."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare
class RecordedMotion:
    """A motion as it was made, drawn and measured, and the recipe that goes into its files.

    notes: what the reader assumed, where the motion comes from a file.
    """

    recipe: Recipe
    motion: Motion
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, generation: Generation) -> RecordedMotion:
        """The motion of a generation."""
        return cls(generation.recipe, generation.motion)


def decode_recipe(pool: ModelPool, recipe: Recipe) -> RecordedMotion:
    """The motion of a recipe, which may come from a user's file. Raises ValueError where it cannot be decoded."""
    pipeline = pool.pipeline(pool.card_of_recipe(recipe))
    limit = pipeline.tokenizer.config.tokens_in(MAX_SECONDS)
    if len(recipe.tokens) > limit:
        raise ValueError(f"This recipe has {len(recipe.tokens):,} tokens; open a motion of {limit} at most, a minute.")
    return RecordedMotion(recipe, Motion(pipeline.tokenizer.decode(np.array(recipe.tokens)), pipeline.fps))


def read_settings(pool: ModelPool, path: str) -> Recipe:
    """The recipe of a file that was made here, checked to be one that the page can generate again.

    Raises ValueError that says what is wrong with it.
    """
    recipe = read_recipe(path)
    pool.card_of_recipe(recipe)
    for name, value in (("prompt", recipe.prompt), ("temperature", recipe.options.temperature)):
        if value is None or value == "":
            raise ValueError(f'"{Path(path).name}" holds no {name}; give a file that was made here.')
    return recipe


def new_folder() -> Path:
    """A folder for the files of one click. Folders that are an hour old are deleted."""
    for old in Path(tempfile.gettempdir()).glob("scamo-page-*"):
        with contextlib.suppress(OSError):  # another click may have deleted it already
            if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(old)
    return Path(tempfile.mkdtemp(prefix="scamo-page-"))


def write_file(
    recorded: RecordedMotion,
    offer: str,
    folder: Path,
    options: WriteOptions | None = None,
    style: FigureStyle | None = None,
) -> Path:
    """Write one of OFFERS into a folder. Options that its format has not are left out, and a recipe has none.

    style: the figure in files that show one; a person if None. The file's name says what was asked for. Raises
    ValueError for what is not offered.
    """
    if offer not in OFFERS:
        raise ValueError(f"This file is not offered; choose {', '.join(OFFERS)}.")
    file, recipe = OFFERS[offer], recorded.recipe
    given = {} if file.format == "json" else options_for([file.format], options or WriteOptions())
    words = [name.replace("_", "-") if value is True else f"{value:g}fps" if name == "fps" else value
             for name, value in given.items()]  # fmt: skip
    shown = (style or FigureStyle()).exporting(file.format, recipe.prompt)
    stem = "-".join([recipe.file_stem, *words])
    paths = export(recorded.motion, [file.format], folder, stem, recipe, **given, **shown)
    return next(path for path in paths if path.name.endswith(file.ending))


def draw_video(
    motion: Motion,
    recipe: Recipe,
    folder: Path,
    style: FigureStyle,
    paced: Callable[[Iterable[Any]], Iterable[Any]] = lambda frames: frames,
) -> str:
    """A video of a motion, with its recipe inside. paced: may let the frames wait, or end them. Returns the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{recipe.file_stem}.mp4"
    drawn = frames(motion, size=VIDEO_PIXELS, **style.drawing(recipe.prompt))
    return str(write_video(paced(drawn), path, motion.fps, metadata=recipe.to_dict()))
