"""The tab "Tokenizer lab": one motion through every codebook there is, and what each makes of it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scamo import registry
from scamo.io.read import load_motion
from scamo.io.recipe import recipe
from scamo.metrics import mpjpe
from scamo.motion import FEATURES, Motion
from scamo.pipeline import ModelCard, Prompt, Sampling
from scamo.registry import TokenizerCard
from scamo.skeleton import JOINTS
from scamo.tokenizer import MotionTokenizer
from scamo.ui.components import controls as making
from scamo.ui.components.downloads import downloads
from scamo.ui.messages import note, refusal
from scamo.ui.model_pool import Studio

MAX_FRAMES = 400  # twenty seconds, what a page can draw while somebody waits
EXAMPLE = Prompt("a person walks forward", 5.0)


@dataclass(frozen=True, eq=False)
class Echo:
    """What one tokenizer makes of a motion. over_time [T] and joints [22]: error in metres, pelvis on pelvis."""

    label: str
    card: ModelCard | TokenizerCard
    tokens: NDArray[np.int64]
    motion: Motion
    over_time: NDArray[np.float64]
    joints: NDArray[np.float64]


def codecs(studio: Studio) -> dict[str, ModelCard | TokenizerCard]:
    """The tokenizers by label, smallest codebook first: one of every codebook's models, then those without a model.

    "1024" is FSQ and "1024 VQ" is VQ; the folder's name tells a second one apart. KIT-ML's skeleton is left out.
    """
    offered: dict[str, ModelCard | TokenizerCard] = {
        str(codebook): next(iter(row.values())) for codebook, row in studio.cells.items()
    }
    for lone in studio.tokenizers:
        label = f"{lone.codebook}{' VQ' * (lone.quantiser == 'vq')}"
        names = (label, f"{label} · {lone.name}", f"{label} · {lone.name} ({len(offered)})")
        offered[next(name for name in names if name not in offered)] = lone
    fitting = ((label, card) for label, card in offered.items() if card.tokenizer.features == FEATURES)
    return dict(sorted(fitting, key=lambda one: one[1].codebook))


def echo(label: str, card: ModelCard | TokenizerCard, tokenizer: MotionTokenizer, motion: Motion) -> Echo:
    """Encode a motion and decode it again. The frames that fill no token are left out of the comparison."""
    tokens = tokenizer.encode(motion.features)
    back = Motion(tokenizer.decode(tokens), motion.fps)
    truth = motion.joints[: len(back)]
    aligned = (back.joints - back.joints[:, :1]) - (truth - truth[:, :1])
    joints = np.linalg.norm(aligned.astype(np.float64), axis=-1).mean(axis=0)
    return Echo(label, card, tokens, back, mpjpe(back.joints, truth, reduce=False), joints)


def reconstructed(studio: Studio, motion: Motion, codebook: int | str) -> Echo:
    """The echo of a tokenizer, by its codebook or its label. ValueError names what there is instead."""
    cards, label = codecs(studio), str(codebook)
    if label not in cards:
        raise ValueError(f"There is no codebook of {codebook} here; choose {', '.join(cards) or 'none'}.")
    return echo(label, cards[label], registry.load_tokenizer(cards[label].location), motion)


def example(studio: Studio) -> Motion:
    """A motion to begin with, made by the largest model of the largest codebook: no captured one is in the package."""
    if not studio.cards:
        raise ValueError("No model was found on this machine; start the page with --models and a folder.")
    return studio.generator(studio.cards[-1]).generate(EXAMPLE, seed=0).motion


def table(echoes: Sequence[Echo]) -> str:
    """Tokens used, mean error and the error of every joint, a column for each codebook; HTML."""
    head = "".join(f"<th>{html.escape(one.label)}</th>" for one in echoes)
    rows = [
        ("Tokens", [str(len(one.tokens)) for one in echoes]),
        ("Different ones", [str(len(set(one.tokens.tolist()))) for one in echoes]),
        ("Mean error, mm", [f"{1000 * one.over_time.mean():.0f}" for one in echoes]),
        ("Worst moment, mm", [f"{1000 * one.over_time.max():.0f}" for one in echoes]),
    ]
    rows += [
        (name.replace("_", " "), [f"{1000 * one.joints[joint]:.0f}" for one in echoes])
        for joint, name in enumerate(JOINTS)
        if joint  # the pelvis lies on the pelvis
    ]
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
        for name, values in rows
    )
    return (
        f'<div class="sheet"><table><thead><tr><th>Codebook</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def curves(echoes: Sequence[Echo]) -> pd.DataFrame:
    """The error over time in millimetres, one row for a frame of a codebook."""
    parts = [
        pd.DataFrame(
            {
                "seconds": np.arange(len(one.over_time)) / one.motion.fps,
                "error in mm": 1000 * one.over_time,
                "codebook": one.label,
            }
        )
        for one in echoes
    ]
    return pd.concat(parts)


def tab(studio: Studio) -> None:
    """Lay out the tab inside the Blocks being built."""
    made = gr.State({})  # label -> recipe of its echo
    held = gr.State(None)
    with gr.Row(elem_classes="bench", equal_height=False):
        with gr.Column(scale=0, min_width=320, elem_classes="tools"):
            file = gr.File(label="Drop a motion (npy, npz, BVH)", height=160)
            try_one = gr.Button("Use an example", size="sm", elem_id="example")
            offered = list(codecs(studio))
            chosen = gr.CheckboxGroup(offered, value=offered[-5:], label="Codebooks")
        with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
            status = gr.HTML(note("A motion becomes tokens and comes back: the larger the codebook, the closer."))
            video = gr.Video(
                interactive=False, show_label=False, autoplay=True, loop=True, buttons=[], elem_classes="film"
            )
            plot = gr.LinePlot(  # the kind of its axes is taken from the first values it gets
                x="seconds", y="error in mm", color="codebook", title="Error over time", height=240, show_label=False,
                buttons=[], visible=False,
            )  # fmt: skip
            sheet = gr.HTML()
            which = gr.Radio([], label="Take the motion of this codebook with you", visible=False)
            files = downloads(studio, held)

    def show(motion: Motion, name: str, chosen: list[str]) -> tuple[Any, ...]:
        if not chosen:
            raise ValueError("No codebook is chosen; tick at least one.")
        motion = Motion(motion.features[:MAX_FRAMES], motion.fps)
        ordered = sorted(chosen, key=list(codecs(studio)).index)  # they come as they were ticked
        echoes = [reconstructed(studio, motion, label) for label in ordered]
        prompt = Prompt(name, len(echoes[0].tokens) / 5)
        recipes = {
            one.label: recipe(one.card, [prompt], Sampling(0), one.tokens)
            for one in echoes
            if isinstance(one.card, ModelCard)  # files are written from a recipe, which names a model
        }
        figures = {"as it was": motion, **{one.label: one.motion for one in echoes}}
        last = next(reversed(recipes), "")
        return (
            note(f"{name}: {motion.seconds:.1f} s, as it was and as {len(echoes)} codebooks give it back."),
            making.film(figures, recipes.get(last, {})), gr.LinePlot(curves(echoes), visible=True),
            table(echoes), recipes, gr.Radio(list(recipes), value=last or None, visible=bool(last) and len(echoes) > 1),
            recipes.get(last), gr.HTML(visible=bool(last)),
        )  # fmt: skip

    def from_file(path: str, chosen: list[str]) -> tuple[Any, ...]:
        try:
            return show(load_motion(path), "Your motion", chosen)
        except (ValueError, OSError) as error:
            raise refusal(error) from error

    def from_example(chosen: list[str]) -> tuple[Any, ...]:
        try:
            return show(example(studio), "An example made here", chosen)
        except (ValueError, OSError) as error:
            raise refusal(error) from error

    outputs = [status, video, plot, sheet, made, which, held, files]
    busy: dict[str, Any] = {**making.QUIET, "concurrency_id": "motion", "show_progress": "minimal"}
    file.upload(from_file, [file, chosen], outputs, **busy)
    try_one.click(from_example, chosen, outputs, **busy)
    which.input(lambda made, book: made.get(book), [made, which], held, queue=False, **making.QUIET)
