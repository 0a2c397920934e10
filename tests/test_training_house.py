"""The floors of the training package, held by its imports. tests/test_house.py holds what all packages share."""

from __future__ import annotations

import pytest

from tools import house

# From the ground up. A module may import modules of lower floors and of its own.
FLOORS = (
    ("command_line", "json_files", "processes", "schedule"),
    ("data",),
    ("configuration", "provenance", "run_folder", "finiteness", "journal", "loop", "estimate", "run"),
    ("tasks",),
    ("measure",),
    ("recipes", "publish", "sweep", "reproduce", "reproduce_actions"),
)
ORDER = {name: number for number, floor in enumerate(FLOORS) for name in floor}
MODULES = {name: path for name, path in house.modules().items() if name.startswith("training.")}


def floor_of(module: str) -> int:
    return ORDER[module.split(".")[1]]


def test_every_module_has_its_floor() -> None:
    assert {module.split(".")[1] for module in MODULES} == set(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    used = {name for name in house.imported_modules(MODULES[module]) if name in MODULES}
    above = sorted(other for other in used if floor_of(other) > floor_of(module))
    assert not above, f"{module} imports {above}, which stand above it"
