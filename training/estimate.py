"""What a training will cost, before it starts: parameters, operations, memory, time (``--dry-run``)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.configuration import Optimisation

SUSTAINED = 0.4
"""Share of a large matrix product's speed that whole networks usually reach."""
TIMED_SECONDS = 20.0
"""Real steps are timed where two of them should take less than this."""

Loss = Callable[[nn.Module, torch.device], Tensor]
"""The loss of one made-up part of a batch (what one process computes at a time) on a device."""


@dataclass(frozen=True)
class Estimate:
    """The cost of a training. Memory is in bytes on every device without FSDP; operations count forward and backward.

    Activations are what autograd keeps, in bf16 with its copies of the weights.
    """

    parameters: int
    flops_per_step: float
    flops: float
    weights_bytes: int
    gradients_bytes: int
    optimiser_bytes: int
    activations_bytes: int
    seconds: float
    basis: str

    @property
    def memory_bytes(self) -> int:
        """Weights, gradients, optimiser and activations together."""
        return self.weights_bytes + self.gradients_bytes + self.optimiser_bytes + self.activations_bytes

    def __str__(self) -> str:
        gib = 1 << 30
        return "\n".join(
            [
                f"parameters   {self.parameters:,}",
                f"operations   {self.flops_per_step:.3g} FLOPs a step, {self.flops:.3g} in all",
                f"memory       {self.memory_bytes / gib:.2f} GiB: weights {self.weights_bytes / gib:.2f}, gradients "
                f"{self.gradients_bytes / gib:.2f}, AdamW {self.optimiser_bytes / gib:.2f}, activations "
                f"{self.activations_bytes / gib:.2f}",
                f"duration     {duration(self.seconds)} ({self.basis})",
            ]
        )


def duration(seconds: float) -> str:
    """Seconds in words, in the largest unit that fits."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def estimate(build: Callable[[], nn.Module], loss: Loss, optimisation: Optimisation, processes: int = 1) -> Estimate:
    """Count operations on tensors without memory, then time steps or, for large networks, a matrix product.

    build: makes the network; loss: its loss on one part of a batch. A step has ``optimisation.accumulate`` parts on
    each of ``processes`` devices like this one.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode  # the meta device knows no autocast
    from torch.utils.flop_counter import FlopCounterMode

    optimisation = optimisation.resolved()
    with FakeTensorMode():
        model = build()
        parameters = list(model.parameters())
        count, bytes_ = sum(p.numel() for p in parameters), sum(p.numel() * p.element_size() for p in parameters)
        with FlopCounterMode(display=False) as counter, _SavedBytes(parameters) as saved:
            with torch.autocast("cpu", torch.bfloat16, enabled=optimisation.precision == "bf16"):
                value = loss(model, torch.device("cpu"))
            value.backward()
    flops_part = counter.get_total_flops()
    flops_step = flops_part * optimisation.accumulate * processes
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rate = _matrix_rate(device, torch.bfloat16 if optimisation.precision == "bf16" else torch.float32)
    part_seconds, basis = flops_part / (SUSTAINED * rate), f"{SUSTAINED:.0%} of {rate:.2g} FLOP/s measured on {device}"
    if 4 * bytes_ + saved.bytes < _free_bytes(device) / 2 and 3 * part_seconds < TIMED_SECONDS:
        part_seconds, basis = timed_step(build().to(device), loss, device, optimisation), f"2 steps timed on {device}"
    return Estimate(
        parameters=count,
        flops_per_step=flops_step,
        flops=flops_step * optimisation.steps,
        weights_bytes=bytes_,
        gradients_bytes=bytes_,
        optimiser_bytes=2 * bytes_,
        activations_bytes=saved.bytes,
        seconds=part_seconds * optimisation.accumulate * optimisation.steps,
        basis=basis + ("" if processes == 1 else f", {processes} such devices, their exchange not counted"),
    )


class _SavedBytes:
    """Sums the bytes that autograd keeps for the backward pass: every storage once, and no parameters."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self._known = {self._key(p) for p in parameters}
        self._alive: list[Tensor] = []  # keeps storages alive, so that no key is used twice
        self.bytes = 0

    @staticmethod
    def _key(tensor: Tensor) -> int:
        return tensor.untyped_storage()._cdata

    def _pack(self, tensor: Tensor) -> Tensor:
        if self._key(tensor) not in self._known:
            self._known.add(self._key(tensor))
            self._alive.append(tensor)
            self.bytes += tensor.untyped_storage().nbytes()
        return tensor

    def __enter__(self) -> _SavedBytes:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.__exit__()


def _matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    size = 4096 if device.type == "cuda" else 768
    a = torch.randn(size, size, device=device, dtype=dtype)
    for _ in range(2):
        a @ a
    start, done = _clock(device), 0
    while _clock(device) - start < 0.3:
        a @ a
        done += 1
    return 2 * size**3 * done / (_clock(device) - start)


def timed_step(model: nn.Module, loss: Loss, device: torch.device, optimisation: Optimisation) -> float:
    """Seconds of one part of a step of this network on this device: the mean of two, after one to warm up."""
    bf16 = optimisation.precision == "bf16"
    adam = torch.optim.AdamW(model.parameters(), lr=1e-5)
    start = 0.0
    for number in range(3):
        if number == 1:
            start = _clock(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            value = loss(model, device)
        value.backward()
        adam.step()
        adam.zero_grad()
    return (_clock(device) - start) / 2


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info()[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
