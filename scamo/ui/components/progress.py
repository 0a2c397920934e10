"""How far a generation is, as HTML: a row for each model with its state and a bar."""

from __future__ import annotations

import html
from collections.abc import Sequence

from scamo.stream import Step
from scamo.ui.jobs.compare import ModelProgress
from scamo.ui.messages import note


def progress_rows(models: Sequence[ModelProgress]) -> str:
    """The progress of all models, one row each."""
    return f'<div class="runs" role="status">{"".join(map(_row, models))}</div>' if models else ""


def step_row(label: str, step: Step) -> str:
    """The progress of one model's stream."""
    return progress_rows([ModelProgress(label, "tokens", step.count, step.total)])


def hidden_row(label: str, words: str) -> str:
    """A row without a count and with a bar that only moves: the speed of tokens would give the model away."""
    return f'<div class="runs" role="status">{_html(label, "tokens", _MOVING, words)}</div>'


def summary(models: Sequence[ModelProgress], elapsed: float) -> str:
    """What remains to be said when a comparison is over: the time it took, and what failed."""
    done = sum(model.state == "done" for model in models)
    failed = progress_rows([model for model in models if model.state == "failed"])
    return failed + (note(f"{done} motion{'s'[: done > 1]} in {elapsed:.1f} s.") if done else "")


_MOVING = '<i class="bar endless"><i></i></i>'


def _row(model: ModelProgress) -> str:
    words = {
        "waiting": "waiting",
        "tokens": f"{model.count} of {model.total} tokens" if model.total else f"{model.count} tokens",
        "done": "done",
        "failed": model.error,
    }[model.state]
    if model.state == "tokens" and not model.count:
        words = "loading"
    bar = ""
    if model.state == "tokens" and model.total:
        bar = f'<i class="bar"><i style="width: {100 * model.count / model.total:.0f}%"></i></i>'
    elif model.state == "tokens":
        bar = _MOVING  # how long it takes is not known
    return _html(model.label, model.state, bar, words)


def _html(label: str, state: str, bar: str, words: str) -> str:
    return f'<div class="run {state}"><b>{html.escape(label)}</b>{bar}<span>{html.escape(words)}</span></div>'
