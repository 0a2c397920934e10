"""What a click will cost, before anything is loaded: bytes to fetch, memory, and time on this machine."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from scamo import flops
from scamo.options import DEFAULT_MAX_TOKENS
from scamo.registry import ModelCard
from scamo.text import MINILM
from scamo.ui.formatting import byte_count, short_time
from scamo.ui.model_pool import ModelKey, ModelPool

_CALLS_PER_LAYER = 30  # numpy calls in a layer's step, see scamo/fast_step.py
_BATCH_FACTOR = 3  # how many times longer several samples at once take than one, until it is known


class CostEstimator:
    """Expects times from what this machine took before, or else from how fast it reads memory.

    Nothing is measured before it is asked for. All times are in seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._speed: tuple[float, float] | None = None
        self._token_times: dict[
            tuple[str, bool, bool], float
        ] = {}  # model, several samples, guided: for a token of each
        self._frame_time: float | None = None

    def record_generation(
        self, card: ModelCard, samples: int, tokens: int, elapsed: float, guidance: float | None = None
    ) -> None:
        """A model took this long for so many tokens of each of its samples."""
        self._token_times[card.location, samples > 1, _is_guided(card, guidance)] = elapsed / max(tokens, 1)

    def record_drawing(self, frames: int, elapsed: float) -> None:
        """A video of so many frames took this long."""
        self._frame_time = elapsed / max(frames, 1)

    def generation_time(self, card: ModelCard, samples: int, tokens: int, guidance: float | None = None) -> float:
        """To expect for so many tokens of each sample: as long as before, else the time to read the weights.

        guidance: the model's own if None.
        """
        guided = _is_guided(card, guidance)
        known = self._token_times.get((card.location, samples > 1, guided))
        if known is None:
            known = self._step_time(card) * (_BATCH_FACTOR if samples > 1 else 1)
            if guided:  # a second pass behind the empty text
                known *= 2
        return tokens * known

    def drawing_time(self, frames: int) -> float | None:
        """To expect for a video; None before the first one."""
        return None if self._frame_time is None else frames * self._frame_time

    def free_memory(self) -> int | None:
        """Bytes that a model may still take; None where the system does not say."""
        available = _read_number(Path("/proc/meminfo"), "MemAvailable:")
        free = None if available is None else 1024 * available
        group = Path("/sys/fs/cgroup")  # a container may have less than its machine
        limit, used = _read_number(group / "memory.max"), _read_number(group / "memory.current")
        cached = _read_number(group / "memory.stat", "inactive_file") or 0
        if limit is not None and used is not None:
            free = min(free or limit, max(limit - used + cached, 0))
        return free

    def _step_time(self, card: ModelCard) -> float:
        shape = card.transformer
        head = flops.paper_vocabulary_parameters(shape.codebook_size, shape.width)  # the embedding is not read whole
        with self._lock:
            self._speed = self._speed or _measure_speed()
        bytes_per_second, call = self._speed
        read_bytes = 4 * (shape.parameter_counts.non_vocabulary + head)
        return read_bytes / bytes_per_second + shape.layers * _CALLS_PER_LAYER * call


def models_without_room(pool: ModelPool, estimator: CostEstimator) -> dict[ModelKey, str]:
    """The models that do not fit into free memory, with the reason in words."""
    free = estimator.free_memory()
    if free is None:
        return {}
    return {
        (codebook, label): f"It needs {byte_count(card.memory_bytes)} of memory and {byte_count(free)} are free here."
        for codebook, row in pool.by_codebook.items()
        for label, card in row.items()
        if card.memory_bytes > free and not pool.is_loaded(card)
    }


def describe_cost(
    estimator: CostEstimator,
    cards: Mapping[str, ModelCard],
    seconds: float | None,
    samples: int,
    without_room: Mapping[ModelKey, str],
    guidance: float | None = None,
) -> str:
    """What the chosen models will cost, and which models cannot be chosen, as HTML.

    seconds: length of the motion; None: the model decides. guidance: the model's own if None.
    """
    lines = [_expected(estimator, list(cards.values()), seconds, samples, guidance)] if cards else []
    lines += [f"{codebook} · {label} cannot run here. {reason}" for (codebook, label), reason in without_room.items()]
    return f'<div class="cost">{"".join(f"<p>{html.escape(line)}</p>" for line in lines)}</div>'


def _is_guided(card: ModelCard, guidance: float | None) -> bool:
    return (card.sampling.get("guidance", 1) if guidance is None else guidance) != 1


def _expected(
    estimator: CostEstimator, cards: list[ModelCard], seconds: float | None, samples: int, guidance: float | None
) -> str:
    fetched = sum(card.disk_bytes for card in cards if card.source == "hub")
    memory = sum(card.memory_bytes for card in cards)
    total, drawings, drawings_known = 0.0, 0.0, True
    for card in cards:
        codec = card.tokenizer
        tokens = DEFAULT_MAX_TOKENS if seconds is None else codec.tokens_in(seconds)
        drawing = estimator.drawing_time(tokens * codec.frames_per_token)
        total += estimator.generation_time(card, samples, tokens, guidance)
        drawings += drawing or 0.0
        drawings_known = drawing is not None
    duration = short_time(total) + (" at most" if seconds is None else "")
    parts = [
        f"{byte_count(fetched)} to download at most" if fetched else "nothing to download",
        f"{byte_count(memory)} of memory",
        f"about {duration}, then the videos" + (f" in {short_time(drawings)}" if drawings_known else ""),
    ]
    encoders = sorted({card.text_encoder for card in cards if card.text_encoder not in (None, MINILM)}, key=str)
    more = f" Download and memory of {', '.join(map(str, encoders))}, which reads the prompt, are not in it."
    return f"Expected: {', '.join(parts)}.{more if encoders else ''}"


def _measure_speed() -> tuple[float, float]:
    """Bytes a second that a product with a vector reads, and seconds of a product so small that only the call counts.

    The best of a few, since other work on the machine can only make it slower.
    """
    wide, narrow = np.ones((2048, 2048), np.float32), np.ones((32, 32), np.float32)

    def best(matrix: np.ndarray, times: int) -> float:
        vector, elapsed = matrix[0], []
        for _ in range(times):
            began = time.perf_counter()
            np.dot(vector, matrix)
            elapsed.append(time.perf_counter() - began)
        return min(elapsed)

    return wide.nbytes / best(wide, 5), best(narrow, 50)


def _read_number(path: Path, name: str = "") -> int | None:
    """The first whole number in the line that begins with a name, in a file of the system; None where there is none."""
    try:
        lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(name):
            words = line.removeprefix(name).split()
            return int(words[0]) if words and words[0].isdigit() else None
    return None
