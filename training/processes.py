"""The processes of one training: which of them this one is, among those that torchrun or accelerate started."""

from __future__ import annotations

import os
from typing import Any

import torch


def process_group(device: str = "auto") -> Any:
    """Accelerate's PartialState: this process among the others, on GPUs or without.

    device: "auto", or "cpu" to leave a GPU alone. The first call of a process decides.
    ValueError where the processes cannot find each other.
    """
    from accelerate import PartialState

    count = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    without_gpu = not (torch.cuda.is_available() or torch.xpu.is_available())
    # Without `cpu`, Accelerate takes processes on a machine without a GPU for separate trainings in one folder.
    state = PartialState(cpu=device == "cpu" or (count > 1 and without_gpu))
    if state.num_processes != count:
        raise ValueError(f"{count} processes were started and {state.num_processes} found; see `accelerate config`.")
    return state


def is_main_process() -> bool:
    """Whether this process is the one that writes the results of a run."""
    return bool(process_group().is_main_process)
