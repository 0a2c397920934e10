"""Where a trained network comes from: how it was made, as its card tells."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path
from typing import Any

from training.configuration import NOT_ON_CARDS, flat_settings
from training.processes import process_group


def training_facts(config: Any, elapsed: float, **amounts: Any) -> dict[str, Any]:
    """A card's "training": settings, amounts of data, commit, and the cost in seconds on which device.

    Paths are left out: they describe the machine that trained, not the network.
    """
    count = process_group().num_processes
    settings = {name: value for name, value in flat_settings(config).items() if name not in NOT_ON_CARDS}
    return settings | amounts | {
        "seconds": round(elapsed),
        "device": _device(),
        **({"processes": count} if count > 1 else {}),
        "commit": commit(),
        "date": date.today().isoformat(),
    }  # fmt: skip


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


def commit() -> str:
    """The checkout's commit, or "unknown" outside one."""
    found = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False,
                           cwd=Path(__file__).parent)  # fmt: skip
    return found.stdout.strip() or "unknown"
