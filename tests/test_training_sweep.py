"""A sweep over a real local Ray: a killed worker's trial is tried again, a finished one never."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")

from scamo import flops
from scamo.configs import LEVELS, TokenizerConfig
from scamo.tokenizer import MotionTokenizer
from tests.corpus import WIDTH, write_corpus, write_texts
from tests.toy_sweep import Job, finished, work
from training import sweep
from training.data.dataset import Dataset
from training.measure import scaling_fit
from training.sweep import Args, run_jobs, trials


def tries(folder: Path) -> dict[str, int]:
    return {path.stem: len(path.read_text().splitlines()) for path in sorted(folder.glob("*.tries"))}


@pytest.mark.cluster
def test_two_workers_one_of_them_killed(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    plan = {"a": "", "b": "die", "c": "fail", "d": "", "e": "always"}
    jobs = {name: Job(tmp_path, name, first) for name, first in plan.items()}
    (tmp_path / "d.done").write_text("done before")
    failed = run_jobs(jobs, work, finished, workers=2, retries=2)
    assert list(failed) == ["e"] and "does not work" in failed["e"]
    assert tries(tmp_path) == {"a": 1, "b": 2, "c": 2, "e": 3}
    assert all(finished(jobs[name]) for name in "abcd")
    del jobs["e"]
    assert run_jobs(jobs, work, finished, workers=2) == {}  # nothing is left, so Ray is not even started
    assert tries(tmp_path) == {"a": 1, "b": 2, "c": 2, "e": 3}


def test_trials_spend_their_budget(tmp_path: Path, capsys) -> None:
    for codebook in (64, 256):
        config = TokenizerConfig(LEVELS[codebook], width=8, code_width=8, depth=1)
        MotionTokenizer(config).save_pretrained(tmp_path / f"tokenizer-{codebook}")
    folders = (tmp_path / "tokenizer-64", tmp_path / "tokenizer-256")
    args = Args(tmp_path, tmp_path, folders, tmp_path / "out", ("0.3M", "1M"), (1e11, 1e12, 1e16), targets=500)
    found = trials(args, text_width=384)
    # At 1M a budget of 1e11 has too few steps, and 1e16 has too many.
    assert {name.rsplit("-", 1)[1] for name in found} == {"1e+11", "1e+12"}
    for name, job in found.items():
        budget = float(name.split("-")[-1])
        shape, codes = (4, 64 if job.size == "0.3M" else 128), math.prod(LEVELS[int(name.split("-")[0])])
        parameters = flops.non_vocabulary_parameters(*shape, 384) + codes * shape[1]
        assert 6 * parameters * job.optimisation.steps * job.targets == pytest.approx(budget, rel=0.05)
        assert job.tokens == tmp_path / "out" / f"tokens-{name.split('-')[0]}.npz"
    assert found["64-0.3M-1e+12"].optimisation.lr == pytest.approx(2e-3)
    with pytest.raises(ValueError, match="No size '2M'"):
        trials(Args(tmp_path, tmp_path, folders, tmp_path, ("2M",)), 384)
    with pytest.raises(ValueError, match="change --budgets"):
        trials(Args(tmp_path, tmp_path, folders, tmp_path, ("1M",), (1e20,)), 384)
    assert "left out" in capsys.readouterr().out


def test_a_sweep_feeds_the_law(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Dataset(write_corpus(tmp_path / "data"))
    write_texts(tmp_path / "texts")
    config = TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1)
    codec = MotionTokenizer(config, data.statistics.mean, data.statistics.std).save_pretrained(tmp_path / "codec")
    trained: list[str] = []

    def here(jobs: dict, do: Callable[[Any], Any], done: Callable[[Any], bool], *_: object) -> dict[str, str]:
        """In place of Ray: one after the other, in this process."""
        for name, job in jobs.items():
            if not done(job):
                trained.append(name)
                do(job)
        return {}

    monkeypatch.setattr(sweep, "run_jobs", here)
    args = Args(data.folder, tmp_path / "texts", (codec,), tmp_path / "out", ("0.3M",), (6e8, 1.2e9), targets=60,
                steps=(3, 40))  # fmt: skip
    sweep.main(args)
    sweep.main(args)
    with pytest.raises(ValueError, match="begun with another lr"):
        sweep.main(replace(args, lr=2e-3))
    assert trained == ["16-0.3M-6e+08", "16-0.3M-1.2e+09"]  # each once
    runs = scaling_fit.main(scaling_fit.Args((tmp_path / "out",), tmp_path / "results"))["runs"]
    assert [run["flops"] for run in runs] == pytest.approx([1.2e9, 6e8], rel=0.1)
    assert runs[0]["non_vocabulary"] == flops.non_vocabulary_parameters(4, 64, WIDTH)
    assert runs[0]["vocabulary"] == 15 * 64
