"""What the page offers at most, and what it refuses before Gradio sees it.

Refused are huge bodies, and URLs of other machines, for which Gradio would act as a relay.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from starlette.formparsers import MultiPartException

from scamo.options import short
from scamo.ui.disk_limit import DiskLimit

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


def checked_choice(value: Any, choices: Collection[Any]) -> Any:
    """One of the choices of a field. Raises ValueError for another, which no browser sends."""
    if not isinstance(value, (str, int)) or value not in choices:
        raise ValueError(f"{short(value)} is not offered here; choose {', '.join(map(str, choices))}.")
    return value


def checked_percent(value: Any) -> float:
    """A share of 1 to 100 percent as a number up to 1. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= 100:
        raise ValueError(f"{short(value)} is no share in percent; give a number from 1 to 100.")
    return value / 100


HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    # Gradio needs scripts and styles within the page; what is left is that no form, plugin or base leads elsewhere.
    "content-security-policy": "object-src 'none'; base-uri 'self'; form-action 'self'",
}
"""What browsers are told with every answer. Frames are allowed: Spaces and notebooks show the page in one."""


class RequestLimits:
    """ASGI middleware: 413 for a body that is too large, declared or streamed; 403 for a file that is a URL.

    Uploaded files may have MAX_UPLOAD bytes, everything else `max_body`. 507 for uploads where `disk` has no room. An
    upload that ends early leaves nothing behind. Every answer has HEADERS.
    """

    def __init__(self, app: App, max_body: int = MAX_BODY, disk: DiskLimit | None = None) -> None:
        self.app = app
        self.max_body = max_body
        self.disk = disk

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send)
        if _RELAY.search(scope["path"]):
            await _refuse(send, 403, b"This page serves its own files only.")
            return
        is_upload = scope["path"].endswith("/upload")
        limit = MAX_UPLOAD + _FORM_BYTES if is_upload else self.max_body
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            await _refuse(send, 413, b"The request is too large.")
            return
        if is_upload and self.disk is not None and not await self.disk.has_room():
            await _refuse(send, 507, b"This page can store no more files now. Try again in some minutes.")
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
            if is_upload and (too_large or message["type"] == "http.disconnect"):
                # The only end of an upload after which Gradio removes what it has stored of it.
                raise MultiPartException("The upload was cut off.")
            if too_large:
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


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message.get("headers", [])}
            own = [(name.encode(), text.encode()) for name, text in HEADERS.items() if name.encode() not in given]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await send(message)

    return send_with_headers


async def _refuse(send: Send, status: int, text: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
