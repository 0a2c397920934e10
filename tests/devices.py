"""A stand-in for the devices of a machine, so that what is done on GPUs is tested without one.

`stand_in(monkeypatch)` makes the CPU count as a GPU with a memory of its own; other names can be offered too.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from scamo.device import DEVICES, Devices, Memory

GB = 10**9


class StandIn(Devices):
    """Devices that claim to be GPUs, with so much memory, best in one type."""

    def __init__(self, gpus: Sequence[str], free: int, total: int, dtype: torch.dtype) -> None:
        self._gpus, self.free, self.total, self._dtype = list(gpus), free, total, dtype
        self.emptied = 0

    def gpus(self) -> list[str]:
        return self._gpus

    def is_gpu(self, device: torch.device) -> bool:
        return str(device) in self._gpus

    def dtype(self, device: torch.device) -> torch.dtype:
        return self._dtype

    def memory(self, device: torch.device) -> Memory | None:
        return Memory(self.free, self.total)

    def empty_cache(self, device: torch.device) -> None:
        self.emptied += 1


def stand_in(
    monkeypatch: pytest.MonkeyPatch, gpus: Sequence[str] = ("cpu",), free: int = 8 * GB, total: int = 16 * GB,
    dtype: torch.dtype = torch.float32,
) -> StandIn:  # fmt: skip
    """Let `scamo.device.DEVICES` answer as a StandIn does until the test ends."""
    other = StandIn(gpus, free, total, dtype)
    for name in ("gpus", "is_gpu", "dtype", "memory", "empty_cache"):
        monkeypatch.setattr(DEVICES, name, getattr(other, name))
    return other
