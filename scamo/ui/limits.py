"""What the page refuses before Gradio sees it: huge bodies, and being used as a relay for other people's URLs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MAX_BODY = 2_000_000  # bytes; the page itself sends a few hundred
MAX_UPLOAD = 16_000_000  # a minute of AMASS's poses at 120 frames a second takes 9 MB, as BVH 14 MB
_AROUND = 10_000  # what a form puts around its file

# Gradio's /file= fetches any public URL it is given and hands it on: a relay nobody here needs.
_RELAY = re.compile(r"/file[=/]\s*[a-z][a-z0-9+.-]*:/", re.IGNORECASE)


class Guard:
    """ASGI middleware: 413 for a body above its bytes, declared or streamed; 403 for a file that is a URL.

    Uploaded files may have MAX_UPLOAD bytes, everything else `max_body`.
    """

    def __init__(self, app: App, max_body: int = MAX_BODY) -> None:
        self.app = app
        self.max_body = max_body

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _RELAY.search(scope["path"]):
            await _refuse(send, 403, b"This page serves its own files only.")
            return
        most = MAX_UPLOAD + _AROUND if scope["path"].endswith("/upload") else self.max_body
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > most:
            await _refuse(send, 413, b"The request is too large.")
            return

        received = 0
        started = False
        too_large = False

        async def counted() -> Message:
            nonlocal received, too_large
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                too_large = True
                return {"type": "http.disconnect"}  # the app stops reading and gives up on this request
            return message

        async def once(message: Message) -> None:
            nonlocal started
            if too_large and not started:
                return  # whatever the app makes of the cut body, the answer is ours
            started = True
            await send(message)

        try:
            await self.app(scope, counted, once)
        except Exception:
            if not too_large:
                raise
        if too_large and not started:
            await _refuse(send, 413, b"The request is too large.")


async def _refuse(send: Send, status: int, text: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
