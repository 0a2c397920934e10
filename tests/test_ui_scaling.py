"""The tab "Scaling": its layout, and a browser that reads a value and asks for a plan."""

from __future__ import annotations

import gradio as gr
import pytest

pytest.importorskip("gradio")

from scamo.ui.tabs.scaling import ScalingTab


def test_the_tab_can_be_laid_out(shared_pool):
    with gr.Blocks():
        ScalingTab(shared_pool)


@pytest.mark.parametrize("odd", [None, [], {}, "x", 3.5, True])
def test_what_no_field_offers_is_refused_in_words(shared_pool, odd):
    with gr.Blocks():
        tab = ScalingTab(shared_pool)
    assert "not offered here" in tab._draw_generation(odd)
    assert "not offered here" in tab._plan("FLOPs", "1e18", "1", odd, 40)
    assert "no share in percent" in tab._plan("FLOPs", "1e18", "1", "A100", odd) or odd == 3.5
    assert "not offered here" in tab._cost(1, 1, 4, odd, 51, 384, "1e6", "A100", 40)
    for draw in (tab._draw_tokenizers, tab._shape_of):
        with pytest.raises(gr.Error, match="not offered here"):
            draw(odd)


def test_a_browser_reads_a_value_and_asks_for_a_plan(visit):
    page = visit()
    page.get_by_role("tab", name="Scaling").click()
    page.hover("#tokenizers-chart .line.here circle >> nth=0")
    page.get_by_text("FSQ, here, 256: ").wait_for()
    page.click("#generation-by input")
    page.get_by_role("option", name="R@1", exact=True).click()
    page.locator("#generation-chart").get_by_text("R-precision at 1, higher is better").wait_for()
    page.fill("#budget textarea", "1e3")
    page.locator("#plan").get_by_text("The laws say nothing of 1e3 FLOPs").wait_for()
    page.fill("#budget textarea", "1e17")
    page.locator("#plan").get_by_text("1e17 FLOPs; ").wait_for()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
