"""The stages that `benchmarks.faults` disturbs, on data of a minute: each continues what a killed one began.

A stage is run in a process of its own. `digest` is what an undisturbed and a disturbed one must agree in.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scamo.command import EXPECTED, explanation

STEPS = 40
SENTENCES = ("a person walks forward", "someone turns around", "a man waves with both hands")


def write_source(folder: Path, files: int = 24) -> None:
    """BVH files of a body that sways and moves, with a sentence beside each."""
    from scamo.body.mannequin import rest_joints
    from scamo.io.bvh import write_bvh

    rest = np.asarray(rest_joints())[:22]
    for number in range(files):
        draw = np.random.default_rng(number)
        time = np.arange(80 + 4 * number)[:, None] / 20
        joints = np.repeat(rest[None], len(time), axis=0)
        joints[:, :, 2] += (0.5 + draw.random()) * time
        joints[:, :, 0] += 0.1 * np.sin(2 * time) * (rest[:, 1] - rest[:, 1].min())
        write_bvh(joints, folder / f"take-{number:02d}.bvh")
        (folder / f"take-{number:02d}.txt").write_text(SENTENCES[number % 3] + "\n", encoding="utf-8")


def prepare(inputs: Path, out: Path) -> None:
    """BVH files to a dataset."""
    from training.data.readers import bvh

    bvh.main(bvh.Args(inputs / "source", out))


def embed_captions(inputs: Path, out: Path) -> None:
    """Captions to embeddings."""
    from training.data import text_embeddings

    text_embeddings.main(text_embeddings.Args(inputs / "prepare", out, threads=1))


def tokenizer(inputs: Path, out: Path) -> None:
    """A tokenizer's training."""
    from training.configuration import Optimisation
    from training.tasks import tokenizer as task

    optimisation = Optimisation(steps=STEPS, lr=1e-3, schedule="multistep")
    task.main(task.TokenizerTraining(
        inputs / "prepare", _run(out), codebook=16, width=16, batch=4, window=32, optimisation=optimisation
    ))  # fmt: skip


def transformer(inputs: Path, out: Path) -> None:
    """A transformer's training."""
    from training.configuration import Optimisation
    from training.tasks import transformer as task

    task.main(task.TransformerTraining(
        inputs / "prepare", inputs / "texts", inputs / "tokenizer" / "model", _run(out), size="0.3M", targets=100,
        optimisation=Optimisation(steps=STEPS, lr=1e-3),
    ))  # fmt: skip


def evaluator(inputs: Path, out: Path) -> None:
    """An evaluator's training."""
    from training.configuration import Optimisation
    from training.tasks import evaluator as task

    task.main(task.EvaluatorTraining(
        inputs / "prepare", inputs / "texts", _run(out), hidden=16, width=8, batch=8,
        optimisation=Optimisation(steps=STEPS, lr=1e-3),
    ))  # fmt: skip


def sweep(inputs: Path, out: Path) -> None:
    """Two transformers side by side, through Ray."""
    from training import sweep as task

    task.main(task.Args(
        inputs / "prepare", inputs / "texts", (inputs / "tokenizer" / "model",), out, sizes=("0.3M",),
        budgets=(3e9, 6e9), targets=100, steps=(1, 200), workers=2,
    ))  # fmt: skip


STAGES: dict[str, Callable[[Path, Path], None]] = {
    "prepare": prepare, "texts": embed_captions, "tokenizer": tokenizer, "transformer": transformer,
    "evaluator": evaluator, "sweep": sweep,
}  # fmt: skip
"""In the order in which they need each other."""

NEEDS: dict[str, tuple[str, ...]] = {
    "prepare": (), "texts": ("prepare",), "tokenizer": ("prepare",), "evaluator": ("prepare", "texts"),
    "transformer": ("prepare", "texts", "tokenizer"), "sweep": ("prepare", "texts", "tokenizer"),
}  # fmt: skip


def _run(out: Path) -> Any:
    from training.configuration import Run

    return Run(out, threads=1, device="cpu", log_every=1, save_every=5, validate_every=20)


def work(stage: str, inputs: Path, out: Path, said: Path, file_limit: int | None = None, rank: int | None = None,
         port: int = 0) -> None:  # fmt: skip
    """Run a stage in this process. What its command would say of an error goes to the file `said`.

    file_limit: no file may have more bytes, as on a full disk. rank: which of two processes this is.
    """
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    if rank is not None:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                       "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}  # fmt: skip
    try:
        if file_limit is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))
        STAGES[stage](inputs, out)
    except BaseException as error:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        is_expected = isinstance(error, EXPECTED)
        words = explanation(error) if is_expected else "".join(traceback.format_exception(error))
        said.write_text(words, encoding="utf-8")
        raise SystemExit(1) from error


def digest(stage: str, out: Path) -> str:
    """A hash of what a stage has made, without the times that it took."""
    if stage in ("prepare", "texts"):
        parts = [(path.name, _sha256(path)) for path in sorted(out.rglob("*")) if path.is_file()]
    else:
        parts = []
        for model in sorted(out.rglob("model/card.json")):
            card = json.loads(model.read_text(encoding="utf-8"))
            parts.append((str(model.relative_to(out)), json.dumps([card["files"], card["metrics"]])))
            rows = map(json.loads, (model.parents[1] / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
            curve = [(row["step"], row.get("loss"), row.get("validation")) for row in rows]
            parts.append(("curve", json.dumps(curve)))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest() if parts else "nothing"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def clear(out: Path) -> None:
    """Remove a stage's folder and what it has left beside it."""
    for path in out.parent.glob(f"*{out.name}*"):
        shutil.rmtree(path)


def largest_file(out: Path) -> int:
    """Bytes of the largest file that a stage has made."""
    return max(path.stat().st_size for path in out.rglob("*") if path.is_file())
