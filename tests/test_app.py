"""app.py, started as a user would."""

from __future__ import annotations

import json
import urllib.request


def test_it_serves_the_page_with_the_models_it_is_given(served):
    with urllib.request.urlopen(f"{served}/config", timeout=30) as answer:
        config = json.load(answer)
    assert config["title"] == "ScaMo"
    grid = next(part["props"] for part in config["components"] if part["props"].get("elem_id") == "cells")
    assert "0.3M · 256-0.3M" in grid["html_template"]  # of the folder given as --models
