"""How long people wait for the page: cold start, one click, several models at once, several users at once.

    python -m benchmarks.app

Cold: from `python app.py` to a page that answers, in new processes. Click: a request to /generate, from asking to the
answer with the video (4 s of motion, a bundled model); then the same work step by step in one process, which shows
where the time goes. Side by side: requests for three sizes at the same moment, compared with the sum of each alone.
Users: so many clients, each sending its next request when the last one was answered, with requests for one model
computed together and, for comparison, one after the other. Without videos this shows what a batch is worth; with them,
when drawing takes most of the time, it is measured once. Every client has its own seeds. Writes JSON to --out.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import OUT, markdown_table, median_ratio, recorded, take_turns, time_call
from benchmarks.page_process import page_process, wait_for

if TYPE_CHECKING:
    from scamo.pipeline import MotionPipeline

PROMPT = "a person walks forward, then waves with the left hand"
SECONDS = 4.0
TEMPERATURE = 0.7
MORE_WITHOUT_VIDEO = 4  # times as many requests, since each takes a fraction of the time

Ask = Callable[[int], Any]  # asks for a motion by its seed, and waits for the answer


@dataclass(frozen=True)
class Args:
    """Measure the page on this machine."""

    out: Path = OUT / "app.json"
    codebook: int = 1024
    size: str = "4M"
    sizes: tuple[str, ...] = ("0.3M", "1M", "4M")
    """Asked at the same moment."""
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
    if args.quick:
        args = replace(args, repetitions=1, starts=1, clients=(1, 2), requests=1)
    with recorded(args) as report:
        report["cold"] = [cold_start() for _ in range(args.starts)]
        report["users"] = []
        with _server(batched=True) as address:
            ask = asker(address, args.codebook, args.size)
            report["first_click"] = time_call(lambda: ask(0))[0]
            report["click"] = [time_call(lambda seed=seed: ask(seed))[0] for seed in range(args.repetitions)]
            figure = asker(address, args.codebook, args.size, video=False)
            report["figure"] = [time_call(lambda seed=seed: figure(seed))[0] for seed in range(args.repetitions)]
            sizes = {size: asker(address, args.codebook, size) for size in args.sizes}
            report["side_by_side"] = measure_side_by_side(sizes, args.repetitions)
            report["users"] += measure_users(args, address, batched=True, video=True)
            report["users"] += measure_users(args, address, batched=True, video=False)
        with _server(batched=False) as address:
            asker(address, args.codebook, args.size)(0)  # loads the model
            report["users"] += measure_users(args, address, batched=False, video=False)
        report["stages"] = measure_stages(_pipeline(args), args.repetitions)
    print(app_table(report))


def _pipeline(args: Args) -> MotionPipeline:
    import scamo

    return scamo.load(codebook=args.codebook, size=args.size)


def cold_start() -> float:
    """Seconds from `python app.py` to a page that answers."""
    begin = time.perf_counter()
    with page_process(["app.py"]) as (process, address):
        wait_for(address, process)
        return time.perf_counter() - begin


@contextlib.contextmanager
def _server(batched: bool) -> Iterator[str]:
    one = "from scamo.ui import build, launch; launch(build([], batch=1))"
    with page_process(["app.py"] if batched else ["-c", one]) as (process, address):
        wait_for(address, process)
        yield address


def asker(address: str, codebook: int, size: str, video: bool = True) -> Ask:
    """A client of the page that asks for the same motion with other seeds."""
    from gradio_client import Client

    client = Client(address, verbose=False, download_files=False)
    fields = {"codebook": codebook, "size": size, "seconds": SECONDS, "temperature": TEMPERATURE, "video": video}
    return lambda seed: client.predict(PROMPT, **fields, seed=seed, api_name="/generate")


def measure_users(args: Args, address: str, batched: bool, video: bool) -> list[dict[str, Any]]:
    """A row for each number of clients that ask a server at once."""
    rows = []
    for count in args.clients:
        askers = [asker(address, args.codebook, args.size, video) for _ in range(count)]
        answers = ask_at_once(askers, args.requests * (1 if video else MORE_WITHOUT_VIDEO))
        rows.append({"batched": batched, "video": video, "clients": count, **answers})
        print(rows[-1], flush=True)
    return rows


def ask_at_once(askers: Sequence[Ask], requests: int) -> dict[str, Any]:
    """All askers at once, each with its next request after its last answer: requests a second, p50 and p95 of waits."""
    waits: list[float] = []
    failures: list[str] = []
    gate = threading.Barrier(len(askers) + 1)

    def work(number: int) -> None:
        gate.wait()
        for request in range(requests):
            try:
                waits.append(time_call(lambda request=request: askers[number](1000 * number + request))[0])
            except Exception as error:  # a refusal is an answer too, and is reported
                failures.append(str(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(askers))]
    for thread in threads:
        thread.start()
    gate.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begin
    ordered = sorted(waits)
    return {
        "requests": len(waits),
        "failures": len(failures),
        "why": failures[0] if failures else "",
        "per_second": len(waits) / elapsed,
        "p50": statistics.median(ordered) if ordered else None,
        "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else None,
    }


def measure_side_by_side(askers: Mapping[str, Ask], repetitions: int) -> dict[str, Any]:
    """Median seconds of several models asked at the same moment, and of each alone. RuntimeError where one fails."""

    def together() -> None:
        answers = ask_at_once(list(askers.values()), 1)
        if answers["failures"]:
            raise RuntimeError(f"a model failed: {answers['why']}")

    tasks: dict[str, Callable[[], Any]] = {size: lambda ask=ask: ask(0) for size, ask in askers.items()}
    tasks["together"] = together
    take_turns(tasks, 1)  # warm
    times = take_turns(tasks, repetitions)
    alone = {size: times[size]["seconds"] for size in askers}
    sums = [sum(each) for each in zip(*alone.values(), strict=True)]
    at_once = times["together"]["seconds"]
    return {
        "alone": {size: statistics.median(seconds) for size, seconds in alone.items()},
        "sum": statistics.median(sums),
        "together": statistics.median(at_once),
        "ratio": median_ratio(at_once, sums),
    }


def measure_stages(pipeline: MotionPipeline, repetitions: int, seconds: float = SECONDS) -> dict[str, float]:
    """Median seconds of every step from a sentence to a video, warm, one after the other in this process."""
    from scamo.motion import Motion
    from scamo.options import GenerationOptions
    from scamo.render import stick_frames, write_video
    from scamo.ui.motion_files import VIDEO_PIXELS

    options = GenerationOptions(seconds=seconds, seed=0, temperature=TEMPERATURE)
    text = pipeline.text_encoder.encode([PROMPT])[0][0]
    generation = pipeline.generate(PROMPT, options, embedding=text)
    motion, frames = generation.motion, list(stick_frames(generation.motion.joints, size=VIDEO_PIXELS))

    def sample() -> None:
        stream = pipeline.stream(PROMPT, options, embedding=text)
        for step in stream:
            if step.count == stream.total:
                break  # the next step decodes
        stream.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        tasks: dict[str, Callable[[], Any]] = {
            "text": lambda: pipeline.text_encoder.encode([PROMPT]),
            "tokens": sample,
            "decoder": lambda: pipeline.tokenizer.decode(generation.tokens),
            "joints": lambda: Motion(motion.features, motion.fps).joints,
            "drawing": lambda: list(stick_frames(motion.joints, size=VIDEO_PIXELS)),
            "encoding": lambda: write_video(frames, path, motion.fps),
            "drawing while encoding": lambda: write_video(
                stick_frames(motion.joints, size=VIDEO_PIXELS), path, motion.fps
            ),
        }
        take_turns(tasks, 1)  # warm
        times = take_turns(tasks, repetitions)
    return {name: statistics.median(own["seconds"]) for name, own in times.items()}


def app_table(report: dict[str, Any]) -> str:
    """The report as Markdown tables."""
    stage_rows = [[name, f"{1e3 * value:.0f}"] for name, value in report["stages"].items()]
    beside = report["side_by_side"]
    waits = [
        ["from `python app.py` to a page that answers", _seconds(report["cold"])],
        ["first click of a fresh server, to the video", f"{report['first_click']:.2f}"],
        ["click to the joints that the page's figure plays, warm", _seconds(report["figure"])],
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
            markdown_table(["", "s"], waits),
            markdown_table([f"stage of {SECONDS:g} s of motion", "ms"], stage_rows),
            markdown_table(
                ["video", "clients", "requests are made", "requests/s", "p50, s", "p95, s", "refused"], users
            ),
        ]
    )


def _seconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
