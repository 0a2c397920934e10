"""Recipes: what was asked of which model. They go into the files that leave, and are read back from them.

A recipe holds the tokens too, so that its motion is there again without being sampled again.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scamo.pipeline import ModelCard, Prompt, Sampling
from scamo.render.video import read_metadata

PICTURES = (".mp4", ".webm", ".gif", ".webp", ".png")
READABLE = (*PICTURES, ".glb", ".npz", ".json")
THEN = ", then "


def recipe(
    card: ModelCard, prompts: Sequence[Prompt], sampling: Sampling, tokens: NDArray[np.integer]
) -> dict[str, Any]:
    """What makes a motion of one prompt, or of several that follow each other; plain enough for JSON."""
    made: dict[str, Any] = {
        "prompt": THEN.join(prompt.text or "" for prompt in prompts),
        "seconds": prompts[0].seconds if len(prompts) == 1 else sum(prompt.seconds or 0.0 for prompt in prompts),
        "seed": sampling.seed,
        "temperature": sampling.temperature,
        "model": card.name,
        "codebook": card.codebook,
        "size": card.size,
        "tokens": [int(token) for token in tokens],
    }
    if len(prompts) > 1:
        made["timeline"] = [{"prompt": prompt.text, "seconds": prompt.seconds} for prompt in prompts]
    further = {"top_k": sampling.top_k, "top_p": sampling.top_p, "model_sha256": card.sha256}
    return made | {name: value for name, value in further.items() if value}


def read_recipe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The recipe inside a file that `scamo.io.write` wrote. ValueError where there is none, or the file is another's.

    Its values are as the file has them: whoever uses one checks it, as with anything that a user types.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        raise ValueError(f'"{path.name}" cannot hold a recipe; give one of {", ".join(READABLE)} made here.')
    try:
        found = read_metadata(path) if suffix in PICTURES else _READERS[suffix](path)
    except (OSError, ValueError, KeyError, struct.error, zipfile.BadZipFile) as error:
        raise ValueError(f'"{path.name}" cannot be read; get it again.') from error
    if not isinstance(found, dict) or "model" not in found:
        raise ValueError(f'"{path.name}" holds no recipe; give a file that was made here.')
    return found


def _from_glb(path: Path) -> Any:
    with path.open("rb") as file:
        magic, _, _, length, kind = struct.unpack("<4sIII4s", file.read(20))
        if magic != b"glTF" or kind != b"JSON":
            raise ValueError("no binary glTF")
        return json.loads(file.read(length))["asset"].get("extras")


def _from_npz(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as archive:
        if archive.zip.getinfo("recipe.npy").file_size > 1 << 20:  # a small file may claim to hold any amount
            raise ValueError("no recipe is as long")
        return json.loads(str(archive["recipe"]))


def _from_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


_READERS = {".glb": _from_glb, ".npz": _from_npz, ".json": _from_json}
