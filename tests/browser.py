"""One app.py and one Chromium for all tests that drive the real page; conftest.py makes these fixtures known to them.

    def test_something(visit):
        page = visit()                        # the page in a window of its own
        page.click("#generate")
        narrow = visit(width=390, dark=True)  # a second user

Each window has a session of its own, and every request that leaves this machine fails the test.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)  # fmt: skip
PATIENCE = 120.0  # seconds, for a machine that has other things to do


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of app.py, started as a user would: the bundled models, and one and a VQ of random numbers."""
    pytest.importorskip("gradio")
    from scamo.tokenizer import VQTokenizer
    from tests.tiny import write_models, write_tokenizer

    folder = tmp_path_factory.mktemp("served")
    models = write_models(folder / "models", (256,), ("0.3M",))
    write_tokenizer(models / "vq", (1024,), VQTokenizer)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    others = ("GRADIO_SERVER_NAME", "SCAMO_MODELS")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    environment |= {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "gradio"), "HF_HUB_OFFLINE": "1"}
    url = f"http://127.0.0.1:{port}"
    with _running([sys.executable, "app.py", "--models", str(models)], folder / "log.txt", environment) as alive:
        alive(lambda: urllib.request.urlopen(f"{url}/config", timeout=5).close())
        yield url
    raised = re.findall(r"Traceback.*\n(?:[ \t].*\n)*(.*)", (folder / "log.txt").read_text(encoding="utf-8"))
    # Gradio writes down its own refusals too, such as of a size that is not offered.
    assert [last for last in raised if not last.startswith("gradio.exceptions.Error")] == []


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address at which a headless Chromium takes orders."""
    pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium here (apt-get install chromium)")
    folder = tmp_path_factory.mktemp("chromium")
    command = [CHROMIUM, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    with _running(command, folder / "log.txt", dict(os.environ)) as alive:
        port = alive(lambda: (folder / "DevToolsActivePort").read_text(encoding="utf-8").split()[0])
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def visit(served: str, chromium: str) -> Iterator[Callable[..., Any]]:
    """A function that opens the page, or another address, as a new user and returns playwright's page."""
    from playwright.sync_api import sync_playwright

    foreign: list[str] = []

    def watch(request: Any) -> None:
        if not request.url.startswith((f"{served}/", "data:", "blob:", "chrome:", "about:", "file:")):
            foreign.append(request.url)

    # Connecting anew for every test: a playwright that stays leaves its event loop in the way of everybody else's.
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium)
        contexts = []

        def visit(url: str = served, width: int = 1280, height: int = 900, dark: bool = False) -> Any:
            scheme = "dark" if dark else "light"
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            contexts.append(context)
            context.set_default_timeout(1000 * PATIENCE)
            context.on("request", watch)
            page = context.new_page()
            page.goto(url)
            if url == served:
                page.wait_for_selector("#generate")
            return page

        try:
            yield visit
        finally:
            for context in contexts:
                context.close()
            browser.close()
    assert not foreign, f"these requests left the machine: {foreign}"


@contextmanager
def _running(
    command: list[str], log: Path, environment: dict[str, str]
) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """A process and all it starts, ended afterwards. Gives a function that tries until it answers or has no chance."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )

    def alive(attempt: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            try:
                return attempt()
            except (OSError, IndexError):
                time.sleep(0.1)
        said = log.read_text(encoding="utf-8", errors="replace")
        pytest.fail(f"{command[0]} did not come up: {said}")

    try:
        yield alive
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=PATIENCE)
