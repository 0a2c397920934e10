"""What somebody at the page sees and when: figures and videos after a click, in a real browser.

    python -m benchmarks.click

A fresh server, a headless Chromium (its OpenGL is software, which costs the same cores), three sizes ticked as a
visitor finds them. The first click comes so many seconds after the page is there, before anybody could have typed much;
later clicks find all models loaded. Times are from the click to the first figure playing, to the last
figure, and to the first and last video playing. Needs `pip install -e .[dev]` and Chromium.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import OUT, markdown_table, recorded
from benchmarks.page_process import page_process, wait_for

PROMPT = "a person walks forward, then waves with the left hand"
EVENTS = ("first figure", "all figures", "first video", "all videos")
# In the page: notes the moment of each event after the click, by the browser's own clock.
WATCH = """(count) => {
    const seen = {}, begin = performance.now();
    window.seen = seen;
    const player = document.querySelector('#stage .scamo-player').player, before = player.run;
    const note = (name, is) => { if (is && !(name in seen)) seen[name] = (performance.now() - begin) / 1000; };
    const look = () => {
        const fresh = player.run !== before && player.figures.length > 0 && player.playing && player.time > 0;
        note('first figure', fresh);
        note('all figures', fresh && player.figures.length >= count);
        const videos = [...document.querySelectorAll('#results video')].filter(
            (video) => video.currentTime > 0 && !window.old.has(video.currentSrc));
        note('first video', videos.length > 0);
        note('all videos', videos.length >= count);
        if (Object.keys(seen).length < 4) setTimeout(look, 10);
    };
    window.old = new Set([...document.querySelectorAll('#results video')].map((video) => video.currentSrc));
    document.querySelector('#generate').click();
    look();
}"""


@dataclass(frozen=True)
class Args:
    """Click in a browser, and measure."""

    out: Path = OUT / "click.json"
    wait: float = 1.5
    """Seconds between the page being there and the first click."""
    starts: int = 3
    """Fresh servers."""
    later: int = 3
    """Clicks after the first one on each."""
    quick: bool = False
    """One start, one later click."""


def main(args: Args) -> None:
    """Measure, print and write."""
    starts, later = (1, 1) if args.quick else (args.starts, args.later)
    with recorded(args) as report:
        report["starts"] = [measure_start(args.wait, later) for _ in range(starts)]
    print(click_table(report))


def measure_start(wait: float, later: int) -> dict[str, Any]:
    """A fresh server: seconds until it answers, the events of the first click, and those of each later one."""
    with _chromium() as browser:
        begin = time.perf_counter()
        with page_process(["app.py"]) as (process, address):
            wait_for(address, process)
            answered = time.perf_counter() - begin
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.goto(address)
            page.wait_for_selector("#generate")
            page.wait_for_function("document.querySelector('#stage .scamo-player')?.player")
            page.fill("#composer textarea", PROMPT)
            count = page.locator("#cells input:checked").count()
            time.sleep(wait)
            clicks = [measure_click(page, count) for _ in range(1 + later)]
    return {"answered": answered, "sizes": count, "first": clicks[0], "later": clicks[1:]}


def measure_click(page: Any, count: int) -> dict[str, float]:
    """Seconds from a click to each of EVENTS, on a page of playwright's with so many sizes ticked."""
    page.evaluate(WATCH, count)
    page.wait_for_function("Object.keys(window.seen).length === 4", timeout=120_000)
    page.wait_for_timeout(500)
    return page.evaluate("window.seen")


@contextmanager
def _chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    from tests.browser import CHROMIUM, FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def click_table(report: dict[str, Any]) -> str:
    """The report as Markdown tables."""
    starts = report["starts"]
    first = {event: [start["first"][event] for start in starts] for event in EVENTS}
    later = {event: [click[event] for start in starts for click in start["later"]] for event in EVENTS}
    rows = [[f"{event}, of {starts[0]['sizes']} sizes", _range(first[event]), _range(later[event])] for event in EVENTS]
    answered = f"The page answers {_range([start['answered'] for start in starts])} s after the start.\n"
    wait = report["arguments"]["wait"]
    return markdown_table(["in a browser, seconds after the click", f"first click, {wait:g} s after the page is there",
                           "later clicks"], rows) + "\n" + answered  # fmt: skip


def _range(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
