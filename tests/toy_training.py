"""A training of a second, for tests that kill it, resume it, or spread it over processes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.configuration import Optimisation, Run
from training.loop import train


class Toy:
    """Learn a fixed map. Dropout draws random numbers in the loss, so the state of the generator matters."""

    unit = "rows"

    def __init__(self, dropout: float = 0.0, pause: float = 0.0, rows: int = 16) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Dropout(dropout), nn.Linear(12, 2))
        self.pause, self.rows = pause, rows

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        draw = np.random.default_rng(step)
        x = torch.from_numpy(draw.normal(size=(self.rows, 6)).astype(np.float32))
        y = torch.stack([x[:, 0] * x[:, 1], x[:, 2].abs()], dim=1)
        # Uneven parts, as batches of whole motions are: the first has a row more than the others.
        own = np.array_split(np.arange(self.rows), parts)[part]
        return {"x": x[own], "y": y[own], "share": len(own) / self.rows, "units": len(own)}

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        time.sleep(self.pause)
        return nn.functional.mse_loss(model(batch["x"]), batch["y"]), {}

    def validate(self, model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        batch = {name: x.to(device) if isinstance(x, Tensor) else x for name, x in self.batch(10**6, 0, 1).items()}
        with torch.no_grad():
            model.eval()
            value = nn.functional.mse_loss(model(batch["x"]), batch["y"]).item()
            model.train()
        return {"held_out": value}


class BrokenToy(Toy):
    """A toy with one number of one batch that is none."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        found = super().batch(step, part, parts)
        if step == self.step and part == parts - 1:
            found["x"][0, 0] = float("nan")
        return found


def optimisation(accumulate: int = 1, lr: float = 1e-2) -> Optimisation:
    return Optimisation(steps=30, lr=lr, warmup=0.1, final_share=0.1, accumulate=accumulate)


def run(folder: Path, dropout: float = 0.0, pause: float = 0.0, accumulate: int = 1, rows: int = 16) -> dict:
    """Train the toy into a folder; the trained weights are among what it returns."""
    torch.set_num_threads(1)
    toy = Toy(dropout, pause, rows)
    settings = Run(folder, seed=3, log_every=1, save_every=4, validate_every=10)
    result = train(toy, optimisation(accumulate), settings)
    return result | {"weights": toy.model.state_dict()}


def run_on_a_full_disk(folder: Path, answer: Path) -> None:
    """Train until the disk takes no state any more, as a process of its own; what is said of it goes to `answer`."""
    import resource

    class Full(Toy):
        def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
            if step == 9:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))  # a state takes more
            return super().batch(step, part, parts)

    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        train(Full(), optimisation(), Run(folder, seed=3, log_every=1, save_every=4, validate_every=10))
    except OSError as error:
        answer.write_text(str(error))


def run_in_group(
    folder: Path, rank: int, world: int, port: int, rows: int, spread: bool = False, pause: float = 0.0
) -> None:
    """The same as one process of a group on this machine; `spread`: the weights over the group's memory (FSDP)."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}  # fmt: skip
    if spread:
        spread_on_cpus()
    run(folder, pause=pause, rows=rows)
    if spread:
        whole = run(folder, rows=rows)["weights"]  # of the saved states, which hold a part each
        if rank == 0:
            torch.save(whole, folder / "whole.pt")
    torch.distributed.destroy_process_group()


def spread_on_cpus() -> None:
    """Use FSDP on CPUs: torch has it there, but Accelerate offers it on GPUs only, so this group claims to be one."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    os.environ |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_TRANSFORMER_CLS_TO_WRAP": "Linear",
                   "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP", "FSDP_RESHARD_AFTER_FORWARD": "true",
                   "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}  # fmt: skip
    PartialState(cpu=True)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
