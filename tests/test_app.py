"""The page: the models it offers, what it tells of them, and its guard."""

from __future__ import annotations

import asyncio
import pickle
import sys
import types
import urllib.error
import urllib.request

import numpy as np
import pytest

from scamo import registry
from scamo.pipeline import Prompt
from scamo.ui import page
from scamo.ui import zero_gpu as zero
from scamo.ui.limits import Guard
from scamo.ui.model_pool import Studio
from tests.tiny import FakeEncoder, write_models


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


def test_studio_lays_models_out_by_codebook_and_size(studio, models):
    assert list(studio.cells) == [256, 1024]
    assert list(studio.cells[256]) == ["0.3M", "1M"]
    assert studio.generator(studio.card(256, "1M")) is studio.generator(studio.card(256, "1M"))
    again = Studio([models / "256-1M"])
    assert len(again.cards) == 4  # the same folder twice is one model


def test_a_model_of_ones_own_stands_beside_the_bundled_one(studio, models, tmp_path):
    own = [write_models(tmp_path / name, (256,), ("1M",)) for name in ("first", "second")]
    assert list(Studio(own).cells[256]) == ["0.3M", "1M", "1M · 256-1M", "1M · 256-1M (3)"]


def test_the_page_tells_licences_and_is_built_without_models(studio, monkeypatch, tmp_path):
    assert "CC0-1.0" in page.about(studio)
    assert page.about(studio).count("These models know nothing.") == 1  # said by every card, told once
    monkeypatch.setattr(registry, "BUNDLED", tmp_path)
    assert "--models" in page.about(Studio())
    page.build()


def test_on_zerogpu_large_models_draw_their_tokens_on_a_lent_gpu(studio, models, monkeypatch):
    lent = []

    def gpu(task, duration):
        """`spaces.GPU`: the task runs elsewhere, what goes in and out is pickled, its return value is lost."""

        def handler(*args):
            lent.append(duration(*args))
            there = task(*pickle.loads(pickle.dumps(args)))
            yield from (pickle.loads(pickle.dumps(told)) for told in there)

        return handler

    assert type(zero.studio()) is Studio
    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=gpu))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    small = zero.studio()
    card = small.card(256, "1M")
    expected = studio.generator(card).generate_batch(["a person walks", "old"], seconds=1, seed=[1, 2])
    assert small.generator(card).generate("a person walks", seconds=1, seed=1).tokens.tolist()
    assert lent == []  # stays on the CPU
    large = zero.Lender([], gpu, large=0, device="cpu").generator(card)
    counts: list[int] = []
    made = large.generate_batch(["a person walks", "old"], seconds=1, seed=[1, 2], on_token=counts.append)
    assert counts == [1, 2, 3, 4, 5]
    for one, other in zip(made, expected, strict=True):
        assert one.tokens.tolist() == other.tokens.tolist()
        np.testing.assert_array_equal(one.motion.features, other.motion.features)
        np.testing.assert_array_equal(one.trace.top, other.trace.top)
    assert len(lent) == 1 and 20 < lent[0] < 60
    timeline = [Prompt("walks", 1.0), Prompt("turns", 0.6)]
    tokens = [each.timeline(timeline, seed=1).tokens.tolist() for each in (large, studio.generator(card))]
    assert tokens[0] == tokens[1] and len(tokens[0]) == 8
    with pytest.raises(ValueError, match="is empty"):
        large.generate("", seconds=1)
    assert len(lent) == 3  # and nothing is borrowed for what cannot be meant


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
