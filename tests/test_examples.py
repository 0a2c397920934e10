"""Every example runs as its first lines say, on the bundled models."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SHORT = {  # arguments that make it quick
    "generate.py": ["a person walks forward", "--seconds", "1", "--out", "."],
    "many_samples.py": ["a person runs forward", "--samples", "2", "--size", "0.3M"],
    "to_blender.py": ["a person walks forward", "--seconds", "1", "--out", "."],
}
FILES = {  # what it leaves in its folder
    "generate.py": ["features.npy", "joints.npy", "motion.mp4"],
    "strips.py": ["strips.png"],
    "to_blender.py": ["a-person-walks-forward-4096-4M-seed0.bvh", "a-person-walks-forward-4096-4M-seed0.glb"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [path.name, *SHORT.get(path.name, [])])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()
    assert sorted(file.name for file in tmp_path.iterdir()) == FILES.get(path.name, [])
    assert all(file.stat().st_size > 1000 for file in tmp_path.iterdir())
    if path.name == "generate.py":
        assert np.load("features.npy").shape == (20, 263) and np.load("joints.npy").shape == (20, 22, 3)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_says_what_it_does_and_its_command(path: Path) -> None:
    words = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert words.splitlines()[0].endswith(".") and f"\npython examples/{path.name}" in words


def test_all_files_left_behind_are_of_an_example_that_is_there() -> None:
    assert {path.name for path in EXAMPLES} >= SHORT.keys() | FILES.keys()
