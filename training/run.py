"""The one way through every training: open, check, train, measure on the test split, write the model folder.

A task holds what differs: its inputs, its objective, and its card. Each task is a module with a command:
``python -m training.tasks.tokenizer --help``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from training.configuration import Optimisation, Run, curve_settings
from training.loop import Objective, train
from training.processes import is_main_process, process_group
from training.provenance import training_facts
from training.run_folder import changed_rates, is_finished


class TaskObjective(Objective, Protocol):
    """An objective whose network is measured when it is trained."""

    def measure(self, model: Any, split: str) -> dict[str, float]:
        """Held-out metrics on a split."""


class TaskConfig(Protocol):
    """The parts that every configuration has."""

    @property
    def run(self) -> Run:
        """Where to write, and how to carry it out."""

    @property
    def optimisation(self) -> Optimisation:
        """How long and how fast to learn."""


class Task(Protocol):
    """A training whose configuration is checked and whose inputs are open."""

    @property
    def config(self) -> TaskConfig:
        """The configuration that it was made with."""

    @property
    def about(self) -> Mapping[str, Any]:
        """The dataset's about.json: "source", "licence", "attribution" and more."""

    def inputs(self) -> dict[str, Any]:
        """Fingerprints of what the configuration's paths lead to."""

    def cost(self) -> str:
        """What the training will cost, for ``--dry-run``."""

    def objective(self) -> TaskObjective:
        """The new network and its loss. The network's weights are drawn from torch's generator."""

    def amounts(self) -> dict[str, Any]:
        """How much data the training sees, for the card."""

    def save(self, model: Any, folder: Path, card: dict[str, Any]) -> None:
        """Write the trained network's folder; ``card`` has what all cards tell."""


def settings_of(task: Task) -> dict[str, Any]:
    """All that decides the curve of a task."""
    return curve_settings(task.config, task.inputs())


def run_task(task: Task) -> None:
    """Train, measure on the test split, and write the model folder. A finished run of the same settings is kept.

    ValueError where the run was begun with other settings.
    """
    run = task.config.run
    if run.threads:
        torch.set_num_threads(run.threads)
    if run.dry_run:
        print(task.cost())
        return
    process_group(run.device)
    settings, folder = settings_of(task), run.out / "model"
    if is_finished(run.out, settings):
        print(json.dumps({"model": str(folder), "kept": True}))
        return
    torch.manual_seed(run.seed)
    objective = task.objective()
    result = train(objective, task.config.optimisation, run, settings)
    if not is_main_process():
        return
    model: nn.Module = objective.model.cpu().eval()
    metrics = objective.measure(model, "test")
    facts = training_facts(task.config, result["elapsed"], **task.amounts())
    if rates := changed_rates(run.out):
        facts["continued_rates"] = rates
    card = {
        "metrics": metrics,
        "data": task.about.get("source"),
        "licence": task.about.get("licence"),
        "attribution": task.about.get("attribution"),
        "training": facts,
    }
    task.save(model, folder, card)
    print(json.dumps({"model": str(folder), **metrics}))
