"""The grid of models."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("gradio")

from scamo.ui.components.model_grid import block, model_grid
from tests.tiny import write_models
from tests.ui import make_pool


def test_it_holds_every_model_and_ticks_the_bundled_ones(tiny_models, tmp_path):
    pool = make_pool(tiny_models, [write_models(tmp_path, (256,), ("1M",))])
    card = pool.by_codebook[256].pop("1M · 256-1M")
    pool.by_codebook[256]["1M · <b>${mine}`"] = replace(card, name="<b>${mine}`")
    grid = model_grid(pool)
    assert grid.value == [[1024, "0.3M"], [1024, "1M"]]
    assert grid.html_template.count('type="checkbox"') == 5
    assert "<b>$" not in grid.html_template
    assert not set("`${}\\") & set(grid.html_template)  # they would be read as code


def test_blocked_models_are_named_as_their_boxes_are():
    assert block({(1024, "4M · mine"): "no room"}).props["blocked"] == {'[1024,"4M · mine"]': "no room"}
