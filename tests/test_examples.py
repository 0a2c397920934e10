"""Every example runs as its first lines say, on the bundled models."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
ARGUMENTS = {
    "generate.py": ["a person walks forward", "--seconds", "1", "--out", "."],
    "many_samples.py": ["a person runs forward", "--samples", "2", "--size", "0.3M"],
}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs(path: Path, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [path.name, *ARGUMENTS.get(path.name, [])])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()
    if path.name == "generate.py":
        assert np.load("features.npy").shape == (20, 263)
        assert Path("motion.mp4").stat().st_size > 1000
