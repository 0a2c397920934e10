"""The grid of models: a row for each codebook, a box to tick for each size."""

from __future__ import annotations

import html
import json
import math
from typing import Any

import gradio as gr

from scamo.pipeline import ModelCard
from scamo.ui.model_pool import Studio, weight

Cell = tuple[int, str]  # codebook and label of a size, as in Studio.cells

# The boxes are plain ones, so keyboards and screen readers know them. `blocked` maps a box to why it cannot be ticked.
_TICKED = """
const boxes = [...element.querySelectorAll("input")];
const show = () => {
    const chosen = new Set((props.value || []).map((cell) => JSON.stringify(cell)));
    for (const box of boxes) {
        const reason = (props.blocked || {})[box.value];
        box.checked = chosen.has(box.value);
        box.disabled = Boolean(reason) && !box.checked;
        box.closest("label").title = reason || box.dataset.about;
    }
};
element.addEventListener("change", () => {
    props.value = boxes.filter((box) => box.checked).map((box) => JSON.parse(box.value));
});
watch(["value", "blocked"], show);
show();
"""


def cells(studio: Studio) -> gr.HTML:
    """Lay out the grid; its value is a list of [codebook, label], which `chosen` reads."""
    return gr.HTML(
        [list(cell) for cell in _first(studio)],
        html_template=_grid(studio),
        js_on_load=_TICKED,
        apply_default_css=False,
        elem_id="cells",
        blocked={},
    )


def key(cell: Cell) -> str:
    """The name of a cell's box in the grid, as in its `blocked`."""
    return json.dumps(cell, ensure_ascii=False, separators=(",", ":"))


def chosen(studio: Studio, value: Any) -> dict[str, ModelCard]:
    """The models that are ticked, each under a label that tells it from the others. ValueError where there is none."""
    if not studio.cells:
        raise ValueError("No model was found on this machine; start the page with --models and a folder.")
    try:
        ticked = list(dict.fromkeys((int(codebook), str(label)) for codebook, label in value or []))
    except (TypeError, ValueError) as error:
        raise ValueError("The models that are ticked cannot be read; tick them again.") from error
    if not ticked:
        raise ValueError("No model is chosen; tick at least one.")
    several = len({codebook for codebook, _ in ticked}) > 1
    return {f"{codebook} · {label}" if several else label: studio.card(codebook, label) for codebook, label in ticked}


def _first(studio: Studio) -> list[Cell]:
    """What is ticked at first: the bundled models of one codebook, which are small."""
    codebook = 1024 if 1024 in studio.cells else max(studio.cells, default=0)
    row = studio.cells.get(codebook, {})
    bundled = [label for label, card in row.items() if card.source == "bundled"]
    return [(codebook, label) for label in bundled or list(row)[:3]]


def _grid(studio: Studio) -> str:
    """Columns are the sizes that have a name of their own; a model with a longer label has a line to itself."""
    columns = list(dict.fromkeys(card.size for card in sorted(studio.cards, key=weight)))
    rows = []
    for codebook, row in studio.cells.items():
        boxes = [_box(codebook, size, row[size]) if size in row else "<i></i>" for size in columns]
        boxes += [_box(codebook, label, card, "wide") for label, card in row.items() if label not in columns]
        codes = f"{math.prod(next(iter(row.values())).levels):,} codes"
        rows.append(
            f'<div class="row" role="group" aria-label="Codebook {codebook}">'
            f'<b title="{codes}">{codebook}</b><div class="sizes">{"".join(boxes)}</div></div>'
        )
    head = '<div class="row head"><span>Codebook</span><span>Model sizes</span></div>'
    return f'<fieldset class="cells"><legend>Models</legend>{head}{"".join(rows)}</fieldset>'


def _box(codebook: int, label: str, card: ModelCard, name: str = "") -> str:
    about = f"Codebook {codebook}, {card.size}: {card.name}"
    return (
        f'<label class="{name}"><input type="checkbox" value="{_quoted(key((codebook, label)))}" '
        f'data-about="{_quoted(about)}"><span>{_quoted(label)}</span></label>'
    )


def _quoted(text: str) -> str:
    """Text for a template of gr.HTML, in which braces, dollars, backticks and backslashes mean something."""
    return "".join(f"&#{ord(sign)};" if sign in "{}$`\\" else sign for sign in html.escape(text))
