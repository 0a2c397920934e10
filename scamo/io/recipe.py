"""Recipes: what was asked of which model. They are written into the files of a motion, and read back from them.

A recipe holds the tokens too, so that its motion can be decoded again without being sampled again.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scamo.numpy_files import load_npz
from scamo.options import GenerationOptions, Prompt

PICTURES = (".mp4", ".webm", ".gif", ".webp", ".png")
READABLE = (*PICTURES, ".glb", ".npz", ".json")
THEN = ", then "
MAX_TOKENS = 100_000  # a file may claim to hold any number
_MAX_BYTES = 1 << 20
_MAX_TOKEN = 1 << 32
_MAX_NOTES, _MAX_NOTE = 50, 500  # sentences, and characters of one
_OPTIONS = ("seed", "temperature", "top_k", "top_p", "guidance", "context", "max_tokens")
_MAX_NAME = 200  # characters of a model's name


@dataclass(frozen=True)
class Recipe:
    """What makes a motion: model, prompts (one, or those of a timeline in turn), options, and its tokens.

    codebook is the nominal size and size the transformer's name, as on a ModelCard; model_sha256 is the card's hash.
    computed_on: device and type that the tokens were sampled with, in words; "" where it is not known.
    notes: what the user was told of the prompts, in sentences.
    """

    model: str
    codebook: int
    size: str
    prompts: tuple[Prompt, ...]
    tokens: tuple[int, ...] = field(repr=False)
    options: GenerationOptions = field(default_factory=GenerationOptions)
    model_sha256: str = ""
    computed_on: str = ""
    notes: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """All prompts in one line."""
        return THEN.join(prompt.text or "" for prompt in self.prompts)

    @property
    def seconds(self) -> float | None:
        """The length asked for; None where the model decided."""
        if len(self.prompts) == 1:
            return self.prompts[0].seconds
        return sum(prompt.seconds or 0.0 for prompt in self.prompts)

    @property
    def file_stem(self) -> str:
        """A name for the files of this motion: words, codebook, size and seed."""
        words = re.sub(r"[^a-z0-9]+", "-", (self.prompt or "motion").lower()).strip("-")[:40].strip("-")
        parts = (words, self.codebook, self.size, f"seed{self.options.seed}"[:24])
        return re.sub(r"[^a-zA-Z0-9.-]+", "-", "-".join(str(part) for part in parts if part))

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON can hold it."""
        options = self.options
        facts: dict[str, Any] = {
            "prompt": self.prompt,
            "seconds": self.seconds,
            "seed": options.seed,
            "temperature": options.temperature,
            "model": self.model,
            "codebook": self.codebook,
            "size": self.size,
            "tokens": list(self.tokens),
        }
        if len(self.prompts) > 1:
            facts["timeline"] = [{"prompt": prompt.text, "seconds": prompt.seconds} for prompt in self.prompts]
        further: dict[str, Any] = {"top_k": options.top_k, "top_p": options.top_p, "guidance": options.guidance}
        if len(self.prompts) > 1:
            further["context"] = options.context
        if self.seconds is None:
            further["max_tokens"] = options.max_tokens
        further["model_sha256"] = self.model_sha256 or None
        further["computed_on"] = self.computed_on or None
        further["notes"] = list(self.notes) or None
        return facts | {name: value for name, value in further.items() if value is not None}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Recipe:
        """Check what a file holds, which may be anything, and make it a recipe. Raises ValueError that says what is
        wrong."""
        if not isinstance(facts, Mapping) or "model" not in facts:
            raise ValueError("there is no recipe; give a file that was made here")
        codebook, size = facts.get("codebook"), facts.get("size")
        model, sha256, place = facts["model"], facts.get("model_sha256", ""), facts.get("computed_on", "")
        named = all(_is_name(text) for text in (model, size, sha256, place))
        if type(codebook) is not int or not 0 < codebook < _MAX_TOKEN or not named:
            raise ValueError("this recipe does not name its model; give a file that was made here")
        given: dict[str, Any] = {name: facts[name] for name in _OPTIONS if facts.get(name) is not None}
        given.setdefault("guidance", 1.0)  # recipes without it were made without it
        prompts, options = _prompts(facts), GenerationOptions(**given)
        if len(prompts) == 1:
            options = replace(options, seconds=prompts[0].seconds)
        return cls(
            model=model, codebook=codebook, size=str(size), prompts=prompts, tokens=_tokens(facts.get("tokens")),
            options=options, model_sha256=sha256, computed_on=place, notes=_notes(facts.get("notes")),
        )  # fmt: skip


def _notes(given: Any) -> tuple[str, ...]:
    """What a file holds as notes, which may be anything: sentences are kept, the rest is left out."""
    listed = given[:_MAX_NOTES] if isinstance(given, list) else []
    return tuple(text for text in listed if isinstance(text, str) and len(text) <= _MAX_NOTE)


def _is_name(text: Any) -> bool:
    """Whether it is a short text that every file can hold; JSON can hold halves of characters."""
    return isinstance(text, str) and len(text) <= _MAX_NAME and text.encode("utf-8", "replace").decode() == text


def _tokens(tokens: Any) -> tuple[int, ...]:
    if not isinstance(tokens, (list, tuple)) or not 0 < len(tokens) <= MAX_TOKENS:
        raise ValueError("this recipe holds no motion; give a file that was made here")
    if not all(type(token) is int and 0 <= token < _MAX_TOKEN for token in tokens):
        raise ValueError("the tokens of this recipe are no whole numbers; give a file that was made here")
    return tuple(tokens)


def _prompts(facts: Mapping[str, Any]) -> tuple[Prompt, ...]:
    parts: Any = facts.get("timeline")
    if parts is None:
        parts = [facts]
    if not isinstance(parts, Sequence) or not parts or not all(isinstance(part, Mapping) for part in parts):
        raise ValueError("the timeline of this recipe cannot be read; give a file that was made here")
    prompts = tuple(Prompt(part.get("prompt") or None, part.get("seconds")) for part in parts)
    if len(prompts) > 1 and not all(prompt.seconds for prompt in prompts):
        raise ValueError("a part of this recipe's timeline has no length; give a file that was made here")
    return prompts


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """The recipe inside a file that `scamo.io.write` wrote. Raises ValueError where there is none."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        raise ValueError(f'"{path.name}" cannot hold a recipe; give one of {", ".join(READABLE)} made here.')
    from scamo.render.video import read_metadata  # matplotlib and the encoders, which options and pipelines do not need

    try:
        found = read_metadata(path) if suffix in PICTURES else _READERS[suffix](path)
    except Exception as error:  # parsers raise nearly anything on damaged files
        raise ValueError(f'"{path.name}" cannot be read; get it again.') from error
    if not isinstance(found, dict) or "model" not in found:
        raise ValueError(f'"{path.name}" holds no recipe; give a file that was made here.')
    try:
        return Recipe.from_dict(found)
    except ValueError as error:
        raise ValueError(f'"{path.name}": {error}') from error


def _from_glb(path: Path) -> Any:
    with path.open("rb") as file:
        magic, _, _, length, kind = struct.unpack("<4sIII4s", file.read(20))
        if magic != b"glTF" or kind != b"JSON":
            raise ValueError("no binary glTF")
        if length > _MAX_BYTES:
            raise ValueError("no scene of this project is as long")
        return json.loads(file.read(length))["asset"].get("extras")


def _from_npz(path: Path) -> Any:
    return json.loads(str(load_npz(path, ("recipe",), 4 * _MAX_BYTES)[0]["recipe"]))  # numpy's text has 4 bytes each


def _from_json(path: Path) -> Any:
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError("no recipe is as long")
    return json.loads(path.read_text(encoding="utf-8"))


_READERS = {".glb": _from_glb, ".npz": _from_npz, ".json": _from_json}
