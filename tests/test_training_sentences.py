"""Free sentences: their grammar, what they never say, and the sentences kept apart for tests."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from training.data import sentences
from training.data.captions import STYLES
from training.measure.action_checks import BY_ACTION


def test_patterns_become_phrases() -> None:
    assert sentences.expand("picks up (a box|a ball)") == ["picks up a box", "picks up a ball"]
    assert sentences.expand("jumps (up|)") == ["jumps up", "jumps"]
    assert len(sentences.expand("(does|makes) a (jump|leap|hop)")) == 6


@pytest.mark.parametrize(
    ("verb", "base", "gerund"),
    [("walks", "walk", "walking"), ("sits", "sit", "sitting"), ("lies", "lie", "lying"), ("does", "do", "doing"),
     ("carries", "carry", "carrying"), ("pushes", "push", "pushing"), ("has", "have", "having"),
     ("goes", "go", "going"), ("dances", "dance", "dancing"), ("throws", "throw", "throwing"),
     ("squats", "squat", "squatting"),
     ("gets", "get", "getting"), ("kneels", "kneel", "kneeling"), ("shoots", "shoot", "shooting"),
     ("relaxes", "relax", "relaxing")],
)  # fmt: skip
def test_verbs(verb: str, base: str, gerund: str) -> None:
    assert sentences.base_form(verb) == base
    assert sentences.gerund(verb) == gerund


def test_no_phrase_of_a_test_sentence_is_used() -> None:
    phrases = [
        p for table in (sentences.free_phrases(), sentences.plain_phrases()) for own in table.values() for p in own
    ]
    assert len(phrases) > 2500
    assert not [phrase for phrase in phrases if sentences.is_kept_apart(phrase)]


def test_whole_sentences_have_no_four_words_in_a_row_of_test_sentences() -> None:
    found = sentences.scenes()
    assert sum(map(len, found.values())) > 9000
    kept = [sentences.plain_words(text).split() for own in sentences.kept_apart().values() for text in own]
    runs = {tuple(words[start : start + 4]) for words in kept for start in range(len(words) - 3)}
    whole = {tuple(words) for words in kept}
    for own in found.values():
        for text in own:
            words = tuple(sentences.plain_words(text).split())
            assert words not in whole
            assert not runs.intersection(words[start : start + 4] for start in range(len(words) - 3)), text


@pytest.mark.parametrize("name", ["second_set", "development_set"])
def test_no_whole_sentence_is_of_another_set(name: str) -> None:
    asked = json.loads((sentences.WORDINGS / f"{name}.json").read_text(encoding="utf-8"))["sentences"]
    assert asked.keys() == BY_ACTION.keys() and min(map(len, asked.values())) >= 5
    second = {sentences.plain_words(text) for own in asked.values() for text in own}
    written = {sentences.plain_words(text) for own in sentences.scenes().values() for text in own}
    assert not second & written


def test_whole_sentences_know_right_from_left() -> None:
    found = sentences.scenes()
    left, right = found["raise-up-left-hand"], found["raise-up-right-hand"]
    assert min(len(left), len(right)) > 80
    assert sum("left" in text for text in left) > 300
    # Where a sentence for the right hand names the left one, that one stays where it is.
    assert all("right" in re.findall(r"[a-z]+", text.lower()) for text in right if "left" in text.split())


def test_whole_sentences_of_two_actions_are_of_known_ones() -> None:
    for pair, texts in sentences.scenes_of_two().items():
        assert len(set(texts)) >= 10, pair
        for action in pair:
            assert action in sentences.free_phrases() or action in sentences.plain_phrases(), pair
        runs = sentences._kept_apart_phrases()
        words = [sentences.plain_words(text).split() for text in texts]
        assert not any(" ".join(own[i : i + 4]) in runs for own in words for i in range(len(own) - 3)), pair


def test_every_action_has_at_least_eight_test_sentences() -> None:
    kept = sentences.kept_apart()
    assert min(map(len, kept.values())) >= 8
    everything = [sentences.plain_words(text) for own in kept.values() for text in own]
    assert len(set(everything)) == len(everything)


def test_no_written_sentence_is_a_test_sentence() -> None:
    draw = np.random.default_rng(0)
    kept = {sentences.plain_words(text) for own in sentences.kept_apart().values() for text in own}
    for action in sentences.free_phrases():
        for times in (1, 2):
            text = sentences.sentence([action], "normal", draw, times)
            assert sentences.plain_words(text) not in kept
            assert "{" not in text


def test_a_style_is_always_said() -> None:
    draw = np.random.default_rng(0)
    for style, how in STYLES.items():
        if style == "normal":
            continue
        fuller = sentences.FULLER.get(style, how)
        for actions in (["walk"], ["walk", "bow"]):
            for _ in range(20):
                text = sentences.sentence(actions, style, draw).lower()
                assert any(part in text for part in (*fuller.subjects, *fuller.manners)), (style, text)


def test_labels_without_words_are_named() -> None:
    with pytest.raises(ValueError, match="levitating"):
        sentences.sentence(["levitating"], "normal", np.random.default_rng(0))
    with pytest.raises(ValueError, match="grumpy"):
        sentences.sentence(["walk"], "grumpy", np.random.default_rng(0))
