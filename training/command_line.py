"""How a command of the training package starts, and on which device it computes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import tyro

from scamo import command

FLAT = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
"""What tyro is asked for: flags have the names of fields alone, without those of the parts that hold them."""


def device_named(name: str) -> str:
    """A device of torch: "auto" is the GPU where there is one and the CPU elsewhere; another name is itself."""
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def run_command(main: Callable[[Any], Any], config: Any, **options: Any) -> NoReturn:
    """Read ``config`` (a dataclass, or a union of several) from the command line, run ``main`` on it, and exit.

    Fields of parts that a configuration is composed of are flags of their own: ``--steps``, not
    ``--optimisation.steps``. options: tyro's. For the exit codes see scamo.command.
    """
    parts = Path(sys.argv[0]).with_suffix("").parts
    name = ".".join(parts[parts.index("training") :]) if "training" in parts else parts[-1]
    sys.exit(command.run_command(main, config, name=name, **{"config": FLAT} | options))
