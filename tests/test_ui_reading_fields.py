"""The fields for files that were read wrongly."""

from __future__ import annotations

import gradio as gr
import pytest

pytest.importorskip("gradio")

from scamo.io.read_options import ReadOptions
from scamo.ui.components.reading_fields import ReadingFields, checked_file, read_fields


def test_untouched_fields_leave_everything_to_the_reader():
    with gr.Blocks():
        fields = ReadingFields().fields
    assert read_fields(*(field.value for field in fields)) == ReadOptions()


def test_a_joint_map_comes_out_of_a_file(tmp_path):
    with gr.Blocks() as page:
        ReadingFields()
    (upload,) = [one.fn for one in page.fns.values() if one.targets[0][1] == "upload"]
    (tmp_path / "map.json").write_text('{"left_hip": "L"}', encoding="utf-8-sig")
    assert upload(str(tmp_path / "map.json")) == '{"left_hip": "L"}'
    (tmp_path / "map.json").write_bytes(b"\x00\xff")
    with pytest.raises(gr.Error, match="no JSON"):
        upload(str(tmp_path / "map.json"))
    with pytest.raises(ValueError, match="no file yet"):
        checked_file(None)
