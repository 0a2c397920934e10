"""A small grammar that writes sentences for labelled motions: who moves, what they do, and how.

One motion gets many wordings, so that a model learns what a sentence means and not one phrase for each label. For a
mirror image left and right, and clockwise and counterclockwise, are exchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

PEOPLE = (
    "a person", "a person", "a person", "someone", "a man", "a woman", "the person", "a figure", "a human",
    "the man", "the woman", "a character", "somebody", "he", "she",
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How a motion is done: subjects that imply it, and phrases that follow the verb."""

    subjects: tuple[str, ...] = ()
    manners: tuple[str, ...] = ()


STYLES = {
    "normal": Style((), ("normally", "in a relaxed way", "calmly", "at a normal pace")),
    "active": Style(
        ("an energetic person", "an active person", "a lively person", "an energetic man", "a lively woman"),
        ("energetically", "with energy", "briskly", "in a lively way", "with a lot of energy", "vigorously"),
    ),
    "old": Style(
        ("an old man", "an elderly person", "an old woman", "an old person", "an elderly man", "an elderly woman",
         "a senior", "a grandfather", "a grandmother"),
        ("like an old person", "like an elderly man", "with the stiffness of old age", "like an old man"),
    ),
    "tired": Style(
        ("an exhausted person", "a tired person", "a weary person", "a tired man", "an exhausted woman"),
        ("wearily", "tiredly", "in exhaustion", "as if exhausted", "with heavy steps and hanging shoulders",
         "like someone who is very tired"),
    ),
    "feminine": Style(
        ("a woman", "a feminine person", "a lady", "a girl", "the woman"),
        ("in a feminine way", "like a woman", "femininely", "elegantly", "like a lady"),
    ),
    "masculine": Style(
        ("a man", "a masculine person", "a manly figure", "the man", "a strong man"),
        ("in a masculine way", "like a man", "in a manly way", "with a broad, manly posture"),
    ),
    "youthful": Style(
        ("a young person", "a youthful person", "a youngster", "a young man", "a young woman", "a teenager"),
        ("youthfully", "with youthful energy", "like a young person", "with a youthful spring"),
    ),
    "childish": Style(
        ("a child", "a kid", "a little boy", "a little girl", "a childish person"),
        ("like a child", "childishly", "in a childish way", "like a kid"),
    ),
    "happy": Style(
        ("a happy person", "a cheerful person", "a joyful woman", "a happy man"),
        ("happily", "cheerfully", "with joy", "in a good mood"),
    ),
    "sad": Style(
        ("a sad person", "a sad man", "a sad woman", "a gloomy person"),
        ("sadly", "in sadness", "gloomily", "with a drooping head"),
    ),
    "angry": Style(
        ("an angry person", "an angry man", "an angry woman", "a furious person"),
        ("angrily", "in anger", "furiously", "in a rage"),
    ),
    "proud": Style(
        ("a proud person", "a proud man", "a proud woman"),
        ("proudly", "with pride", "with the chest out", "haughtily"),
    ),
    "not-confident": Style(
        ("a shy person", "a timid person", "an insecure person", "a nervous person"),
        ("timidly", "without confidence", "shyly", "hesitantly", "nervously"),
    ),
    "musical": Style(
        ("a person in a musical", "a musical performer", "a dancing person"),
        ("as if in a musical", "rhythmically", "with rhythm", "as if dancing to music"),
    ),
    "giant": Style(
        ("a giant", "a huge person", "a giant monster"),
        ("like a giant", "heavily, like a giant", "with huge heavy movements"),
    ),
    "chimpira": Style(
        ("a thug", "a street punk", "a swaggering person"),
        ("like a thug", "with a swagger", "like a punk", "swaggering"),
    ),
}  # fmt: skip
# Labels of the second dataset and the first one's label for the same style.
SAME_STYLE = {"elderly": "old", "exhausted": "tired", "masculinity": "masculine"}

_TURN_LEFT = (
    "turns left", "turns to the left", "walks and turns left", "walks forward and turns left", "makes a left turn",
    "walks forward, turning left", "takes a left turn while walking", "turns left while walking", "takes a left",
    "walks around a corner to the left", "walks in a curve to the left", "turns left and walks on", "turns leftward",
    "walks and makes a left turn", "changes direction to the left", "turns counterclockwise while walking",
    "walks to the left, turning around the corner", "turns 90 degrees to the left",
)  # fmt: skip
_RAISE_LEFT = (
    "raises the left hand", "raises {their} left hand", "lifts the left hand", "puts {their} left hand up",
    "raises the left arm", "lifts {their} left arm", "raises {their} left arm above the head", "holds up the left hand",
    "raises the left hand above the head", "lifts the left hand up high", "reaches up with the left hand",
    "puts the left arm up in the air", "raises up the left hand", "stretches the left arm upward",
    "raises left hand", "lifts left arm overhead",
)  # fmt: skip
_WAVE_LEFT = (
    "waves with the left hand", "waves {their} left hand", "waves the left hand", "waves with {their} left hand",
    "waves the left hand above the head", "gives a wave with the left hand", "waves {their} left arm",
    "swings {their} raised left hand from side to side", "greets someone by waving the left hand",
    "holds up the left hand and waves", "waves at somebody with the left hand", "waves left hand",
)  # fmt: skip
_WALK_LEFT = (
    "walks to the left", "walks diagonally to the left", "walks forward and to the left", "walks off to the left",
    "drifts to the left while walking", "walks diagonally forward left", "moves to the left while walking",
)  # fmt: skip


def mirrored_words(sentence: str) -> str:
    """The sentence of the mirrored motion: left <-> right, clockwise <-> counterclockwise."""
    swap = {"left": "right", "right": "left", "clockwise": "counterclockwise"}

    def exchanged(match: re.Match[str]) -> str:
        word = match.group(0)
        other = swap.get(match["word"].lower(), "clockwise") + (match["end"] or "")
        return other.capitalize() if word[0].isupper() else other

    against = r"(?:counter|anti)[- ]?clockwise"
    return re.sub(rf"\b(?P<word>{against}|clockwise|left|right)(?P<end>wards?)?\b", exchanged, sentence, flags=re.I)


def _mirrored(phrases: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(mirrored_words(phrase) for phrase in phrases)


ACTIONS = {
    "walk": (
        "walks forward", "walks ahead", "walks straight ahead", "walks", "strolls ahead", "strolls forward",
        "is walking forward", "takes several steps forward", "walks in a straight line", "steps forward",
        "goes forward on foot", "paces forward", "moves forward at a walk", "goes for a walk", "walks forwards",
    ),
    "run": (
        "runs forward", "runs", "jogs forward", "jogs", "is running", "jogs ahead", "runs ahead", "runs straight ahead",
        "goes jogging", "is jogging forward", "runs in a straight line", "runs forwards",
    ),
    "dash": (
        "dashes forward", "sprints", "sprints ahead", "sprints forward", "races forward", "dashes ahead",
        "runs forward as fast as possible", "runs very fast",
    ),
    "walk-back": (
        "walks backward", "walks backwards", "steps back", "moves backward", "backs away", "retreats step by step",
        "walks back", "takes several steps back", "goes backwards",
    ),
    "walk-left": _WALK_LEFT,
    "walk-right": _mirrored(_WALK_LEFT),
    "walk-turn-left": _TURN_LEFT,
    "walk-turn-right": _mirrored(_TURN_LEFT),
    "raise-up-left-hand": _RAISE_LEFT,
    "raise-up-right-hand": _mirrored(_RAISE_LEFT),
    "raise-up-both-hands": (
        "raises both hands", "raises {their} hands", "lifts both arms", "puts both hands up", "raises both arms",
        "puts {their} hands up in the air", "raises both hands above the head", "lifts both hands up high",
        "raises {their} arms", "reaches up with both hands", "throws up both hands", "stretches both arms upward",
    ),
    "wave-left-hand": _WAVE_LEFT,
    "wave-right-hand": _mirrored(_WAVE_LEFT),
    "wave-both-hands": (
        "waves with both hands", "waves both hands", "waves {their} hands", "waves both arms", "waves {their} arms",
        "swings both raised hands from side to side", "waves both hands above the head",
        "greets someone by waving both hands", "holds up both hands and waves",
    ),
    "bow": (
        "bows", "takes a bow", "bows politely", "bends forward in a bow", "greets with a bow", "bows down",
        "makes a bow", "leans forward to bow",
    ),
    "bye": (
        "says goodbye with the right hand", "raises the right hand to say goodbye", "says goodbye by raising a hand",
        "says bye", "raises {their} right hand in farewell", "gives a short goodbye wave with the right hand",
    ),
    "byebye": (
        "waves goodbye with both hands", "waves goodbye", "waves bye-bye", "waves bye-bye with both hands",
        "says farewell, waving both hands",
    ),
    "guide": (
        "shows the way", "guides someone", "shows someone the way with one hand", "gestures the way",
        "invites someone to come along with a gesture of the hand", "points the way with an open hand",
    ),
    "respond": (
        "raises {their} left hand to respond", "responds to a call with a raised left hand",
        "answers by raising the left hand",
    ),
    "call": (
        "calls out to someone", "calls somebody", "shouts with both hands at the mouth", "calls out loudly",
    ),
    "kick": ("kicks", "performs kicks", "does a kick", "kicks the air", "practises kicks"),
    "punch": ("punches", "throws punches", "punches the air", "boxes", "throws a punch"),
    "slash": (
        "slashes with a sword", "swings a sword", "slashes", "cuts with a sword", "performs a sword slash",
    ),
    "dance-long": ("dances", "is dancing", "dances a long dance", "performs a dance"),
    "dance-short": ("dances", "is dancing", "dances a short dance", "performs a dance"),
}  # fmt: skip

JOINTS_OF_TWO = ("{0}, then {1}", "{0} and then {1}", "{0}, and then {1}", "{0} and {1}", "{0}, after that {1}",
                 "first {0}, then {1}")  # fmt: skip
JOINTS_OF_THREE = ("{0}, then {1}, then {2}", "{0}, then {1} and finally {2}", "{0}, {1} and then {2}",
                   "{0}, then {1}, and finally {2}")  # fmt: skip
AGAIN = ("repeatedly", "again and again", "several times", "over and over")
COUNTED = {2: ("twice", "two times"), 3: ("three times",)}
GOING = ("walk", "run", "dash", "walk-back")  # more of one of these needs no word such as "again"


def canonical_style(style: str) -> str:
    """One name for labels of the two datasets that mean the same style."""
    return SAME_STYLE.get(style, style)


def caption(contents: list[str], style: str, draw: np.random.Generator, times: int = 1) -> str:
    """One sentence for the actions ``contents`` (labels, in order) in one ``style``. A single action is done ``times``
    times.

    draw: chooses the words. ValueError for a label that the grammar has no words for.
    """
    style = canonical_style(style)
    unknown = [c for c in contents if c not in ACTIONS] + ([style] if style not in STYLES else [])
    if unknown:
        raise ValueError(f"No words for {', '.join(map(repr, unknown))}; add them to training/data/captions.py.")
    how = STYLES[style]
    subject, manner = str(draw.choice(PEOPLE)), ""
    kind = draw.random()
    if style == "normal":
        manner = str(draw.choice(how.manners)) if kind < 0.1 else ""
    elif kind < 0.45:
        subject = str(draw.choice(how.subjects))
    elif kind < 0.85:
        manner = str(draw.choice(how.manners))
    elif kind < 0.92:
        subject, manner = str(draw.choice(how.subjects)), str(draw.choice(how.manners))
    phrases = [str(draw.choice(ACTIONS[content])) for content in contents]
    if len(phrases) == 1:
        action = phrases[0]
        if times > 1 and contents[0] not in GOING and draw.random() < 0.6:
            action += " " + str(draw.choice(AGAIN + 2 * COUNTED.get(times, ())))
    else:
        pattern = JOINTS_OF_TWO if len(phrases) == 2 else JOINTS_OF_THREE
        action = str(draw.choice(pattern)).format(*phrases)
    words = f"{subject} {action} {manner}".strip()
    female = re.search(r"\b(woman|lady|girl|she|grandmother)\b", subject)
    male = re.search(r"\b(man|boy|he|grandfather)\b", subject)
    words = words.replace("{their}", "her" if female else "his" if male else "their")
    if draw.random() < 0.3:
        words = words[0].upper() + words[1:] + "."
    return words
