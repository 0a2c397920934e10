"""What a click will cost, told before anything is loaded: bytes to fetch, memory, and time on this machine."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from scamo import flops
from scamo.pipeline import DEFAULT_MAX_TOKENS, ModelCard
from scamo.text import MINILM
from scamo.ui.components.model_grid import Cell
from scamo.ui.model_pool import Studio

TOKENS_A_SECOND = 5
_LAYER = 30  # numpy calls in a layer's step, see scamo/fast_step.py
_BATCH = 3  # how many times longer several samples at once take than one, until it is known


class Machine:
    """How fast this machine is and how much memory it has free. Measured when asked; nothing at import.

    What was made here before counts more than the measurement: `made` and `drew` are told of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rates: tuple[float, float] | None = None
        self._steps: dict[tuple[str, bool], float] = {}  # model, several at once -> seconds for one token of each
        self._frame: float | None = None  # seconds to draw one

    def made(self, card: ModelCard, samples: int, tokens: int, seconds: float) -> None:
        """A model took this long for so many tokens of each of its samples."""
        self._steps[card.location, samples > 1] = seconds / max(tokens, 1)

    def drew(self, frames: int, seconds: float) -> None:
        """A video of so many frames took this long."""
        self._frame = seconds / max(frames, 1)

    def seconds(self, card: ModelCard, samples: int, tokens: int) -> float:
        """To expect for a model's tokens: as long as before, else what it takes to read its weights for each."""
        known = self._steps.get((card.location, samples > 1))
        if known is None:
            known = self._step(card) * (_BATCH if samples > 1 else 1)
        return tokens * known

    def drawing(self, frames: int) -> float | None:
        """Seconds to expect for a video; None before the first one."""
        return None if self._frame is None else frames * self._frame

    def _step(self, card: ModelCard) -> float:
        shape = card.transformer
        blocks = flops.non_vocabulary_parameters(shape.layers, shape.width, 0)
        head = flops.paper_vocabulary_parameters(shape.codebook_size, shape.width)
        with self._lock:
            self._rates = self._rates or _rates()
        bandwidth, call = self._rates
        return 4 * (blocks + head) / bandwidth + shape.layers * _LAYER * call

    def free(self) -> int | None:
        """Bytes of memory that a model may still take; None where the system does not tell."""
        here = _number(Path("/proc/meminfo"), "MemAvailable:")
        free = None if here is None else 1024 * here
        group = Path("/sys/fs/cgroup")  # a container may have less than its machine
        most, used = _number(group / "memory.max"), _number(group / "memory.current")
        cached = _number(group / "memory.stat", "inactive_file") or 0
        if most is not None and used is not None:
            free = min(free or most, max(most - used + cached, 0))
        return free


def blocked(studio: Studio, machine: Machine) -> dict[Cell, str]:
    """The cells whose models do not fit into the memory that is free here, with the reason in words."""
    free = machine.free()
    if free is None:
        return {}
    return {
        (codebook, label): f"It needs {in_bytes(card.memory_bytes)} of memory and {in_bytes(free)} are free here."
        for codebook, row in studio.cells.items()
        for label, card in row.items()
        if card.memory_bytes > free and not studio.holds(card)
    }


def told(
    machine: Machine, cards: Mapping[str, ModelCard], seconds: float | None, samples: int, blocked: Mapping[Cell, str]
) -> str:
    """What the chosen models will cost, and which cannot be chosen, as HTML."""
    lines = [_sum(machine, list(cards.values()), seconds, samples)] if cards else []
    lines += [f"{codebook} · {label} cannot run here. {reason}" for (codebook, label), reason in blocked.items()]
    return f'<div class="cost">{"".join(f"<p>{html.escape(line)}</p>" for line in lines)}</div>'


def _sum(machine: Machine, cards: list[ModelCard], seconds: float | None, samples: int) -> str:
    tokens = DEFAULT_MAX_TOKENS if seconds is None else max(1, round(seconds * TOKENS_A_SECOND))
    fetched = sum(card.disk_bytes for card in cards if card.source == "hub")
    memory = sum(card.memory_bytes for card in cards)
    making = sum(machine.seconds(card, samples, tokens) for card in cards)
    drawing = machine.drawing(tokens * 4)
    time_ = _time(making + (drawing or 0) * len(cards)) + (" at most" if seconds is None else "")
    parts = [
        f"{in_bytes(fetched)} to download at most" if fetched else "nothing to download",
        f"{in_bytes(memory)} of memory",
        f"about {time_}" + (", then the videos" if drawing is None else " with the videos"),
    ]
    readers = sorted({card.text_encoder for card in cards if card.text_encoder not in (None, MINILM)}, key=str)
    more = f" Download and memory of {', '.join(map(str, readers))}, which reads the prompt, are not in it."
    return f"Expected: {', '.join(parts)}.{more if readers else ''}"


def in_bytes(count: int) -> str:
    """A number of bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _time(seconds: float) -> str:
    if seconds < 1:
        return "a second"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _rates() -> tuple[float, float]:
    """Bytes a product with a vector reads in a second, and the seconds of one so small that only calling it counts.

    The best of a few, since other work on the machine can only make it slower.
    """
    wide, narrow = np.ones((2048, 2048), np.float32), np.ones((32, 32), np.float32)

    def best(matrix: np.ndarray, times: int) -> float:
        vector, took = matrix[0], []
        for _ in range(times):
            begun = time.perf_counter()
            np.dot(vector, matrix)
            took.append(time.perf_counter() - begun)
        return min(took)

    return wide.nbytes / best(wide, 5), best(narrow, 50)


def _number(path: Path, name: str = "") -> int | None:
    """The first whole number in a line of a file of the system that begins with a name; None where there is none."""
    try:
        lines: Iterable[str] = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(name):
            words = line.removeprefix(name).split()
            return int(words[0]) if words and words[0].isdigit() else None
    return None
