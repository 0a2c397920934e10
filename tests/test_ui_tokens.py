"""The tab that looks into tokens: its logic with tiny models, and in a browser."""

from __future__ import annotations

import gradio as gr
import numpy as np
import pytest

from scamo import registry
from scamo.ui.model_pool import Studio
from scamo.ui.tabs import tokens
from tests.tiny import FakeEncoder, write_models


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "BUNDLED", write_models(tmp_path_factory.mktemp("models"), (256,), ("0.3M",)))
        patch.delenv(registry.MODELS_VARIABLE, raising=False)
        patch.setattr("scamo.ui.model_pool.load_text_encoder", lambda name: FakeEncoder())
        yield Studio()


@pytest.fixture(scope="module")
def generator(studio):
    return studio.generator(studio.card(256, "0.3M"))


@pytest.fixture(scope="module")
def view(generator):
    return tokens.seen(generator.generate("a person walks", seconds=2.0, seed=7, temperature=1.0))


def finish(stream):
    while True:
        try:
            next(stream)
        except StopIteration as end:
            return end.value


def other(view, place):
    """The likeliest token that is not the one there."""
    now = view["now"]["tokens"][place]
    return next(token for _, token in tokens.alternatives(view, place) if token != now)


def test_a_replaced_token_leaves_the_others(generator, view):
    token = other(view, 4)
    new = finish(tokens.changed(generator, view["now"], 4, token, branch=False))
    before, after = view["now"]["tokens"], new["now"]["tokens"]
    assert after == [*before[:4], token, *before[5:]]
    assert new["before"] == view["now"]
    assert new["thoughts"]["probability"][:4] == pytest.approx(view["thoughts"]["probability"][:4], rel=1e-4)
    assert tokens.strip(new).count('class="changed"') == 1


def test_a_branch_keeps_the_start_and_the_length(generator, view):
    token = other(view, 4)
    new = finish(tokens.changed(generator, view["now"], 4, token, branch=True))
    before, after = view["now"]["tokens"], new["now"]["tokens"]
    assert after[:5] == [*before[:4], token]
    assert len(after) == len(before) == 10
    again = finish(tokens.changed(generator, new["now"], 4, before[4], branch=True))
    assert again["now"]["tokens"] == before  # the seed stays, so the way back is open


def test_a_motion_that_is_there_is_understood_without_sampling(generator, view):
    again = tokens.understood(generator, view["now"])
    assert again["now"] == view["now"]
    for name, part in view["thoughts"].items():
        np.testing.assert_allclose(again["thoughts"][name], part, rtol=1e-3, atol=1e-5)


def test_the_strip_tells_what_the_model_thought(view):
    shown = tokens.strip(view, 3)
    assert shown.count("<button") == 10
    assert shown.count("picked") == 1
    assert "entropy" in shown
    assert tokens.strip(None) == ""
    choices = tokens.alternatives(view, 3)
    assert len(choices) == 8
    assert sum("now" in words for words, _ in choices) <= 1
    assert "10 tokens of 240 kinds" in tokens.facts(view)


def test_a_place_outside_is_refused(generator, view):
    with pytest.raises(ValueError, match="10 tokens"):
        finish(tokens.changed(generator, view["now"], 10, 0, branch=True))


def test_the_tab_can_be_laid_out(studio):
    with gr.Blocks():
        tokens.tab(studio)


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
    page.wait_for_function("[...document.querySelectorAll('.film video')].some((v) => v.duration > 0)")

    cells.nth(5).click()
    page.locator("#choice label:not(:has-text('now')):visible").first.click()
    page.click("#branch")
    page.wait_for_function("document.querySelectorAll('#strip .changed').length && !document.querySelector('.picked')")
    branched = [text.split()[0] for text in cells.all_inner_texts()]
    assert branched[:5] == ids[1][:5]
    assert branched[5] != ids[1][5]
