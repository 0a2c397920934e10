"""Turn a finished run into a model folder that the app loads."""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any


def training_facts(args: Any, seconds: float, **amounts: int) -> dict[str, Any]:
    """What a card says of how a network was made: settings, seed, commit, cost in seconds and on how many threads."""
    no_matter = ("tokens", "tensorboard", "dry_run")
    # Paths say where things were on the machine that trained, which is nobody's business.
    settings = {k: v for k, v in asdict(args).items() if not isinstance(v, Path) and k not in no_matter}
    return settings | amounts | {
        "seconds": round(seconds),
        "device": _device(),
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
