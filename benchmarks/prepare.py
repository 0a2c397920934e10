"""How memory grows with the size of a dataset: writes, reads and mixes datasets of random numbers.

    python -m benchmarks.prepare --frames 20000 200000 2000000

Prints, for each size, the peak memory of a fresh process that prepares the dataset, of one that opens it and draws
training windows, and of one that mixes it with another, with the time each took. A frame is 263 float32, 1052 bytes on
disk; MotionUnion's 30 million are 31.6 GB, so the sizes here say how the numbers grow, not what the largest takes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLIP = 200  # frames, MotionUnion's mean


@dataclass(frozen=True)
class Args:
    """Measure how memory grows with the dataset."""

    frames: tuple[int, ...] = (20_000, 200_000, 1_000_000)
    folder: Path | None = None
    """Where to write (default: a temporary folder; the largest size needs 2.2 kB of disk a frame)."""


def write_dataset(folder: Path, frames: int) -> None:
    """Prepare a dataset as every reader does, of random numbers in place of files."""
    from training.data.growing_dataset import Piece, prepare

    def read(path: Path) -> list[Piece]:
        draw = np.random.default_rng(int(path.stem))
        features = draw.standard_normal((CLIP, 263), dtype=np.float32)
        return [Piece(path.stem, features, ("a person walks forward and then turns around",))]

    files = [folder / "in" / f"{number:07d}" for number in range(frames // CLIP)]
    prepare(folder / "data", files, folder / "in", read, {"source": "random numbers"})


def draw_batches(folder: Path, frames: int) -> None:
    """Draw 20 batches of windows, as training a tokenizer does."""
    from scamo.configs import LEVELS, TokenizerConfig
    from scamo.tokenizer import MotionTokenizer
    from training.data.dataset import Dataset
    from training.tasks.reconstruction import Reconstruction

    data = Dataset(folder / "data")
    model = MotionTokenizer(TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1))
    task = Reconstruction(model, data, 64, 32, 0, data.statistics)
    for step in range(20):
        task.batch(step, 0, 1)


def mix_datasets(folder: Path, frames: int) -> None:
    """Mix the dataset with itself."""
    from training.data import mixture

    mixture.main(mixture.Args((f"{folder}/data=0.5", f"{folder}/data=1.5"), folder / "mix"))


class PeakMemory:
    """The most private memory this process has held, in megabytes; pages of mapped files, which the system takes back
    when it likes, do not count (Linux)."""

    def __enter__(self) -> PeakMemory:
        self.megabytes, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
            anonymous = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.megabytes = max(self.megabytes, anonymous / 1024)


def peak_of(task: Callable[[Path, int], None], folder: Path, frames: int, answers: multiprocessing.Queue) -> None:
    """Run a task in this process and send back megabytes and seconds."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(None), PeakMemory() as peak:
        task(folder, frames)
    answers.put((peak.megabytes, time.perf_counter() - start))


def main(args: Args) -> None:
    """Measure every size in fresh processes."""
    context = multiprocessing.get_context("spawn")
    print(f"{'frames':>10} {'clips':>8}  {'prepare':>16} {'train':>16} {'mix':>16}")
    for frames in args.frames:
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            columns = []
            for task in (write_dataset, draw_batches, mix_datasets):
                answers = context.Queue()
                process = context.Process(target=peak_of, args=(task, Path(name), frames, answers))
                process.start()
                megabytes, seconds = answers.get()
                process.join()
                columns.append(f"{megabytes:6.0f} MB {seconds:5.1f} s")
            print(f"{frames:>10,} {frames // CLIP:>8,}  " + " ".join(f"{column:>16}" for column in columns), flush=True)


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
