"""Jobs for a sweep's test: each writes a file; some die or fail the first time."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    folder: Path
    name: str
    first: str = ""
    """What happens the first time: "die" (the worker is killed) or "fail"; "always" fails every time."""


def work(job: Job) -> None:
    tries = job.folder / f"{job.name}.tries"
    with tries.open("a") as file:
        file.write(f"{os.getpid()}\n")
    first = len(tries.read_text().splitlines()) == 1
    time.sleep(0.2)
    if job.first == "die" and first:
        os.kill(os.getpid(), signal.SIGKILL)
    if job.first == "always" or (job.first == "fail" and first):
        raise ValueError(f"{job.name} does not work")
    (job.folder / f"{job.name}.done").write_text("done")


def finished(job: Job) -> bool:
    return (job.folder / f"{job.name}.done").exists()
