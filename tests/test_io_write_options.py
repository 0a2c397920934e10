"""The options of files that are written: one table for the command line, the page and the endpoints."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from scamo.cli_options import Export
from scamo.io.export_rigs import EXPORT_RIGS
from scamo.io.write import WRITERS, options_for
from scamo.io.write_options import RIG_NAMES, WriteOptions


def test_the_rigs_are_those_that_are_written() -> None:
    assert tuple(EXPORT_RIGS) == RIG_NAMES


def test_the_command_line_and_the_writers_have_the_same_options() -> None:
    names = {field.name for field in dataclasses.fields(WriteOptions)}
    of_command = {field.name for field in dataclasses.fields(Export(None, (), None).writing)}  # type: ignore[arg-type]
    assert of_command == names | {"person"}, "whom a file shows is chosen for the whole page, and by an option here"
    of_writers = {name for format in ("bvh", "glb", "fbx", "vrma") for name in WRITERS[format].options}
    assert of_writers | {"in_place", "loop"} == names | {"person"}


def test_what_a_form_leaves_empty_is_left_out() -> None:
    empty = {"rig": "", "unit": None, "fps": None, "exact": False, "in_place": False, "loop": False}
    assert WriteOptions.of_fields(empty) == WriteOptions() and WriteOptions().given() == {}
    options = WriteOptions.of_fields({**empty, "rig": "vrm", "fps": 24, "loop": True})
    assert options.given() == {"rig": "vrm", "fps": 24, "loop": True}
    assert options_for(["vrma"], options) == {"fps": 24, "loop": True}
    assert options_for(["npz", "bvh"], options) == options.given()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rig": "maya"}, "choose from humanml3d"), ({"rig": ["vrm"]}, "choose from humanml3d"), ({"unit": "mm"}, "m"),
        ({"fps": 0}, "cannot run at 0"), ({"fps": float("nan")}, "cannot run at nan"), ({"fps": True}, "cannot run"),
        ({"fps": 10**400}, "cannot run"), ({"loop": "on"}, "true or false"), ({"colour": "red"}, 'no option "colour"'),
        ([], "no mapping"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(values: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WriteOptions.of_fields(values)
