"""The tab "Blind arena": contests with tiny models, and a browser that votes without knowing."""

from __future__ import annotations

import csv

import gradio as gr
import pytest

pytest.importorskip("gradio")

from scamo.options import Prompt
from scamo.ui.jobs.follow import Deadline
from scamo.ui.tabs.arena import ArenaTab, contenders, generate_contest


@pytest.fixture
def tab(shared_pool):
    with gr.Blocks():
        return ArenaTab(shared_pool)


def test_both_make_what_each_makes_alone_with_that_seed(shared_pool):
    cards = contenders(shared_pool)
    assert list(cards) == ["256 · 0.3M", "256 · 1M", "1024 · 0.3M", "1024 · 1M"]
    for card in cards.values():
        *_, step = generate_contest(shared_pool, card, Prompt("a person walks", 1.0), 7, Deadline())
        alone = shared_pool.pipeline(card).generate(
            "a person walks", seconds=1.0, seed=7, temperature=shared_pool.default_temperature
        )
        assert (step.result.motion.features == alone.motion.features).all()


def test_a_contest_names_no_model_before_the_vote(tab):
    names = ["256 · 0.3M", "1024 · 0.3M"]
    *_, (note, player, hidden, revealed, *buttons) = tab.draw_contest("a person walks", 1.0, names)
    assert [figure["label"] for figure in player["figures"]] == ["Left", "Right"]
    assert "Which one" in note and revealed == "" and len(buttons) == 4
    assert {hidden.contest.left, hidden.contest.right} == set(names)
    assert not any(name in str(player) for name in names)
    _, shown, left, revealed, *_, contests, scores, table_file, votes_file = tab.cast_vote("left", hidden, [])
    assert [figure["label"] for figure in shown["figures"]] == [hidden.contest.left, hidden.contest.right]
    assert left is None and hidden.contest.left in revealed and hidden.contest.left in scores
    assert [contest.vote for contest in contests] == ["left"]
    assert table_file.value and votes_file.value


def test_what_makes_no_sense_is_refused(tab):
    for text, seconds, names, words in (
        ("", 4.0, ["256 · 1M", "1024 · 1M"], "empty"),
        ("walks", 99.0, ["256 · 1M", "1024 · 1M"], "1 to 10"),
        ("walks", 4.0, ["256 · 1M", "9T"], "two models"),
    ):
        with pytest.raises(gr.Error, match=words):
            next(tab.draw_contest(text, seconds, names))
    with pytest.raises(gr.Error, match="nothing to vote on"):
        tab.cast_vote("left", None, [])


def test_a_browser_votes_without_knowing_and_learns_the_names(visit):
    page = visit()
    page.get_by_role("tab", name="Blind arena").click()
    assert page.locator("#vote-left").is_disabled()
    page.wait_for_function("!!window.mountMotionPlayer")
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
