"""The search: inputs by number, each run in a child process with bounded time and memory."""

from __future__ import annotations

import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tests.fuzz.checks import Bare, Nonsense
from tests.fuzz.damage import PLANTED, holds_plant
from tests.fuzz.page import POOL_MODELS
from tests.fuzz.seeds import copied
from tests.fuzz.targets import TARGETS, Target, make_input
from tests.tiny import write_models

SECONDS = 10.0  # of the processor for one input
WAIT = 60.0  # seconds that it may wait for something; waiting for the processor of a busy machine does not count
MEGABYTES = 500  # that one input may take
BATCH = 2000  # inputs of one child, which loads the models and makes the page anew
FINE = ("refused", "accepted")
FAULTS = ("bare", "hang", "memory", "nonsense", "pickle")


class Verdict(NamedTuple):
    """kind: one of FINE or FAULTS; words: the message, or the place of the fault."""

    kind: str
    words: str = ""


@dataclass
class Report:
    """Counts by target and verdict, the greatest time and memory of one input, and the faults by their place.

    planted: how many inputs held a pickle that would run code.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: float = 0.0
    megabytes: float = 0.0
    planted: int = 0
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        return sum(self.counts.values())

    def rows(self) -> Iterator[str]:
        """A table, a line a target."""
        kinds = (*FINE, *FAULTS)
        yield f"{'':12}" + "".join(f"{kind:>10}" for kind in kinds)
        for name in TARGETS:
            yield f"{name:12}" + "".join(f"{self.counts[name, kind]:>10}" for kind in kinds)
        totals = [sum(count for (_, one), count in self.counts.items() if one == kind) for kind in kinds]
        yield f"{'all':12}" + "".join(f"{count:>10}" for count in totals)
        yield f"{self.inputs} inputs; at most {self.seconds:.1f} s and {self.megabytes:.0f} MB for one"
        yield f"{self.planted} held a pickle that would run code"

    def to_dict(self) -> dict[str, Any]:
        """The same for a file."""
        kinds = (*FINE, *FAULTS)
        counts = {name: {kind: self.counts[name, kind] for kind in kinds} for name in TARGETS}
        totals = {kind: sum(row[kind] for row in counts.values()) for kind in kinds}
        return {
            "inputs": self.inputs, "all": totals, "planted_pickles": self.planted, "seconds_at_most": self.seconds,
            "megabytes_at_most": self.megabytes, "targets": counts, "faults": list(self.faults.values()),
        }  # fmt: skip


def judge(target: Target, path: Path, chance: random.Random) -> Verdict:
    """Call the target, and say how it ended."""
    try:
        target.call(path, chance)
    except Nonsense as error:
        return Verdict("nonsense", f"{target.name}: {str(error)[:300]}")
    except ValueError as error:
        return _of_refusal(target, path, error)
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = "the target" if isinstance(error, Bare) else f"{Path(place.filename).name}:{place.lineno}"
        return Verdict("bare", f"{target.name}: {type(error).__name__} in {where}: {str(error)[:300]}")
    return Verdict("accepted")


def _of_refusal(target: Target, path: Path, error: ValueError) -> Verdict:
    cause: BaseException | None = error
    for _ in range(20):  # an error may be its own cause
        if isinstance(cause, MemoryError):
            return Verdict("memory", f"{target.name}: MemoryError behind {str(error)[:200]}")
        cause = cause and (cause.__cause__ or cause.__context__)
    words = str(error)
    if not words.strip() or "Something went wrong" in words:
        return Verdict("bare", f"{target.name}: a refusal without words: {words!r}")
    if target.names_the_file and (path.name not in words or "\n" in words or len(words) > 1000):
        return Verdict(
            "bare", f"{target.name}: a refusal without the file's name, or of several lines: {words[:200]!r}"
        )
    return Verdict("refused")


def search(
    folder: Path, inputs: int, seed: int = 0, names: tuple[str, ...] = (), seconds: float | None = None,
    on_batch: Callable[[Report], None] = lambda report: None,
) -> Report:  # fmt: skip
    """Try `inputs` damaged inputs, or as many as fit into some seconds. Faults are kept in the folder's "kept"."""
    torch.set_num_threads(1)  # a child of this process would wait for ever for the threads of torch that it has not
    targets = [TARGETS[name] for name in names or TARGETS]
    files = {}
    for target in targets:
        (folder / target.name).mkdir(parents=True, exist_ok=True)
        files[target.name] = target.seeds(folder / target.name)
    work, report, number = folder / "work", Report(), 0
    work.mkdir(exist_ok=True)
    if not (work / POOL_MODELS).exists():
        write_models(work / POOL_MODELS, (256,), ("0.3M",))
    _warm_up(files)
    end = None if seconds is None else time.monotonic() + seconds
    while number < inputs and (end is None or time.monotonic() < end):
        number = _run_batch(targets, files, work, seed, number, min(number + BATCH, inputs), report, folder / "kept")
        on_batch(report)
    return report


def _warm_up(files: dict[str, list[Path]]) -> None:
    """Import here what the targets use, so that no child has to; and see that whole files are accepted."""
    if "commands" in files:
        import_module("scamo.cli")
    if {"generate", "reconstruct", "export", "page"} & set(files):
        import_module("scamo.ui.page")
    for name, paths in files.items():
        if TARGETS[name].damage and name not in (
            "bodies",
            "reconstruct",
            "export",
            "page",
            "commands",
        ):  # no threads before a fork
            for path in paths:
                verdict = judge(TARGETS[name], path, random.Random(1))
                assert verdict.kind == "accepted", (path, verdict)


def _choose(
    targets: list[Target], files: dict[str, list[Path]], seed: int, number: int
) -> tuple[Target, Path, random.Random]:
    chance = random.Random(f"{seed}:{number}")
    target = chance.choices(targets, [one.weight for one in targets])[0]
    return target, chance.choice(files[target.name]), chance


def _run_batch(
    targets: list[Target], files: dict[str, list[Path]], work: Path, seed: int, first: int, last: int, report: Report,
    kept: Path,
) -> int:  # fmt: skip
    """Run inputs in a child until it is done or dies; returns the number to go on with."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with suppress(BaseException):
            _child(targets, files, work, seed, range(first, last), writing)
        os._exit(0)
    os.close(writing)
    number, buffer = first, b""
    try:
        while _answers(reading, child):
            received = os.read(reading, 1 << 16)
            if not received:
                break
            *lines, buffer = (buffer + received).split(b"\n")
            for line in lines:
                _note(json.loads(line), report, kept, work, seed)
                number += 1
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if number < last:  # it hangs or died in this input
        target, source, _ = _choose(targets, files, seed, number)
        kind = "hang" if os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGPROF) else "bare"
        words = f"{target.name}: {source.name}: the process ended with signal {os.WTERMSIG(status)}"
        _note({"target": target.name, "kind": kind, "words": words, "seconds": 0.0, "megabytes": 0.0,
               "file": source.name, "number": number}, report, kept, work, seed)  # fmt: skip
        number += 1
    return number


def _answers(reading: int, child: int) -> bool:
    """Wait until the child writes or ends. False where it does neither, and does not compute either."""
    waited = 0.0
    while not select.select([reading], [], [], WAIT / 4)[0]:
        state = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        waited = 0.0 if state == "R" else waited + WAIT / 4
        if waited >= WAIT:
            return False
    return True


def _child(
    targets: list[Target], files: dict[str, list[Path]], work: Path, seed: int, numbers: range, writing: int
) -> None:
    os.chdir(work)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    for number in numbers:
        target, source, chance = _choose(targets, files, seed, number)
        try:
            path = make_input(target, source, work, chance, files[target.name])
        except Exception:  # some damage cannot be done, such as a second one to a header that is none
            path = copied(source, work / source.name)
        has_plant = holds_plant(path)
        base = _status("VmSize")
        resource.setrlimit(resource.RLIMIT_AS, (int((base + 2 * MEGABYTES) * 2**20), resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        before, start = _reset_peak(), time.process_time()
        verdict = judge(target, path, chance)
        elapsed, megabytes = time.process_time() - start, _status("VmHWM") - before
        signal.setitimer(signal.ITIMER_PROF, 0)
        if megabytes > MEGABYTES and verdict.kind in FINE:
            verdict = Verdict("memory", f"{target.name}: {megabytes:.0f} MB for {source.name}")
        if Path(PLANTED).exists():
            Path(PLANTED).unlink()
            verdict = Verdict("pickle", f"{target.name}: a pickle of {source.name} has run")
        row = {"target": target.name, "kind": verdict.kind, "words": verdict.words, "seconds": elapsed,
               "megabytes": megabytes, "planted": has_plant, "file": path.name, "number": number}  # fmt: skip
        os.write(writing, json.dumps(row).encode() + b"\n")
        if verdict.kind in FAULTS:
            time.sleep(0.2)  # the parent keeps the input before it is written over


def _status(key: str) -> float:
    """A value of this process's status, MB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    return 0.0


def _reset_peak() -> float:
    """Start counting the peak of memory anew; returns what is taken now, MB."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return _status("VmRSS")


def _note(row: dict[str, Any], report: Report, kept: Path, work: Path, seed: int) -> None:
    report.counts[row["target"], row["kind"]] += 1
    report.planted += row.get("planted", False)
    report.seconds = max(report.seconds, row["seconds"])
    report.megabytes = max(report.megabytes, row["megabytes"])
    if row["kind"] not in FAULTS:
        return
    words = f"{row['kind']} {row['words']}"
    place = "".join(letter for letter in words[:90] if not letter.isdigit())
    if place in report.faults:
        return
    report.faults[place] = f"input {seed}:{row['number']} {row['file']}: {words}"
    kept.mkdir(exist_ok=True)
    source, target = work / row["file"], kept / f"{row['kind']}-{seed}-{row['number']}-{row['file']}"
    with suppress(OSError):
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
