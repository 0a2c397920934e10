"""What the page refuses: huge bodies, being used as a relay, and lengths it does not offer."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

pytest.importorskip("gradio")

from scamo.ui.disk_limit import DiskLimit
from scamo.ui.limits import HEADERS, RequestLimits, checked_seconds


async def status_of(path: str, body: list[bytes], headers: dict[str, str], disk: DiskLimit | None = None) -> int:
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
    await RequestLimits(app, max_body=100, disk=disk)({"type": "http", "path": path, "headers": raw}, receive, send)
    assert [answer["type"] for answer in answers].count("http.response.start") == 1
    assert dict(answers[0]["headers"])[b"x-content-type-options"] == b"nosniff"
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


def test_uploads_are_refused_where_the_disk_has_no_room(tmp_path):
    old, new = tmp_path / "a" / "old.bvh", tmp_path / "new.bvh"
    old.parent.mkdir()
    for path in (old, new):
        path.write_bytes(bytes(60))
    os.utime(old, (time.time() - 1000, time.time() - 1000))
    disk = DiskLimit(tmp_path, most=100, least_age=600, between=0)
    assert asyncio.run(status_of("/gradio_api/upload", [b"x"], {}, disk)) == 200
    assert not old.exists() and new.exists()  # the oldest has gone
    (tmp_path / "newer.bvh").write_bytes(bytes(60))
    assert asyncio.run(status_of("/gradio_api/upload", [b"x"], {}, disk)) == 507
    assert asyncio.run(status_of("/gradio_api/queue/join", [b"x"], {}, disk)) == 200
    assert new.exists()


def test_an_upload_that_is_cut_off_leaves_nothing(served, tmp_path_factory):
    place, folder = urllib.parse.urlsplit(served), tmp_path_factory.getbasetemp()
    before = set(folder.glob("served*/gradio/tmp*"))
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.bvh"\r\n\r\n' + bytes(100_000)
    with socket.create_connection((place.hostname, place.port)) as client:
        client.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 1000000\r\n\r\n" + head
        )
        wait_until(lambda: set(folder.glob("served*/gradio/tmp*")) - before)
    wait_until(lambda: not set(folder.glob("served*/gradio/tmp*")) - before)


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_answer_has_the_headers_and_monitoring_is_off(served):
    with urllib.request.urlopen(served, timeout=10) as answer:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    for place in ("monitoring", "monitoring/summary", "monitoring/x"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{served}/{place}", timeout=10)
        assert refused.value.code == 403


def test_the_server_refuses_to_be_a_relay(served):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{served}/gradio_api/file=http://example.org/x", timeout=10)
    assert refused.value.code == 403


def test_lengths_are_checked():
    assert [checked_seconds(seconds) for seconds in (1, 2.5, 10.0)] == [1, 2.5, 10.0]
    for wrong in (0.9, 10.1, float("nan"), "4", None, [4], True):
        with pytest.raises(ValueError, match=r"1 to 10"):
            checked_seconds(wrong)
