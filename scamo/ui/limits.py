"""What the page offers at most, and what it refuses before Gradio sees it.

Refused are huge bodies, and URLs of other machines, for which Gradio would act as a relay.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

SECONDS = (1.0, 10.0)  # shortest and longest motion of one prompt
MAX_SEED = 2**31 - 1
MAX_SAMPLES = 8  # of one model for one click
MAX_BODY = 2_000_000  # bytes; the page itself sends a few hundred
MAX_UPLOAD = 16_000_000  # a minute of AMASS's poses at 120 frames a second takes 9 MB, as BVH 14 MB
_FORM_BYTES = 10_000  # what a form adds to its file

# Gradio's /file= fetches any public URL it is given and passes it on. This page needs no such relay.
_RELAY = re.compile(r"/file[=/]\s*[a-z][a-z0-9+.-]*:/", re.IGNORECASE)


def checked_seconds(seconds: Any) -> float:
    """The length of one prompt's motion. Raises ValueError where the page does not offer it."""
    low, high = SECONDS
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise ValueError(f"{seconds!r} is no number of seconds; give one of {low:g} to {high:g}.")
    if not low <= seconds <= high:
        raise ValueError(f"{seconds:g} seconds are not offered here; choose {low:g} to {high:g}.")
    return seconds


class RequestLimits:
    """ASGI middleware: 413 for a body that is too large, declared or streamed; 403 for a file that is a URL.

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
        limit = MAX_UPLOAD + _FORM_BYTES if scope["path"].endswith("/upload") else self.max_body
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            await _refuse(send, 413, b"The request is too large.")
            return

        received = 0
        started = False
        too_large = False

        async def receive_limited() -> Message:
            nonlocal received, too_large
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                too_large = True
                return {"type": "http.disconnect"}  # the app stops reading and gives up on this request
            return message

        async def send_unless_refused(message: Message) -> None:
            nonlocal started
            if too_large and not started:
                return  # whatever the app answers to the cut body, this class answers instead
            started = True
            await send(message)

        try:
            await self.app(scope, receive_limited, send_unless_refused)
        except Exception:
            if not too_large:
                raise
        if too_large and not started:
            await _refuse(send, 413, b"The request is too large.")


async def _refuse(send: Send, status: int, text: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
