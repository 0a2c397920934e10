"""Train codebooks x sizes x budgets side by side, through Ray, for training.measure.scaling_fit.

    python -m training.sweep --data data/bandai --texts data/bandai-minilm --tokenizers runs/tokenizer-*/model \
        --sizes 0.3M 1M 4M --budgets 3e12 1e13 3e13 1e14 --workers 4 --out runs/sweep

By default it runs on this machine; ``--address ray://HOST:10001`` or ``auto`` uses a cluster whose machines see the
same folders. A trial whose worker dies or fails is tried again and continues from its last state; a finished one is not
repeated. It needs the extra ``cluster``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from scamo import checkpoint, flops
from scamo.configs import SIZES, codebook_label
from training import run_folder
from training.configuration import Run
from training.data import token_cache
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank
from training.run import settings_of
from training.tasks import transformer
from training.tasks.transformer import TransformerTask, TransformerTraining

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
    """Do every job that is not finished, ``workers`` at a time; returns the names of failed jobs and why they failed.

    ``work(job)`` runs in a process of its own, perhaps on another machine, and must be able to continue what a killed
    one began. ValueError where Ray is not installed.
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
        remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=retries, retry_exceptions=True)(
            _work_without_result
        )
        names = {remote.remote(work, job): name for name, job in todo.items()}
        waiting = list(names)
        with tqdm(total=len(waiting), unit="trial", desc="sweep") as bar:
            while waiting:
                (done,), waiting = ray.wait(waiting, num_returns=1)
                try:
                    ray.get(done)
                except Exception as error:  # the other trials go on, whatever the reason
                    failed[names[done]] = str(error).strip().splitlines()[-1]
                    tqdm.write(f"failed {names[done]}: {failed[names[done]]}")
                bar.update()
    finally:
        ray.shutdown()
    return failed


def _work_without_result(work: Callable[[Any], Any], job: Any) -> None:
    work(job)  # results are files, so nothing is sent back


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
    """Learning rate at width 256; others have it times the root of 256 / width."""
    steps: tuple[int, int] = (50, 200_000)
    """Trainings shorter or longer than this are left out."""
    tied: bool = True
    precision: Literal["no", "bf16", "auto"] = "auto"
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


def trials(args: Args, text_width: int) -> dict[str, TransformerTraining]:
    """The trainings of a sweep by name, of D = C / 6 (N_nv + V d) tokens each.

    ValueError for an unknown size, and where no training has as many steps as ``--steps`` allows.
    """
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
                out[name] = _trial(args, folder, name, size, steps, args.out / f"tokens-{label}.npz")
    if not out:
        raise ValueError(
            f"No training of these budgets has {args.steps[0]} to {args.steps[1]} steps; change --budgets."
        )
    return out


def _trial(args: Args, tokenizer: Path, name: str, size: str, steps: int, tokens: Path) -> TransformerTraining:
    run = Run(args.out / name, args.seed, args.threads, validate_every=steps, save_every=max(50, steps // 10))
    rate = args.lr * math.sqrt(256 / SIZES[size].width)
    return TransformerTraining(
        args.data, args.texts, tokenizer, run, size=size, tokens=tokens, tied=args.tied, targets=args.targets,
        optimisation=replace(transformer.PAPER, steps=steps, lr=rate, precision=args.precision).resolved(),
    )  # fmt: skip


def is_finished(job: TransformerTraining, data: Dataset, texts: TextBank) -> bool:
    """Whether a trial's model is there; ValueError where it was begun with other settings."""
    return run_folder.is_finished(job.run.out, settings_of(TransformerTask(job, data, texts)))


def main(args: Args) -> None:
    """Make the tokens of every codebook once, then train what is not trained yet.

    SystemExit with 1 where a trial failed for good.
    """
    here = replace(args, **{key: getattr(args, key).resolve() for key in ("data", "texts", "out")},
                   tokenizers=tuple(folder.resolve() for folder in args.tokenizers))  # fmt: skip
    texts = TextBank(here.texts)
    finished = partial(is_finished, data=Dataset(here.data), texts=texts)
    jobs = trials(here, texts.width)
    for job in {job.tokens: job for job in jobs.values() if not finished(job)}.values():
        assert job.tokens is not None
        token_cache.main(token_cache.Args(here.data, job.tokenizer, job.tokens))
    failed = run_jobs(jobs, transformer.main, finished, args.workers, args.address, args.threads, args.gpus,
                      args.retries)  # fmt: skip
    print(json.dumps({"finished": len(jobs) - len(failed), "failed": failed}))
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
