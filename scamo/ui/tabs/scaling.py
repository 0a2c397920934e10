"""The tab "Scaling": what the paper measured, what this page's models measured, and the laws to calculate with."""

from __future__ import annotations

import html
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from scamo import checkpoint, flops
from scamo.pipeline import ModelCard
from scamo.tokenizer import LEVELS
from scamo.transformer import SIZES, Size
from scamo.ui.components import controls as making
from scamo.ui.components.chart import POINTED, Axis, Series, chart
from scamo.ui.messages import note, reason
from scamo.ui.model_pool import Studio

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
SMALLEST = 10 ** (13.839 / 1.062)  # below this eq. 14 gives a loss above zero
LARGEST = 1e22  # above this eq. 12 asks for more than 10**12 parameters
TOKENS_A_SECOND = 5
NOT_CLOSED = (
    "The printed laws are rounded and do not close: at 1e18 FLOPs eq. 12 as printed gives 5.5G parameters, where the "
    "paper trained 3B, and the three together cost 1.66e18."
)


def published() -> dict[str, list[dict[str, Any]]]:
    """The paper's rows: "tokenizers" (Tab. 3), "generation" (Tab. 4) and "other"."""
    return json.loads(files("scamo").joinpath("published.json").read_text(encoding="utf-8"))


def tokenizer_cards(cards: Iterable[ModelCard]) -> list[dict[str, Any]]:
    """The tokenizers behind models on this machine as rows of Tab. 3: codebook, data and what was measured."""
    found = {}
    for card in cards:
        folder = _folder(card)
        if folder is not None:
            own = checkpoint.read_card(folder / checkpoint.read_card(folder).get("tokenizer", "tokenizer"))
            found[own["sha256"]] = {"codebook": card.codebook, "data": own.get("data", ""), **own.get("metrics", {})}
    return list(found.values())


def _folder(card: ModelCard) -> Path | None:
    """Where a model's cards are: listing it has fetched them from the hub, None should they be gone since."""
    if card.source != "hub":
        return Path(card.location)
    from huggingface_hub import try_to_load_from_cache

    repository, _, commit = card.location.partition("@")
    path = try_to_load_from_cache(repository, checkpoint.CARD, revision=commit)
    return Path(path).parent if isinstance(path, str) else None


def tokenizer_chart(metric: str, measured: Sequence[Row]) -> str:
    """Tab. 3 as a figure: one of TOKENIZER_METRICS against the codebook; `measured` are rows of our own."""
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
    """Tab. 4 as a figure: one of GENERATION_METRICS against the size, one line a codebook; `cards` are our own.

    "compute" is the normalised loss against the compute of each training, of our own models and by eq. 14. ValueError
    where nobody measured it.
    """
    if metric == "compute":
        return _compute_chart(cards)
    tables = published()
    ours = _of(tables["generation"], model="ScaMo")
    series: list[Series] = []
    labels: dict[float, str] = {}
    for book in sorted({row["codebook"] for row in ours}):
        points = {}
        for row in _of(ours, codebook=book):
            if row.get(metric) is not None:
                size = SIZES[row["size"]]
                count = float(flops.non_vocabulary_parameters(size.layers, size.width))
                points[count], labels[count] = row[metric], row["size"]
        if points:
            series.append(Series(str(book), points, "book", _shade(book)))
    for card in cards:
        if card.metrics.get(metric) is not None:
            place = float(_non_vocabulary(card))
            labels[place] = card.size
            _add(series, card, place, card.metrics[metric])
    if not series:
        raise ValueError("None of the models here was measured by this.")
    truth = [row[metric] for row in tables["other"] if row["model"] == "ground truth" and metric in row]
    x = Axis("Model size", lambda count: labels.get(count) or _count(count), log=True, ticks=labels)
    figure = chart(x, GENERATION_METRICS[metric], series, ("real motions", truth[0]) if truth else None)
    others = [row for row in tables["generation"] if row["model"] != "ScaMo" and row.get(metric) is not None]
    return figure + (_others(others, metric) if others else "")


def _compute_chart(cards: Sequence[ModelCard]) -> str:
    series: list[Series] = []
    for card in cards:
        if "normalised_loss" in card.metrics and card.training.get("tokens"):
            vocabulary = flops.paper_vocabulary_parameters(card.transformer.codebook_size, card.transformer.width)
            spent = flops.training_flops(_non_vocabulary(card), vocabulary, card.training["tokens"])
            _add(series, card, spent, card.metrics["normalised_loss"])
    if not series:
        raise ValueError("No model here says how long it was trained and how well; the bundled ones do.")
    reach = [value for one in series for value in one.points]
    ends = (min(reach), max(max(reach), 10 * min(reach)))
    series.append(Series("eq. 14, on MotionUnion", {end: flops.published_loss(end) for end in ends}, "law"))
    powers = range(math.floor(math.log10(ends[0])), math.ceil(math.log10(ends[1])) + 1)
    ticks = {step * 10.0**power: _power(step * 10.0**power) for power in powers for step in (1, 3)}
    x = Axis("Compute of the training in FLOPs, C = 6 (N_nv + N_v) D", _power, log=True, ticks=ticks)
    return chart(x, GENERATION_METRICS["compute"], series)


def _add(series: list[Series], card: ModelCard, x: float, y: float) -> None:
    """Put one of our own models into its codebook's line; a second one at the same place begins another line."""
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


@dataclass(frozen=True)
class Plan:
    """What the laws say of a budget. width is that of `size`, codes of `codebook`; flops are of the named model."""

    budget: float
    best: flops.Optimum
    loss: float
    size: str
    codebook: int
    named: flops.Optimum

    @property
    def affordable(self) -> float:
        """Tokens on which the named model uses up the budget."""
        return self.budget / flops.training_flops(self.named.non_vocabulary, self.named.vocabulary, 1)


def plan(budget: float) -> Plan:
    """How to spend a budget of FLOPs by eq. 10-14, and the named model nearest to that. ValueError out of range."""
    if not SMALLEST <= budget <= LARGEST:
        raise ValueError(
            f"The laws say nothing of {_power(budget)} FLOPs; choose {_power(SMALLEST)} (below it eq. 14 gives a loss "
            f"above zero) to {_power(LARGEST)} (above it eq. 12 asks for more than 10^12 parameters)."
        )
    best = flops.published_optimum(budget)
    counts = {name: flops.non_vocabulary_parameters(size.layers, size.width) for name, size in SIZES.items()}
    size = min(counts, key=lambda name: abs(math.log(counts[name] / best.non_vocabulary)))
    width = SIZES[size].width
    codebook = nearest_codebook(best.vocabulary / width)
    vocabulary = flops.paper_vocabulary_parameters(math.prod(LEVELS[codebook]), width)
    named = flops.Optimum(counts[size], vocabulary, best.tokens)
    return Plan(budget, best, flops.published_loss(budget), size, codebook, named)


def nearest_codebook(codes: float) -> int:
    """The paper's codebook whose real number of codes is nearest, on a scale of ratios."""
    return min(LEVELS, key=lambda book: abs(math.log(math.prod(LEVELS[book]) / codes)))


def plan_sheet(made: Plan, gpu: str, utilisation: float) -> str:
    """A plan as HTML: what the laws ask for, the named model, and what each costs."""
    hours = made.budget / flops.gpu_flops(gpu, 1, utilisation)
    best, named = made.best, made.named
    width = SIZES[made.size].width
    by_size = flops.VOCABULARY_OF_NON_VOCABULARY(best.non_vocabulary)
    rows = [
        ("Budget C", f"{_power(made.budget)} FLOPs; {_duration(hours)} on {gpu}"),
        ("Model N_nv (eq. 12)", f"{_count(best.non_vocabulary)} parameters"),
        ("Vocabulary N_v (eq. 11)", f"{_count(best.vocabulary)} parameters; {_count(by_size)} by eq. 10"),
        ("Tokens D (eq. 13)", _tokens(best.tokens)),
        ("Normalised loss (eq. 14)", f"{made.loss:.3f}"),
        ("These three cost (eq. 7)", f"{_power(best.flops)} FLOPs, {best.flops / made.budget:.3g} times the budget"),
        ("Nearest named size", f"{made.size}, {_count(named.non_vocabulary)} parameters"),
        (
            "Nearest codebook",
            f"{made.codebook}; with a width of {width:,} eq. 11 asks for {_digits(best.vocabulary / width)} codes",
        ),
        ("That pair on D tokens", f"{_power(named.flops)} FLOPs, {named.flops / made.budget:.3g} times the budget"),
        ("That pair on the budget", _tokens(made.affordable)),
    ]
    return _sheet(rows) + note(NOT_CLOSED)


def model_sheet(
    shape: Size, codebook: int, context: int, text_width: int, tokens: float, gpu: str, utilisation: float
) -> str:
    """What a model costs, as HTML. ValueError, in words for the user, for a shape nobody can build."""
    layers, heads, width = shape
    if not (1 <= layers <= 1000 and 1 <= width <= 100_000 and 1 <= heads <= width):
        raise ValueError("Choose 1 to 1,000 layers, a width of 1 to 100,000, and no more heads than the width.")
    if width % heads or width // heads % 2:
        raise ValueError(f"A width of {width} does not split into {heads} heads of an even size; change one of them.")
    if not 1 <= context <= 1_000_000:
        raise ValueError("Choose a context of 1 to 1,000,000 tokens.")
    if not 1 <= tokens <= 1e15:
        raise ValueError("Choose 1 to 1e15 training tokens.")
    codes = math.prod(LEVELS[codebook])
    inner = flops.non_vocabulary_parameters(layers, width, text_width)
    vocabulary = flops.paper_vocabulary_parameters(codes, width)
    forward = flops.forward_flops_per_token(layers, heads, width, context, codes)
    run, precise = flops.training_flops(inner, vocabulary, tokens), 3 * forward * tokens
    suits = flops.VOCABULARY_OF_NON_VOCABULARY(inner)
    rows = [
        ("Parameters without vocabulary", _count(inner)),
        ("Vocabulary N_v = V d", f"{_count(vocabulary)}; stored {_count(flops.vocabulary_parameters(codes, width))}"),
        ("FLOPs per token, forward (Code 1)", _power(forward)),
        ("FLOPs per token, training", f"{_power(3 * forward)}; {_power(run / tokens)} by eq. 7"),
        ("Training run (eq. 7)", f"{_power(run)} FLOPs; {_power(precise)} by Code 1"),
        (f"On {gpu} at {100 * utilisation:.0f} %", _duration(run / flops.gpu_flops(gpu, 1, utilisation))),
        (
            "Codebook that suits it (eq. 10)",
            f"{nearest_codebook(suits / width)}; it asks for {_digits(suits / width)} codes",
        ),
    ]
    return _sheet(rows)


def read_number(text: str) -> float:
    """A positive number as people write it: 1e18, 10^18, 3,000,000. ValueError where it is none."""
    plain = text.strip().replace(",", "").replace("_", "").replace(" ", "")
    base, power, exponent = plain.partition("^")
    try:
        value = float(base) ** float(exponent) if power else float(plain)
    except (ValueError, OverflowError):
        value = math.nan
    if not isinstance(value, float) or not 0 < value < math.inf:
        raise ValueError(f'"{text[:40]}" is no positive number; write it as 1e18 or 10^18.')
    return value


def _of(rows: Iterable[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _points(rows: Iterable[Row], x: str, y: str) -> dict[float, float]:
    return {float(row[x]): row[y] for row in rows if row.get(y) is not None}


def _non_vocabulary(card: ModelCard) -> int:
    shape = card.transformer
    return flops.non_vocabulary_parameters(shape.layers, shape.width, shape.text_width)


def _shade(codebook: int) -> float:
    """The paper's codebooks from 256 to 65536 as 0 to 1."""
    books = [book for book in LEVELS if book >= 256]
    return min(sum(book < codebook for book in books) / (len(books) - 1), 1.0)


def _short(codebook: float) -> str:
    return f"{codebook / 1024:.0f}k" if codebook > 1024 else f"{codebook:.0f}"


def _count(value: float) -> str:
    """3.00G, 162M: three digits and a letter."""
    power = min(max(int(math.log10(value)) // 3, 0), 4)
    return f"{value / 1000**power:#.3g}".removesuffix(".") + ("kMGT"[power - 1] if power else "")


def _power(value: float) -> str:
    """1.66e18: three digits and the power of ten."""
    digits, exponent = f"{value:.2e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def _tokens(count: float) -> str:
    return f"{_count(count)} tokens, {_digits(count / TOKENS_A_SECOND / 3600)} h of motion"


def _duration(hours: float) -> str:
    if hours < 1:
        return f"{3600 * hours:.3g} s" if hours < 1 / 60 else f"{60 * hours:.3g} min"
    return f"{_digits(hours)} GPU-hours" + (f", {_digits(hours / 24)} days on one" if hours >= 48 else "")


def _digits(value: float) -> str:
    """12,300: three digits that count, and never a power of ten."""
    return f"{float(f'{value:.3g}'):,.12g}"


def _sheet(rows: Sequence[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f'<div class="sheet sums"><table><tbody>{body}</tbody></table></div>'


OWN = "custom"
ENCODERS = [("Flan-T5-XL", 2048), ("MiniLM", 384)]  # what the text projection reads
CONTEXT = 201  # the appendix's count: 150 places for the text, 51 for the motion


def tab(studio: Studio) -> None:
    """Lay out the tab inside the Blocks being built."""
    cards, measured = studio.cards, tokenizer_cards(studio.cards)
    gr.HTML(
        note(
            "What the paper measured, and where the models on this page were measured the same way, theirs as rings. "
            "Levels on different data do not compare; slopes do. Point at a dot for its value."
        )
    )
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            metric = gr.Dropdown(
                list(TOKENIZER_NAMES), value="MPJPE", label="Tokenizers (Tab. 3)", elem_id="tokenizers-by"
            )
            first = gr.HTML(tokenizer_chart("mpjpe_mm", measured), js_on_load=POINTED, elem_id="tokenizers-chart")
        with gr.Column(min_width=320):
            other = gr.Dropdown(
                list(GENERATION_NAMES), value="FID", label="Generation (Tab. 4)", elem_id="generation-by"
            )
            second = gr.HTML(generation_chart("fid", cards), js_on_load=POINTED, elem_id="generation-chart")
    with gr.Row(equal_height=False, elem_classes="sums-row"):
        with gr.Column(min_width=320), gr.Group():
            kind = gr.Radio(["FLOPs", "GPU-hours"], value="FLOPs", label="A budget: what should I train?")
            flop = gr.Textbox("1e18", label="FLOPs", elem_id="budget")
            hours = gr.Textbox("100", label="GPU-hours", visible=False)
            with gr.Row():
                gpu = gr.Dropdown(list(flops.BF16_TFLOPS), value="A100", label="GPU", min_width=120)
                share = gr.Slider(1, 100, value=40, step=1, label="Utilisation in percent", buttons=[], min_width=220)
            plan_out = gr.HTML(elem_id="plan")
        with gr.Column(min_width=320), gr.Group():
            size = gr.Dropdown([*SIZES, OWN], value="3B", label="A model: what does it cost?", elem_id="model-size")
            with gr.Row():
                layers, heads, width = (
                    gr.Number(value, label=name, precision=0, minimum=1, min_width=80)
                    for name, value in zip(("Layers", "Heads", "Width"), SIZES["3B"], strict=True)
                )
            with gr.Row():
                codebook = gr.Dropdown(list(LEVELS), value=65536, label="Codebook", min_width=140)
                context = gr.Number(CONTEXT, label="Context", precision=0, minimum=1, min_width=100)
                text_width = gr.Dropdown(ENCODERS, value=2048, label="Text encoder", min_width=150)
            tokens = gr.Textbox("10^7.5", label="Training tokens")
            cost_out = gr.HTML(elem_id="cost")

    def advise(kind: str, flop: str, hours: str, gpu: str, share: float) -> str:
        try:
            by_hours = kind == "GPU-hours"
            budget = flops.gpu_flops(gpu, read_number(hours), share / 100) if by_hours else read_number(flop)
            return plan_sheet(plan(budget), gpu, share / 100)
        except ValueError as error:
            return note(reason(error))

    def price(
        layers: int | None, heads: int | None, width: int | None, codebook: int, context: int | None,
        text_width: int, tokens: str, gpu: str, share: float,
    ) -> str:  # fmt: skip
        try:
            shape = Size(layers or 0, heads or 0, width or 0)
            return model_sheet(shape, codebook, context or 0, text_width, read_number(tokens), gpu, share / 100)
        except ValueError as error:
            return note(reason(error))

    def draw(name: str) -> str:
        try:
            return generation_chart(GENERATION_NAMES[name], cards)
        except ValueError as error:
            return note(reason(error))

    budget: list[Any] = [kind, flop, hours, gpu, share]
    model: list[Any] = [layers, heads, width, codebook, context, text_width, tokens, gpu, share]
    plan_out.value = advise("FLOPs", "1e18", "100", "A100", 40)
    cost_out.value = price(*SIZES["3B"], 65536, CONTEXT, 2048, "10^7.5", "A100", 40)
    quick: dict[str, Any] = {**making.QUIET, "queue": False}
    metric.input(lambda name: tokenizer_chart(TOKENIZER_NAMES[name], measured), metric, first, **quick)
    other.input(draw, other, second, **quick)
    kind.input(
        lambda kind: (gr.Textbox(visible=kind == "FLOPs"), gr.Textbox(visible=kind != "FLOPs")), kind, [flop, hours],
        **quick,
    )  # fmt: skip
    gr.on([field.change for field in budget], advise, budget, plan_out, **quick)
    gr.on([field.change for field in model], price, model, cost_out, **quick)
    size.input(lambda name: SIZES.get(name, (gr.skip(),) * 3), size, [layers, heads, width], **quick)
    gr.on([field.input for field in (layers, heads, width)], lambda: OWN, None, size, **quick)
