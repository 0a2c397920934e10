"""Commands: flat flags, and one line for a mistake of the user."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("tyro")

from training.command_line import device_named, run_command
from training.tasks.tokenizer import TokenizerTraining
from training.tasks.transformer import TransformerTraining


@dataclass(frozen=True)
class Args:
    """A command that needs a number."""

    number: int


@pytest.mark.parametrize(
    ("outcome", "code", "printed"),
    [
        (None, 0, ""),
        (1, 1, ""),
        ({"rows": 3}, 0, ""),
        (ValueError("No 7 here; give 8."), 2, "training.data.readers.bvh: No 7 here; give 8.\n"),
        (KeyboardInterrupt(), 130, "training.data.readers.bvh: stopped\n"),
    ],
)
def test_how_a_step_ends(monkeypatch: pytest.MonkeyPatch, capsys, outcome: object, code: int, printed: str) -> None:
    def main(args: Args) -> object:
        assert args.number == 7
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr("sys.argv", ["/somewhere/training/data/readers/bvh.py", "--number", "7"])
    with pytest.raises(SystemExit) as ended:
        run_command(main, Args)
    assert ended.value.code == code
    assert capsys.readouterr().err == printed


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["step.py", "--number", "7"])
    with pytest.raises(ZeroDivisionError):
        run_command(lambda args: args.number / 0, Args)


def test_where_a_command_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpu, found in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda gpu=gpu: gpu)
        assert device_named("auto") == found
    assert device_named("cuda:3") == "cuda:3"


def configuration_of(monkeypatch: pytest.MonkeyPatch, kind: type, line: str) -> object:
    """What a command line is read as."""
    found: list[object] = []
    monkeypatch.setattr("sys.argv", ["step.py", *line.split()])
    with pytest.raises(SystemExit) as ended:
        run_command(found.append, kind)
    assert ended.value.code == 0
    return found[0]


def test_flags_are_flat_and_earlier_names_still_work(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "--data d --out r --codebook 64 --steps 7 --lr 1e-3 --schedule cosine --restraint 0.1 --path 0.5 --threads 1"
    found = configuration_of(monkeypatch, TokenizerTraining, line)
    assert isinstance(found, TokenizerTraining)
    assert (found.data, found.run.out, found.run.threads) == (Path("d"), Path("r"), 1)
    assert (found.optimisation.steps, found.optimisation.lr, found.optimisation.schedule) == (7, 1e-3, "cosine")
    assert found.optimisation.warmup == 0.003  # the task's own default
    assert (found.latent_penalty, found.drift_penalty) == (0.1, 0.5)
    assert found == configuration_of(
        monkeypatch,
        TokenizerTraining,
        line.replace("--restraint", "--latent-penalty").replace("--path", "--drift-penalty"),
    )
    line = (
        "--data d --texts t --tokenizer c/model --out r --size 1M --tokens k --no-tied --accumulate 4 --precision bf16"
    )
    model = configuration_of(monkeypatch, TransformerTraining, line + " --dry-run --weight-decay 0")
    assert isinstance(model, TransformerTraining)
    assert (model.size, model.tokens, model.tied, model.run.dry_run) == ("1M", Path("k"), False, True)
    assert (model.optimisation.accumulate, model.optimisation.precision) == (4, "bf16")
    assert (model.optimisation.weight_decay, model.optimisation.final_share) == (0, 0.02)
