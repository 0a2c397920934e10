"""What a run keeps in its folder: the settings that it began with, its newest state, and the finished model.

settings.json      all that decides the curve
state-NNNNNNNN/    weights, optimiser and random generators after that step
rates.json         the learning rates that the run was continued with, and from which steps
metrics.jsonl      see training.journal
model/             the finished network
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scamo.atomic import UnwrittenError, explaining
from scamo.checkpoint import CARD
from training.configuration import LATER_SETTINGS, with_current_names
from training.json_files import read_json, write_json

SETTINGS = "settings.json"
RATES = "rates.json"


def is_finished(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a run's model is there. ValueError where the run was begun with other settings."""
    path = folder / SETTINGS
    if path.exists():
        begun = with_current_names(read_json(path))
        other = [name for name in sorted({*begun, *settings})
                 if begun.get(name, LATER_SETTINGS.get(name)) != settings.get(name)]  # fmt: skip
        if other:
            remedy = " To continue it with another rate, keep its --lr and add --continue-lr." * ("lr" in other)
            remedy += f" To continue it, give --precision {begun.get('precision')}." * ("precision" in other)
            raise ValueError(
                f"{folder} was begun with another {', '.join(other)} (see {path}); give another --out, or delete the "
                f"run.{remedy}"
            )
    return (folder / "model" / CARD).exists()


def begin(folder: Path, settings: Mapping[str, Any], write: bool) -> None:
    """Check the settings of a run against those that it was begun with, and on request write them down."""
    settings = json.loads(json.dumps(settings))
    is_finished(folder, settings)
    if write:
        write_json(folder / SETTINGS, settings, indent=1)


def latest_state(folder: Path) -> tuple[Path, int] | None:
    """The newest complete state of a run and its step. A half-written one has another name and is not found."""
    states = sorted(folder.glob("state-*"), key=lambda path: path.name)
    return (states[-1], int(states[-1].name.split("-")[1])) if states else None


def load_state(accelerator: Any, folder: Path) -> tuple[int, float]:
    """Load the newest state; returns the steps and the seconds it took to get there, both 0 without a state."""
    found = latest_state(folder)
    if found is None:
        return 0, 0.0
    accelerator.load_state(str(found[0]))
    return found[1], read_json(found[0] / "spent.json")["seconds"]


def save_state(accelerator: Any, folder: Path, step: int, elapsed: float) -> None:
    """Save the state after ``step`` steps and ``elapsed`` seconds, and remove older ones. Every process calls it."""
    final, partial = folder / f"state-{step:08d}", folder / "partial-state"
    try:
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        accelerator.wait_for_everyone()
        with explaining(partial):
            accelerator.save_state(str(partial), safe_serialization=False)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            write_json(partial / "spent.json", {"seconds": elapsed})
            for path in partial.rglob("*"):
                if path.is_file():
                    _write_through(path)  # after a power cut a state of this name is whole
            if not final.exists():
                os.replace(partial, final)
            for older in sorted(folder.glob("state-*"))[:-1]:
                shutil.rmtree(older)
        accelerator.wait_for_everyone()
    except UnwrittenError as error:
        shutil.rmtree(partial, ignore_errors=True)  # what is there fills the disk
        raise UnwrittenError(f"{error} {last_state_note(folder)}") from error


def last_state_note(folder: Path) -> str:
    """A sentence about the state that a run can continue from."""
    found = latest_state(folder)
    if found is None:
        return "No state of this run was saved yet."
    return f"Its last good state, of step {found[1]}, is kept; the same command continues from there."


def changed_rates(folder: Path) -> list[tuple[int, float]]:
    """The learning rates that a run was continued with: the first step (0-based) of each, and its peak."""
    path = folder / RATES
    return [(int(step), float(lr)) for step, lr in read_json(path)] if path.exists() else []


def change_rate(folder: Path, start: int, lr: float, write: bool) -> None:
    """Note that the run goes on with another peak learning rate from step ``start`` on, unless it does already.

    ValueError where it has no state to continue from, and for a rate that is none.
    """
    if not 0 < lr < math.inf:
        raise ValueError(f"{lr} is no learning rate; give --continue-lr a number above 0.")
    if not start:
        raise ValueError(f"{folder} has no state to continue from; leave --continue-lr out and give --lr.")
    rates = changed_rates(folder)
    if write and (not rates or rates[-1][1] != lr):
        write_json(folder / RATES, [*(rate for rate in rates if rate[0] < start), (start, lr)])


def _write_through(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
