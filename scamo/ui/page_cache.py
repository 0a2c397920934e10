"""The page's HTML, made once for each address: Gradio writes its whole configuration anew for every visit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import MutableMapping
from typing import Any

from scamo.ui.limits import App, Message, Receive, Send

_MOST = 16  # addresses; each takes about 0.4 MB
_DECIDING = (b"host", b"x-forwarded-host", b"x-forwarded-proto")  # what Gradio makes the page's addresses of


class PageCache:
    """ASGI middleware: answers GET / of an address that was asked before from memory, without a thread.

    Nothing on this page depends on who asks. A request with a query, or of another kind, goes on to the page.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self._pages: OrderedDict[Any, tuple[Message, bytes]] = OrderedDict()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("GET", "/") or scope.get("query_string"):
            await self.app(scope, receive, send)
            return
        deciding = tuple((name, value) for name, value in scope["headers"] if name in _DECIDING)
        key = (scope.get("scheme"), scope.get("root_path"), deciding)
        if key in self._pages:
            self._pages.move_to_end(key)
            start, body = self._pages[key]
            await send({**start, "headers": [*start["headers"]]})
            await send({"type": "http.response.body", "body": body})
            return
        parts: list[Message] = []

        async def send_and_keep(message: Message) -> None:
            parts.append(message)
            await send(message)

        await self.app(scope, receive, send_and_keep)
        if parts and parts[0].get("status") == 200 and not parts[-1].get("more_body"):
            self._pages[key] = parts[0], b"".join(part.get("body", b"") for part in parts[1:])
            while len(self._pages) > _MOST:
                self._pages.popitem(last=False)
