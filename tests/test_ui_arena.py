"""The tab "Blind arena": who meets whom, what votes add up to, and a browser that votes without knowing."""

from __future__ import annotations

import csv
import io
import random
from itertools import combinations

import pytest

from scamo import registry
from scamo.pipeline import Prompt
from scamo.ui.model_pool import Studio
from scamo.ui.tabs import arena
from scamo.ui.tabs.arena import Bout
from tests.tiny import FakeEncoder, write_models


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "BUNDLED", write_models(tmp_path_factory.mktemp("models"), (256, 1024), ("0.3M",)))
        patch.delenv(registry.MODELS_VARIABLE, raising=False)
        patch.setattr("scamo.ui.model_pool.load_text_encoder", lambda name: FakeEncoder())
        yield Studio()


def bout(left: str, right: str, vote: str) -> Bout:
    return Bout("a person walks", 4.0, 0, left, right, vote)


def test_models_meet_at_random_and_on_either_side():
    pairs = {arena.paired(["a", "b", "c"], random.Random(seed)) for seed in range(200)}
    assert pairs == {(x, y) for x in "abc" for y in "abc" if x != y}
    for few in ([], ["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="two models"):
            arena.paired(few, random.Random(0))


def test_both_make_what_each_makes_alone_with_that_seed(studio):
    cards = arena.contenders(studio)
    assert list(cards) == ["256 · 0.3M", "1024 · 0.3M"]
    stream, tokens = arena.fought(studio, list(cards.values()), Prompt("a person walks", 1.0), 7), 0
    while True:
        try:
            next(stream)
            tokens += 1
        except StopIteration as end:
            motions = end.value
            break
    assert tokens >= 10
    for card, motion in zip(cards.values(), motions, strict=True):
        alone = studio.generator(card).generate("a person walks", seconds=1.0, seed=7, temperature=studio.temperature)
        assert (motion.features == alone.motion.features).all()


def test_the_scores_make_the_votes_likeliest():
    votes = [("a", "b", "left")] * 3 + [("b", "a", "left"), ("b", "c", "tie"), ("c", "a", "bad"), ("c", "b", "right")]
    bouts = [bout(*vote) for vote in votes]
    points = arena.scores(bouts)
    strength = {name: 10 ** ((score - 1000) / 400) for name, score in points.items()}
    for name, own in strength.items():  # at the maximum the expected wins are those there were
        expected, real = 2 * own / (own + 1), 1.0
        for one in bouts:
            if name in (one.left, one.right):
                other = strength[one.right if name == one.left else one.left]
                share = arena.VOTES[one.vote][1]
                expected += own / (own + other)
                real += share if name == one.left else 1 - share
        assert expected == pytest.approx(real, rel=1e-6)
    assert points["a"] > points["b"] > points["c"]


def test_many_votes_find_the_true_strengths():
    truth, chance, bouts = {"a": 1200.0, "b": 1000.0, "c": 800.0}, random.Random(0), []
    for _ in range(1500):
        for left, right in combinations(truth, 2):
            odds = 1 / (1 + 10 ** ((truth[right] - truth[left]) / 400))
            bouts.append(bout(left, right, "left" if chance.random() < odds else "right"))
    assert arena.scores(bouts) == pytest.approx(truth, abs=40)


def test_few_votes_move_little_and_ties_nothing():
    one, ten = (arena.scores([bout("a", "b", "left")] * count) for count in (1, 10))
    assert 1000 < one["a"] < ten["a"] < 1500
    assert one["a"] + one["b"] == pytest.approx(2000)
    assert arena.scores([bout("a", "b", "tie"), bout("b", "a", "bad")]) == pytest.approx({"a": 1000, "b": 1000})
    assert arena.scores([]) == {}


def test_the_table_counts_votes_of_either_side():
    votes = ["left", "left", "right", "tie", "bad"]
    rows = arena.standings([bout("a", "b", vote) for vote in votes] + [bout("b", "a", "right")])
    assert [(row.model, row.wins, row.losses, row.ties, row.both_bad) for row in rows] == [
        ("a", 3, 1, 1, 1), ("b", 1, 3, 1, 1),
    ]  # fmt: skip
    assert arena.table(rows).index("<th>a</th>") < arena.table(rows).index("<th>b</th>")
    assert arena.table([]) == ""


def test_both_files_can_be_read_elsewhere():
    bouts = [Bout('a man says "hello", twice', 4.0, 3, "256 · 0.3M", "4096 · 4M", "right")]
    (row,) = csv.DictReader(io.StringIO(arena.as_csv(bouts)))
    assert (row["prompt"], row["seed"], row["vote"]) == ('a man says "hello", twice', "3", "right")
    first, second = csv.DictReader(io.StringIO(arena.as_csv(arena.standings(bouts))))
    assert (first["model"], first["wins"], second["losses"]) == ("4096 · 4M", "1", "1")


def test_the_names_come_out_as_text():
    shown = arena.revealed(Bout("<script>", 4.0, 3, "256 · <b>", "4096 · 4M", "right"))
    assert "<script>" not in shown and "· <b>" not in shown
    assert shown.count("winner") == 1


def test_a_browser_votes_without_knowing_and_learns_the_names(visit):
    page = visit()
    page.get_by_role("tab", name="Blind arena").click()
    assert page.locator("#vote-left").is_disabled()
    told = page.evaluate("""() => {
        const { props } = gradio_config.components.find(({ props }) => props.elem_id === "arena-stage");
        const copy = document.querySelector("#arena-stage").cloneNode(true);
        copy.querySelector("canvas").getContext = () => null;
        mountMotionPlayer(copy, props.props, () => {});
        return copy.querySelector(".hint").textContent;
    }""")
    assert "no 3D (WebGL). The tab Compare" in told
    page.click("#draw")
    page.get_by_text("Which one does it better?").wait_for()
    page.locator("#arena-stage .legend").get_by_text("Left", exact=True).wait_for()
    assert "·" not in page.locator(".outcome:visible").inner_text()  # as in 1024 · 4M
    page.click("#vote-left")
    page.locator("#standings table").wait_for()
    winner = page.locator("#revealed .winner b").inner_text()
    assert page.locator("#standings tbody th").first.inner_text() == winner
    page.locator("#arena-stage .legend").get_by_text(winner, exact=True).wait_for()
    with page.expect_download() as votes:
        page.click("#take-votes")
    (row,) = csv.DictReader(votes.value.path().open(encoding="utf-8"))
    assert (row["left"], row["vote"]) == (winner, "left")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
