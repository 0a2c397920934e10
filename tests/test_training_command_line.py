"""Steps on the command line: what a user got wrong is one line."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

pytest.importorskip("tyro")

from training.command_line import device_named, run_command


@dataclass(frozen=True)
class Args:
    """A step that needs a number."""

    number: int


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        (None, 0, ""),
        (1, 1, ""),
        ({"rows": 3}, 0, ""),
        (ValueError("No 7 here; give 8."), 2, "training.data.readers.bvh: No 7 here; give 8.\n"),
        (KeyboardInterrupt(), 130, "training.data.readers.bvh: stopped\n"),
    ],
)
def test_how_a_step_ends(monkeypatch: pytest.MonkeyPatch, capsys, outcome: object, code: int, said: str) -> None:
    def main(args: Args) -> object:
        assert args.number == 7
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr("sys.argv", ["/somewhere/training/prepare/bvh.py", "--number", "7"])
    with pytest.raises(SystemExit) as ended:
        run_command(main, Args)
    assert ended.value.code == code
    assert capsys.readouterr().err == said


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["step.py", "--number", "7"])
    with pytest.raises(ZeroDivisionError):
        run_command(lambda args: args.number / 0, Args)


def test_where_a_step_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpu, found in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda gpu=gpu: gpu)
        assert device_named("auto") == found
    assert device_named("cuda:3") == "cuda:3"
