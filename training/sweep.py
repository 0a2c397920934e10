"""Many independent trainings side by side, through Ray: codebooks x sizes x budgets, for training.measure.scaling_fit.

    python -m training.sweep --data data/bandai --texts data/bandai-minilm --tokenizers runs/tokenizer-*/model \
        --sizes 0.3M 1M 4M --budgets 3e12 1e13 3e13 1e14 --workers 4 --out runs/sweep

Locally by default; ``--address ray://HOST:10001`` or ``auto`` uses a cluster whose machines see the same folders. A
trial whose worker dies or fails is tried again and goes on from its last state; a finished one is never repeated.
Needs the extra ``cluster``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from scamo import checkpoint, flops
from scamo.tokenizer import codebook_label
from scamo.transformer import SIZES
from training import loop
from training.data import token_cache as tokens_step
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank
from training.tasks import transformer

Job = TypeVar("Job")
ROOT = Path(__file__).parents[1]


def run_jobs(
    jobs: Mapping[str, Job],
    work: Callable[[Job], Any],
    finished: Callable[[Job], bool],
    workers: int = 2,
    address: str | None = None,
    cpus: float = 1,
    gpus: float = 0,
    retries: int = 3,
) -> dict[str, str]:
    """Do every job that is not finished, ``workers`` at a time; returns what failed for good, by name, and why.

    ``work(job)`` runs in a process of its own, perhaps on another machine, and must be able to go on where a killed
    one stopped. ValueError where Ray is not installed.
    """
    todo = {name: job for name, job in jobs.items() if not finished(job)}
    print(json.dumps({"jobs": len(jobs), "finished before": len(jobs) - len(todo)}), flush=True)
    if not todo:
        return {}
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
    except ImportError as error:
        raise ValueError('A sweep runs through Ray, which is not installed; pip install "scamo[cluster]".') from error
    from tqdm import tqdm

    threads = str(max(1, int(cpus)))
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads, "RAY_USAGE_STATS_ENABLED": "0"}
    local: dict[str, Any] = (
        {} if address else {"num_cpus": max(1, math.ceil(workers * cpus)), "include_dashboard": False}
    )
    ray.init(address=address, log_to_driver=False, runtime_env={"env_vars": environment}, **local)
    failed: dict[str, str] = {}
    try:
        remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=retries, retry_exceptions=True)(_quietly)
        names = {remote.remote(work, job): name for name, job in todo.items()}
        waiting = list(names)
        with tqdm(total=len(waiting), unit="trial", desc="sweep") as bar:
            while waiting:
                (done,), waiting = ray.wait(waiting, num_returns=1)
                try:
                    ray.get(done)
                except Exception as error:  # whatever a trial fails with, the others go on
                    failed[names[done]] = str(error).strip().splitlines()[-1]
                    tqdm.write(f"failed {names[done]}: {failed[names[done]]}")
                bar.update()
    finally:
        ray.shutdown()
    return failed


def _quietly(work: Callable[[Any], Any], job: Any) -> None:
    work(job)  # what it returns stays where it was made: results are files


@dataclass(frozen=True)
class Args:
    """Train codebooks x sizes x budgets."""

    data: Path
    """A dataset folder."""
    texts: Path
    """Embeddings of its captions."""
    tokenizers: tuple[Path, ...]
    """Folders of trained tokenizers, one a codebook."""
    out: Path
    """Runs are OUT/CODEBOOK-SIZE-BUDGET."""
    sizes: tuple[str, ...] = ("0.3M", "1M", "4M")
    budgets: tuple[float, ...] = (3e12, 1e13, 3e13, 1e14)
    """Compute of a training in FLOPs, 6 (N_nv + V d) D."""
    targets: int = 1500
    """Motion tokens a step."""
    lr: float = 1e-3
    """Learning rate at width 256; others get it times the root of 256 / width."""
    steps: tuple[int, int] = (50, 200_000)
    """Trainings shorter or longer than this are left out: they say nothing, or take for ever."""
    tied: bool = True
    precision: str = "no"
    seed: int = 0
    workers: int = 2
    """Trainings at a time, where no address is given."""
    address: str | None = None
    """A Ray cluster's; None starts one here."""
    threads: int = 1
    """CPU threads of a training."""
    gpus: float = 0
    """GPUs of a training."""
    retries: int = 3


def trials(args: Args, text_width: int) -> dict[str, transformer.Args]:
    """The trainings of a sweep by name: D = C / 6 (N_nv + V d) tokens each."""
    out = {}
    for folder in args.tokenizers:
        card = checkpoint.read_checked(folder, "tokenizer")
        codes, label = math.prod(card["config"]["levels"]), codebook_label(card["config"]["levels"])
        for size in args.sizes:
            if size not in SIZES:
                raise ValueError(f"No size {size!r}; choose of {', '.join(SIZES)}.")
            shape = SIZES[size]
            parameters = flops.non_vocabulary_parameters(shape.layers, shape.width, text_width)
            parameters += flops.paper_vocabulary_parameters(codes, shape.width)
            for budget in args.budgets:
                steps = round(budget / (6 * parameters * args.targets))
                name = f"{label}-{size}-{budget:.3g}"
                if not args.steps[0] <= steps <= args.steps[1]:
                    print(json.dumps({"left out": name, "steps": steps}), flush=True)
                    continue
                out[name] = transformer.Args(
                    data=args.data, texts=args.texts, tokenizer=folder, out=args.out / name, size=size, tied=args.tied,
                    tokens=args.out / f"tokens-{label}.npz", steps=steps, targets=args.targets, threads=args.threads,
                    lr=args.lr * math.sqrt(256 / shape.width), precision=args.precision, seed=args.seed,
                    validate_every=steps, save_every=max(50, steps // 10),
                )  # fmt: skip
    if not out:
        raise ValueError(
            f"No training of these budgets has {args.steps[0]} to {args.steps[1]} steps; change --budgets."
        )
    return out


def is_finished(job: transformer.Args, data: Dataset, texts: TextBank) -> bool:
    """Whether a trial's model is there; ValueError where it was begun with other settings."""
    return loop.is_finished(job.out, transformer.settings(job, data, texts))


def main(args: Args) -> None:
    """Make the tokens of every codebook once, then train what is not trained yet. Fails where a trial did for good."""
    here = replace(args, **{key: getattr(args, key).resolve() for key in ("data", "texts", "out")},
                   tokenizers=tuple(folder.resolve() for folder in args.tokenizers))  # fmt: skip
    texts = TextBank(here.texts)
    finished = partial(is_finished, data=Dataset(here.data), texts=texts)
    jobs = trials(here, texts.width)
    for job in {job.tokens: job for job in jobs.values() if not finished(job)}.values():
        assert job.tokens is not None
        tokens_step.main(tokens_step.Args(here.data, job.tokenizer, job.tokens))
    failed = run_jobs(jobs, transformer.main, finished, args.workers, args.address, args.threads, args.gpus,
                      args.retries)  # fmt: skip
    print(json.dumps({"finished": len(jobs) - len(failed), "failed": failed}))
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
