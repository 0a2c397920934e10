"""The stages that faults are tried on can be run again, and a difference in what they made is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("accelerate")

from benchmarks import fault_stages as stages
from benchmarks.faults import Faults, table


def test_a_stage_run_again_makes_the_same_and_a_change_is_seen(tmp_path: Path) -> None:
    stages.write_source(tmp_path / "source", 6)
    stages.prepare(tmp_path, tmp_path / "one")
    stages.prepare(tmp_path, tmp_path / "two")
    whole = stages.digest("prepare", tmp_path / "one")
    assert stages.digest("prepare", tmp_path / "two") == whole
    features = np.load(tmp_path / "two" / "features.npy", mmap_mode="r+")
    features[0, 0] += 1
    del features
    assert stages.digest("prepare", tmp_path / "two") != whole
    stages.clear(tmp_path / "two")
    assert stages.digest("prepare", tmp_path / "two") == "nothing" and (tmp_path / "one").exists()


def test_every_stage_has_what_it_needs_before_it(tmp_path: Path) -> None:
    order = list(stages.STAGES)
    assert stages.NEEDS.keys() == stages.STAGES.keys()
    assert all(order.index(need) < order.index(name) for name, needs in stages.NEEDS.items() for need in needs)
    with pytest.raises(ValueError, match="no stage lunch; choose of prepare"):
        Faults(tmp_path, 0, ["lunch"])


def test_the_table_tells_what_was_lost() -> None:
    row = {"fault": "SIGKILL", "stage": "texts", "times": 3, "lost": 1, "said": "2 while it worked"}
    assert "| SIGKILL | texts | 3 | 1 | 2 while it worked |" in table({"faults": [row]})
