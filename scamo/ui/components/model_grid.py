"""The grid of models: a row for each codebook, a box to tick for each size."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

import gradio as gr

from scamo.registry import ModelCard
from scamo.ui.model_pool import ModelKey, ModelPool, size_order

# The boxes are plain ones, so keyboards and screen readers know them. `blocked` maps a box to why it cannot be ticked.
_SCRIPT = """
const boxes = [...element.querySelectorAll("input")];
const show = () => {
    const chosen = new Set((props.value || []).map((key) => JSON.stringify(key)));
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


def model_grid(pool: ModelPool) -> gr.HTML:
    """Lay out the grid; its value is a list of [codebook, size label], which `ModelPool.selected` reads."""
    return gr.HTML(
        [list(key) for key in _first_ticked(pool)],
        html_template=_grid(pool),
        js_on_load=_SCRIPT,
        apply_default_css=False,
        elem_id="cells",
        blocked={},
    )


def block(reasons: Mapping[ModelKey, str]) -> gr.HTML:
    """An update of the grid: these models cannot be ticked, for the reasons given."""
    return gr.HTML(blocked={_box_name(key): reason for key, reason in reasons.items()})


def _box_name(key: ModelKey) -> str:
    return json.dumps(key, ensure_ascii=False, separators=(",", ":"))


def _first_ticked(pool: ModelPool) -> list[ModelKey]:
    """The default model and the sizes beside it that were taught the same, if they are bundled: those are small."""
    codebook, label = pool.default_key
    row = pool.by_codebook.get(codebook or 0, {})
    if label is None or row[label].source != "bundled":
        return [(codebook or 0, name) for name in list(row)[:3]]
    own = row[label]
    return [(own.codebook, name) for name, card in row.items() if (card.source, card.knows) == (own.source, own.knows)]


def _grid(pool: ModelPool) -> str:
    """Columns are the sizes that have a name of their own; a model with a longer label has a line to itself."""
    columns = list(dict.fromkeys(card.size for card in sorted(pool.cards, key=size_order)))
    rows = []
    for codebook, row in pool.by_codebook.items():
        boxes = [_box(codebook, size, row[size]) if size in row else "<i></i>" for size in columns]
        boxes += [_box(codebook, label, card, "wide") for label, card in row.items() if label not in columns]
        codes = f"{next(iter(row.values())).tokenizer.codebook_size:,} codes"
        rows.append(
            f'<div class="row" role="group" aria-label="Codebook {codebook}">'
            f'<b title="{codes}">{codebook}</b><div class="sizes">{"".join(boxes)}</div></div>'
        )
    head = '<div class="row head"><span>Codebook</span><span>Model sizes</span></div>'
    return f'<fieldset class="cells"><legend>Models</legend>{head}{"".join(rows)}</fieldset>'


def _box(codebook: int, label: str, card: ModelCard, name: str = "") -> str:
    about = f"Codebook {codebook}, {card.size}: {card.name}"
    return (
        f'<label class="{name}"><input type="checkbox" value="{_quoted(_box_name((codebook, label)))}" '
        f'data-about="{_quoted(about)}"><span>{_quoted(label)}</span></label>'
    )


def _quoted(text: str) -> str:
    """Text for a template of gr.HTML, in which braces, dollars, backticks and backslashes mean something."""
    return "".join(f"&#{ord(sign)};" if sign in "{}$`\\" else sign for sign in html.escape(text))
