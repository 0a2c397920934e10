"""The page: its logic with fakes, its guard, its endpoints, and one real browser that types a prompt."""

from __future__ import annotations

import asyncio
import re
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

gr = pytest.importorskip("gradio")

from scamo import zoo  # noqa: E402
from scamo.render.video import read_metadata  # noqa: E402
from scamo.ui import compare, page  # noqa: E402
from scamo.ui.guard import Guard  # noqa: E402
from scamo.ui.studio import Studio  # noqa: E402
from tests.tiny import FakeEncoder, write_models  # noqa: E402


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_models(tmp_path_factory.mktemp("models"), (256, 1024), ("0.3M", "1M"))


@pytest.fixture
def encoder():
    return FakeEncoder()


@pytest.fixture
def studio(models, encoder, monkeypatch):
    monkeypatch.setattr(zoo, "BUNDLED", models)
    monkeypatch.delenv(zoo.MODELS_VARIABLE, raising=False)
    monkeypatch.setattr("scamo.ui.studio.load_text_encoder", lambda name: encoder)
    return Studio()


@pytest.fixture
def undrawn(monkeypatch):
    """No time for videos."""
    monkeypatch.setattr(compare, "render_motion", lambda motion, path, **_: path)


def order(studio, prompt="a person bows", codebook=1024, sizes=("0.3M", "1M"), seconds=1.0, seed=7, temperature=1.0):
    return compare.read_order(studio, prompt, codebook, sizes, seconds, seed, temperature)


def test_studio_lays_models_out_by_codebook_and_size(studio, models):
    assert list(studio.cells) == [256, 1024]
    assert list(studio.cells[256]) == ["0.3M", "1M"]
    assert studio.generator(studio.card(256, "1M")) is studio.generator(studio.card(256, "1M"))
    again = Studio([models / "256-1M"])
    assert len(again.cards) == 4  # the same folder twice is one model


def test_a_model_of_ones_own_stands_beside_the_bundled_one(studio, models, tmp_path):
    own = [write_models(tmp_path / name, (256,), ("1M",)) for name in ("first", "second")]
    assert list(Studio(own).cells[256]) == ["0.3M", "1M", "1M · 256-1M", "1M · 256-1M (3)"]


def test_every_model_finishes_with_its_files_and_the_text_is_read_once(studio, encoder, tmp_path):
    states = list(compare.run(studio, order(studio), tmp_path))
    cells = states[-1]
    assert [cell.state for cell in cells] == ["done", "done"]
    assert encoder.asked == ["a person bows"]
    counts = [cells[0].count for cells in states if cells[0].state == "tokens"]
    assert counts == sorted(counts)
    assert {1, 2, 3, 4, 5} <= set(counts)
    for cell in cells:
        assert np.load(cell.result.features).shape == (20, 263)
        assert np.load(cell.result.joints).shape == (20, 22, 3)
        assert Path(cell.result.video).stat().st_size > 1000
        assert cell.result.recipe["seed"] == 7
        assert read_metadata(cell.result.video) == cell.result.recipe


def test_side_by_side_gives_what_each_gives_alone(studio, undrawn, tmp_path):
    *_, both = compare.run(studio, order(studio), tmp_path)
    *_, (alone,) = compare.run(studio, order(studio, sizes=["1M"]), tmp_path)
    direct = studio.generator(studio.card(1024, "1M"))
    direct._text_encoder = FakeEncoder()
    tokens = direct.generate("a person bows", seconds=1.0, seed=7, temperature=1.0).tokens.tolist()
    assert both[1].result.recipe["tokens"] == alone.result.recipe["tokens"] == tokens


def test_one_failing_model_leaves_the_other_its_motion(studio, undrawn, tmp_path, monkeypatch):
    load = zoo.load
    monkeypatch.setattr(zoo, "load", lambda card: load(card) if card.size == "1M" else missing())

    def missing():
        raise zoo.CheckpointError("weights.safetensors is missing; get it again")

    *_, cells = compare.run(studio, order(studio), tmp_path)
    assert [cell.state for cell in cells] == ["failed", "done"]
    assert "weights.safetensors is missing" in compare.summary(cells, 1.0)


def test_a_defect_shows_no_inner_details(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "draw", lambda *_: 1 / 0)
    *_, cells = compare.run(studio, order(studio, sizes=["1M"]), tmp_path)
    assert cells[0].state == "failed"
    assert "division" not in cells[0].error


def test_stopping_ends_the_run(studio, tmp_path):
    running = compare.run(studio, order(studio, seconds=10.0), tmp_path)
    for _ in range(4):
        next(running)
    running.close()
    assert not list(tmp_path.glob("*.mp4"))


def test_an_endless_run_meets_its_deadline(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "DEADLINE", 0.0)
    *_, cells = compare.run(studio, order(studio), tmp_path)
    assert all("too long" in cell.error for cell in cells)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": " \n"}, "empty"),
        ({"prompt": "x" * 10_000}, "10,000"),
        ({"sizes": []}, "No model"),
        ({"sizes": ["9T"]}, "0.3M, 1M"),
        ({"codebook": 5}, "256, 1024"),
        ({"codebook": None}, "--models"),
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
    *_, cells = compare.run(studio, order(studio, prompt, sizes=["0.3M"]), tmp_path)
    assert cells[0].state == "done"
    assert "<script" not in compare.summary(cells, 1.0) + cells[0].result.title + cells[0].result.facts
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


def test_the_page_tells_licences_and_is_built_without_models(studio, monkeypatch, tmp_path):
    assert "CC0-1.0" in page.about(studio)
    assert page.about(studio).count("These models know nothing.") == 1  # said by every card, told once
    monkeypatch.setattr(zoo, "BUNDLED", tmp_path)
    assert "--models" in page.about(Studio())
    page.build()


async def _request(path: str, body: list[bytes], headers: dict[str, str]) -> int:
    async def app(scope, receive, send):
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    parts = iter(body)
    left = len(body)
    answers = []

    async def receive():
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": next(parts, b""), "more_body": left > 0}

    async def send(message):
        answers.append(message)

    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    await Guard(app, max_body=100)({"type": "http", "path": path, "headers": raw}, receive, send)
    assert [a["type"] for a in answers].count("http.response.start") == 1
    return answers[0]["status"]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/gradio_api/queue/join", [b"x" * 100], {"content-length": "100"}, 200),
        ("/gradio_api/queue/join", [b"x"], {"content-length": "101"}, 413),
        ("/gradio_api/queue/join", [b"x"], {"content-length": "many"}, 413),
        ("/gradio_api/queue/join", [b"x" * 60, b"x" * 60], {}, 413),
        ("/gradio_api/file=/tmp/a.mp4", [b""], {}, 200),
        ("/gradio_api/file=http://example.org/a", [b""], {}, 403),
        ("/gradio_api/file=HTTPS:/example.org/a", [b""], {}, 403),
        ("/gradio_api/file/http://example.org/a", [b""], {}, 403),
    ],
)
def test_guard(path, body, headers, status):
    assert asyncio.run(_request(path, body, headers)) == status


def test_the_server_refuses_to_be_a_relay(served):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{served}/gradio_api/file=http://example.org/x", timeout=10)
    assert refused.value.code == 403


def test_a_browser_types_a_prompt_and_sees_the_motions(visit):
    tab = visit()
    tab.click("#generate")  # nothing typed yet
    tab.get_by_text("the prompt is empty").first.wait_for()

    tab.fill("#composer textarea", "a person walks forward")
    tab.click("#generate")
    tab.wait_for_selector("#results video")
    tab.evaluate("document.querySelector('#results video').kept = true")
    playing = "[...document.querySelectorAll('#results video')].filter(v => v.duration > 0 && v.currentTime > 0)"
    tab.wait_for_function(f"{playing}.length >= 2")
    assert tab.evaluate("document.querySelector('#results video').kept")  # the first one was not made anew
    tab.get_by_text("videos included").wait_for()
    with tab.expect_download() as features:
        tab.locator(".card").first.get_by_text("Features").click()
    assert np.load(features.value.path()).shape == (80, 263)

    tab.fill("#composer textarea", "x" * 10_000)
    tab.click("#generate")
    tab.get_by_text("10,000 characters").first.wait_for()
    assert tab.evaluate(f"{playing}.length") >= 2  # what was made before is still there
    assert tab.input_value("#composer textarea") == "x" * 10_000

    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_function("document.documentElement.scrollWidth <= 390")
