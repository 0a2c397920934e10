"""Numbers in words, and words as numbers."""

from __future__ import annotations

import pytest

pytest.importorskip("gradio")

from scamo.ui import formatting


def test_numbers_are_read_as_people_write_them():
    assert [formatting.read_number(text) for text in ("1e18", "10^18", " 1,000_000 ")] == [1e18, 1e18, 1e6]
    assert formatting.read_number("10^7.5") == pytest.approx(3.162e7, rel=1e-3)
    for text in ("", "many", "-3", "nan", "1e999", "10^999", "-1^0.5", "1^2^3", None):
        with pytest.raises(ValueError, match="no positive number"):
            formatting.read_number(text)


def test_numbers_are_written_for_people():
    assert [formatting.with_prefix(value) for value in (3e9, 162e6, 999, 1.5e12)] == ["3.00G", "162M", "999", "1.50T"]
    assert formatting.scientific(1.661e18) == "1.66e18"
    assert formatting.three_digits(12345.6) == "12,300"
    assert [formatting.percent(share) for share in (0.42, 0.001, 0.0)] == ["42 %", "< 1 %", "0 %"]
    assert [formatting.byte_count(count) for count in (12_300_000, 1_400_000_000)] == ["12.3 MB", "1.4 GB"]
    assert [formatting.short_time(elapsed) for elapsed in (0.5, 45, 180)] == ["a second", "45 s", "3 min"]
    assert [formatting.gpu_time(hours) for hours in (0.001, 0.5, 96)] == [
        "3.6 s",
        "30 min",
        "96 GPU-hours, 4 days on one",
    ]
