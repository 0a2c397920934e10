"""The page under mixed load: many clients for minutes, and every answer checked against its own question.

    python -m benchmarks.soak --clients 50 --minutes 10

Starts the page in a process of its own, on this machine only. Clients open it, generate (with and without videos, over
plain HTTP and gradio_client), compare sizes, tell stories and continue them, upload files to reconstruct and to export;
some leave before they are answered, some cut an upload in its middle. What each must get is computed before, alone.
Refusals must be in the words of docs/programs.md. The memory of the page and its children is taken every few seconds;
its slope is the median one between any two moments from the third minute on. Needs Linux. Ends with 1 where a promise
is not kept.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import OUT, markdown_table, recorded
from benchmarks.page_process import memory_of, page_process, wait_for

WARM = 180.0  # seconds that caches and visits may fill
BETWEEN = 5.0  # seconds from one look at the memory to the next
LIMITS = {"mixed": 0, "unexpected": 0, "mb_a_minute": 2.0, "open_p95": 1.0}
_SERVER = "from scamo.ui import build, launch; launch(build([]))"


@dataclass(frozen=True)
class Args:
    """Load the page on this machine."""

    out: Path = OUT / "soak.json"
    clients: int = 50
    minutes: float = 10.0
    pause: float = 4.0
    """Seconds that a client rests between two requests, on average."""
    seed: int = 0
    threads: int = 1
    """That this process computes with what is expected, and the page its answers."""


@dataclass
class Tally:
    """What all clients got: seconds by kind, refusals by their words, and what should not be."""

    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    mixed: list[str] = field(default_factory=list)
    unexpected: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)


def main(args: Args) -> None:
    """Load, print and write. SystemExit with 1 where a promise is not kept."""
    from benchmarks.soak_answers import Answers

    with recorded(args) as report:
        expected = Answers()
        expected.compute()
        with page_process(["-c", _SERVER], args.threads) as (process, address):
            wait_for(address, process)
            tally = _load(args, address, expected, process.pid)
            if process.poll() is not None:
                tally.unexpected["the page has ended"] += 1
        report |= summary(tally)
    print(table(report))
    if report["broken"]:
        raise SystemExit(f"broken: {', '.join(report['broken'])}")


def _load(args: Args, address: str, expected: Any, process: int) -> Tally:
    from benchmarks.soak_clients import functions_of

    tally, begin = Tally(), time.monotonic()
    end, functions = begin + 60 * args.minutes, functions_of(address)
    threads = [threading.Thread(target=_work, args=(args, number, address, expected, functions, end, tally))
               for number in range(args.clients)]  # fmt: skip
    for thread in threads:
        thread.start()
    told = 0.0
    while (elapsed := time.monotonic() - begin) < 60 * args.minutes:
        tally.memory.append((elapsed, memory_of(process)))
        if elapsed - told >= 30:
            told = elapsed
            print(f"{elapsed:.0f} s: {sum(map(len, tally.waits.values()))} answers, {sum(tally.refused.values())} "
                  f"refusals, {tally.memory[-1][1]:.0f} MB", flush=True)  # fmt: skip
        time.sleep(BETWEEN)
    for thread in threads:
        thread.join()
    return tally


def _work(args: Args, number: int, address: str, expected: Any, functions: Any, end: float, tally: Tally) -> None:
    from benchmarks.soak_clients import KINDS, Client, Mixed, Refused

    draw = random.Random(f"{args.seed}:{number}")
    client = Client(address, expected, functions, draw.randrange(2**31))
    time.sleep(draw.uniform(0, args.pause))
    while time.monotonic() < end:
        kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
        begin = time.monotonic()
        try:
            getattr(client, kind)()
            tally.waits[kind].append(time.monotonic() - begin)
        except Refused as error:
            tally.refused[kind] += 1
            tally.words[str(error)] += 1
        except Mixed as error:
            tally.mixed.append(f"{kind}: {error}")
        except Exception as error:
            tally.unexpected[f"{kind}: {type(error).__name__}: {str(error)[:300]}"] += 1
        time.sleep(draw.uniform(0, 2 * args.pause))
    client.close()


def summary(tally: Tally) -> dict[str, Any]:
    """The report: waits by kind, refusals, and which promises were broken."""
    kinds = sorted({*tally.waits, *tally.refused})
    waits = {kind: {"answers": len(tally.waits[kind]), "refused": tally.refused[kind],
                    "p50": quantile(tally.waits[kind], 0.5), "p95": quantile(tally.waits[kind], 0.95)}
             for kind in kinds}  # fmt: skip
    found: dict[str, Any] = {
        "mixed": len(tally.mixed), "unexpected": sum(tally.unexpected.values()),
        "mb_a_minute": slope(tally.memory), "open_p95": quantile(tally.waits["open"], 0.95),
    }  # fmt: skip
    broken = [name for name, most in LIMITS.items() if found[name] is None or found[name] > most]
    return {
        **found, "broken": broken, "waits": waits, "refusals": dict(tally.words), "mixed_answers": tally.mixed[:20],
        "unexpected_answers": dict(tally.unexpected.most_common(20)),
        "memory": tally.memory[:: max(1, len(tally.memory) // 60)],
    }  # fmt: skip


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which a share of them lies; None where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def slope(memory: Sequence[tuple[float, float]], warm: float = WARM) -> float | None:
    """MB a minute: the median slope between any two of (seconds, MB) after `warm` seconds; None for fewer than three.

    A straight line through all of them says how often ffmpeg, which takes 40 MB for a second, was met early or late.
    """
    later = [row for row in memory if row[0] >= warm]
    if len(later) < 3:
        return None
    seconds, megabytes = np.array(later).T
    first, second = np.triu_indices(len(later), 1)
    return float(np.median(60 * (megabytes[second] - megabytes[first]) / (seconds[second] - seconds[first])))


def table(report: dict[str, Any]) -> str:
    """The report as Markdown tables."""
    rows = [[kind, str(row["answers"]), str(row["refused"]), _number(row["p50"]), _number(row["p95"])]
            for kind, row in report["waits"].items()]  # fmt: skip
    facts = [[name, _number(report[name]), f"{most:g}"] for name, most in LIMITS.items()]
    return "\n".join([
        markdown_table(["what", "answers", "refused", "p50, s", "p95, s"], rows),
        markdown_table(["promise", "found", "at most"], facts),
    ])  # fmt: skip


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
