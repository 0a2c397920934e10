"""The page as a whole: what it says of its models, and that it is built with and without them."""

from __future__ import annotations

import pytest

pytest.importorskip("gradio")

from scamo import registry
from scamo.ui import page
from tests.ui import make_pool


def test_licences_and_knowledge_are_said_once(shared_pool):
    about = page.about(shared_pool)
    assert "CC0-1.0" in about
    assert about.count("These models know nothing.") == 1


def test_the_page_is_built_without_models_too(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "BUNDLED", tmp_path)
    monkeypatch.delenv(registry.MODELS_VARIABLE, raising=False)
    assert "--models" in page.about(make_pool(tmp_path))
    demo = page.build()
    titles = [block.label for block in demo.blocks.values() if block.get_block_name() == "tabitem"]
    assert titles == list(page.TABS)
