"""Which of the people a prompt speaks of, by its words: "an old man bows to a girl" is acted by an old man."""

from __future__ import annotations

import re
from typing import NamedTuple

PEOPLE = ("neutral", "man", "woman", "child", "old man", "old woman")


class _Who(NamedTuple):
    """What is known of somebody: gender "m", "f" or "", age "child", "old" or ""."""

    gender: str = ""
    age: str = ""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KINDS = {
    _Who("m"): """man men guy guys gentleman gentlemen male males father fathers dad daddy husband brother uncle son
        king prince waiter businessman policeman fireman salesman bloke lad lads fellow dude mr sir cowboy
        monk groom""",
    _Who("f"): """woman women lady ladies female females mother mothers mom mum mommy mummy wife sister aunt daughter
        queen princess waitress actress ballerina businesswoman policewoman bride mrs ms miss madam nun cowgirl""",
    _Who("m", "child"): "boy boys schoolboy schoolboys",
    _Who("f", "child"): "girl girls schoolgirl schoolgirls",
    _Who("", "child"): """child children kid kids toddler toddlers baby babies infant infants preschooler schoolchild
        schoolchildren youngster youngsters""",
    _Who("m", "old"): "grandfather grandfathers grandpa granddad grandad gramps",
    _Who("f", "old"): "grandmother grandmothers grandma granny grandmom nana crone",
    _Who("", "old"): "senior seniors pensioner pensioners grandparent grandparents elder elders",
    _Who(): """person persons people someone somebody human humans figure figures individual individuals adult adults
        one dancer dancers athlete athletes player players runner runners performer actor actors worker workers soldier
        soldiers teenager teenagers friend friends patient patients boxer boxers teacher student doctor""",
}
_NOUNS = {word: who for who, words in _KINDS.items() for word in _words(words)}
_OLD = _words("old elderly aged ageing aging senior retired ancient frail")
_YOUNG = _words("little small young tiny")
_GENDERS = {"male": "m", "female": "f"}
_PRONOUNS = {"he": "m", "him": "m", "his": "m", "himself": "m", "she": "f", "her": "f", "hers": "f", "herself": "f"}
_POINTING = _words(
    """a an the this that these those some one two three four five six seven eight nine ten several many both another my
    your his her our their its"""
)
_BEFORE = _words(
    """to toward towards at with behind near from over by around for past beside besides of against into onto on upon in
    inside outside under above below across after before between among about like as than without alongside opposite
    through along within off beneath"""
)
_JOINING = _words("and then while when where but so is are was were there here suddenly now or that who which first")
_SHOWING = _words("video clip animation motion movement recording picture scene image")
_CHILD_UNTIL, _OLD_FROM = 14, 60  # years
_YEARS = re.compile(r"\b(\d{1,3})[ -]years?[ -]olds?\b")
_WORD = re.compile(r"[a-z]+(?:['’][a-z]+)?|\d+y|[.,;:!?]")


def person_for(prompt: str) -> str:
    """The name in PEOPLE of who acts in a prompt: the first one acting; "neutral" where nothing says.

    Nouns ("grandmother"), adjectives ("an elderly lady"), years ("a 5-year-old") and pronouns ("waves with her left
    hand") count. People to whom something is done ("towards a woman", "hugs a child"), likenesses ("like an old man")
    and owners ("a man's hat") do not act.
    """
    words = _WORD.findall(_YEARS.sub(r"\1y", prompt.lower()))
    mentions = [at for at, word in enumerate(words) if _named(words, at)]
    acting = next((at for at in mentions if _acts(words, at)), None)
    if acting is None:
        return _name(_Who(_pronoun(words)))
    who = _described(words, acting)
    if not who.gender and who.age != "child":
        others = [at for at in mentions if at > acting]  # a pronoun after them may be theirs
        who = who._replace(gender=_pronoun(words[acting : others[0] if others else None]))
    return _name(who)


def _name(who: _Who) -> str:
    if who.age == "child":
        return "child"
    adult = {"m": "man", "f": "woman"}.get(who.gender)
    if who.age == "old":
        return f"old {adult or 'man'}"
    return adult or "neutral"


def _named(words: list[str], at: int) -> bool:
    """Whether the word is a noun for somebody, and not an adjective to one ("male dancer") or "one" that counts."""
    word, after = words[at], words[at + 1] if at + 1 < len(words) else ""
    if word == "one":
        return after not in _NOUNS and at > 0 and words[at - 1] in _OLD | _YOUNG | {"some"}
    if word in ("male", "female", "senior", "baby", "child", "adult", "elder") and after in _NOUNS:
        return False
    return word in _NOUNS or (_age(word) != "" and after not in _NOUNS)


def _age(word: str) -> str:
    """ "child" or "old" of a number of years such as "5y"."""
    if not re.fullmatch(r"\d+y", word):
        return ""
    years = int(word[:-1])
    return "child" if years < _CHILD_UNTIL else "old" if years >= _OLD_FROM else ""


def _start(words: list[str], at: int) -> int:
    """Where the phrase of a noun begins, with its article and up to three adjectives."""
    for first in range(at - 1, max(at - 5, -1), -1):
        if words[first] in _POINTING:
            return first
        if not words[first][0].isalnum():
            break
    while at > 0 and (words[at - 1] in _OLD | _YOUNG | set(_GENDERS) or re.fullmatch(r"\d+y", words[at - 1])):
        at -= 1
    return at


def _acts(words: list[str], at: int) -> bool:
    """Whether somebody begins a clause."""
    first = _start(words, at)
    before = words[first - 1] if first else ""
    if not before or not before[0].isalpha() or before in _JOINING or before.endswith("ly"):
        return True
    if before == "of":
        return first > 1 and words[first - 2] in _SHOWING
    if before in _BEFORE:
        return False
    clause = next((i + 1 for i in range(first - 1, -1, -1) if not words[i][0].isalpha()), 0)
    return words[clause] in _BEFORE - {"like", "as"}  # "in the park a girl runs"


def _described(words: list[str], at: int) -> _Who:
    """The noun with its adjectives."""
    who = _NOUNS.get(words[at], _Who("", _age(words[at])))
    for word in words[_start(words, at) : at]:
        who = who._replace(gender=who.gender or _GENDERS.get(word, ""), age=who.age or _age(word))
        if word in _OLD:
            who = who._replace(age="old")
        if word in ("baby", "child"):
            who = who._replace(age="child")
    return who


def _pronoun(words: list[str]) -> str:
    return next((_PRONOUNS[word] for word in words if word in _PRONOUNS), "")
