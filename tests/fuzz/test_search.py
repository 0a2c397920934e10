"""A short search in every run of the tests; longer ones are `python -m tests.fuzz --minutes 120`."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import search as fuzz
from tests.fuzz.checks import Bare, Nonsense
from tests.fuzz.damage import PLANTED, holds_plant, planted
from tests.fuzz.targets import Target, make_input

ROOT = Path(__file__).parents[2]
KINDS = ("motions", "recipes", "bodies", "datasets")


def test_damaged_files_are_refused_in_a_sentence() -> None:
    """In a process of its own, for the search forks, and the tests before may have left threads here."""
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "400", "--seed", "1", "--target", *KINDS]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    rows = {row[0]: row[1:] for line in ended.stdout.splitlines() if len(row := line.split()) == 8}
    assert all(int(rows[kind][0]) > 10 for kind in KINDS), "each kind of file is refused now and then"
    assert sum(map(int, rows["all"][:2])) == 400


def test_networks_run_in_children_whatever_the_number_of_threads() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "3", "--target", "official"]
    threads = {**os.environ, "OMP_NUM_THREADS": "2"}
    ended = subprocess.run(command, cwd=ROOT, env=threads, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]


def _raises(error: BaseException) -> Callable[[Path, random.Random], None]:
    def call(path: Path, chance: random.Random) -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("a.bvh is cut off"), "refused"),
        (ValueError("it is cut off"), "bare"),
        (ValueError(""), "bare"),
        (KeyError("poses"), "bare"),
        (Bare("exit code 1"), "bare"),
        (Nonsense("all joints are in one point"), "nonsense"),
    ],
)
def test_verdicts(error: BaseException, kind: str) -> None:
    target = Target("any", lambda folder: [], _raises(error))
    assert fuzz.judge(target, Path("a.bvh"), random.Random(0)).kind == kind


def test_memory_that_ran_out_is_no_refusal() -> None:
    def call(path: Path, chance: random.Random) -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise ValueError("a.bvh needs too much memory") from error

    assert fuzz.judge(Target("any", lambda folder: [], call), Path("a.bvh"), random.Random(0)).kind == "memory"


def test_a_child_that_dies_or_hangs_is_counted_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(folder: Path) -> list[Path]:
        (folder / "a.json").write_text("[1, 2, 3]", encoding="utf-8")
        return [folder / "a.json"]

    def call(path: Path, chance: random.Random) -> None:
        drawn = chance.randrange(4)
        if drawn == 0:
            bytes(2 << 30)
        while drawn == 1:
            pass
        raise ValueError(path.name)

    monkeypatch.setattr(fuzz, "SECONDS", 0.1)
    monkeypatch.setattr(fuzz, "_warm_up", lambda files: None)
    monkeypatch.setitem(fuzz.TARGETS, "datasets", Target("datasets", make, call))
    report = fuzz.search(tmp_path, inputs=20, names=("datasets",))
    kinds = {kind for _, kind in report.counts}
    assert report.inputs == 20 and {"refused", "hang"} <= kinds and kinds & {"bare", "memory"}
    assert list((tmp_path / "kept").glob("hang-0-*-a.json"))


def test_a_planted_pickle_would_run_where_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "a.npy", np.zeros(3))
    path = tmp_path / "b.npy"
    path.write_bytes(planted((tmp_path / "a.npy").read_bytes(), ".npy", random.Random(0)))
    assert holds_plant(path) and not holds_plant(tmp_path / "a.npy") and not Path(PLANTED).exists()
    np.load(path, allow_pickle=True)[0].close()
    assert Path(PLANTED).exists()


def test_the_same_seed_makes_the_same_inputs(tmp_path: Path) -> None:
    target = fuzz.TARGETS["motions"]
    (tmp_path / "a.bvh").write_text("HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\n", encoding="utf-8")
    made = []
    for _ in range(2):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        path = make_input(target, tmp_path / "a.bvh", folder, random.Random("1:5"), [tmp_path / "a.bvh"])
        made.append(path.read_bytes())
    assert made[0] == made[1]
