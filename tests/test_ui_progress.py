"""Progress as HTML."""

from __future__ import annotations

import pytest

pytest.importorskip("gradio")

from scamo.stream import Step
from scamo.ui.components.progress import hidden_row, progress_rows, step_row, summary
from scamo.ui.jobs.compare import ModelProgress


def test_rows_name_models_tokens_and_faults():
    models = [
        ModelProgress("4M", "tokens", 5, 20),
        ModelProgress("1M", "failed", error="<b> is missing"),
        ModelProgress("0.3M"),
        ModelProgress("44M", "tokens"),
        ModelProgress("111M", "tokens", 5),
    ]
    shown = progress_rows(models)
    assert "5 of 20 tokens" in shown
    assert "width: 25%" in shown
    assert "&lt;b&gt; is missing" in shown
    assert "waiting" in shown and "loading" in shown and ">5 tokens<" in shown
    assert progress_rows([]) == ""
    assert "1 of 2 tokens" in step_row("0.3M", Step(1, 2))


def test_the_summary_keeps_what_failed():
    models = [ModelProgress("4M", "done"), ModelProgress("1M", "failed", error="<script>")]
    assert "1 motion in 2.0 s" in summary(models, 2.0)
    assert "<script" not in summary(models, 2.0) and "&lt;script" in summary(models, 2.0)
    assert "motion" not in summary(models[1:], 2.0)


def test_a_hidden_row_shows_no_count():
    assert not any(sign.isdigit() for sign in hidden_row("Two models", "at work"))
