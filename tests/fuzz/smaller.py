"""Cases cut down: the smallest part of a file that still breaks a reader in the same way."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from tests.fuzz.search import FAULTS, SECONDS, judge
from tests.fuzz.targets import TARGETS

_TRIES = 200


def make_smaller(kept: Path) -> None:
    """Write small-NAME beside every file of a fault that shows alike when it is read again."""
    for path in sorted(kept.glob("*-*-*-*.*")):
        if path.is_file() and not path.name.startswith("small-"):
            for name in ("motions", "recipes", "bodies"):
                kind = _kind(name, path)
                if kind in FAULTS:
                    smallest = _smallest(name, path, kind)
                    path.with_name(f"small-{path.name}").write_bytes(smallest)
                    break


def _kind(name: str, path: Path) -> str:
    """How a target takes a file, found in a child process."""
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        verdict = judge(TARGETS[name], path, random.Random(1))  # this generator gives no odd options
        os._exit(FAULTS.index(verdict.kind) + 1 if verdict.kind in FAULTS else 0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "" if code == 0 else FAULTS[code - 1] if code > 0 else "hang" if code == -signal.SIGPROF else "bare"


def _smallest(name: str, path: Path, kind: str) -> bytes:
    best, step, tries = path.read_bytes(), path.stat().st_size // 2, 0
    trial = path.with_name(f"trial-{path.name}")
    try:
        while step and tries < _TRIES:
            start = 0
            while start < len(best) and tries < _TRIES:
                shorter = best[:start] + best[start + step :]
                trial.write_bytes(shorter)
                tries += 1
                if _kind(name, trial) == kind:
                    best = shorter
                else:
                    start += step
            step //= 2
    finally:
        trial.unlink(missing_ok=True)
    return best
