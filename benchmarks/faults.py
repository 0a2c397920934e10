"""What a fault costs: every stage of training is killed, filled up, cut and poisoned, and must end as if undisturbed.

    python -m benchmarks.faults --kills 50

SIGKILLs at random moments, in turn over preparing, embedding, tokenizer, transformer, evaluator and (where Ray is
installed) sweep; after each the stage is started again, and what it has made at the end is compared, to the bit, with
what an undisturbed one makes. Then a full disk, a truncated file, a batch with NaN, and one of two workers that dies.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import fault_stages as stages
from benchmarks.machine import OUT, markdown_table, recorded


@dataclass(frozen=True)
class Args:
    """Disturb the stages of training on this machine."""

    out: Path = OUT / "faults.json"
    kills: int = 50
    stages: tuple[str, ...] = tuple(stages.STAGES)
    """Which to disturb; those that they need are run too."""
    seed: int = 0
    folder: Path | None = None
    """Where to work (default: a temporary folder)."""


def main(args: Args) -> None:
    """Disturb, print and write. SystemExit with 1 where anything was lost."""
    with recorded(args) as report, tempfile.TemporaryDirectory(dir=args.folder) as name:
        report |= Faults(Path(name), args.seed, args.stages).all(args.kills)
    print(table(report))
    if report["lost"]:
        raise SystemExit(1)


def table(report: dict[str, Any]) -> str:
    """The outcome in a table."""
    rows = [[row["fault"], row["stage"], str(row["times"]), str(row["lost"]), row["said"]] for row in report["faults"]]
    return markdown_table(["fault", "stage", "times", "lost", "said"], rows)


class Faults:
    """A folder with what undisturbed stages make, and the faults that are tried on copies of it."""

    def __init__(self, folder: Path, seed: int, names: Sequence[str] = tuple(stages.STAGES)) -> None:
        if unknown := set(names) - stages.STAGES.keys():
            raise ValueError(f"There is no stage {min(unknown)}; choose of {', '.join(stages.STAGES)}.")
        self._inputs, self._trial = folder / "inputs", folder / "trial"
        self._said = folder / "said.txt"
        self._draw = random.Random(seed)
        self._processes: Any = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["torch", "accelerate", "benchmarks.fault_stages"])
        self._names = [name for name in stages.STAGES if name in names and (name != "sweep" or find_spec("ray"))]
        needed = {need for name in self._names for need in (name, *stages.NEEDS[name])}
        self._needed = [name for name in stages.STAGES if name in needed]
        self._whole: dict[str, str] = {}
        self._seconds: dict[str, float] = {}

    def all(self, kills: int) -> dict[str, Any]:
        """Every fault; "lost" counts those after which the end was another."""
        stages.write_source(self._inputs / "source")
        for name in self._needed:
            said = self._run(name, self._inputs / name)
            assert said == "", said
            self._whole[name] = stages.digest(name, self._inputs / name)
        for name in self._names:  # again, for the first one may have imported and compiled what the others have
            began = time.perf_counter()
            assert self._is_lost(name) == 0, f"{name} ends otherwise when nothing disturbs it"
            self._seconds[name] = time.perf_counter() - began
        faults = [*self._kills(kills), *self._full_disks()]
        if "transformer" in self._names:
            faults.append(self._cut_file())
        if "tokenizer" in self._names:
            faults += [self._poisoned_batch(), self._lost_worker()]
        return {
            "faults": faults, "lost": sum(row["lost"] for row in faults), "seconds": self._seconds,
            "left_out": [name for name in stages.STAGES if name not in self._names],
        }  # fmt: skip

    def _start(self, stage: str, out: Path, **options: Any) -> Any:
        self._said.unlink(missing_ok=True)
        inputs = options.pop("inputs", self._inputs)
        process = self._processes.Process(target=stages.work, args=(stage, inputs, out, self._said), kwargs=options)
        process.start()
        return process

    def _run(self, stage: str, out: Path, **options: Any) -> str:
        """Run a stage to its end; returns what it said of an error, "" where there was none."""
        process = self._start(stage, out, **options)
        process.join()
        said = self._said.read_text(encoding="utf-8") if self._said.exists() else ""
        return said or ("" if process.exitcode == 0 else f"ended with {process.exitcode} and no word")

    def _is_lost(self, stage: str) -> int:
        """1 where the trial, started again, does not end as the undisturbed one."""
        said = self._run(stage, self._trial)
        is_same = stages.digest(stage, self._trial) == self._whole[stage]
        stages.clear(self._trial)
        return int(bool(said) or not is_same)

    def _kills(self, kills: int) -> list[dict[str, Any]]:
        rows = []
        for place, name in enumerate(self._names):
            times = len(range(place, kills, len(self._names)))
            hit = lost = early = 0
            while hit < times and early < 4 * times:
                began, process = time.perf_counter(), self._start(name, self._trial)
                process.join(self._draw.uniform(0.05, 0.95) * self._seconds[name])
                if process.is_alive():
                    os.kill(process.pid, signal.SIGKILL)
                    process.join()
                    hit += 1
                    lost += self._is_lost(name)
                else:  # the machine is quicker now, and the stage was done
                    early += 1
                    self._seconds[name] = time.perf_counter() - began
                    lost += stages.digest(name, self._trial) != self._whole[name]
                    stages.clear(self._trial)
            rows.append({"fault": "SIGKILL", "stage": name, "times": hit, "lost": lost, "said": ""})
        return rows

    def _full_disks(self) -> list[dict[str, Any]]:
        rows = []
        for name in self._names:
            if name == "sweep":  # its trials are trainings, in processes of Ray's
                continue
            said = self._run(name, self._trial, file_limit=stages.largest_file(self._inputs / name) // 2)
            is_told = "\n" not in said and ("could not be written" in said or "the disk is full" in said)
            lost = self._is_lost(name) or int(not is_told)
            rows.append({"fault": "full disk", "stage": name, "times": 1, "lost": lost, "said": self._short(said)})
        return rows

    def _cut_file(self) -> dict[str, Any]:
        broken = self._copy()
        path = broken / "tokenizer" / "model" / "weights.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        said = self._run("transformer", self._trial, inputs=broken)
        shutil.rmtree(broken)
        lost = self._is_lost("transformer") or int("truncated" not in said)
        return {"fault": "truncated file", "stage": "transformer", "times": 1, "lost": lost, "said": self._short(said)}

    def _poisoned_batch(self) -> dict[str, Any]:
        broken = self._copy()
        features = np.load(broken / "prepare" / "features.npy", mmap_mode="r+")
        features[:200, 5] = np.nan
        del features
        said = self._run("tokenizer", self._trial, inputs=broken)
        shutil.rmtree(broken)
        stages.clear(self._trial)
        is_named = "data is at fault" in said or "NaN" in said
        return {"fault": "NaN in the data", "stage": "tokenizer", "times": 1, "lost": int(not is_named),
                "said": self._short(said)}  # fmt: skip

    def _lost_worker(self) -> dict[str, Any]:
        ends = []
        for kill in (False, True):
            for attempt in range(2 if kill else 1):
                port = free_port()
                group = [self._start("tokenizer", self._trial, rank=rank, port=port) for rank in range(2)]
                if kill and attempt == 0:
                    deadline = time.monotonic() + 120
                    while not list(self._trial.glob("state-*")) and time.monotonic() < deadline:
                        time.sleep(0.01)
                    os.kill(group[1].pid, signal.SIGKILL)
                    group[1].join()
                    group[0].join(60)  # it ends by itself when it misses the other one
                    group[0].kill()
                for process in group:
                    process.join()
            ends.append(stages.digest("tokenizer", self._trial))
            stages.clear(self._trial)
        return {"fault": "one of two workers killed", "stage": "tokenizer", "times": 1,
                "lost": int(ends[0] != ends[1] or ends[0] == "nothing"), "said": ""}  # fmt: skip

    def _copy(self) -> Path:
        return Path(shutil.copytree(self._inputs, self._inputs.parent / "broken"))

    def _short(self, said: str) -> str:
        return json.dumps(said.replace(str(self._inputs.parent), "…"), ensure_ascii=False)[1:-1]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
