"""What a user asks of a model: the prompts, and the options of a generation. Plain values, checked once when made."""

from __future__ import annotations

import math
import numbers
import operator
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_CHARACTERS = 1_000
MAX_SECONDS = 60.0
DEFAULT_MAX_TOKENS = 50  # the authors' code stops there
DEFAULT_CONTEXT = 2.0  # seconds
MAX_GUIDANCE = 20.0
MAX_SEED = 2**64 - 1
MAX_TOKENS = 100_000
MODEL_DEFAULTS = ("temperature", "top_k", "top_p", "guidance")  # what a model's card may set


@dataclass(frozen=True)
class Prompt:
    """What should happen, in words of any script, and how long it lasts (seconds; None: the model decides).

    `text` is None only where a ready text embedding takes the place of words. Raises ValueError for an empty or
    overlong text and for seconds that are not a length.
    """

    text: str | None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.text is not None:
            object.__setattr__(self, "text", _checked_text(self.text))
        if self.seconds is not None:
            object.__setattr__(self, "seconds", _checked_seconds(self.seconds))

    @classmethod
    def of(cls, prompt: str | Prompt | None, seconds: float | None) -> Prompt:
        """A prompt or its words, with `seconds` for its length where they are given."""
        if isinstance(prompt, Prompt):
            return prompt if seconds is None else replace(prompt, seconds=seconds)
        return cls(prompt, seconds)


def listed_prompts(prompts: Iterable[str | Prompt], remedy: str) -> list[str | Prompt]:
    """Several prompts as a list. ValueError with the remedy for a single one."""
    if isinstance(prompts, (str, Prompt)) or not isinstance(prompts, Iterable):
        raise ValueError(remedy)
    return list(prompts)


class OptionFields(TypedDict, total=False):
    """The fields of GenerationOptions as keyword arguments."""

    seconds: float | None
    seed: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    guidance: float | None
    max_tokens: int
    context: float


@dataclass(frozen=True)
class GenerationOptions:
    """How a motion is generated. Every method that generates takes one of these, or its fields as keywords.

    Raises ValueError where a value makes no sense.
    """

    seconds: float | None = None
    """Length of the motion; None: the model ends it."""
    seed: int | None = None
    """The same seed gives the same motion; None draws a fresh one."""
    temperature: float | None = None
    """0 always takes the likeliest token, 1 samples as the model says; None: the model's own choice, or 1."""
    top_k: int | None = None
    """Sample among the k likeliest tokens only; None: the model's own choice, or all."""
    top_p: float | None = None
    """Sample among the fewest tokens that hold this share of the probability; None: the model's own choice, or all."""
    guidance: float | None = None
    """How much the prompt counts (classifier-free guidance): 1 is off, 2 doubles what the prompt adds to the logits,
    for twice the computing; None: the model's own choice, or 1. Only models trained with empty prompts gain by it."""
    max_tokens: int = DEFAULT_MAX_TOKENS
    """Most tokens of a motion whose length the model decides."""
    context: float = DEFAULT_CONTEXT
    """Seconds of the motion so far that the next prompt of a timeline starts from."""

    def __post_init__(self) -> None:
        if self.seconds is not None:
            object.__setattr__(self, "seconds", _checked_seconds(self.seconds))
        for name, least, most in (("seed", 0, MAX_SEED), ("top_k", 1, None), ("max_tokens", 1, MAX_TOKENS)):
            value = getattr(self, name)
            if value is not None or name == "max_tokens":
                object.__setattr__(self, name, checked_integer(name, value, least, most))
        if self.temperature is not None and not (_is_number(self.temperature) and self.temperature >= 0):
            raise ValueError(
                f"temperature {short(self.temperature)} makes no sense; give 0 (always the likeliest) or more"
            )
        if self.top_p is not None and not (_is_number(self.top_p) and 0 < self.top_p <= 1):
            raise ValueError(f"top_p {short(self.top_p)} is no share of probability; give a number above 0 and up to 1")
        if self.guidance is not None and not (_is_number(self.guidance) and 0 <= self.guidance <= MAX_GUIDANCE):
            raise ValueError(f"guidance {short(self.guidance)} makes no sense; give 0 to {MAX_GUIDANCE:g}, 1 being off")
        if not (_is_number(self.context) and self.context >= 0):
            raise ValueError(f"context {short(self.context)} makes no sense; give 0 seconds or more")
        for name in ("temperature", "top_p", "guidance", "context"):
            value = getattr(self, name)
            if value is not None:  # numpy's numbers become Python's, which every file format holds
                object.__setattr__(self, name, value if type(value) is int else float(value))

    @classmethod
    def of(cls, options: GenerationOptions | None = None, **fields: Unpack[OptionFields]) -> GenerationOptions:
        """The options given, with some fields replaced. A field that does not exist raises TypeError."""
        if options is not None and not isinstance(options, cls):
            raise ValueError(
                f"{short(repr(options))} are no GenerationOptions; give some, or their fields such as seconds=4"
            )
        return replace(options or cls(), **fields)

    def resolved(self, defaults: Mapping[str, Any]) -> GenerationOptions:
        """The same with a definite seed, temperature and guidance: what is None comes from a model's defaults."""
        own = {
            name: defaults[name]
            for name in MODEL_DEFAULTS
            if getattr(self, name) is None and defaults.get(name) is not None
        }
        for name in ("temperature", "guidance"):
            if getattr(self, name) is None:
                own.setdefault(name, 1.0)
        if self.seed is None:
            own["seed"] = secrets.randbelow(2**31)
        return replace(self, **own) if own else self


def short(value: Any) -> str:
    """A value for a refusal: in one line, cut where it is long."""
    text = " ".join(str(value).split()) or repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def listed(names: Iterable[object]) -> str:
    """What a file calls its parts, for a refusal: in one line, as many as fit 400 characters."""
    found = ""
    for name in names:
        part = f", {short(name)}" if found else short(name)
        if len(found) + len(part) > 400:
            return found + " ..."
        found += part
    return found or "nothing"


def checked_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number from `least` to `most`, also one of numpy's. Raises ValueError for anything else."""
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ValueError(f"{name} {short(repr(value))} makes no sense; give a whole number from {least} up")
    if most is not None and number > most:
        raise ValueError(f"{name} is too large; give a whole number up to {most:,}")
    return number


def _checked_text(text: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ValueError('the prompt is empty; say what should happen, e.g. "a person walks forward"')
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"the prompt has {len(text):,} characters; shorten it to {MAX_CHARACTERS:,} or fewer")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("the prompt holds half a character (a lone surrogate); type it again") from error
    return text.strip()


def _checked_seconds(seconds: float) -> float:
    if not _is_number(seconds) or not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"a motion cannot last {short(seconds)} seconds; give more than 0 and up to {MAX_SECONDS:g}")
    return float(seconds)


def _is_number(value: object) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)  # numpy's numbers are Real too
    try:
        return is_real and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:  # a whole number beyond all floats
        return False
