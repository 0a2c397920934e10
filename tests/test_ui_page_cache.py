"""The page's HTML is made once for each address, and only for plain visits."""

from __future__ import annotations

import asyncio
from typing import Any

from scamo.ui.page_cache import PageCache


class _Page:
    """Answers with what was asked, in two parts, and counts."""

    def __init__(self, status: int = 200) -> None:
        self.asked, self.status = 0, status

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": dict(scope["headers"]).get(b"host", b""), "more_body": True})
        await send({"type": "http.response.body", "body": str(self.asked).encode()})


def _ask(cache: PageCache, host: bytes = b"here", **scope: Any) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    whole = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "scheme": "http", "root_path": "",
             "headers": [(b"host", host), (b"user-agent", b"x")], **scope}  # fmt: skip
    asyncio.run(cache(whole, None, send))
    assert sent[0]["headers"] == [(b"a", b"b")]
    return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:])


def test_a_page_is_made_once_for_each_address() -> None:
    page = _Page()
    cache = PageCache(page)
    assert [_ask(cache), _ask(cache), _ask(cache, b"there"), _ask(cache)] == [
        (200, b"here1"), (200, b"here1"), (200, b"there2"), (200, b"here1"),
    ]  # fmt: skip
    assert _ask(cache, headers=[(b"host", b"here"), (b"x-forwarded-proto", b"https")])[1] == b"here3"


def test_everything_else_goes_on() -> None:
    page = _Page()
    cache = PageCache(page)
    for scope in ({"method": "HEAD"}, {"path": "/config"}, {"query_string": b"a=b"}):
        assert _ask(cache, **scope) != _ask(cache, **scope)
    failing = PageCache(_Page(500))
    assert _ask(failing) == (500, b"here1") and _ask(failing) == (500, b"here2")


def test_memory_is_bounded() -> None:
    page = _Page()
    cache = PageCache(page)
    for number in range(40):
        _ask(cache, str(number).encode())
    assert _ask(cache, b"39") == (200, b"3940") and _ask(cache, b"0") == (200, b"041")
