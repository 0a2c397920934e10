"""The charts of the tab "Scaling": what the paper measured, and what the models of this page measured."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from scamo import checkpoint, flops
from scamo.configs import LEVELS, SIZES
from scamo.registry import ModelCard
from scamo.ui.components.chart import Axis, Series, chart
from scamo.ui.formatting import scientific, with_prefix
from scamo.ui.messages import note

Row = Mapping[str, Any]

TOKENIZER_METRICS = {
    "mpjpe_mm": Axis("MPJPE in mm, lower is better", lambda value: f"{value:.4g}", log=True),
    "l1": Axis("L1 loss, lower is better", lambda value: f"{value:.3g}", log=True),
    "fid": Axis("FID, lower is better", lambda value: f"{value:.5g}", log=True),
    "usage": Axis("Codes used, in percent", lambda value: f"{100 * value:.4g}"),
    "entropy": Axis("Exponential entropy, higher is better", lambda value: f"{value:,.7g}", log=True),
}
GENERATION_METRICS = {
    "fid": Axis("FID, lower is better", lambda value: f"{value:.5g}", log=True),
    "r_precision_1": Axis("R-precision at 1, higher is better", lambda value: f"{value:.3g}"),
    "r_precision_2": Axis("R-precision at 2, higher is better", lambda value: f"{value:.3g}"),
    "r_precision_3": Axis("R-precision at 3, higher is better", lambda value: f"{value:.3g}"),
    "matching_score": Axis("Matching score, lower is better", lambda value: f"{value:.4g}"),
    "diversity": Axis("Diversity", lambda value: f"{value:.4g}"),
    "normalised_loss": Axis("Normalised loss, lower is better", lambda value: f"{value:.4g}"),
    "compute": Axis("Normalised loss, lower is better", lambda value: f"{value:.4g}"),
}
TOKENIZER_NAMES = {"MPJPE": "mpjpe_mm", "L1": "l1", "FID": "fid", "Codes used": "usage", "Entropy": "entropy"}
GENERATION_NAMES = {
    "FID": "fid", "R@1": "r_precision_1", "R@2": "r_precision_2", "R@3": "r_precision_3", "Matching": "matching_score",
    "Diversity": "diversity", "Loss by size": "normalised_loss", "Loss by compute": "compute",
}  # fmt: skip


def published() -> dict[str, list[dict[str, Any]]]:
    """The paper's rows: "tokenizers" (Tab. 3), "generation" (Tab. 4) and "other"."""
    return json.loads(files("scamo").joinpath("published.json").read_text(encoding="utf-8"))


def measured_tokenizers(cards: Iterable[ModelCard]) -> list[dict[str, Any]]:
    """The tokenizers behind models on this machine as rows of Tab. 3: codebook, data and what was measured."""
    found = {}
    for card in cards:
        folder = _folder(card)
        if folder is not None:
            own = checkpoint.read_card(folder / checkpoint.read_card(folder).get("tokenizer", "tokenizer"))
            found[own["sha256"]] = {"codebook": card.codebook, "data": own.get("data", ""), **own.get("metrics", {})}
    return list(found.values())


def _folder(card: ModelCard) -> Path | None:
    """Where a model's cards are: listing it has fetched them from the hub; None if they are gone."""
    if card.source != "hub":
        return Path(card.location)
    from huggingface_hub import try_to_load_from_cache

    repository, _, commit = card.location.partition("@")
    path = try_to_load_from_cache(repository, checkpoint.CARD, revision=commit)
    return Path(path).parent if isinstance(path, str) else None


def tokenizer_chart(metric: str, measured: Sequence[Row]) -> str:
    """Tab. 3 as a figure: one of TOKENIZER_METRICS against the codebook; `measured` are those of this page."""
    rows = published()["tokenizers"]
    kinds: list[tuple[str, str, Sequence[Row]]] = [
        (f"{quantiser.upper()}, {data}", f"{quantiser} {data.lower()}", _of(rows, quantiser=quantiser, data=data))
        for quantiser in ("fsq", "vq")
        for data in ("MotionUnion", "HumanML3D")
    ]
    lines: dict[int, list[Row]] = {}
    count: Counter[int] = Counter()
    for row in measured:
        if row.get(metric) is not None:  # a second tokenizer of one codebook begins a second line
            count[row["codebook"]] += 1
            lines.setdefault(count[row["codebook"]], []).append(row)
    kinds += [("FSQ, here" + f" ({number})" * (number > 1), "here", line) for number, line in lines.items()]
    points = [(name, look, _points(found, "codebook", metric)) for name, look, found in kinds]
    series = [Series(name, found, look) for name, look, found in points if found]
    books = {book for one in series for book in one.points}
    x = Axis("Codebook", lambda value: f"{value:.0f}", log=True, ticks={book: _short(book) for book in books})
    return chart(x, TOKENIZER_METRICS[metric], series)


def generation_chart(metric: str, cards: Sequence[ModelCard]) -> str:
    """Tab. 4 as a figure: one of GENERATION_METRICS against the size, one line a codebook; `cards` are this page's.

    "compute" is the normalised loss against the compute of each training, of these models and by eq. 14.
    Raises ValueError where none was measured by this.
    """
    if metric == "compute":
        return _compute_chart(cards)
    tables = published()
    series, labels = _published_sizes(_of(tables["generation"], model="ScaMo"), metric)
    for card in cards:
        measured = _number(card.metrics, metric)
        if measured is not None:
            place = float(card.transformer.parameter_counts.non_vocabulary)
            labels[place] = card.size
            _add_point(series, card, place, measured)
    if not series:
        raise ValueError("None of the models here was measured by this.")
    truth = [row[metric] for row in tables["other"] if row["model"] == "ground truth" and metric in row]
    x = Axis("Model size", lambda count: labels.get(count) or with_prefix(count), log=True, ticks=labels)
    figure = chart(x, GENERATION_METRICS[metric], series, ("real motions", truth[0]) if truth else None)
    others = [row for row in tables["generation"] if row["model"] != "ScaMo" and row.get(metric) is not None]
    return figure + (_others(others, metric) if others else "")


def _published_sizes(rows: Sequence[Row], metric: str) -> tuple[list[Series], dict[float, str]]:
    """The paper's models: a line for each codebook, and the name of each size by its parameters."""
    series: list[Series] = []
    labels: dict[float, str] = {}
    for book in sorted({row["codebook"] for row in rows}):
        points = {}
        for row in _of(rows, codebook=book):
            if row.get(metric) is not None:
                size = SIZES[row["size"]]
                count = float(flops.non_vocabulary_parameters(size.layers, size.width))
                points[count], labels[count] = row[metric], row["size"]
        if points:
            series.append(Series(str(book), points, "book", _shade(book)))
    return series, labels


def _compute_chart(cards: Sequence[ModelCard]) -> str:
    series: list[Series] = []
    for card in cards:
        loss, tokens = _number(card.metrics, "normalised_loss"), _number(card.training, "tokens")
        if loss is not None and tokens is not None and tokens > 0:
            vocabulary = flops.paper_vocabulary_parameters(card.transformer.codebook_size, card.transformer.width)
            inner = card.transformer.parameter_counts.non_vocabulary
            spent = flops.training_flops(inner, vocabulary, tokens)
            _add_point(series, card, spent, loss)
    if not series:
        raise ValueError("No model here says how long it was trained and how well; the bundled ones do.")
    reach = [value for one in series for value in one.points]
    ends = (min(reach), max(max(reach), 10 * min(reach)))
    series.append(Series("eq. 14, on MotionUnion", {end: flops.published_loss(end) for end in ends}, "law"))
    powers = range(math.floor(math.log10(ends[0])), math.ceil(math.log10(ends[1])) + 1)
    ticks = {step * 10.0**power: scientific(step * 10.0**power) for power in powers for step in (1, 3)}
    x = Axis("Compute of the training in FLOPs, C = 6 (N_nv + N_v) D", scientific, log=True, ticks=ticks)
    return chart(x, GENERATION_METRICS["compute"], series)


def _number(facts: Mapping[str, Any], name: str) -> float | None:
    """A number of a card, which may hold anything under a name."""
    value = facts.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30
    return value if is_number else None


def _add_point(series: list[Series], card: ModelCard, x: float, y: float) -> None:
    """Put a model of this page into its codebook's line; a second one at the same place begins another line."""
    number = 1
    while True:
        name = f"{card.codebook}, here" + f" ({number})" * (number > 1)
        line = next((one for one in series if one.name == name), None)
        if line is None:
            series.append(Series(name, {x: y}, "book here", _shade(card.codebook)))
            return
        if x not in line.points:
            series[series.index(line)] = Series(name, {**line.points, x: y}, line.look, line.shade)
            return
        number += 1


def _others(rows: Sequence[Row], metric: str) -> str:
    names = [
        f"{row['model'].rstrip('*')} ({row['size']}) {GENERATION_METRICS[metric].show(row[metric])}" for row in rows
    ]
    return note(f"Others on {rows[0]['data']}, as the paper quotes them: {', '.join(names)}.")


def _of(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _points(rows: Iterable[Row], x: str, y: str) -> dict[float, float]:
    return {float(row[x]): row[y] for row in rows if row.get(y) is not None}


def _shade(codebook: int) -> float:
    """The paper's codebooks from 256 to 65536 as 0 to 1."""
    books = [book for book in LEVELS if book >= 256]
    return min(sum(book < codebook for book in books) / (len(books) - 1), 1.0)


def _short(codebook: float) -> str:
    return f"{codebook / 1024:.0f}k" if codebook > 1024 else f"{codebook:.0f}"
