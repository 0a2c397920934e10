"""The loop: killed and resumed, split over parts and over processes, the curve is the one of an undisturbed run."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("accelerate")

from tests import toy_training
from training.configuration import Optimisation, Run
from training.journal import Journal
from training.loop import _without_values, train
from training.run_folder import changed_rates, latest_state


def losses(folder: Path) -> dict[int, float]:
    """Training loss by step; every step exactly once."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    return {row["step"]: row["loss"] for row in rows}


def wait_for_lines(path: Path, count: int, process: multiprocessing.context.ForkServerProcess) -> None:
    """Until a training has got so far; fails where it ends before, or takes two minutes."""
    deadline = time.monotonic() + 120
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline and process.is_alive()
        time.sleep(0.01)


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "accelerate", "tests.toy_training"])
    return context


def test_killed_and_resumed_is_the_uninterrupted_curve(tmp_path: Path, processes) -> None:
    toy_training.run(tmp_path / "whole", dropout=0.3)
    whole = losses(tmp_path / "whole")
    assert len(whole) == 30
    broken = tmp_path / "broken"
    child = processes.Process(target=toy_training.run, args=(broken, 0.3, 0.03))
    child.start()
    wait_for_lines(broken / "metrics.jsonl", 11, child)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    found = latest_state(broken)
    assert found is not None and 4 <= found[1] < 30
    with (broken / "metrics.jsonl").open("a") as file:
        file.write('{"step": 29, "loss": 1')  # a line that the kill cut
    # What a kill in the middle of a save leaves: a state under another name, without its files.
    (broken / "partial-state").mkdir(exist_ok=True)
    (broken / "partial-state" / "pytorch_model.bin").write_bytes(b"half")
    result = toy_training.run(broken, dropout=0.3)
    assert losses(broken) == whole
    assert result["step"] == 30
    assert [path.name for path in broken.glob("*state*")] == ["state-00000030"]
    again = toy_training.run(broken, dropout=0.3)  # a finished run is not trained again
    assert losses(broken) == whole and "loss" not in again


def test_other_settings_are_refused(tmp_path: Path) -> None:
    toy_training.run(tmp_path)
    with pytest.raises(ValueError, match="begun with another accumulate"):
        toy_training.run(tmp_path, accumulate=2)


def test_validation_rows_hold_what_was_held_out(tmp_path: Path) -> None:
    toy_training.run(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    held_out = [row for row in rows if "validation" in row]
    assert [row["step"] for row in held_out] == [10, 20, 30]
    assert all(row["validation"].keys() == {"held_out"} for row in held_out)


def test_accumulation_is_one_batch(tmp_path: Path) -> None:
    toy_training.run(tmp_path / "one", rows=17)
    toy_training.run(tmp_path / "three", accumulate=3, rows=17)
    assert losses(tmp_path / "three") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)


def start_group(
    processes: multiprocessing.context.ForkServerContext, folder: Path, spread: bool, pause: float = 0.0
) -> list[multiprocessing.context.ForkServerProcess]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = [
        processes.Process(target=toy_training.run_in_group, args=(folder, rank, 2, port, 17, spread, pause))
        for rank in range(2)
    ]
    for process in group:
        process.start()
    return group


def run_in_group(processes: multiprocessing.context.ForkServerContext, folder: Path, spread: bool) -> None:
    for process in start_group(processes, folder, spread):
        process.join(120)
        assert process.exitcode == 0


def test_two_processes_are_one(tmp_path: Path, processes) -> None:
    whole = toy_training.run(tmp_path / "one", rows=17)["weights"]
    run_in_group(processes, tmp_path / "two", spread=False)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert latest_state(tmp_path / "two") == (tmp_path / "two" / "state-00000030", 30)
    # One of two is killed in the middle, the other ends with it; both go on to the same curve, to the bit.
    broken = tmp_path / "broken"
    group = start_group(processes, broken, spread=False, pause=0.03)
    wait_for_lines(broken / "metrics.jsonl", 11, group[1])
    for process in reversed(group):
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert 4 <= latest_state(broken)[1] < 30
    run_in_group(processes, broken, spread=False)
    assert losses(broken) == losses(tmp_path / "two")
    run_in_group(processes, tmp_path / "spread", spread=True)
    assert losses(tmp_path / "spread") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    gathered = torch.load(tmp_path / "spread" / "whole.pt")
    assert all(type(value) is torch.Tensor for value in gathered.values())
    torch.testing.assert_close(gathered, whole, atol=1e-4, rtol=0)
    parts = list((tmp_path / "spread").glob("state-00000030/pytorch_model_fsdp_0/*.distcp"))
    assert len(parts) == 2  # each process saved its own


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_batch_that_is_not_finite_is_named_and_not_saved(tmp_path: Path, accumulate: int) -> None:
    run = Run(tmp_path, log_every=7, save_every=5, validate_every=100)
    place = f"part {accumulate} of {accumulate} in x"
    said = rf"not finite at step 14\. The data is at fault: .*{place}.*of step 10, is kept"
    for _ in range(2):  # again from the last good state
        with pytest.raises(FloatingPointError, match=said):
            train(toy_training.BrokenToy(13), toy_training.optimisation(accumulate), run)
    assert [path.name for path in tmp_path.glob("*state*")] == ["state-00000010"]
    whole = toy_training.Toy()
    train(whole, toy_training.optimisation(accumulate), run)  # the data mended, the same run goes on
    assert latest_state(tmp_path)[1] == 30 and all(
        value.isfinite().all() for value in whole.model.state_dict().values()
    )


def test_a_run_that_diverged_goes_on_with_another_rate_on_request(tmp_path: Path) -> None:
    class Hot(toy_training.Toy):
        """Its loss is beyond all numbers once the rate was high for long."""

        def loss(self, model: nn.Module, batch: dict) -> tuple[torch.Tensor, dict[str, float]]:
            loss, extra = super().loss(model, batch)
            return loss * (float("inf") if batch["units"] and self.hot else 1), extra

        def batch(self, step: int, part: int, parts: int) -> dict:
            self.hot = step >= 12 and rates[-1] > 5e-3
            return super().batch(step, part, parts)

    rates, folder = [1e-2], tmp_path / "run"
    run = Run(folder, log_every=1, save_every=4, validate_every=100)
    with pytest.raises(ValueError, match="has no state to continue from"):
        train(Hot(), toy_training.optimisation(), replace(run, continue_lr=1e-3))
    with pytest.raises(FloatingPointError, match=r"step 13\. The batch .* optimiser is at fault.*0\.00.*--continue-lr"):
        train(Hot(), toy_training.optimisation(), run)
    with pytest.raises(ValueError, match=r"begun with another lr .*keep its --lr and add --continue-lr"):
        train(Hot(), toy_training.optimisation(lr=2e-3), run)
    with pytest.raises(ValueError, match="no learning rate"):
        train(Hot(), toy_training.optimisation(), replace(run, continue_lr=-1.0))
    rates.append(2e-3)
    train(Hot(), toy_training.optimisation(), replace(run, continue_lr=2e-3))
    assert changed_rates(folder) == [(12, 2e-3)]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lrs = {row["step"]: row["lr"] for row in rows if "lr" in row}
    assert lrs[12] == pytest.approx(toy_training.optimisation().rate(11))
    assert lrs[13] == pytest.approx(toy_training.optimisation(lr=2e-3).rate(12))
    train(Hot(), toy_training.optimisation(), run)  # the choice is kept without being asked for again
    assert changed_rates(folder) == [(12, 2e-3)] and latest_state(folder)[1] == 30


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    class Broken(toy_training.Toy):
        def batch(self, step: int, part: int, parts: int) -> dict:
            if step == 11:
                self.model[3].bias.data[0] = float("inf")
                self.model[3].bias.requires_grad_(False)
            return super().batch(step, part, parts)

        def loss(self, model: nn.Module, batch: dict) -> tuple[torch.Tensor, dict[str, float]]:
            return (model[0](batch["x"]) ** 2).mean(), {}

        def validate(self, model: nn.Module) -> dict[str, float]:
            return {}

    with pytest.raises(FloatingPointError, match=r"optimiser's state are not finite after step 12.*of step 8, is kept"):
        train(Broken(), toy_training.optimisation(), Run(tmp_path, save_every=4))
    assert [path.name for path in tmp_path.glob("*state*")] == ["state-00000008"]


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path, processes) -> None:
    pytest.importorskip("resource")
    toy_training.run(tmp_path / "whole")
    folder = tmp_path / "full"
    child = processes.Process(target=toy_training.run_on_a_full_disk, args=(folder, tmp_path / "said.txt"))
    child.start()
    child.join(120)
    said = (tmp_path / "said.txt").read_text()
    assert "could not be written: " in said and "Free disk space" in said and "\n" not in said
    assert said.endswith("of step 8, is kept; the same command continues from there.")
    assert [path.name for path in folder.glob("*state*")] == ["state-00000008"]
    toy_training.run(folder)
    assert losses(folder) == losses(tmp_path / "whole")


def test_schedules() -> None:
    paper = Optimisation(steps=1000, lr=1.0, schedule="multistep", warmup=0.003)
    assert [paper.rate(step) for step in (0, 2, 599, 600, 999)] == pytest.approx([1 / 3, 1, 1, 0.1, 0.1])
    cosine = Optimisation(steps=110, lr=1.0, warmup=0.1, final_share=0.0)
    assert cosine.rate(10) == pytest.approx(1.0)
    assert cosine.rate(11) == pytest.approx(1.0)
    assert cosine.rate(11 + 99 // 3) == pytest.approx(0.75)  # (1 + cos 60 degrees) / 2
    with pytest.raises(ValueError, match="multistep or cosine"):
        Optimisation(steps=100, lr=1.0, schedule="step").rate(50)  # type: ignore[arg-type]


def test_a_copy_without_values_is_the_same_network() -> None:
    inner = nn.Linear(3, 3)
    model = nn.Sequential(inner, nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[2].weight = inner.weight
    copy = _without_values(model)
    assert copy[0].weight.is_meta and copy[2].weight is copy[0].weight and copy[1].running_var.tolist() == [1, 1, 1]
    copy.load_state_dict(model.state_dict(), assign=True)
    x = torch.randn(4, 3)
    assert torch.equal(copy(x), model(x))


def test_trainings_of_one_process_may_differ_in_precision(tmp_path: Path) -> None:
    curves = {}
    for precision in ("no", "bf16", "no"):
        folder = tmp_path / f"{precision}-{len(curves)}"
        toy = toy_training.Toy()
        settings = Run(folder, seed=3, log_every=1, save_every=100, validate_every=100)
        train(toy, replace(toy_training.optimisation(), precision=precision), settings)
        assert all(parameter.dtype == torch.float32 for parameter in toy.model.parameters())
        curves[folder.name] = np.array(list(losses(folder).values()))
    exact, mixed, again = curves.values()
    np.testing.assert_array_equal(exact, again)
    np.testing.assert_allclose(mixed, exact, rtol=0.05)
    assert not np.array_equal(mixed, exact)


def test_tensorboard(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    journal = Journal(tmp_path / "metrics.jsonl", 0, tensorboard=True)
    journal.write({"step": 1, "loss": 0.5})
    journal.write({"step": 1, "validation": {"nll": 2.0}})
    journal.close()
    board = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert board.Scalars("training/loss")[0].value == pytest.approx(0.5)
    assert board.Scalars("validation/nll")[0].value == pytest.approx(2.0)
