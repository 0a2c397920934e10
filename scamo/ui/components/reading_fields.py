"""What a motion file does not say of itself: fields that are folded away, for files that were read wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from scamo.io.read_options import ReadOptions, read_joint_map
from scamo.io.upright import AXES, UNITS
from scamo.ui.components.controls import QUIET
from scamo.ui.messages import refusing

_BY_ITSELF = ("found by itself", "")


class ReadingFields:
    """Lays the fields out. `fields` are inputs for `read_fields`; a click on `again` reads the file once more."""

    def __init__(self) -> None:
        with gr.Accordion("The file was read wrongly?", open=False, elem_classes="reading"):
            with gr.Row():
                self.up = gr.Dropdown([_BY_ITSELF, *AXES], value="", label="Axis that points up", min_width=130)
                self.unit = gr.Dropdown([_BY_ITSELF, *UNITS], value="", label="Unit of length", min_width=130)
            self.fps = gr.Number(None, label="Frames a second", placeholder="found by itself")
            self.joints = gr.Textbox(
                label="Joint map (JSON)", info="Our names with the file's, for an unknown rig", lines=2, max_lines=8,
                placeholder='{"left_hip": "LThigh", "right_hip": "RThigh"}',
            )  # fmt: skip
            with gr.Row():
                self.map_file = gr.UploadButton("Joint map from a file", file_types=[".json"], size="sm")
                self.again = gr.Button("Read it again", variant="primary", size="sm")
        self.map_file.upload(_map_text, self.map_file, self.joints, **QUIET)

    @property
    def fields(self) -> list[Any]:
        """The fields, in the order in which `read_fields` takes their values."""
        return [self.up, self.fps, self.unit, self.joints]


def read_fields(up: Any, fps: Any, unit: Any, joints: Any) -> ReadOptions:
    """What the fields say. Raises ValueError for a value that makes no sense."""
    return ReadOptions.of_fields(up, fps, unit, joints)


def checked_file(path: str | None) -> str:
    """The path of an uploaded file; ValueError where there is none."""
    if not path:
        raise ValueError("There is no file yet; give one first.")
    return path


def _map_text(path: str | None) -> str:
    with refusing():
        data = Path(checked_file(path)).read_bytes()
        read_joint_map(data)
        return data.decode("utf-8-sig")
