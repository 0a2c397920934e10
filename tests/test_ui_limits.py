"""What the page refuses: huge bodies, being used as a relay, and lengths it does not offer."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request

import pytest

pytest.importorskip("gradio")

from scamo.ui.limits import RequestLimits, checked_seconds


async def status_of(path: str, body: list[bytes], headers: dict[str, str]) -> int:
    """The status that a request gets, from an app that reads all of it and answers 200."""

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
    await RequestLimits(app, max_body=100)({"type": "http", "path": path, "headers": raw}, receive, send)
    assert [answer["type"] for answer in answers].count("http.response.start") == 1
    return answers[0]["status"]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/gradio_api/queue/join", [b"x" * 100], {"content-length": "100"}, 200),
        ("/gradio_api/queue/join", [b"x"], {"content-length": "101"}, 413),
        ("/gradio_api/queue/join", [b"x"], {"content-length": "many"}, 413),
        ("/gradio_api/queue/join", [b"x" * 60, b"x" * 60], {}, 413),
        ("/gradio_api/upload", [b"x"], {"content-length": "101"}, 200),
        ("/gradio_api/file=/tmp/a.mp4", [b""], {}, 200),
        ("/gradio_api/file=http://example.org/a", [b""], {}, 403),
        ("/gradio_api/file=HTTPS:/example.org/a", [b""], {}, 403),
        ("/gradio_api/file/http://example.org/a", [b""], {}, 403),
    ],
)
def test_large_bodies_and_foreign_urls_are_refused(path, body, headers, status):
    assert asyncio.run(status_of(path, body, headers)) == status


def test_the_server_refuses_to_be_a_relay(served):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{served}/gradio_api/file=http://example.org/x", timeout=10)
    assert refused.value.code == 403


def test_lengths_are_checked():
    assert [checked_seconds(seconds) for seconds in (1, 2.5, 10.0)] == [1, 2.5, 10.0]
    for wrong in (0.9, 10.1, float("nan"), "4", None, [4], True):
        with pytest.raises(ValueError, match=r"1 to 10"):
            checked_seconds(wrong)
