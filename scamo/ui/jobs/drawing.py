"""Videos drawn in the background: one at a time, and only while no tokens are sampled.

A figure that plays needs tokens alone, so those go first: of this click and of everybody else's.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from scamo.io.recipe import Recipe
from scamo.motion import Motion
from scamo.ui.figure_style import FigureStyle
from scamo.ui.messages import reason
from scamo.ui.motion_files import draw_video, new_folder

_LONGEST_WAIT = 0.1  # seconds that one frame waits, so that a busy page draws slowly rather than not at all


class TokensFirst:
    """Lets drawing wait while tokens are sampled. Both happen in threads of one process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sampling = 0

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """While this is open, tokens are sampled."""
        with self._changed:
            self._sampling += 1
        try:
            yield
        finally:
            with self._changed:
                self._sampling -= 1
                self._changed.notify_all()

    def wait(self) -> None:
        """Return when no tokens are sampled, or after a moment."""
        with self._changed:
            self._changed.wait_for(lambda: not self._sampling, _LONGEST_WAIT)


tokens_first = TokensFirst()
"""Of this process: its cores are what drawing and sampling share."""


class _NotWanted(Exception):
    """Ends a drawing that nobody waits for any more."""


@dataclass(frozen=True)
class Video:
    """A finished drawing: the path of its file, or why there is none. elapsed: seconds that it took, waits left out."""

    path: str = ""
    problem: str = ""
    elapsed: float = 0.0


@dataclass(frozen=True, eq=False)  # a Motion holds arrays
class Order:
    """What is to be drawn; key: what the video is known by."""

    key: Any
    motion: Motion
    recipe: Recipe
    style: FigureStyle


@dataclass(eq=False)
class Desk:
    """The drawings that one session waits for. Only the newest request counts; what it does not ask for is dropped."""

    wanted: frozenset[Any] = frozenset()
    running: dict[Any, Future[Video | None]] = field(default_factory=dict)
    request: int = 0


class DrawingRoom:
    """Draws for all sessions, one video after the other."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drawing")

    async def draw(
        self, desk: Desk, orders: Sequence[Order], done: Mapping[Any, Video]
    ) -> AsyncIterator[dict[Any, Video]]:
        """All videos of these orders that there are so far, by key, at every change.

        done: those of an earlier request. Ends early when the session asks for something else.
        """
        desk.request += 1
        mine, desk.wanted = desk.request, frozenset(order.key for order in orders)
        found = {key: video for key, video in done.items() if key in desk.wanted}
        for order in orders:
            if order.key in found:
                continue
            video = None
            while video is None and desk.request == mine:
                drawing = desk.running.get(order.key) or self._threads.submit(self._draw, order, desk)
                desk.running[order.key] = drawing
                video = await asyncio.shield(asyncio.wrap_future(drawing))
                if desk.running.get(order.key) is drawing:
                    del desk.running[order.key]
            if video is None or desk.request != mine:
                return
            found = {**found, order.key: video}
            yield found

    def _draw(self, order: Order, desk: Desk) -> Video | None:
        """The drawing, or None where the session stopped to want it."""
        waited, began = 0.0, time.perf_counter()

        def paced(frames: Iterable[Any]) -> Iterator[Any]:
            nonlocal waited
            for frame in frames:
                if order.key not in desk.wanted:
                    raise _NotWanted
                started = time.perf_counter()
                tokens_first.wait()
                waited += time.perf_counter() - started
                yield frame

        try:
            path = draw_video(order.motion, order.recipe, new_folder(), order.style, paced)
        except _NotWanted:
            return None
        except Exception as error:
            return Video(problem=reason(error))
        return Video(path, elapsed=time.perf_counter() - began - waited)
