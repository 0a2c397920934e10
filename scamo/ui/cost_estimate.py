"""What a click will cost, before anything is loaded: bytes to fetch, memory, and time on this machine."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from scamo import flops
from scamo.device import DEVICES, Memory, remedy
from scamo.options import DEFAULT_MAX_TOKENS
from scamo.registry import ModelCard
from scamo.text import is_minilm
from scamo.ui.formatting import byte_count, short_time
from scamo.ui.model_pool import ModelKey, ModelPool

_CALLS_PER_LAYER = 30  # numpy calls in a layer's step, see scamo/fast_step.py
_GPU_LAYER = 3e-4  # seconds a layer's step takes a GPU to start
_GPU_BYTES_PER_SECOND = 3e11  # that a GPU of a few years ago reads
_BATCH_FACTOR = 3  # how many times longer several samples at once take than one, until it is known


class CostEstimator:
    """Expects times from what this machine took before, or else from how fast it reads memory.

    Nothing is measured before it is asked for. All times are in seconds. pool: knows where models compute; without one
    all are expected on the CPU.
    """

    def __init__(self, pool: ModelPool | None = None) -> None:
        self._pool = pool
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

    def memory_needed(self, card: ModelCard) -> int:
        """Bytes of a model in the type it computes in."""
        return card.memory_in(self._pool.expected_place(card).dtype if self._pool else None)

    def gpu(self, card: ModelCard) -> tuple[torch.device, Memory | None] | None:
        """The GPU that a model computes on, and its memory; None for a model on the CPU."""
        device = self._pool.expected_place(card).device if self._pool else torch.device("cpu")
        return (device, self._pool.gpu_memory(device)) if self._pool and DEVICES.is_gpu(device) else None

    def free_memory(self) -> int | None:
        """Bytes of the machine's memory that a model may still take; None where the system does not say."""
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
        if self._pool and DEVICES.is_gpu(self._pool.expected_place(card).device):
            return self.memory_needed(card) / _GPU_BYTES_PER_SECOND + shape.layers * _GPU_LAYER
        head = flops.paper_vocabulary_parameters(shape.codebook_size, shape.width)  # the embedding is not read whole
        with self._lock:
            self._speed = self._speed or _measure_speed()
        bytes_per_second, call = self._speed
        read_bytes = 4 * (shape.parameter_counts.non_vocabulary + head)
        return read_bytes / bytes_per_second + shape.layers * _CALLS_PER_LAYER * call


def models_without_room(pool: ModelPool, estimator: CostEstimator) -> dict[ModelKey, str]:
    """The models that do not fit into the free memory of where they would compute, with reason and remedy in words."""
    without_room: dict[ModelKey, str] = {}
    host = estimator.free_memory()
    memories: dict[torch.device, Memory | None] = {}
    for codebook, row in pool.by_codebook.items():
        for label, card in row.items():
            choice = pool.expected_place(card)
            if choice.device not in memories:
                memories[choice.device] = pool.gpu_memory(choice.device)
            memory, needed = memories[choice.device], card.memory_in(choice.dtype)
            free = host if memory is None else memory.free
            if free is None or needed <= free or pool.is_loaded(card):
                continue
            here = "are free here" if memory is None else f"of {byte_count(memory.total)} are free on {choice.device}"
            helps = remedy(choice.device, choice.place.dtype)
            without_room[codebook, label] = (
                f"It needs {byte_count(needed)} of memory and {byte_count(free)} {here}; {helps}."
            )
    return without_room


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
        _expected_memory(estimator, cards),
        f"about {duration}, then the videos" + (f" in {short_time(drawings)}" if drawings_known else ""),
    ]
    encoders = sorted({card.text_encoder for card in cards if card.text_encoder and not is_minilm(card.text_encoder)})
    more = f" Download and memory of {', '.join(encoders)}, which reads the prompt, are not in it."
    return f"Expected: {', '.join(parts)}.{more if encoders else ''}"


def _expected_memory(estimator: CostEstimator, cards: list[ModelCard]) -> str:
    """The memory that models need, apart for the CPU and each GPU, with what the GPU has."""
    needed: dict[str, int] = {}
    for card in cards:
        gpu = estimator.gpu(card)
        where = "of memory"
        if gpu is not None:
            device, memory = gpu
            where = f"of memory on {device}"
            where += f" ({byte_count(memory.free)} of {byte_count(memory.total)} free)" if memory else ""
        needed[where] = needed.get(where, 0) + estimator.memory_needed(card)
    return " and ".join(f"{byte_count(count)} {where}" for where, count in needed.items())


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
