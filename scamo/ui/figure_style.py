"""As what motions are shown: sticks, a dressed person, or a body of the user's own licensed SMPL file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scamo.body.person import PEOPLE, person_for
from scamo.body.smpl import Body, load_body

BODIES = {"person": "Person", "stick": "Sticks", "smpl": "SMPL"}
"""The bodies by the names that `scamo.render` knows, and what they are called on the page."""

AUTO = "auto"
_MESHES = ("glb", "fbx")  # formats that hold a figure's surface
_PICTURES = ("mp4", "gif")


@dataclass(frozen=True)
class FigureStyle:
    """A choice of BODIES; for a person also who, one of PEOPLE or "auto" for the one that a prompt speaks of.

    body_model: the licensed file, without which there is no "smpl". Raises ValueError for what is not offered.
    """

    body: str = "person"
    person: str = AUTO
    body_model: Path | None = None

    def __post_init__(self) -> None:
        offered = [body for body in BODIES if body != "smpl" or self.body_model]
        if self.body not in offered:
            raise ValueError(f'There is no figure "{self.body}" here; choose {", ".join(offered)}.')
        if self.person not in (AUTO, *PEOPLE):
            raise ValueError(f'There is no person "{self.person}"; choose {AUTO}, {", ".join(PEOPLE)}.')

    def who(self, prompt: str) -> str:
        """The person of a motion with this prompt."""
        return person_for(prompt) if self.person == AUTO else self.person

    def drawing(self, prompt: str) -> dict[str, Any]:
        """The options with which `scamo.render` draws a motion of this prompt."""
        if self.body == "smpl":
            return {"body": licensed_body(self.body_model)}
        return {"body": "person", "person": self.who(prompt)} if self.body == "person" else {"body": self.body}

    def exporting(self, format: str, prompt: str) -> dict[str, Any]:
        """The options with which `scamo.io.write.export` writes a format of a motion with this prompt.

        A licensed mesh is drawn, and never written into a file that holds a surface: a person stands there.
        """
        if format in _PICTURES:
            return self.drawing(prompt)
        if format in _MESHES:
            return {"body": "stick"} if self.body == "stick" else {"body": "person", "person": self.who(prompt)}
        return {}


@cache
def licensed_body(path: Path) -> Body:
    """The body of a licensed file, read once. Raises ValueError that says what is wrong with the file."""
    return load_body(path)
