"""The tab that compares models: its grid, its costs, its runs with tiny models, and a browser on the whole of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scamo import registry
from scamo.io.recipe import read_recipe
from scamo.ui import cost_estimate as cost
from scamo.ui.components import downloads as files
from scamo.ui.components import model_grid as grid
from scamo.ui.model_pool import Studio
from scamo.ui.tabs import compare
from tests.tiny import FakeEncoder, write_models

BOTH = ((1024, "0.3M"), (1024, "1M"))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_models(tmp_path_factory.mktemp("models"), (256, 1024), ("0.3M", "1M"))


@pytest.fixture
def encoder():
    return FakeEncoder()


@pytest.fixture
def studio(models, encoder, monkeypatch):
    monkeypatch.setattr(registry, "BUNDLED", models)
    monkeypatch.delenv(registry.MODELS_VARIABLE, raising=False)
    monkeypatch.setattr("scamo.ui.model_pool.load_text_encoder", lambda name: encoder)
    return Studio()


@pytest.fixture
def undrawn(monkeypatch):
    """No time for videos."""
    monkeypatch.setattr(compare, "render_motion", lambda motion, path, **_: path)


def order(studio, prompt="a person bows", cells=BOTH, seconds=1.0, seed=7, temperature=1.0, samples=1):
    return compare.read_order(studio, prompt, [list(cell) for cell in cells], seconds, seed, temperature, samples)


def last(running):
    *_, cells = running
    return cells


def test_any_cells_can_be_ticked_and_are_told_apart(studio):
    assert list(grid.chosen(studio, [[1024, "0.3M"], [1024, "1M"], [1024, "1M"]])) == ["0.3M", "1M"]
    across = grid.chosen(studio, [[256, "1M"], [1024, "1M"]])
    assert list(across) == ["256 · 1M", "1024 · 1M"]
    assert [card.codebook for card in across.values()] == [256, 1024]


def test_the_grid_holds_every_model_and_ticks_the_bundled_ones(studio, models, tmp_path):
    own = Studio([write_models(tmp_path, (256,), ("1M",))])
    card = own.cells[256].pop("1M · 256-1M")
    own.cells[256]["1M · <b>${mine}`"] = replace(card, name="<b>${mine}`")
    laid = grid.cells(own)
    assert laid.value == [[1024, "0.3M"], [1024, "1M"]]
    assert laid.html_template.count('type="checkbox"') == 5
    assert "<b>$" not in laid.html_template
    assert not set("`${}\\") & set(laid.html_template)  # they would be read as code


def test_every_model_finishes_with_its_video_and_the_text_is_read_once(studio, encoder, tmp_path):
    states = list(compare.run(studio, order(studio), tmp_path))
    cells = states[-1]
    assert [cell.state for cell in cells] == ["done", "done"]
    assert encoder.asked == ["a person bows"]
    counts = [cells[0].count for cells in states if cells[0].state == "tokens"]
    assert counts == sorted(counts)
    assert {1, 2, 3, 4, 5} <= set(counts)
    for cell in cells:
        assert len(cell.result.motion) == 20
        assert Path(cell.result.video).stat().st_size > 1000
        assert cell.result.recipe["seed"] == 7
        assert read_recipe(cell.result.video) == cell.result.recipe
    stage = compare.on_stage(compare.Shown("run", "a person bows", 7, 2, tuple(cell.result for cell in cells)))
    assert [figure["label"] for figure in stage["figures"]] == ["0.3M", "1M"]


def test_side_by_side_gives_what_each_gives_alone(studio, undrawn, tmp_path):
    both = last(compare.run(studio, order(studio), tmp_path))
    (alone,) = last(compare.run(studio, order(studio, cells=BOTH[1:]), tmp_path))
    direct = studio.generator(studio.card(1024, "1M"))
    direct._text_encoder = FakeEncoder()
    tokens = direct.generate("a person bows", seconds=1.0, seed=7, temperature=1.0).tokens.tolist()
    assert both[1].result.recipe["tokens"] == alone.result.recipe["tokens"] == tokens


def test_one_failing_model_leaves_the_other_its_motion(studio, undrawn, tmp_path, monkeypatch):
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda card: load(card) if card.size == "1M" else missing())

    def missing():
        raise registry.CheckpointError("weights.safetensors is missing; get it again")

    cells = last(compare.run(studio, order(studio), tmp_path))
    assert [cell.state for cell in cells] == ["failed", "done"]
    assert "weights.safetensors is missing" in compare.summary(cells, 1.0)


def test_a_defect_shows_no_inner_details(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "finished", lambda *_: 1 / 0)
    cells = last(compare.run(studio, order(studio, cells=BOTH[1:]), tmp_path))
    assert cells[0].state == "failed"
    assert "division" not in cells[0].error


def test_stopping_ends_the_run(studio, tmp_path):
    running = compare.run(studio, order(studio, seconds=10.0), tmp_path)
    for _ in range(4):
        next(running)
    running.close()
    assert not list(tmp_path.rglob("*.mp4"))


def test_an_endless_run_meets_its_deadline(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "DEADLINE", 0.0)
    cells = last(compare.run(studio, order(studio), tmp_path))
    assert all("too long" in cell.error for cell in cells)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": " \n"}, "empty"),
        ({"prompt": "x" * 10_000}, "10,000"),
        ({"cells": []}, "No model"),
        ({"cells": [(1024, "9T")]}, "0.3M, 1M"),
        ({"cells": [(5, "1M")]}, "256, 1024"),
        ({"cells": ["?"]}, "tick them again"),
        ({"samples": 9}, "1 to 8"),
        ({"seconds": 0}, "1 to 10"),
        ({"seconds": 1e6}, "1 to 10"),
        ({"seed": -1}, "seed"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_bad_choices_are_refused_in_words(studio, wrong, words):
    with pytest.raises(ValueError, match=words):
        order(studio, **wrong)


@pytest.mark.parametrize("prompt", ["🚶", "человек идёт вперёд", "一个人向前走", "<script>alert(1)</script>", "a\x00b"])
def test_any_script_gives_a_motion_and_never_markup(studio, undrawn, tmp_path, prompt):
    cells = last(compare.run(studio, order(studio, prompt, BOTH[:1]), tmp_path))
    assert cells[0].state == "done"
    assert "<script" not in compare.summary(cells, 1.0) + compare.facts(cells[0].result)
    assert re.fullmatch(r"[a-zA-Z0-9.-]+", Path(cells[0].result.video).name)


def test_without_a_seed_one_is_drawn_and_kept(studio):
    assert order(studio, seed=None).sampling.seed is not None


def test_progress_names_models_tokens_and_faults():
    cells = [
        compare.Cell("4M", "tokens", 5, 20),
        compare.Cell("1M", "failed", error="<b> is missing"),
        compare.Cell("0.3M"),
    ]
    shown = compare.progress(cells)
    assert "5 of 20 tokens" in shown
    assert "width: 25%" in shown
    assert "&lt;b&gt; is missing" in shown


def test_samples_are_made_at_once_and_the_smoothest_comes_first(studio, undrawn, tmp_path):
    (cell,) = last(compare.run(studio, order(studio, cells=BOTH[:1], samples=3), tmp_path))
    samples = cell.result.samples
    assert sorted(one.recipe["seed"] for one in samples) == [7, 8, 9]
    assert [one.unrest for one in samples] == sorted(one.unrest for one in samples)
    np.testing.assert_array_equal(files.motion_of(studio, samples[0].recipe).features, cell.result.motion.features)
    (alone,) = last(compare.run(studio, order(studio, cells=BOTH[:1], seed=8), tmp_path))
    assert alone.result.recipe in [one.recipe for one in samples]
    assert compare.scores(cell.result).count("<button") == 3

    shown = compare.Shown("run", "a person bows", 7, 1, (cell.result,))
    other = compare.picked(studio, shown, cell.result, 2, tmp_path)
    assert other.results[0].recipe == samples[2].recipe
    assert compare.scores(other.results[0]).index('"true"') > compare.scores(cell.result).index('"true"')
    assert compare.on_stage(other)["run"] == "run"  # the player keeps its clock and view
    with pytest.raises(ValueError, match="3 samples"):
        compare.picked(studio, shown, cell.result, 3, tmp_path)


def test_what_has_no_room_is_refused_with_the_reason(studio, monkeypatch):
    machine = cost.Machine()
    card = studio.card(1024, "1M")
    monkeypatch.setattr(machine, "free", lambda: card.memory_bytes - 1)
    no = cost.blocked(studio, machine)
    assert list(no) == [(1024, "1M")]
    assert cost.in_bytes(card.memory_bytes) in no[1024, "1M"]
    assert "1024 · 1M cannot run here" in cost.told(machine, {}, 4.0, 1, no)
    studio.generator(card)
    assert not cost.blocked(studio, machine)  # it is in memory already
    monkeypatch.setattr(machine, "free", lambda: None)
    assert not cost.blocked(studio, machine)


def test_costs_are_told_before_and_learned_from_what_was_made(studio):
    machine, cards = cost.Machine(), grid.chosen(studio, [[1024, "0.3M"], [1024, "1M"]])
    small, large = cards.values()
    assert 0 < machine.seconds(small, 1, 20) < machine.seconds(large, 1, 20) < machine.seconds(large, 8, 20)
    first = cost.told(machine, cards, 4.0, 1, {})
    assert "nothing to download" in first
    assert cost.in_bytes(small.memory_bytes + large.memory_bytes) in first
    assert "then the videos" in first
    for card in cards.values():
        machine.made(card, 1, 20, 10.0)
    machine.drew(80, 5.0)
    assert "about 30 s with the videos" in cost.told(machine, cards, 4.0, 1, {})
    assert "about 15 s" in cost.told(machine, cards, 2.0, 1, {})
    assert "at most" in cost.told(machine, cards, None, 1, {})


def test_free_memory_is_what_a_container_leaves(monkeypatch):
    told = {"MemAvailable:": 1000, "": None}
    monkeypatch.setattr(cost, "_number", lambda path, name="": told.get(name or path.name))
    assert cost.Machine().free() == 1024_000
    told.update({"memory.max": 500_000, "memory.current": 200_000, "inactive_file": 50_000})
    assert cost.Machine().free() == 350_000
    told.clear()
    assert cost.Machine().free() is None


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
    tab.get_by_text("videos included").wait_for()

    player = "document.querySelector('#stage .scamo-player').player"
    tab.wait_for_function(f"{player}.figures.length === 2 && {player}.time > 0")
    assert tab.locator("#stage .legend button").all_inner_texts() == ["256 · 0.3M", "4096 · 0.3M"]
    tab.fill("#stage .scrub", "1.5")
    assert tab.evaluate(f"[{player}.time, {player}.playing]") == [1.5, False]
    tab.click("#stage .play")
    tab.wait_for_function(f"{player}.time > 1.6")
    tab.click("#stage .play")
    tab.wait_for_function(f"{player}.asked === null")  # at rest nothing is drawn

    triangles = f"{player}.renderer.info.render.triangles"
    sticks, before = tab.evaluate(triangles), tab.locator("#stage canvas").screenshot()
    tab.click("#stage [data-shape=body]")
    tab.wait_for_function(f"{player}.body && {player}.asked === null")
    assert tab.evaluate(triangles) >= 2 * 13776  # the mannequin's, twice
    assert tab.locator("#stage canvas").screenshot() != before
    tab.click("#stage [data-shape=sticks]")
    tab.wait_for_function(f"!{player}.body && {player}.asked === null")
    assert tab.evaluate(triangles) == sticks

    with tab.expect_download() as features:
        tab.locator(".card").first.get_by_role("button", name="Features").click()
    assert np.load(features.value.path()).shape == (80, 263)
    with tab.expect_download() as kept:
        tab.locator(".card").last.get_by_role("button", name="Recipe").click()
    recipe = json.loads(Path(kept.value.path()).read_text())
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
