"""The parts that every training's configuration is composed of, and which settings decide its curve.

A configuration is a frozen dataclass with a ``Run``, an ``Optimisation`` and fields of its own. On the command line and
in files its settings are flat: ``--steps 500``, {"steps": 500}.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from training.schedule import learning_rate

Config = TypeVar("Config")

MAY_DIFFER = frozenset(
    {
        "threads",
        "device",
        "tokens",
        "log_every",
        "save_every",
        "validate_every",
        "tensorboard",
        "dry_run",
        "continue_lr",
    }
)
"""Settings that may differ between a run and its continuation: the curve does not depend on them."""

NOT_ON_CARDS = frozenset({"device", "tokens", "log_every", "tensorboard", "dry_run", "continue_lr"})
"""Settings that say nothing about a trained network."""

FORMER_NAMES = {
    "fall": "final_share", "restraint": "latent_penalty", "path": "drift_penalty", "bones": "bone_penalty",
    "places": "place_penalty",
}  # fmt: skip
"""Settings that older runs and cards call by another name."""

LATER_SETTINGS = {"bone_penalty": 0.0, "place_penalty": 0.0, "speed_penalty": 0.0, "evenly": False}
"""Settings that older runs do not have, and the values that mean what those runs did."""


@dataclass(frozen=True)
class Run:
    """Where a training writes, and how it is carried out."""

    out: Path
    """The run's folder; the finished network is OUT/model."""
    seed: int = 0
    """Seed of the initial weights and of every random choice. The same seed gives the same curve."""
    threads: int = 0
    """CPU threads (0: torch's choice)."""
    device: Literal["auto", "cpu"] = "auto"
    """auto: on GPUs if there are any."""
    log_every: int = 20
    """Steps between two lines of OUT/metrics.jsonl."""
    save_every: int = 500
    """Steps between two saved states, from which a killed run continues."""
    validate_every: int = 1000
    """Steps between two measurements on the validation split."""
    tensorboard: bool = False
    """Write curves to OUT/tensorboard too."""
    continue_lr: float | None = None
    """Continue a run, such as one that diverged, from its last state with this peak learning rate in place of --lr."""
    dry_run: bool = False
    """Print parameters, operations, memory and the expected duration, and train nothing."""


@dataclass(frozen=True)
class Optimisation:
    """How long and how fast to learn. What the paper states in its appendix Tab. 2 is marked (2)."""

    steps: int
    """Optimiser steps."""
    lr: float
    """Peak learning rate."""
    schedule: Literal["multistep", "cosine"] = "cosine"
    """multistep (tokenizer (2)): the peak until the milestone, then a share of it. cosine: transformer (2)."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises to its peak: 0.003 tokenizer (2), 0.1 transformer (2)."""
    milestone: float = 0.6
    """multistep: share of the steps after which the rate drops (2)."""
    final_share: float | None = None
    """Share of the peak rate that the schedule ends with. None: 0.1 for multistep, 0.01 for cosine."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's two momenta; the paper states the first, 0.9."""
    weight_decay: float = 0.0
    """0 tokenizer (2), 1e-6 transformer (2)."""
    clip: float = 1.0
    """Gradients of a larger norm are scaled down to it."""
    accumulate: int = 1
    """Forward and backward passes a step; the batch is cut in as many parts."""
    precision: Literal["no", "bf16", "auto"] = "no"
    """no: float32; bf16 (2): mixed with bfloat16; auto: bf16 on a CPU that multiplies in it, float32 elsewhere."""

    def resolved(self) -> Optimisation:
        """The same with a number in place of a ``final_share`` of None, and "no" or "bf16" in place of "auto"."""
        final_share = self.final_share
        if final_share is None:
            final_share = 0.1 if self.schedule == "multistep" else 0.01
        precision = self.precision
        if precision == "auto":
            precision = "bf16" if multiplies_bfloat16() else "no"
        return replace(self, final_share=final_share, precision=precision)

    def rate(self, step: int) -> float:
        """Learning rate of a step (0-based). ValueError for an unknown schedule."""
        final = self.resolved().final_share
        assert final is not None
        return learning_rate(step, self.steps, self.lr, self.schedule, self.warmup, self.milestone, final)


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether training is on a CPU, and it has instructions for products of bfloat16: twice as many a second.

    Only Linux says so. A CPU without them does the same work slower than in float32.
    """
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def flat_settings(config: Any) -> dict[str, Any]:
    """All settings of a configuration and of its parts by name, as JSON has them. Paths are left out."""
    found: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Optimisation):
            value = value.resolved()
        if is_dataclass(value):
            found |= flat_settings(value)
        elif not isinstance(value, Path):
            found[field.name] = value
    return json.loads(json.dumps(found))


def with_settings(config: Config, **changes: Any) -> Config:
    """A copy of a configuration with some settings changed, by the names of ``flat_settings``.

    TypeError for a name that is no setting of it.
    """
    own, left = {}, dict(changes)
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if field.name in left:
            own[field.name] = left.pop(field.name)
        elif is_dataclass(value) and not isinstance(value, type):
            names = {part.name for part in fields(value)} & left.keys()
            if names:
                own[field.name] = replace(value, **{name: left.pop(name) for name in names})
    if left:
        raise TypeError(f"{type(config).__name__} has no setting {', '.join(sorted(left))}")
    return replace(config, **own)  # type: ignore[type-var]


def curve_settings(config: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a run's curve: its settings, and fingerprints of what its paths lead to."""
    own = {name: value for name, value in flat_settings(config).items() if name not in MAY_DIFFER}
    return own | dict(inputs)


def plain_settings(optimisation: Optimisation, seed: int) -> dict[str, Any]:
    """The settings that decide a curve where there is no configuration: optimisation and seed."""
    return json.loads(json.dumps(asdict(optimisation.resolved()) | {"seed": seed}))


def with_current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an older run or card under their current names."""
    return {FORMER_NAMES.get(name, name): value for name, value in settings.items()}
