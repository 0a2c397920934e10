"""Which device a model goes to, and in which type.

A GPU starts about thirty small kernels in each layer's step, and the time of a start does not depend on the model. So a
model of a few million parameters may be faster on a CPU, where `fast_step` reads its weights from the cache. Which one
is faster is measured, once in a process for each shape.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

import torch

from scamo.configs import TransformerConfig
from scamo.device import DEVICES, Place, find_device, is_auto, turn_on
from scamo.fast_step import compact, stepper
from scamo.transformer import PrefixTransformer

LARGE = 64_000_000  # parameters; from here on a CPU takes longer to read them than a GPU to start its kernels
HALVED = 100_000_000  # parameters from which the page computes in float16 on a CPU
_STEPS, _WARM_UP = 12, 4


class Choice(NamedTuple):
    """A device, the type to load with (None: the model's own), and in words what `auto` went by."""

    device: torch.device
    dtype: torch.dtype | None
    why: str = ""

    @property
    def place(self) -> Place:
        """The same by names, for what is expected before a model is loaded."""
        return Place(str(self.device), str(self.dtype or torch.float32).removeprefix("torch."), self.why)


def choose_place(
    shape: TransformerConfig, device: str | torch.device, dtype: torch.dtype | None = None, measure: bool = True
) -> Choice:
    """Where a transformer of this shape computes fastest, or where `device` says.

    auto: on the best GPU, or on the CPU where a small model is faster there. Without `measure` nothing is computed, and
    what was not measured yet is expected on the GPU. dtype: None is what the device is best at.
    Raises ValueError for a device that is not there, and for int8 on a GPU that was asked for.
    """
    found = find_device(device)
    if not is_auto(device):
        if dtype == torch.int8 and DEVICES.is_gpu(found):
            raise ValueError(f'int8 is for the CPU; on "{found}" use bfloat16, or --device cpu')
        return _on(found, dtype)
    cpu = _on(torch.device("cpu"), dtype)
    if not DEVICES.is_gpu(found):
        return cpu
    if dtype == torch.int8:
        return cpu._replace(why="int8 is for the CPU")
    gpu = _on(found, dtype)
    if sum(shape.parameter_counts) >= LARGE:
        return gpu
    times = _measured(shape, cpu, gpu, measure)
    if times is None:
        return gpu
    on_cpu, on_gpu = times
    words = f"measured: {1000 * on_cpu:.1f} ms a token on the CPU, {1000 * on_gpu:.1f} ms on {found}"
    return (cpu if on_cpu <= on_gpu else gpu)._replace(why=words)


def choose_for_page(
    shape: TransformerConfig, device: str | torch.device, dtype: torch.dtype | None = None, measure: bool = True
) -> Choice:
    """`choose_place`, with large models in float16 on a CPU where no type was asked for.

    That takes half the memory and about half the time. Of the bundled models' greedy motions all came out the same in
    float16 (docs/performance.md); the tokens of a library's call, where nobody waits for a page, stay float32's.
    """
    choice = choose_place(shape, device, dtype, measure)
    halves = "fbgemm" in torch.backends.quantized.supported_engines
    if choice.device.type != "cpu" or choice.dtype is not None or sum(shape.parameter_counts) < HALVED or not halves:
        return choice
    return choice._replace(dtype=torch.float16, why="half the time of float32, which --dtype float32 gives")


def _on(device: torch.device, dtype: torch.dtype | None) -> Choice:
    return Choice(device, dtype or (DEVICES.dtype(device) if DEVICES.is_gpu(device) else None))


_times: dict[tuple[TransformerConfig, Choice], tuple[float, float]] = {}
_times_lock = threading.Lock()


def _measured(shape: TransformerConfig, cpu: Choice, gpu: Choice, measure: bool) -> tuple[float, float] | None:
    """Seconds of a step on the CPU and on the GPU; None where it was not measured and should not be now."""
    key = shape, gpu
    if not measure:
        return _times.get(key)
    with _times_lock:
        if key not in _times:
            with turn_on(gpu.device).taken():
                _times[key] = time_step(shape, *cpu[:2]), time_step(shape, *gpu[:2])
                DEVICES.empty_cache(gpu.device)
        return _times[key]


@torch.inference_mode()
def time_step(shape: TransformerConfig, device: torch.device, dtype: torch.dtype | None = None) -> float:
    """Seconds that a transformer of this shape takes for a token, alone in its batch: the median of a few.

    The weights are all alike, since time does not depend on them. dtype: None is float32.
    """
    with torch.device("meta"):
        model = PrefixTransformer(shape)
    model = model.to_empty(device=device).requires_grad_(False)
    for parameter in model.parameters():
        parameter.fill_(0.01)
    if dtype not in (None, torch.float32):
        model = compact(model, dtype) if device.type == "cpu" else model.to(dtype)
    text_bld = torch.zeros(1, 8, shape.text_width, device=device)
    mask_bl = torch.ones(1, 8, dtype=torch.bool, device=device)
    _, cache = model.prefill(text_bld, mask_bl, _WARM_UP + _STEPS)
    step, token_b, elapsed = stepper(model, cache), torch.zeros(1, dtype=torch.long, device=device), []
    for _ in range(_WARM_UP + _STEPS):
        began = time.perf_counter()
        step(token_b).cpu()  # as the engine reads it, which waits for the GPU
        elapsed.append(time.perf_counter() - began)
    return sorted(elapsed[_WARM_UP:])[_STEPS // 2]
