"""The tab that looks into tokens: its strip with a tiny model, and in a browser."""

from __future__ import annotations

import gradio as gr
import pytest

pytest.importorskip("gradio")

from scamo.ui.components.token_strip import alternatives, certainty, time_of, token_strip
from scamo.ui.jobs.token_changes import TokenChange
from scamo.ui.tabs.tokens import TokensTab


@pytest.fixture(scope="module")
def made(shared_pool):
    pipeline = shared_pool.pipeline(shared_pool.card(256, "0.3M"))
    return pipeline.generate("a person walks", seconds=2.0, seed=7, temperature=1.0)


def test_the_strip_shows_how_sure_the_model_was(made):
    shown = token_strip(TokenChange(made), 3)
    assert shown.count("<button") == 10
    assert shown.count("picked") == 1
    assert "changed" not in shown
    assert "0.6 s: token" in shown and "entropy" in shown
    assert token_strip(None) == ""
    choices = alternatives(made, 3)
    assert len(choices) == 8
    assert sum("now" in words for words, _ in choices) <= 1
    assert "10 tokens of 240 kinds" in certainty(made)


def test_changed_tokens_are_marked(shared_pool, made):
    pipeline = shared_pool.pipeline(made.card)
    token = next(token for _, token in alternatives(made, 4) if token != made.tokens[4])
    start = [*made.tokens[:4].tolist(), token, *made.tokens[5:].tolist()]
    new = pipeline.generate("a person walks", seconds=2.0, seed=7, start=start)
    assert token_strip(TokenChange(new, made)).count('class="changed"') == 1


@pytest.mark.parametrize(("codebook", "second"), [(256, 3.6), (512, 2.88)])
def test_tokens_begin_when_their_codec_says(slow_pool, codebook, second):
    pipeline = slow_pool.pipeline(slow_pool.card(codebook, "0.3M"))
    made = pipeline.generate("a person walks", seconds=4.0, seed=7)
    assert time_of(made, 9) == pytest.approx(second)
    assert f"{second:.1f} s: token" in token_strip(TokenChange(made))


def test_the_tab_can_be_laid_out(shared_pool):
    with gr.Blocks():
        TokensTab(shared_pool)


def test_a_browser_puts_another_token_in_its_place(visit):
    page = visit()
    page.get_by_role("tab", name="Tokens").click()
    page.get_by_label("number input for Length in seconds").locator("visible=true").fill("2")
    page.click("#tokenise")
    cells = page.locator("#strip button")
    cells.nth(9).wait_for()
    before = cells.all_inner_texts()
    assert len(before) == 10

    cells.nth(3).click()
    page.locator("#choice").first.wait_for()
    page.locator("#choice label:not(:has-text('now')):visible").first.click()
    page.click("#replace")
    page.locator("#strip .changed").wait_for()
    after = cells.all_inner_texts()
    ids = [[text.split()[0] for text in texts] for texts in (before, after)]
    assert [place for place in range(10) if ids[0][place] != ids[1][place]] == [3]
    page.wait_for_function("document.querySelector('#tokens-stage .scamo-player').player.figures.length === 2")

    cells.nth(5).click()
    page.locator("#choice label:not(:has-text('now')):visible").first.click()
    page.click("#branch")
    page.wait_for_function("document.querySelectorAll('#strip .changed').length && !document.querySelector('.picked')")
    branched = [text.split()[0] for text in cells.all_inner_texts()]
    assert branched[:5] == ids[1][:5]
    assert branched[5] != ids[1][5]
