"""One training loop for every network: Accelerate, resumable to the step, metrics as JSON lines.

What is learned comes as an Objective; the loop knows nothing of motion. A batch is a pure function of the step, so the
data's position needs no saving: a run that was killed at any moment continues with the identical loss curve, and
several processes see the slices of the batch that one would see.

More than one process: ``torchrun --nproc-per-node 8 -m training.tasks.transformer ...`` (DDP), or ``accelerate launch``
with a configuration of your own (FSDP for networks whose optimiser state does not fit one device).
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scamo.checkpoint import CARD

SETTINGS = "settings.json"  # in a run's folder: what it was begun with


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

    model: Any
    """The nn.Module whose parameters are learned."""

    @property
    def unit(self) -> str:
        """What throughput is counted in: "frames" or "tokens"."""

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Part ``part`` of ``parts`` of a step's batch: tensors; "share", its targets / those of all parts; "units"."""

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Mean loss over the part's targets, and what else to log."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Held-out metrics; called on the main process only, or on all of them where the weights are spread (FSDP)."""


@dataclass(frozen=True)
class Saving:
    """When to write what."""

    log_every: int = 20
    save_every: int = 500
    validate_every: int = 1000
    tensorboard: bool = False
    """Whether curves are also written to RUN/tensorboard."""


def process_group() -> Any:
    """Accelerate's PartialState: this process among those that torchrun or accelerate started, on GPUs or without.

    ValueError where they cannot find each other.
    """
    from accelerate import PartialState

    count = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    without_gpu = not (torch.cuda.is_available() or torch.xpu.is_available())
    # Left alone, Accelerate takes processes without a GPU for as many trainings, all of which write to one folder.
    state = PartialState(cpu=count > 1 and without_gpu)
    if state.num_processes != count:
        raise ValueError(f"{count} processes were started and {state.num_processes} found; see `accelerate config`.")
    return state


def is_main_process() -> bool:
    """Whether this process is the one that writes what a run leaves behind."""
    return bool(process_group().is_main_process)


def latest_state(run: Path) -> tuple[Path, int] | None:
    """The newest complete state of a run and its step; a half-written one has another name and is never seen."""
    states = sorted(run.glob("state-*"), key=lambda path: path.name)
    return (states[-1], int(states[-1].name.split("-")[1])) if states else None


NO_MATTER = ("threads", "tokens", "save_every", "validate_every", "tensorboard", "dry_run")
"""Arguments of a step that its curve does not depend on."""


def settings_of(args: Any, optimisation: Optimisation, **inputs: Any) -> dict[str, Any]:
    """All that decides a run's curve: a step's arguments, and fingerprints of what its paths led to."""
    own = {k: v for k, v in asdict(args).items() if not isinstance(v, Path) and k not in NO_MATTER}
    return json.loads(json.dumps(own | asdict(optimisation) | inputs))  # as it will be read again


def is_finished(run: Path, settings: Mapping[str, Any]) -> bool:
    """Whether ``run/model`` is there; ValueError where the run was begun with other settings."""
    path = run / SETTINGS
    if path.exists():
        begun = json.loads(path.read_text())
        other = [name for name in sorted({*begun, *settings}) if begun.get(name) != settings.get(name)]
        if other:
            raise ValueError(
                f"{run} was begun with another {', '.join(other)} (see {path}); give another --out, or delete the run."
            )
    return (run / "model" / CARD).exists()


def train(
    objective: Objective,
    optimisation: Optimisation,
    run: Path,
    seed: int = 0,
    saving: Saving | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict:
    """Train to the last step, continuing from the run's newest state; returns {"seconds", metrics ...}.

    Writes ``run/metrics.jsonl`` and ``run/state-NNNNNNNN/``. ``objective.model`` is the trained network afterwards;
    where its weights were spread over processes (FSDP), whole on the main one only. ValueError where the run was begun
    with other ``settings`` (see ``settings_of``; without them the optimisation and the seed are compared).
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed
    from tqdm import tqdm

    saving = saving or Saving()
    process_group()
    accelerator = Accelerator(mixed_precision=optimisation.precision)
    set_seed(seed)
    adam = torch.optim.AdamW(
        objective.model.parameters(),
        lr=optimisation.lr,
        betas=optimisation.betas,
        weight_decay=optimisation.weight_decay,
        fused=True,  # one pass over the weights instead of ten
    )
    spread = accelerator.distributed_type == "FSDP"
    blueprint = _without_values(objective.model) if spread else None
    model, optimiser = accelerator.prepare(objective.model, adam)
    run.mkdir(parents=True, exist_ok=True)
    with accelerator.main_process_first():  # the others read what it has written
        _check_settings(run, settings or asdict(optimisation) | {"seed": seed}, accelerator.is_main_process)
    start, spent = 0, 0.0
    if found := latest_state(run):
        accelerator.load_state(str(found[0]))
        start = found[1]
        spent = json.loads((found[0] / "spent.json").read_text())["seconds"]
    journal = Journal(run / "metrics.jsonl", start, accelerator.is_main_process, saving.tensorboard)
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
            # DDP averages over processes; shares make that the mean over the whole batch's targets, however they fall.
            share = batch["share"] * accelerator.num_processes
            last_part = part == optimisation.accumulate - 1
            # Without its talk FSDP would keep whole gradients on every device, which is what it is there to avoid.
            with contextlib.nullcontext() if last_part or spread else accelerator.no_sync(model):
                with accelerator.autocast():
                    loss, extra = objective.loss(model, batch)
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
            if accelerator.is_main_process or spread:
                held_out = objective.validate(model if spread else accelerator.unwrap_model(model))
                last = last | held_out
                if held_out:
                    journal.write({"step": done, "validation": held_out})
            accelerator.wait_for_everyone()
            clock, units = time.perf_counter(), 0
        if done % saving.save_every == 0 or done == optimisation.steps:
            _save(accelerator, run, done, time.perf_counter() - begun)
    if blueprint is not None:
        whole = accelerator.get_state_dict(model)  # a collective: every process takes part
        if accelerator.is_main_process:
            blueprint.load_state_dict(whole, assign=True)
        objective.model = blueprint
    journal.close()
    return last | {"seconds": round(time.perf_counter() - begun, 1)}


def _without_values(model: nn.Module) -> nn.Module:
    """A copy with parameters on the meta device, made without a moment of twice the memory."""
    empty = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in model.parameters()}
    return copy.deepcopy(model, empty)


def _check_settings(run: Path, settings: Mapping[str, Any], write: bool) -> None:
    settings, path = json.loads(json.dumps(settings)), run / SETTINGS
    is_finished(run, settings)
    if write:
        path.with_suffix(".partial").write_text(json.dumps(settings, indent=1))
        os.replace(path.with_suffix(".partial"), path)


def _save(accelerator: Any, run: Path, step: int, seconds: float) -> None:
    final, partial = run / f"state-{step:08d}", run / "partial-state"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial), safe_serialization=False)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (partial / "spent.json").write_text(json.dumps({"seconds": seconds}))
        for path in partial.rglob("*"):
            if path.is_file():
                _to_disk(path)  # a name must not outlive what it names when the power goes
        if not final.exists():
            os.replace(partial, final)
        for older in sorted(run.glob("state-*"))[:-1]:
            shutil.rmtree(older)
    accelerator.wait_for_everyone()


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


class Journal:
    """Metrics as JSON lines, and on request for TensorBoard; steps that a resumed run does again are dropped first."""

    def __init__(self, path: Path, start: int, active: bool = True, tensorboard: bool = False) -> None:
        self.path, self.active = path, active
        self._board: Any = None
        if active:
            kept = [line for line in _lines(path) if json.loads(line)["step"] <= start]
            partial = path.with_suffix(".partial")
            partial.write_text("".join(line + "\n" for line in kept))
            os.replace(partial, path)
        if active and tensorboard:
            self._board = _board(path.parent / "tensorboard", start)

    def write(self, row: dict[str, Any]) -> None:
        """Append one line: {"step", numbers} or {"step", "validation": {numbers}}."""
        if not self.active:
            return
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if self._board is not None:
            held_out = "validation" in row
            for name, value in (row["validation"] if held_out else row).items():
                self._board.add_scalar(f"{'validation' if held_out else 'training'}/{name}", value, row["step"])

    def close(self) -> None:
        """Write out what TensorBoard still holds back."""
        if self._board is not None:
            self._board.close()


def _board(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError('TensorBoard is not installed; pip install "scamo[train]", or leave --tensorboard.') from error
    return SummaryWriter(str(folder), purge_step=start + 1)


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return lines[:-1]  # what follows the last line break was cut off by a kill, or is nothing
