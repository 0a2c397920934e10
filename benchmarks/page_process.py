"""The page in a process of its own, on a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_LIMIT = 180.0  # seconds until a server that does not answer is given up


@contextlib.contextmanager
def page_process(arguments: Sequence[str], threads: int = 0) -> Iterator[tuple[subprocess.Popen, str]]:
    """A process of Python with these arguments, and the address at which its page will answer. It ends with the block.

    threads: how many it computes with; 0 leaves it to the page. Its files go to a folder of their own.
    """
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        own = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": folder, "HF_HUB_OFFLINE": "1", "GOMP_SPINCOUNT": "0"}
        if threads:
            own |= {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=kept | own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield process, f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(address: str, process: subprocess.Popen) -> None:
    """Wait until a page answers. RuntimeError where its process ends, or takes longer than START_LIMIT."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the page ended with status {process.returncode} before it answered")
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            if b"ScaMo" in answer.read():
                return
        time.sleep(0.05)
    raise RuntimeError(f"the page did not answer within {START_LIMIT:.0f} s")


def memory_of(process: int) -> float:
    """Resident memory of a process and all that it has started, MB. Needs Linux; 0 where it has ended."""
    parents, resident = {}, {}
    page = os.sysconf("SC_PAGE_SIZE")
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):  # it has ended meanwhile
                fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                parents[int(folder.name)], resident[int(folder.name)] = int(fields[1]), int(fields[21]) * page
    family = {process}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return sum(resident.get(one, 0) for one in family) / 1e6
