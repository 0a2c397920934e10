"""The tab that compares models: what it says of a result, and a browser on the whole of it."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo.body.person import load_person
from scamo.ui.components.result_cards import facts, prompt_line, sample_table, title, video_place
from scamo.ui.figure_style import FigureStyle
from scamo.ui.jobs import compare as compare_job
from scamo.ui.tabs.compare import CompareTab, orders


@pytest.fixture(scope="module")
def result(shared_pool):
    request = compare_job.read_compare_request(
        shared_pool, "<script>alert(1)</script>", [[256, "0.3M"]], 1.0, 7, 1.0, samples=3
    )
    *_, (model,) = compare_job.compare(shared_pool, request)
    return model.result


def test_facts_are_of_the_sample_that_is_shown(result):
    shown = facts(result)
    assert "1.0 s, 5 tokens" in shown
    assert "(all 3)" in shown
    assert f"{100 * result.samples[0].foot_slide:.1f} cm/s" in shown
    assert "0.3M" in title(result) and "codebook 256" in title(result)


def test_a_prompt_is_never_markup(result):
    shown = prompt_line(compare_job.Comparison("run", result.recipe.prompt, 7, 1, (result,)))
    assert "&lt;script&gt;alert(1)" in shown and "<script" not in shown


def test_the_table_marks_the_sample_that_is_shown(shared_pool, result):
    comparison = compare_job.Comparison("run", "words", 7, 1, (result,))
    other = compare_job.pick_sample(shared_pool, comparison, result, 2).results[0]
    assert sample_table(result).count("<button") == 3
    assert sample_table(other).index('"true"') > sample_table(result).index('"true"')


def test_the_tab_can_be_laid_out(shared_pool):
    with gr.Blocks():
        CompareTab(shared_pool)


def test_every_result_has_its_figure_on_the_player(shared_pool, result):
    from scamo.ui.tabs import compare

    value = compare.player_of(compare_job.Comparison("run", "words", 7, 2, (result,)))
    assert [figure["label"] for figure in value["figures"]] == ["0.3M"]
    assert value["run"] == "run"
    assert value["figures"][0]["person"] == "neutral"
    assert (value["figures"][0]["fps"], value["figures"][0]["frames"]) == (20, 20)


def test_videos_are_known_by_motion_and_figure(shared_pool, result):
    now = compare_job.Comparison("run", "an old man walks", 7, 1, (result,))
    other = compare_job.pick_sample(shared_pool, now, result, 2)
    styles = (FigureStyle("stick"), FigureStyle(), FigureStyle(person="man"))
    keys = [orders(comparison, style)[0].key for comparison in (now, other) for style in styles]
    assert len(set(keys)) == 6
    assert keys[0] == orders(now, FigureStyle("stick"))[0].key


def test_a_videos_place_says_what_is_missing():
    assert "being drawn" in video_place()
    assert "&lt;b&gt;" in video_place("<b>") and "problem" in video_place("<b>")


def test_a_browser_compares_two_models(visit):
    tab = visit(width=820, height=700)
    tab.click("#generate")  # nothing typed yet
    tab.get_by_text("the prompt is empty").first.wait_for()
    tab.get_by_text("nothing to download").wait_for()

    for box in tab.locator('#cells [aria-label="Codebook 1024"] input').all():
        box.uncheck()
    tab.locator('#cells [aria-label="Codebook 256"] input').first.focus()
    tab.keyboard.press("Space")
    tab.locator('#cells [aria-label="Codebook 4096"] input').first.check()
    tab.fill("#composer textarea", "a person walks forward")
    tab.click("#generate")
    tab.wait_for_selector("#results video")
    tab.evaluate("document.querySelector('#results video').kept = true")
    playing = "[...document.querySelectorAll('#results video')].filter(v => v.duration > 0 && v.currentTime > 0)"
    tab.wait_for_function(f"{playing}.length >= 2")
    assert tab.evaluate("document.querySelector('#results video').kept")  # the first one was not made anew
    tab.get_by_text("2 motions in").wait_for()

    player = "document.querySelector('#stage .scamo-player').player"
    tab.wait_for_function(f"{player}.figures.length === 2 && {player}.time > 0")
    assert tab.locator("#stage .legend button").all_inner_texts() == ["256 · 0.3M", "4096 · 0.3M"]
    tab.fill("#stage .scrub", "1.5")
    assert tab.evaluate(f"[{player}.time, {player}.playing]") == [1.5, False]
    tab.click("#stage .play")
    tab.wait_for_function(f"{player}.time > 1.6")
    tab.click("#stage .play")
    tab.wait_for_function(f"{player}.asked === null")  # at rest nothing is drawn

    triangles, people = f"{player}.renderer.info.render.triangles", 2 * len(load_person().faces)
    tab.wait_for_function(f"{player}.people.size && {player}.asked === null")
    person = tab.locator("#stage canvas").screenshot()
    assert tab.evaluate(triangles) >= people
    tab.get_by_label("Sticks").check()
    tab.wait_for_function(f"{player}.shape === 'sticks' && {player}.asked === null")
    assert tab.evaluate(triangles) < people
    assert tab.locator("#stage canvas").screenshot() != person
    tab.wait_for_selector("#results .video-place")  # the videos follow, as sticks
    tab.wait_for_function(f"{playing}.length >= 2")

    with tab.expect_download() as features:
        tab.locator(".card").first.get_by_role("button", name="Features").click()
    assert np.load(features.value.path()).shape == (80, 263)
    with tab.expect_download() as kept:
        tab.locator(".card").last.get_by_role("button", name="Recipe").click()
    recipe = json.loads(Path(kept.value.path()).read_text(encoding="utf-8"))
    assert (recipe["codebook"], recipe["size"]) == (4096, "0.3M")

    tab.fill("#composer textarea", "x" * 10_000)
    tab.click("#generate")
    tab.get_by_text("10,000 characters").first.wait_for()
    tab.wait_for_function(f"{playing}.length >= 2")  # what was made before is still there; at 0 s a loop begins anew
    tab.set_input_files("#settings input[type=file]", {
        "name": "mine.json", "mimeType": "application/json", "buffer": json.dumps(recipe).encode(),
    })  # fmt: skip
    tab.wait_for_function("document.querySelectorAll('#cells input:checked').length === 1")
    assert tab.input_value("#composer textarea") == "a person walks forward"
    assert tab.get_attribute("#cells input:checked", "value") == '[4096,"0.3M"]'

    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_function("document.documentElement.scrollWidth <= 390")
    column = ("#composer textarea", "#cells", "#generate", "#stage", "#samples")
    tops = [tab.locator(part).bounding_box()["y"] for part in column]
    assert tops == sorted(tops)
