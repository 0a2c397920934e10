"""One training loop for every network, on Accelerate: resumable to the step, with metrics as JSON lines.

What is learned comes as an ``Objective``; the loop knows nothing of motion. A batch is a pure function of the step, so
the data's position is not saved: a run that was killed at any moment continues with the identical loss curve, and
several processes together see the batch that one process would see.

More than one process: ``torchrun --nproc-per-node 8 -m training.tasks.transformer ...`` (DDP), or ``accelerate launch``
with a configuration of your own (FSDP for networks whose optimiser state does not fit one device).
"""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training import run_folder
from training.configuration import Optimisation, Run, plain_settings
from training.finiteness import FinitenessGuard
from training.journal import Journal
from training.processes import process_group


class Objective(Protocol):
    """What is learned."""

    model: Any
    """The nn.Module whose parameters are learned."""

    @property
    def unit(self) -> str:
        """What throughput is counted in: "frames" or "tokens"."""

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Part ``part`` of ``parts`` of a step's batch: tensors, and two numbers.

        "share": the targets of this part / those of the whole batch; "units": what it counts in throughput.
        """

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Mean loss over the part's targets, and what else to log."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Held-out metrics. Only the main process calls it, or all where the weights are spread (FSDP)."""


def train(
    objective: Objective, optimisation: Optimisation, run: Run, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Train to the last step, continuing from the run's newest state; returns {"elapsed": seconds, metrics ...}.

    Writes ``metrics.jsonl`` and ``state-NNNNNNNN/`` in the run's folder. ``objective.model`` is the trained network
    afterwards; where its weights were spread over processes (FSDP), it is whole on the main one only.
    settings: what decides the curve (``configuration.curve_settings``); by default optimisation and seed.
    ValueError where the run was begun with other settings, FloatingPointError where loss, gradients or weights are not
    finite any more; nothing of that is saved.
    """
    from tqdm import tqdm

    loop = _Loop(objective, optimisation, run)
    start = loop.resume(settings or plain_settings(optimisation, run.seed))
    bar = tqdm(range(start, optimisation.steps), initial=start, total=optimisation.steps, mininterval=5,
               disable=not loop.accelerator.is_main_process, desc=run.out.name, unit="step")  # fmt: skip
    for step in bar:
        loss, extra = loop.optimise(step)
        done = step + 1
        is_last = done == optimisation.steps
        saves = done % run.save_every == 0 or is_last
        if saves or done % run.log_every == 0 or done % run.validate_every == 0:
            loop.check(done, with_state=saves)
        if done % run.log_every == 0 or is_last:
            bar.set_postfix_str(loop.log(done, loss, extra))
        if done % run.validate_every == 0 or is_last:
            loop.validate(done)
        if saves:
            run_folder.save_state(loop.accelerator, run.out, done, loop.elapsed)
    return loop.finish()


class _Loop:
    """A training in progress: the prepared network, its optimiser, and what was measured last."""

    def __init__(self, objective: Objective, optimisation: Optimisation, run: Run) -> None:
        from accelerate import Accelerator
        from accelerate.utils import set_seed

        self.objective, self.optimisation, self.run = objective, optimisation, run
        process_group(run.device)
        precision = optimisation.resolved().precision
        self.mixes = precision == "bf16"  # by torch's own autocast: Accelerate has one type for the whole process
        self.accelerator = Accelerator(mixed_precision=precision if "ACCELERATE_USE_FSDP" in os.environ else "no")
        set_seed(run.seed)
        adam = torch.optim.AdamW(
            objective.model.parameters(),
            lr=optimisation.lr,
            betas=optimisation.betas,
            weight_decay=optimisation.weight_decay,
            fused=True,  # one pass over the weights instead of ten
        )
        self.is_spread = self.accelerator.distributed_type == "FSDP"
        self.blueprint = _without_values(objective.model) if self.is_spread else None
        self.model, self.optimiser = self.accelerator.prepare(objective.model, adam)
        self.guard = FinitenessGuard(self.accelerator)
        self.last: dict[str, Any] = {}

    def resume(self, settings: Mapping[str, Any]) -> int:
        """Check the settings, load the newest state, and return the steps that are done."""
        folder, is_main = self.run.out, self.accelerator.is_main_process
        folder.mkdir(parents=True, exist_ok=True)
        with self.accelerator.main_process_first():  # the others read what it has written
            run_folder.begin(folder, settings, write=is_main)
        start, elapsed = run_folder.load_state(self.accelerator, folder)
        self.journal = Journal(folder / "metrics.jsonl", start, is_main, self.run.tensorboard)
        if self.run.continue_lr is not None:
            with self.accelerator.main_process_first():
                run_folder.change_rate(folder, start, self.run.continue_lr, write=is_main)
        self.rates = run_folder.changed_rates(folder)
        self.units, self.clock = 0, time.perf_counter()
        self.begun = self.clock - elapsed
        return start

    @property
    def elapsed(self) -> float:
        """Seconds of training, those of earlier runs included."""
        return time.perf_counter() - self.begun

    def rate(self, step: int) -> float:
        """Learning rate of a step (0-based), by the peak that the run has there."""
        peaks = [lr for first, lr in self.rates if first <= step]
        return replace(self.optimisation, lr=peaks[-1]).rate(step) if peaks else self.optimisation.rate(step)

    def optimise(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """One optimiser step; returns this process's part of the loss, and what else to log."""
        accelerator, accumulate = self.accelerator, self.optimisation.accumulate
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)
        total = torch.zeros((), device=accelerator.device)
        extra: dict[str, float] = {}
        for part in range(accumulate):
            own = accelerator.process_index * accumulate + part
            batch = self.objective.batch(step, own, accelerator.num_processes * accumulate)
            self.units += batch["units"] * accelerator.num_processes
            batch = {k: v.to(accelerator.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
            # DDP averages over processes. Shares make that the mean over all targets of the batch.
            share = batch["share"] * accelerator.num_processes
            # FSDP exchanges gradients after every part: without that, each device keeps all of them.
            exchanges = part == accumulate - 1 or self.is_spread
            with contextlib.nullcontext() if exchanges else accelerator.no_sync(self.model):
                with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=self.mixes):
                    loss, extra = self.objective.loss(self.model, batch)
                accelerator.backward(loss * share)
            total = total + loss.detach() * share
        self.gradient_norm = accelerator.clip_grad_norm_(self.model.parameters(), self.optimisation.clip)
        self.guard.watch(step, total, self.gradient_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return total, extra

    def check(self, done: int, with_state: bool) -> None:
        """Raise FloatingPointError where something is not finite since the last check. All processes raise it."""
        state = (self.model, self.optimiser) if with_state else None
        fault = self.guard.find(state)
        if fault is not None:
            accumulate = self.optimisation.accumulate
            said = self.guard.explain(fault, done, self.objective.batch, accumulate, self.rate)
            raise FloatingPointError(f"{self.run.out.name}: {said} {run_folder.last_state_note(self.run.out)}")

    def log(self, done: int, loss: Tensor, extra: Mapping[str, float]) -> str:
        """Write a row of metrics; returns it in short."""
        value = self.accelerator.reduce(loss, "mean").item()
        now, unit = time.perf_counter(), self.objective.unit
        speed, self.units, self.clock = self.units / (now - self.clock), 0, now
        self.last = {"step": done, "loss": value, "lr": self.rate(done - 1),
                     "grad_norm": float(self.gradient_norm), f"{unit}_per_s": round(speed), **extra}  # fmt: skip
        self.journal.write(self.last)
        return f"loss {value:.4f}, {speed:,.0f} {unit}/s"

    def validate(self, done: int) -> None:
        """Write a row of held-out metrics. The time that it takes does not count as training speed."""
        accelerator = self.accelerator
        if accelerator.is_main_process or self.is_spread:
            held_out = self.objective.validate(self.model if self.is_spread else accelerator.unwrap_model(self.model))
            self.last = self.last | held_out
            if held_out:
                self.journal.write({"step": done, "validation": held_out})
        accelerator.wait_for_everyone()
        self.units, self.clock = 0, time.perf_counter()

    def finish(self) -> dict[str, Any]:
        """Gather weights that are spread over processes, and return what was measured last."""
        if self.blueprint is not None:
            whole = self.accelerator.get_state_dict(self.model)  # every process takes part
            if self.accelerator.is_main_process:
                self.blueprint.load_state_dict(whole, assign=True)
            self.objective.model = self.blueprint
        self.journal.close()
        return self.last | {"elapsed": round(self.elapsed, 1)}


def _without_values(model: nn.Module) -> nn.Module:
    """A copy with parameters on the meta device. Making it never takes twice the memory."""
    empty = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in model.parameters()}
    return copy.deepcopy(model, empty)
