"""The tab "Scaling": what the paper measured, what this page's models measured, and the laws to calculate with."""

from __future__ import annotations

from typing import Any

import gradio as gr

from scamo import flops
from scamo.configs import LEVELS, SIZES, Size
from scamo.ui.components.chart import POINTER_SCRIPT
from scamo.ui.components.controls import INSTANT
from scamo.ui.components.scaling_charts import (
    GENERATION_NAMES,
    TOKENIZER_NAMES,
    generation_chart,
    measured_tokenizers,
    tokenizer_chart,
)
from scamo.ui.components.scaling_sheets import model_sheet, plan_sheet
from scamo.ui.components.stage import Stage
from scamo.ui.formatting import read_number
from scamo.ui.jobs.scaling_plan import plan_budget
from scamo.ui.limits import checked_choice, checked_percent
from scamo.ui.messages import note, reason, refusing
from scamo.ui.model_pool import ModelPool

OWN_SIZE = "custom"
TEXT_WIDTHS = [("Flan-T5-XL", 2048), ("MiniLM", 384)]  # what the text projection reads
CONTEXT = 201  # the appendix's count: 150 places for the text, 51 for the motion
ABOUT = (
    "What the paper measured, and where the models on this page were measured the same way, theirs as rings. "
    "Levels on different data do not compare; slopes do. Point at a dot for its value."
)


class ScalingTab:
    """Lays the tab out inside the Blocks being built."""

    def __init__(self, pool: ModelPool, stage: Stage | None = None) -> None:
        self._cards, self._measured = pool.cards, measured_tokenizers(pool.cards)
        gr.HTML(note(ABOUT))
        with gr.Row(equal_height=False):
            self._lay_out_charts()
        with gr.Row(equal_height=False, elem_classes="sums-row"):
            with gr.Column(min_width=320), gr.Group():
                self._lay_out_budget()
            with gr.Column(min_width=320), gr.Group():
                self._lay_out_model()
        self._connect()

    def _lay_out_charts(self) -> None:
        with gr.Column(min_width=320):
            self.tokenizer_metric = gr.Dropdown(
                list(TOKENIZER_NAMES), value="MPJPE", label="Tokenizers (Tab. 3)", elem_id="tokenizers-by"
            )
            self.tokenizer_chart = gr.HTML(
                self._draw_tokenizers("MPJPE"), js_on_load=POINTER_SCRIPT, elem_id="tokenizers-chart"
            )
        with gr.Column(min_width=320):
            self.generation_metric = gr.Dropdown(
                list(GENERATION_NAMES), value="FID", label="Generation (Tab. 4)", elem_id="generation-by"
            )
            self.generation_chart = gr.HTML(
                self._draw_generation("FID"), js_on_load=POINTER_SCRIPT, elem_id="generation-chart"
            )

    def _lay_out_budget(self) -> None:
        self.kind = gr.Radio(["FLOPs", "GPU-hours"], value="FLOPs", label="A budget: what should I train?")
        self.budget = gr.Textbox("1e18", label="FLOPs", elem_id="budget")
        self.hours = gr.Textbox("100", label="GPU-hours", visible=False)
        with gr.Row():
            self.gpu = gr.Dropdown(list(flops.BF16_TFLOPS), value="A100", label="GPU", min_width=120)
            self.share = gr.Slider(1, 100, value=40, step=1, label="Utilisation in percent", buttons=[], min_width=220)
        self.plan = gr.HTML(self._plan("FLOPs", "1e18", "100", "A100", 40), elem_id="plan")

    def _lay_out_model(self) -> None:
        sizes = [*SIZES, OWN_SIZE]
        self.size = gr.Dropdown(sizes, value="3B", label="A model: what does it cost?", elem_id="model-size")
        with gr.Row():
            self.shape = [
                gr.Number(value, label=name, precision=0, minimum=1, min_width=80)
                for name, value in zip(("Layers", "Heads", "Width"), SIZES["3B"], strict=True)
            ]
        with gr.Row():
            self.codebook = gr.Dropdown(list(LEVELS), value=65536, label="Codebook", min_width=140)
            self.context = gr.Number(CONTEXT, label="Context", precision=0, minimum=1, min_width=100)
            self.text_width = gr.Dropdown(TEXT_WIDTHS, value=2048, label="Text encoder", min_width=150)
        self.tokens = gr.Textbox("10^7.5", label="Training tokens")
        self.cost = gr.HTML(self._cost(*SIZES["3B"], 65536, CONTEXT, 2048, "10^7.5", "A100", 40), elem_id="cost")

    def _connect(self) -> None:
        self.tokenizer_metric.input(self._draw_tokenizers, self.tokenizer_metric, self.tokenizer_chart, **INSTANT)
        self.generation_metric.input(self._draw_generation, self.generation_metric, self.generation_chart, **INSTANT)
        self.kind.input(
            lambda kind: (gr.Textbox(visible=kind == "FLOPs"), gr.Textbox(visible=kind != "FLOPs")),
            self.kind,
            [self.budget, self.hours],
            **INSTANT,
        )
        budget: list[Any] = [self.kind, self.budget, self.hours, self.gpu, self.share]
        model: list[Any] = [
            *self.shape, self.codebook, self.context, self.text_width, self.tokens, self.gpu, self.share,
        ]  # fmt: skip
        gr.on([field.change for field in budget], self._plan, budget, self.plan, **INSTANT)
        gr.on([field.change for field in model], self._cost, model, self.cost, **INSTANT)
        self.size.input(self._shape_of, self.size, self.shape, **INSTANT)
        gr.on([field.input for field in self.shape], lambda: OWN_SIZE, None, self.size, **INSTANT)

    def _shape_of(self, name: str) -> tuple[Any, ...]:
        with refusing():
            return SIZES.get(checked_choice(name, [*SIZES, OWN_SIZE]), (gr.skip(),) * 3)

    def _draw_tokenizers(self, name: str) -> str:
        with refusing():
            return tokenizer_chart(TOKENIZER_NAMES[checked_choice(name, TOKENIZER_NAMES)], self._measured)

    def _draw_generation(self, name: str) -> str:
        try:
            return generation_chart(GENERATION_NAMES[checked_choice(name, GENERATION_NAMES)], self._cards)
        except ValueError as error:
            return note(reason(error))

    def _plan(self, kind: str, budget: str, hours: str, gpu: str, share: float) -> str:
        try:
            gpu, used = checked_choice(gpu, flops.BF16_TFLOPS), checked_percent(share)
            by_hours = kind == "GPU-hours"
            operations = flops.gpu_flops(gpu, read_number(hours), used) if by_hours else read_number(budget)
            return plan_sheet(plan_budget(operations), gpu, used)
        except ValueError as error:
            return note(reason(error))

    def _cost(
        self, layers: int | None, heads: int | None, width: int | None, codebook: int, context: int | None,
        text_width: int, tokens: str, gpu: str, share: float,
    ) -> str:  # fmt: skip
        try:
            shape = Size(layers or 0, heads or 0, width or 0)
            codebook, text_width = (
                checked_choice(codebook, LEVELS),
                checked_choice(text_width, dict(TEXT_WIDTHS).values()),
            )
            gpu, used = checked_choice(gpu, flops.BF16_TFLOPS), checked_percent(share)
            return model_sheet(shape, codebook, context or 0, text_width, read_number(tokens), gpu, used)
        except ValueError as error:
            return note(reason(error))
