"""Free sentences for labelled motions: frames, gerunds, base forms, contexts, counts, and several actions in order.

The words are in training/data/wordings: ``actions.txt`` (phrases by action, a line is a pattern with choices),
``paraphrases.json`` (more phrases, people and sentence frames), ``scenes.txt`` (whole sentences by action, as many
people would type them), ``scenes_two.txt`` (the same for two actions in order) and ``kept_apart.json``, the sentences
for tests: a phrase of three words or more that occurs in one of those is never used here, and no whole sentence that
has four words in a row of theirs.
``training.data.captions`` has the styles and the plain wordings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from training.data.captions import (
    ACTIONS,
    AGAIN,
    COUNTED,
    GOING,
    PEOPLE,
    STYLES,
    Style,
    canonical_style,
    mirrored_words,
)

WORDINGS = Path(__file__).with_name("wordings")
SOURCES = ("actions.txt", "paraphrases.json", "scenes.txt", "scenes_two.txt", "kept_apart.json")
"""The files in it that decide which sentences there are."""
SAME = {"byebye": "wave-both-hands"}
"""Labels that people ask for in the same words as for another, whose clips the tokenizers give back better."""
FREE = 0.7  # how often a phrase comes from the free wordings where there are plain ones too
CONTEXTS = ("in the garden", "at the gym", "in an empty room", "outside", "on the lawn", "in the street", "on a stage",
            "in the studio", "in front of the camera", "at home", "alone", "this morning", "as usual")  # fmt: skip
WITHOUT = ("without stopping", "without any hurry", "without looking around", "without a pause", "without help",
           "without saying a word", "without any tools")  # fmt: skip
MORE_PEOPLE = (
    "a nurse", "a farmer", "a pilot", "a baker", "a mother", "an uncle", "a colleague", "a grown-up", "a trainer",
    "a model", "a clown", "an astronaut", "a pirate", "a captain", "a shopper", "a tall person", "a stick figure",
    "a character in a game", "an avatar", "Anna", "Tom", "Maria", "Ben", "Alex", "Sam",
)  # fmt: skip
MORE_FRAMES = (
    "person {g}", "person {v}", "man {g}", "woman {g}", "human {g}", "guy {g}", "{s} will {b}", "{s} was {g}",
    "I want {s} to {b}", "let {s} {b}", "can you show {s} {g}", "generate {s} {g}", "motion: {g}", "{s} has to {b}",
    "{s} is going to {b}", "{s}, who is {g}", "watch {s} {b}", "a clip of {s} {g}",
)  # fmt: skip
JOINTS_OF_TWO = ("{0} and then {1}", "{0}, then {1}", "{0} and {1}", "{0}, after that {1}", "first {0}, then {1}",
                 "{0} before {s} {1}", "{0}, and afterwards {1}", "{0} and finally {1}", "{0}; next {s} {1}",
                 "{0}, followed by: {s} {1}", "{0} and after that {1}", "{0}. {1}", "{0} -> {1}", "{0} + {1}",
                 "{0}, {1}", "{0}, after which {s} {1}", "{0}, and once done {s} {1}", "{0}, only then {s} {1}",
                 "{0} until {s} {1}", "{0}; then {1}")  # fmt: skip
AFTER = ("after {0} {1}", "once done {0}, {1}", "{1} after {0}", "before {2} {3}", "{3} before {2}")
"""Frames of two actions: 0 the first one's gerund, 1 subject and second one, 2 the second's gerund, 3 the other way."""
JOINTS_OF_THREE = ("{0}, then {1}, then {2}", "{0}, then {1} and finally {2}", "{0}, {1} and then {2}",
                   "first {0}, then {1}, and at last {2}", "{0} and {1}, and then {2}")  # fmt: skip
CONTINUING = (
    *GOING, "lie", "sit", "stand", "swim", "tread-water", "drive", "dangle", "dizzy", "talk", "listen", "shiver",
    "meditate", "levitate", "fly", "walk-slow", "walk-brisk", "walk-stride", "uneven", "zombie", "crawl",
    "crouch-walk", "torch", "sword-stance", "fight-stance", "hang",
)  # fmt: skip
"""Actions that go on: nobody counts them."""
# A woman or a man alone says too little about a style: those are subjects of the normal one.
FULLER = {
    "feminine": Style(("a feminine person", "a very feminine woman", "a graceful lady"), STYLES["feminine"].manners),
    "masculine": Style(("a masculine person", "a manly figure", "a macho man"), STYLES["masculine"].manners),
}
_IRREGULAR = {"has": "have", "is": "be", "does": "do", "goes": "go", "dies": "die", "lies": "lie", "canoes": "canoe"}
_DOUBLED = {"squat", "begin", "get", "quit"}


def expand(pattern: str) -> list[str]:
    """Every phrase of a pattern: "picks up (a box|a ball)" -> two. Double spaces close up."""
    parts = re.split(r"\(([^()]*)\)", pattern)
    choices = [part.split("|") if number % 2 else [part] for number, part in enumerate(parts)]
    return [re.sub(r"\s+([,;])", r"\1", " ".join("".join(chosen).split())) for chosen in product(*choices)]


def plain_words(text: str) -> str:
    """Small letters, no punctuation, one word for his and her: what two wordings are compared by."""
    words = re.sub(r"[^a-z0-9' -]", " ", text.lower().replace("{their}", "their")).split()
    return " ".join("their" if word in ("his", "her") else word for word in words)


@cache
def kept_apart() -> dict[str, list[str]]:
    """Sentences for tests, by action."""
    return json.loads((WORDINGS / "kept_apart.json").read_text(encoding="utf-8"))["sentences"]


def is_kept_apart(phrase: str) -> bool:
    """Whether a phrase is a sentence for tests, or one of three words or more in such a sentence."""
    return plain_words(phrase) in _kept_apart_phrases()


@cache
def _kept_apart_phrases() -> frozenset[str]:
    """Every sentence for tests, and all of its parts of three words or more, in plain words."""
    found: set[str] = set()
    for sentence in (plain_words(text) for sentences in kept_apart().values() for text in sentences):
        words = sentence.split()
        ends = range(len(words) + 1)
        found |= {" ".join(words[start:end]) for start in ends for end in ends if end - start > 2}
        found.add(sentence)
    return frozenset(found)


@cache
def free_phrases() -> dict[str, tuple[str, ...]]:
    """Phrases in the third person by action, without those of the sentences for tests."""
    lines = read_sections((WORDINGS / "actions.txt").read_text(encoding="utf-8"))
    found = {action: [phrase for line in own for phrase in expand(line)] for action, own in lines.items()}
    for action, phrases in _paraphrases()["actions"].items():
        found.setdefault(action, []).extend(phrases)
    found = _merged(found)
    return {a: tuple(p for p in dict.fromkeys(phrases) if not is_kept_apart(p)) for a, phrases in found.items()}


@cache
def scenes() -> dict[str, tuple[str, ...]]:
    """Whole sentences by action, without those that have four words in a row in common with a sentence for tests.

    Of actions with a side the file has the left one; the right one's are the same with left and right exchanged.
    """
    found = read_sections((WORDINGS / "scenes.txt").read_text(encoding="utf-8"))
    for action in [action for action in found if "left" in action]:
        found.setdefault(action.replace("left", "right"), []).extend(map(mirrored_words, found[action]))
    found = _merged(found)
    return {a: tuple(text for text in texts if not _has_words_of_tests(text)) for a, texts in found.items()}


@cache
def scenes_of_two() -> dict[tuple[str, str], tuple[str, ...]]:
    """Whole sentences for two actions in order, without those that have words of a sentence for tests."""
    found = read_sections((WORDINGS / "scenes_two.txt").read_text(encoding="utf-8"))
    pairs = {tuple(part.strip() for part in heading.split(",")): texts for heading, texts in found.items()}
    return {(a, b): tuple(text for text in texts if not _has_words_of_tests(text)) for (a, b), texts in pairs.items()}


def read_sections(text: str) -> dict[str, list[str]]:
    """The lines below each heading in brackets, in order; a line that begins with # is a remark."""
    found: dict[str, list[str]] = {}
    action = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            action = line.strip("[]")
        elif line and not line.startswith("#"):
            found.setdefault(action, []).append(line)
    return found


def _has_words_of_tests(text: str) -> bool:
    words = plain_words(text).split()
    runs = (" ".join(words[start : start + 4]) for start in range(len(words) - 3))
    return is_kept_apart(text) or any(run in _kept_apart_phrases() for run in runs)


@cache
def plain_phrases() -> dict[str, tuple[str, ...]]:
    """The phrases of ``training.data.captions``, without those of the sentences for tests."""
    found = _merged({action: list(phrases) for action, phrases in ACTIONS.items()})
    return {action: tuple(p for p in phrases if not is_kept_apart(p)) for action, phrases in found.items()}


def _merged(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """The words of ``SAME`` labels go to those that they mean."""
    rest = {action: list(texts) for action, texts in found.items() if action not in SAME}
    for label, meant in SAME.items():
        rest.setdefault(meant, []).extend(found.get(label, ()))
    return rest


@cache
def _paraphrases() -> dict:
    return json.loads((WORDINGS / "paraphrases.json").read_text(encoding="utf-8"))


@cache
def _verbs() -> frozenset[str]:
    """First words of all phrases."""
    everything = [*free_phrases().values(), *ACTIONS.values()]
    return frozenset(phrase.split()[0].strip(",") for phrases in everything for phrase in phrases)


def base_form(verb: str) -> str:
    """walks -> walk."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    if re.search(r"(ch|sh|ss|x|zz|o)es$", verb):
        return verb[:-2]
    return verb[:-1] if verb.endswith("s") else verb


def gerund(verb: str) -> str:
    """walks -> walking."""
    base = base_form(verb)
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")) and base != "be":
        return base[:-1] + "ing"
    if base in _DOUBLED or re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", base):
        return base + base[-1] + "ing"
    return base + "ing"


def _reshaped(phrase: str, form: str) -> str:
    """The phrase with its verbs in another form: the first word, and verbs after "and", "then" or a comma."""
    change = {"v": lambda verb: verb, "b": base_form, "g": gerund}[form]
    if form == "v":
        return phrase
    if phrase.startswith("does not "):
        return "not " + _reshaped_words(phrase.split()[2:], change, first=form == "g", bare=True)
    return _reshaped_words(phrase.split(), change, first=True)


def _reshaped_words(words: list[str], change: Callable[[str], str], first: bool, bare: bool = False) -> str:
    out = []
    for place, word in enumerate(words):
        stem = word.rstrip(",;")
        lead = place == 0 and first
        after = place > 0 and (words[place - 1] in ("and", "then") or words[place - 1].endswith(","))
        if lead or (after and stem in _verbs() and stem.endswith("s")):
            new = change(stem + "s" if bare and place == 0 else stem)
            word = new + word[len(stem) :]
        out.append(word)
    return " ".join(out)


def counted_steps(action: str, count: int) -> tuple[str, ...]:
    """Phrases for walking (or "walk-back") so many steps."""
    number = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")[count]
    steps = f"{number} step" + "s" * (count > 1)
    if action == "walk-back":
        return (f"takes {steps} back", f"takes {steps} backward", f"walks {steps} backward", f"goes {steps} back",
                f"makes {steps} backward", f"goes back {steps}", f"takes {count} {steps.split()[1]} back")  # fmt: skip
    return (f"takes {steps}", f"takes {steps} forward", f"walks {steps}", f"walks {steps} forward",
            f"makes {steps} ahead", f"goes {steps} forward", f"walks forward {steps}", f"takes exactly {steps}",
            f"takes {count} {steps.split()[1]} forward")  # fmt: skip


def _phrase(action: str, draw: np.random.Generator, own: tuple[str, ...] = ()) -> str:
    """A phrase for an action: one of ``own``, the clip's, or else free ones most of the time."""
    if own:
        return str(draw.choice(own))
    plain, free = plain_phrases().get(action, ()), free_phrases().get(action, ())
    if not plain and not free:
        raise ValueError(f"No words for {action!r}; add them to training/data/wordings/actions.txt.")
    return str(draw.choice(free if free and (not plain or draw.random() < FREE) else plain))


def sentence(
    actions: list[str], style: str, draw: np.random.Generator, times: int = 1, own: tuple[str, ...] = ()
) -> str:
    """One sentence for ``actions`` (labels, in order) in one ``style``; a single action is done ``times`` times.

    A style that is not the normal one is always said. ValueError for a label without words.
    """
    style = canonical_style(style)
    if style not in STYLES:
        raise ValueError(f"No words for the style {style!r}; add them to training/data/captions.py.")
    how = FULLER.get(style, STYLES[style])
    people = (*PEOPLE, *_paraphrases()["people"], *MORE_PEOPLE)
    subject, manner = str(draw.choice(PEOPLE if draw.random() < 0.6 else people)), ""
    kind = draw.random()
    if style == "normal":
        manner = str(draw.choice(how.manners)) if kind < 0.04 else ""
    elif kind < 0.45:
        subject = str(draw.choice(how.subjects))
    elif kind < 0.9:
        manner = str(draw.choice(how.manners))
    else:
        subject, manner = str(draw.choice(how.subjects)), str(draw.choice(how.manners))
    says_style = style != "normal" and not manner  # the subject must be heard
    phrases = [_phrase(action, draw, own if len(actions) == 1 else ()) for action in actions]
    if len(phrases) > 1:
        words = _several(subject, phrases, says_style, draw)
    else:
        words = _one(subject, phrases[0], actions[0], times, says_style, draw)
    if manner:
        words += f" {manner}"
    elif len(phrases) == 1 and style == "normal" and actions[0] != "stand":
        extra = draw.random()
        words += f" {draw.choice(CONTEXTS)}" if extra < 0.06 else f" {draw.choice(WITHOUT)}" if extra < 0.09 else ""
    return _finished(words, subject, draw)


def scenes_in_order(actions: list[str], draw: np.random.Generator) -> str | None:
    """Whole sentences for several actions, put one after the other; None where one of them has none."""
    own = [scenes().get(action, ()) for action in actions]
    if not all(own):
        return None
    parts = [str(draw.choice(texts)).rstrip(".!?") for texts in own]
    return str(draw.choice((", then ", ". Then ", " and then ", ". ", "; after that ", ", next: "))).join(parts)


def _one(subject: str, phrase: str, action: str, times: int, says_style: bool, draw: np.random.Generator) -> str:
    frames = (*_paraphrases()["frames"], *MORE_FRAMES)
    frame = "{s} {v}" if draw.random() < 0.45 else str(draw.choice(frames))
    while says_style and "{s}" not in frame:
        frame = str(draw.choice(frames))
    if times > 1 and action not in CONTINUING and draw.random() < 0.6:
        phrase += " " + str(draw.choice(AGAIN + 3 * COUNTED.get(times, ())))
    if subject in ("he", "she") and not frame.startswith("{s}"):
        subject = "a person"
    if phrase.startswith("is "):  # "is being idle" and "is is boxing" are no sentences
        frame = "{s} {v}"
    return frame.format(s=subject, **{form: _reshaped(phrase, form) for form in "vbg"})


def _several(subject: str, phrases: list[str], says_style: bool, draw: np.random.Generator) -> str:
    if len(phrases) == 2 and draw.random() < 0.15:
        first, second = (_reshaped(phrase, "g") for phrase in phrases)
        said = f"{subject} {phrases[1]}", f"{subject} {phrases[0]}"
        return str(draw.choice(AFTER)).format(first, said[0], second, said[1])
    pattern = str(draw.choice(JOINTS_OF_TWO if len(phrases) == 2 else JOINTS_OF_THREE))
    pronoun = "he" if re.search(r"\b(man|boy|he|gentleman|guy)\b", subject) else "she" if re.search(
        r"\b(woman|lady|girl|she|actress)\b", subject) else "they"  # fmt: skip
    kind = draw.random()
    spoken = says_style or kind < 0.75
    if "{s}" in pattern:
        if pronoun == "they":
            pronoun = "the person"
        spoken = True
    form = "v" if spoken or kind < 0.83 else "g" if kind < 0.92 else "b"
    deed = pattern.format(*(_reshaped(phrase, form) for phrase in phrases), s=pronoun)
    if not spoken:
        return deed
    return f"first {subject} {deed[6:]}" if deed.startswith("first ") else f"{subject} {deed}"


def _finished(words: str, subject: str, draw: np.random.Generator) -> str:
    female = re.search(r"\b(woman|lady|girl|she|grandmother|actress)\b", subject)
    male = re.search(r"\b(man|boy|he|grandfather|gentleman|guy|monk)\b", subject)
    words = words.replace("{their}", "her" if female else "his" if male else "their")
    kind = draw.random()
    if kind < 0.25:
        words = words[0].upper() + words[1:] + "."
    return words
