"""What a caller knows of a motion file: fields of a form, and joint maps."""

from __future__ import annotations

from typing import Any

import pytest

from scamo.io.read_options import ReadOptions, read_joint_map


def test_what_a_form_leaves_empty_is_found_by_itself() -> None:
    assert ReadOptions.of_fields() == ReadOptions.of_fields("", None, "", "  ") == ReadOptions()
    options = ReadOptions.of_fields("-y", 25, "mm", '{"left_hip": "L"}')
    assert options.given == {"up": "-y", "fps": 25, "unit": "mm", "joints": {"left_hip": "L"}}
    assert ReadOptions.of_fields(joints={"left_hip": "L"}).joints == {"left_hip": "L"}


@pytest.mark.parametrize("text", ['{"left_hip": "Bein links"}', b'\xef\xbb\xbf{"left_hip": "Bein links"}'])
def test_a_joint_map_is_json(text: str | bytes) -> None:
    assert read_joint_map(text) == {"left_hip": "Bein links"}


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "no JSON"), (b"\xff\xfe", "no JSON"), ("[" * 10_000, "no JSON"), ("[]", "no mapping of names"),
     ('{"left_hip": 3}', "no mapping of names"), (" " * 30_000, "too long")],
)  # fmt: skip
def test_what_is_no_joint_map_is_one_sentence(text: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words) as told:
        read_joint_map(text)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"up": "w"}, "no up axis"), ({"up": {"z": 1}}, "no up axis"), ({"unit": ["m"]}, "choose from m, cm"),
        ({"fps": "30"}, "cannot run"), ({"fps": True}, "cannot run"), ({"fps": 0.2}, "cannot run"),
        ({"fps": 10**400}, "cannot run"), ({"joints": 3}, "no mapping"),
    ],
)  # fmt: skip
def test_options_that_are_none_are_refused(values: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReadOptions.of_fields(**values)
