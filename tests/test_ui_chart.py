"""Charts as SVG."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("gradio")

from scamo.ui.components import chart


def test_places_are_shares_of_the_picture_and_names_are_escaped():
    x, y = chart.Axis("x", str, ticks={0: "zero", 4: "four"}), chart.Axis("y", str)
    shown = chart.chart(x, y, [chart.Series("<b>", {0: 0, 1: 10, 4: 20})], rule=("real", 5))
    assert re.findall(r'cx="([\d.]+)%" cy="([\d.]+)%"', shown) == [
        ("0.00", "100.00"), ("25.00", "50.00"), ("100.00", "0.00"),
    ]  # fmt: skip
    assert "<b>" not in shown and "&lt;b&gt;, 1: 10" in shown
    assert 'x="0" y="75.00%" dy="-5">real' in shown
    assert "<tr><th>4</th><td>20</td></tr>" in shown
    with pytest.raises(ValueError, match="nothing"):
        chart.chart(x, y, [])


@pytest.mark.parametrize(
    ("low", "high", "log", "values"),
    [
        (0.041, 0.512, False, [0, 0.2, 0.4, 0.6]),
        (-3.2, -2.4, False, [-3.2, -3, -2.8, -2.6, -2.4]),
        (7, 7, False, [6, 8]),
        (0.101, 50.8, True, [0.1, 1, 10, 100]),
        (36.6, 170, True, [30, 40, 50, 60, 80, 100, 150, 200]),
    ],
)
def test_ticks_are_round_and_enclose_everything(low, high, log, values):
    assert chart.ticks(low, high, log) == pytest.approx(values)
