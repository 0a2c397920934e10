"""Who meets whom in the arena, and what votes add up to."""

from __future__ import annotations

import csv
import io
import random
from itertools import combinations

import pytest

pytest.importorskip("gradio")

from scamo.ui.components.vote_tables import revealed_names, score_sheet
from scamo.ui.jobs.arena_scores import VOTES, Contest, as_csv, bradley_terry, draw_pair, score_table


def contest(left: str, right: str, vote: str) -> Contest:
    return Contest("a person walks", 4.0, 0, left, right, vote)


def test_models_meet_at_random_and_on_either_side():
    pairs = {draw_pair(["a", "b", "c"], random.Random(seed)) for seed in range(200)}
    assert pairs == {(x, y) for x in "abc" for y in "abc" if x != y}
    for few in ([], ["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="two models"):
            draw_pair(few, random.Random(0))


def test_the_scores_make_the_votes_likeliest():
    votes = [("a", "b", "left")] * 3 + [("b", "a", "left"), ("b", "c", "tie"), ("c", "a", "bad"), ("c", "b", "right")]
    contests = [contest(*vote) for vote in votes]
    points = bradley_terry(contests)
    strength = {name: 10 ** ((score - 1000) / 400) for name, score in points.items()}
    for name, own in strength.items():  # at the maximum the expected wins are those there were
        expected, real = 2 * own / (own + 1), 1.0
        for one in contests:
            if name in (one.left, one.right):
                other = strength[one.right if name == one.left else one.left]
                share = VOTES[one.vote][1]
                expected += own / (own + other)
                real += share if name == one.left else 1 - share
        assert expected == pytest.approx(real, rel=1e-6)
    assert points["a"] > points["b"] > points["c"]


def test_many_votes_find_the_true_strengths():
    truth, chance, contests = {"a": 1200.0, "b": 1000.0, "c": 800.0}, random.Random(0), []
    for _ in range(1500):
        for left, right in combinations(truth, 2):
            odds = 1 / (1 + 10 ** ((truth[right] - truth[left]) / 400))
            contests.append(contest(left, right, "left" if chance.random() < odds else "right"))
    assert bradley_terry(contests) == pytest.approx(truth, abs=40)


def test_few_votes_move_little_and_ties_nothing():
    one, ten = (bradley_terry([contest("a", "b", "left")] * count) for count in (1, 10))
    assert 1000 < one["a"] < ten["a"] < 1500
    assert one["a"] + one["b"] == pytest.approx(2000)
    assert bradley_terry([contest("a", "b", "tie"), contest("b", "a", "bad")]) == pytest.approx({"a": 1000, "b": 1000})
    assert bradley_terry([]) == {}


def test_the_table_counts_votes_of_either_side():
    votes = ["left", "left", "right", "tie", "bad"]
    rows = score_table([contest("a", "b", vote) for vote in votes] + [contest("b", "a", "right")])
    assert [(row.model, row.wins, row.losses, row.ties, row.both_bad) for row in rows] == [
        ("a", 3, 1, 1, 1), ("b", 1, 3, 1, 1),
    ]  # fmt: skip
    assert score_sheet(rows).index("<th>a</th>") < score_sheet(rows).index("<th>b</th>")
    assert score_sheet([]) == ""


def test_both_files_can_be_read_elsewhere():
    contests = [Contest('a man says "hello", twice', 4.0, 3, "256 · 0.3M", "4096 · 4M", "right")]
    (row,) = csv.DictReader(io.StringIO(as_csv(contests)))
    assert (row["prompt"], row["seed"], row["vote"]) == ('a man says "hello", twice', "3", "right")
    first, second = csv.DictReader(io.StringIO(as_csv(score_table(contests))))
    assert (first["model"], first["wins"], second["losses"]) == ("4096 · 4M", "1", "1")


def test_the_names_come_out_as_text():
    shown = revealed_names(Contest("<script>", 4.0, 3, "256 · <b>", "4096 · 4M", "right"))
    assert "<script>" not in shown and "· <b>" not in shown
    assert shown.count("winner") == 1
