"""Drawing in the background: tokens go first, and what a session stopped to want is not drawn to its end."""

from __future__ import annotations

import asyncio
import copy
import threading
import time

import pytest

pytest.importorskip("gradio")

from scamo.motion import Motion
from scamo.ui.figure_style import FigureStyle
from scamo.ui.jobs import drawing
from scamo.ui.jobs.drawing import Desk, DrawingRoom, Order, TokensFirst
from scamo.ui.motion_files import RecordedMotion
from tests.motions import walk

STICKS = FigureStyle("stick")


def order(key: str) -> Order:
    return Order(key, Motion.from_joints(walk(3)), RecordedMotion, STICKS)  # the recipe is only passed on here


async def all_of(room: DrawingRoom, desk: Desk, orders: list[Order], done=()) -> list[dict]:
    return [found async for found in room.draw(desk, orders, dict(done))]


@pytest.fixture
def frames_of(monkeypatch):
    """What is drawn: by folder-less fake drawings of as many frames as a test wants."""
    drawn: dict[str, int] = {}

    def install(count: int, seconds: float = 0.0):
        def draw(motion, recipe, folder, style, paced):
            name = folder.name
            for _ in paced(range(count)):
                time.sleep(seconds)
                drawn[name] = drawn.get(name, 0) + 1
            return f"{name}.mp4"

        monkeypatch.setattr(drawing, "draw_video", draw)
        return drawn

    return install


def test_frames_wait_while_tokens_are_sampled_but_never_for_ever():
    first = TokensFirst()
    began = time.perf_counter()
    first.wait()
    assert time.perf_counter() - began < 0.05
    with first.sampling(), first.sampling():
        began = time.perf_counter()
        first.wait()
        assert time.perf_counter() - began > 0.09
    released = threading.Event()
    sampling = first.sampling()
    sampling.__enter__()
    waiting = threading.Thread(target=lambda: (first.wait(), released.set()))
    waiting.start()
    sampling.__exit__(None, None, None)
    assert released.wait(10)
    waiting.join()


def test_videos_come_one_after_the_other_and_those_that_are_done_are_kept(frames_of):
    drawn, room, desk = frames_of(2), DrawingRoom(), Desk()
    found = asyncio.run(all_of(room, desk, [order("a"), order("b")]))
    assert [list(videos) for videos in found] == [["a"], ["a", "b"]]
    again = asyncio.run(all_of(room, desk, [order("b"), order("c")], found[-1].items()))
    assert [list(videos) for videos in again] == [["b", "c"]]  # what is not shown any more is forgotten
    assert list(drawn.values()) == [2, 2, 2]
    assert not desk.running


def test_a_newer_request_ends_the_older_one(frames_of):
    drawn, room, desk = frames_of(400, 0.005), DrawingRoom(), Desk()

    async def both():
        older = asyncio.create_task(all_of(room, desk, [order("a")]))
        while not drawn:
            await asyncio.sleep(0.005)
        frames_of(1)
        return await all_of(room, desk, [order("b")]), await older

    newer, older = asyncio.run(both())
    assert [list(videos) for videos in newer] == [["b"]]
    assert older == []
    assert sorted(drawn.values())[0] == 1 and sorted(drawn.values())[-1] < 400


def test_a_newer_request_for_the_same_video_joins_its_drawing(frames_of):
    drawn, room, desk = frames_of(20, 0.005), DrawingRoom(), Desk()

    async def both():
        older = asyncio.create_task(all_of(room, desk, [order("a")]))
        while not drawn:
            await asyncio.sleep(0.005)
        return await all_of(room, desk, [order("a"), order("b")]), await older

    newer, older = asyncio.run(both())
    assert [list(videos) for videos in newer] == [["a"], ["a", "b"]]
    assert older == []
    assert list(drawn.values()) == [20, 20]


def test_a_drawing_that_fails_says_why(monkeypatch):
    def fail(*_):
        raise ValueError("the disk is full")

    monkeypatch.setattr(drawing, "draw_video", fail)
    (found,) = asyncio.run(all_of(DrawingRoom(), Desk(), [order("a")]))
    assert found["a"].path == "" and "disk is full" in found["a"].problem


def test_every_session_gets_a_desk_of_its_own():
    desk = Desk()
    assert copy.deepcopy(desk).running is not desk.running
