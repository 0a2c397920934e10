"""One training loop for every network: Accelerate, resumable to the step, metrics as JSON lines.

What is learned comes as an Objective; the loop knows nothing of motion. A batch is a pure function of the step, so the
data's position needs no saving: a run that was killed at any moment continues with the identical loss curve, and
several processes see the slices of the batch that one would see.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Optimisation:
    """How long and how fast to learn; the defaults that the paper states (appendix Tab. 2) are marked (2)."""

    steps: int
    """Optimiser steps."""
    lr: float
    """Peak learning rate."""
    schedule: str = "cosine"
    """"multistep" (tokenizer (2)) or "cosine" (transformer (2))."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises to its peak: 0.003 tokenizer (2), 0.1 transformer (2)."""
    milestone: float = 0.6
    """multistep: share of the steps after which the rate falls (2)."""
    fall: float = 0.1
    """multistep: what the rate is multiplied by there; cosine: the share of the peak at the end."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's momenta; the first is (2)."""
    weight_decay: float = 0.0
    """0 tokenizer (2), 1e-6 transformer (2)."""
    clip: float = 1.0
    """Gradients of a larger norm are scaled down to it."""
    accumulate: int = 1
    """Forward and backward passes a step; the batch is cut in as many parts."""
    precision: str = "no"
    """"no" (float32) or "bf16" (2)."""

    def rate(self, step: int) -> float:
        """Learning rate of a step (0-based)."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.lr * (step + 1) / warm
        if self.schedule == "multistep":
            return self.lr * (self.fall if step >= self.milestone * self.steps else 1.0)
        if self.schedule == "cosine":
            done = (step - warm) / max(1, self.steps - warm)
            return self.lr * (self.fall + (1 - self.fall) * (1 + math.cos(math.pi * done)) / 2)
        raise ValueError(f"Unknown schedule {self.schedule!r}; choose multistep or cosine.")


class Objective(Protocol):
    """What is learned."""

    @property
    def model(self) -> nn.Module:
        """The network whose parameters are learned."""

    @property
    def unit(self) -> str:
        """What throughput is counted in: "frames" or "tokens"."""

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Part ``part`` of ``parts`` of a step's batch: tensors; "share", its targets / those of all parts; "units"."""

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Mean loss over the part's targets, and what else to log."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Held-out metrics; called on the main process only."""


@dataclass(frozen=True)
class Saving:
    """When to write what."""

    log_every: int = 20
    save_every: int = 500
    validate_every: int = 1000


def latest_state(run: Path) -> tuple[Path, int] | None:
    """The newest complete state of a run and its step; a half-written one has another name and is never seen."""
    states = sorted(run.glob("state-*"), key=lambda path: path.name)
    return (states[-1], int(states[-1].name.split("-")[1])) if states else None


def train(
    objective: Objective, optimisation: Optimisation, run: Path, seed: int = 0, saving: Saving | None = None
) -> dict:
    """Train to the last step, continuing from the run's newest state; returns {"seconds", "units", metrics ...}.

    Writes ``run/metrics.jsonl`` and ``run/state-NNNNNNNN/``. ValueError where the run was begun with other settings.
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed
    from tqdm import tqdm

    saving = saving or Saving()
    accelerator = Accelerator(mixed_precision=optimisation.precision)
    set_seed(seed)
    adam = torch.optim.AdamW(
        objective.model.parameters(),
        lr=optimisation.lr,
        betas=optimisation.betas,
        weight_decay=optimisation.weight_decay,
    )
    model, optimiser = accelerator.prepare(objective.model, adam)
    run.mkdir(parents=True, exist_ok=True)
    _check_settings(run, asdict(optimisation) | {"seed": seed})
    start, spent = 0, 0.0
    if found := latest_state(run):
        accelerator.load_state(str(found[0]))
        start = found[1]
        spent = json.loads((found[0] / "spent.json").read_text())["seconds"]
    journal = Journal(run / "metrics.jsonl", start, accelerator.is_main_process)
    parts = accelerator.num_processes * optimisation.accumulate
    bar = tqdm(range(start, optimisation.steps), initial=start, total=optimisation.steps, mininterval=5,
               disable=not accelerator.is_main_process, desc=run.name, unit="step")  # fmt: skip
    units, clock, last = 0, time.perf_counter(), {}
    begun = clock - spent
    for step in bar:
        for group in optimiser.param_groups:
            group["lr"] = optimisation.rate(step)
        total = torch.zeros((), device=accelerator.device)
        extra: dict[str, float] = {}
        for part in range(optimisation.accumulate):
            own = accelerator.process_index * optimisation.accumulate + part
            batch = objective.batch(step, own, parts)
            units += batch["units"] * accelerator.num_processes
            batch = {k: v.to(accelerator.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
            with accelerator.autocast():
                loss, extra = objective.loss(model, batch)
            # DDP averages over processes; shares make that the mean over the whole batch's targets, however they fall.
            share = batch["share"] * accelerator.num_processes
            accelerator.backward(loss * share)
            total = total + loss.detach() * share
        norm = accelerator.clip_grad_norm_(model.parameters(), optimisation.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        done = step + 1
        if done % saving.log_every == 0 or done == optimisation.steps:
            value = accelerator.reduce(total, "mean").item()
            if not math.isfinite(value):
                raise FloatingPointError(f"The loss is {value} at step {done}; lower the learning rate of {run.name}.")
            now = time.perf_counter()
            speed, units, clock = units / (now - clock), 0, now
            last = {"step": done, "loss": value, "lr": optimisation.rate(step), "grad_norm": float(norm),
                    f"{objective.unit}_per_s": round(speed), **extra}  # fmt: skip
            journal.write(last)
            bar.set_postfix_str(f"loss {value:.4f}, {speed:,.0f} {objective.unit}/s")
        if done % saving.validate_every == 0 or done == optimisation.steps:
            if accelerator.is_main_process:
                last = last | objective.validate(accelerator.unwrap_model(model))
                journal.write({"step": done, "validation": last})
            accelerator.wait_for_everyone()
            clock, units = time.perf_counter(), 0
        if done % saving.save_every == 0 or done == optimisation.steps:
            _save(accelerator, run, done, time.perf_counter() - begun)
    return last | {"seconds": round(time.perf_counter() - begun, 1)}


def _check_settings(run: Path, settings: dict[str, Any]) -> None:
    path, text = run / "optimisation.json", json.dumps(settings, indent=1)
    if path.exists() and path.read_text() != text:
        raise ValueError(f"{run} was begun with other settings (see {path}); give another --out, or delete the run.")
    path.write_text(text)


def _save(accelerator: Any, run: Path, step: int, seconds: float) -> None:
    final, partial = run / f"state-{step:08d}", run / "partial-state"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial), safe_serialization=False)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (partial / "spent.json").write_text(json.dumps({"seconds": seconds}))
        if not final.exists():
            os.replace(partial, final)
        for older in sorted(run.glob("state-*"))[:-1]:
            shutil.rmtree(older)
    accelerator.wait_for_everyone()


class Journal:
    """Metrics as JSON lines; lines of steps that a resumed run does again are dropped first."""

    def __init__(self, path: Path, start: int, active: bool = True) -> None:
        self.path, self.active = path, active
        if active:
            kept = [line for line in _lines(path) if json.loads(line)["step"] <= start]
            path.write_text("".join(line + "\n" for line in kept))

    def write(self, row: dict[str, Any]) -> None:
        """Append one line."""
        if self.active:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return lines[:-1]  # what follows the last line break was cut off by a kill, or is nothing
