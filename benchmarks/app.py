"""How long people wait for the page: cold start, one click, several models side by side, several users at once.

    python -m benchmarks.app --out app.json

Cold: from `python app.py` to a page that answers, in new processes. Click: a request to /generate, from asking to the
answer with the video (4 s of motion, a bundled model); then the same work step by step in one process, which shows
where the time goes. Side by side: three sizes as the page's first tab makes them, beside the sum of each alone. Users:
so many clients, each sending its next request when the last one was answered, with requests for one model made together
and, beside it, one after the other. Without videos this shows what making together buys; with them, when drawing takes
most of the time, it is measured once. Every client has its own seeds.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import load, set_threads, table, timed, turns, write

if TYPE_CHECKING:
    from scamo.pipeline import Generator
    from scamo.ui.model_pool import Studio

ROOT = Path(__file__).parents[1]
PROMPT = "a person walks forward, then waves with the left hand"
SECONDS = 4.0
QUICKER = 4  # times as many requests where none is drawn
START_LIMIT = 180.0  # seconds until a server that does not answer is given up


@dataclass(frozen=True)
class Args:
    """Measure the page on this machine."""

    out: Path = Path("app.json")
    codebook: int = 1024
    size: str = "4M"
    sizes: tuple[str, ...] = ("0.3M", "1M", "4M")
    """Side by side."""
    repetitions: int = 5
    starts: int = 2
    """Cold starts."""
    clients: tuple[int, ...] = (1, 4, 16)
    requests: int = 3
    """Of each client."""
    quick: bool = False
    """One repetition, one start, 1 and 2 clients with one request each (a few where none is drawn)."""


def main(args: Args) -> None:
    """Measure, print and write."""
    threads = set_threads(0)
    before = load()
    repetitions, starts, clients, requests = (
        (1, 1, (1, 2), 1) if args.quick else (args.repetitions, args.starts, args.clients, args.requests)
    )
    call = {"codebook": args.codebook, "size": args.size, "seconds": SECONDS}
    report: dict[str, Any] = {"cold": [cold_start() for _ in range(starts)], "users": []}
    for batched in (True, False):
        with _server(batched) as address:
            ask = _asker(address, call, True)
            first, _ = timed(lambda ask=ask: ask(0))
            if batched:
                report["first_click"] = first
                report["click"] = [timed(lambda seed=seed, ask=ask: ask(seed))[0] for seed in range(repetitions)]
            for video in (True, False) if batched else (False,):
                for count in clients:
                    askers = [_asker(address, call, video) for _ in range(count)]
                    # Without videos a request takes a fraction of the time, so more of them fit.
                    found = crowd(askers, requests if video else QUICKER * requests)
                    report["users"].append({"batched": batched, "video": video, "clients": count, **found})
                    print(report["users"][-1], flush=True)
    from scamo.ui.model_pool import Studio

    studio = Studio()
    generator = studio.generator(studio.card(args.codebook, args.size))
    report["stages"] = stages(generator, repetitions)
    report["side_by_side"] = side_by_side(studio, args.codebook, args.sizes, repetitions)
    arguments = {**asdict(args), "out": args.out.name, "threads": threads}
    report = {"arguments": arguments, "load": [before, load()], **report}
    write(args.out, report)
    print(app_table(report))


def cold_start() -> float:
    """Seconds from `python app.py` to a page that answers."""
    begun = time.perf_counter()
    with _process(["app.py"]) as (process, address):
        _wait_for(address, process)
        return time.perf_counter() - begun


@contextlib.contextmanager
def _server(batched: bool) -> Iterator[str]:
    batch = "programs.BATCH" if batched else "1"
    code = f"from scamo.ui import launch, programs; from scamo.ui.page import build; launch(build([], batch={batch}))"
    with _process(["-c", code]) as (process, address):
        _wait_for(address, process)
        yield address


@contextlib.contextmanager
def _process(arguments: Sequence[str]) -> Iterator[tuple[subprocess.Popen, str]]:
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        own = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": folder, "HF_HUB_OFFLINE": "1"}
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


def _wait_for(address: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the page ended with status {process.returncode} before it answered")
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            if b"ScaMo" in answer.read():
                return
        time.sleep(0.05)
    raise RuntimeError(f"the page did not answer within {START_LIMIT:.0f} s")


def _asker(address: str, call: dict[str, Any], video: bool) -> Callable[[int], Any]:
    from gradio_client import Client

    client = Client(address, verbose=False, download_files=False)
    given = {**call, "temperature": 0.7, "video": video, "api_name": "/generate"}
    return lambda seed: client.predict(PROMPT, **given, seed=seed)


def crowd(askers: Sequence[Callable[[int], Any]], requests: int) -> dict[str, Any]:
    """All askers at once, each with its next request after its last answer: requests a second, p50 and p95 of waits."""
    waits: list[float] = []
    failures: list[str] = []
    gate = threading.Barrier(len(askers) + 1)

    def work(number: int) -> None:
        gate.wait()
        for request in range(requests):
            try:
                waits.append(timed(lambda request=request: askers[number](1000 * number + request))[0])
            except Exception as error:  # a refusal is an answer too, and must be seen
                failures.append(str(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(askers))]
    for thread in threads:
        thread.start()
    gate.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    ordered = sorted(waits)
    return {
        "requests": len(waits),
        "failures": len(failures),
        "why": failures[0] if failures else "",
        "per_second": len(waits) / took,
        "p50": statistics.median(ordered) if ordered else None,
        "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else None,
    }


def stages(generator: Generator, repetitions: int, seconds: float = SECONDS) -> dict[str, float]:
    """Median seconds of every step from a sentence to a video, warm, one after the other in this process."""
    from scamo.motion import Motion
    from scamo.render import stick_frames, write_video

    held: dict[str, Any] = {}

    def tokens() -> None:
        stream = generator.stream(PROMPT, seconds=seconds, seed=0, temperature=0.7, embedding=held["text"])
        count = round(seconds * generator.fps / generator.tokenizer.frames_per_token)
        while next(stream) < count:  # the one that would come next decodes
            pass
        stream.close()

    def made() -> None:
        held["made"] = generator.generate(PROMPT, seconds=seconds, seed=0, temperature=0.7, embedding=held["text"])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        tasks: dict[str, Callable[[], Any]] = {
            "text": lambda: held.update(text=generator.text_encoder.encode([PROMPT])[0][0]),
            "tokens": tokens,
            "tokens and decoder": made,
            "decoder": lambda: generator.tokenizer.decode(held["made"].tokens),
            "joints": lambda: held.update(joints=Motion(held["made"].motion.features, generator.fps).joints),
            "drawing": lambda: held.update(frames=list(stick_frames(held["joints"]))),
            "encoding": lambda: write_video(held["frames"], path, generator.fps),
            "drawing while encoding": lambda: write_video(stick_frames(held["joints"]), path, generator.fps),
        }
        turns(tasks, 1)
        found = turns(tasks, repetitions)
    return {name: statistics.median(times["seconds"]) for name, times in found.items() if name != "tokens and decoder"}


def side_by_side(studio: Studio, codebook: int, sizes: Sequence[str], repetitions: int) -> dict[str, Any]:
    """Median seconds of several models in one run of the page's first tab, and of each alone; videos included."""
    from scamo.pipeline import Prompt, Sampling
    from scamo.ui.tabs import compare

    cards = {size: studio.card(codebook, size) for size in sizes}

    def run(chosen: Sequence[str]) -> None:
        order = compare.Order(Prompt(PROMPT, SECONDS), Sampling(0, 0.7), {size: cards[size] for size in chosen})
        with tempfile.TemporaryDirectory() as folder:
            *_, last = compare.run(studio, order, Path(folder))
        failed = [cell.error for cell in last if cell.state != "done"]
        if failed:
            raise RuntimeError(f"a model failed: {failed[0]}")

    tasks: dict[str, Callable[[], Any]] = {size: lambda size=size: run([size]) for size in sizes}
    tasks["together"] = lambda: run(sizes)
    turns(tasks, 1)
    found = turns(tasks, repetitions)
    alone = {size: found[size]["seconds"] for size in sizes}
    sums = [sum(each) for each in zip(*alone.values(), strict=True)]
    together = found["together"]["seconds"]
    return {
        "alone": {size: statistics.median(times) for size, times in alone.items()},
        "sum": statistics.median(sums),
        "together": statistics.median(together),
        "ratio": statistics.median(a / b for a, b in zip(together, sums, strict=True)),
    }


def app_table(report: dict[str, Any]) -> str:
    """The report as Markdown tables."""
    stage_rows = [[name, f"{1e3 * value:.0f}"] for name, value in report["stages"].items()]
    beside = report["side_by_side"]
    waits = [
        ["from `python app.py` to a page that answers", _seconds(report["cold"])],
        ["first click of a fresh server, to the video", f"{report['first_click']:.2f}"],
        ["click to the video, warm", _seconds(report["click"])],
        *[[f"{size} alone, with its video", f"{value:.2f}"] for size, value in beside["alone"].items()],
        [f"all {len(beside['alone'])} side by side", f"{beside['together']:.2f}"],
        ["the sum of each alone", f"{beside['sum']:.2f}"],
    ]
    users = [
        ["yes" if row.get("video", True) else "no", str(row["clients"]), "together" if row["batched"] else "one by one",
         f"{row['per_second']:.2f}", *(f"{row[key]:.2f}" if row[key] is not None else "" for key in ("p50", "p95")),
         str(row["failures"])]
        for row in sorted(report["users"], key=lambda row: (row.get("video", True), row["clients"], not row["batched"]))
    ]  # fmt: skip
    return "\n".join(
        [
            table(["", "s"], waits),
            table([f"stage of {SECONDS:g} s of motion", "ms"], stage_rows),
            table(["video", "clients", "requests are made", "requests/s", "p50, s", "p95, s", "refused"], users),
        ]
    )


def _seconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
