"""The page as a whole: what it says of its models, and that it is built with and without them."""

from __future__ import annotations

import ast
import asyncio
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("gradio")

import gradio as gr
import httpx

from scamo import registry
from scamo.ui import page
from scamo.ui.jobs.batch_queue import BUSY
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


def test_a_full_queue_says_so_and_models_are_listed_all_the_same():
    with gr.Blocks() as demo:
        button = gr.Button()
        button.click(lambda: None, api_name="slow")
        button.click(lambda: None, api_name="models", queue=False)
    demo.queue()
    page.limit_queue(demo, most=0)
    slow, models = (next(key for key, fn in demo.fns.items() if fn.api_name == name) for name in ("slow", "models"))

    async def push(place):
        return await demo._queue.push(SimpleNamespace(fn_index=place, session_hash=None, event_id=None), None, None)

    assert asyncio.run(push(slow)) == (False, BUSY, "queue_full")
    assert asyncio.run(push(models))[0]


def test_a_space_has_no_finder_that_looks_at_every_import(monkeypatch):
    class Sniffer:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return None

    Sniffer.__module__ = "spaces._vendor.jurigged.register"
    server = ModuleType("spaces.reloading.server")
    for name in ("spaces", "spaces.reloading", "spaces.reloading.server"):
        monkeypatch.setitem(sys.modules, name, server)
    before = list(sys.meta_path)
    monkeypatch.setattr(sys, "meta_path", [Sniffer(), *before])
    page.let_threads_import()
    assert sys.meta_path == before


def test_calls_of_programs_are_no_visits(monkeypatch):
    monkeypatch.setattr(page, "_ANSWERED", 0.0)
    with gr.Blocks() as demo:
        words = gr.Textbox()
        words.submit(lambda text: text, words, words, api_name="echo")
    demo.queue()
    page.limit_queue(demo)
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", footer_links=[])
    try:
        place = f"{address}gradio_api/call/echo"
        for _ in range(4):
            event = httpx.post(place, json={"data": ["a"]}, trust_env=False, timeout=60).json()["event_id"]
            assert "complete" in httpx.get(f"{place}/{event}", trust_env=False, timeout=60).text
        kept = (
            demo.state_holder.session_data,
            demo._queue.pending_event_ids_session,
            demo._queue.pending_messages_per_session,
        )
        assert all(len(one) <= 1 for one in kept)
    finally:
        demo.close()


UI = Path(page.__file__).parent
FILES = sorted(UI.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(UI)))
def test_imports_go_down_and_take_public_names_only(path):
    """The page imports tabs, tabs import components, both import jobs, and all import the modules beside the page."""
    imported = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scamo")
        for alias in node.names
    ]
    assert not [name for _, name in imported if name.startswith("_")]
    tabs, components = "scamo.ui.tabs", "scamo.ui.components"
    above = {"tabs": (tabs,), "components": (tabs,), "jobs": (tabs, components), "ui": (tabs, components)}
    for module, name in imported:
        if path.name not in ("page.py", "__init__.py"):
            assert not module.startswith((*above[path.parent.name], "scamo.ui.page")), f"{path.name} imports {name}"
