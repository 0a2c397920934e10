"""The figure that people choose, and what it means for pictures and files."""

from __future__ import annotations

import numpy as np
import pytest

from scamo.body.person import PEOPLE
from scamo.body.smpl import Body
from scamo.ui.figure_style import AUTO, FigureStyle
from tests.test_body_smpl import fake


def test_the_person_goes_by_the_prompt_unless_one_is_chosen():
    assert FigureStyle().drawing("an old woman waves") == {"body": "person", "person": "old woman"}
    assert FigureStyle(person="child").drawing("an old woman waves")["person"] == "child"
    assert FigureStyle("stick").drawing("an old woman waves") == {"body": "stick"}


@pytest.mark.parametrize("wrong", [("smpl",), ("mannequin",), ("person", "robot")])
def test_what_is_not_offered_is_refused(wrong):
    with pytest.raises(ValueError, match="choose"):
        FigureStyle(*wrong)
    assert all(FigureStyle(person=name) for name in (AUTO, *PEOPLE))


def test_a_licensed_body_is_drawn_and_never_written_as_a_mesh(tmp_path):
    file = tmp_path / "SMPL_NEUTRAL.npz"
    np.savez(file, **fake())
    style = FigureStyle("smpl", body_model=file)
    assert isinstance(style.drawing("a man walks")["body"], Body)
    assert style.exporting("mp4", "a man walks") == style.drawing("a man walks")  # the file is read once
    for mesh in ("glb", "fbx"):
        assert style.exporting(mesh, "a man walks") == {"body": "person", "person": "man"}
    assert style.exporting("bvh", "a man walks") == {}
