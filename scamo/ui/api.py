"""What programs call: /generate makes a motion, /reconstruct passes one through a tokenizer, /models lists all models.

The same three are the tools of the MCP server, where Gradio's extra for it is installed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import unquote

import gradio as gr
import httpx
from gradio.components.api_component import Api
from gradio_client.utils import is_http_url_like

from scamo.io.read import load_motion
from scamo.io.recipe import recipe
from scamo.io.write import export
from scamo.pipeline import Generation, ModelCard, Prompt, Sampling
from scamo.ui.components import controls as making
from scamo.ui.components.downloads import MAX_TOKENS, stem_of, workspace
from scamo.ui.messages import refusal
from scamo.ui.model_pool import Studio
from scamo.ui.tabs import tokenizers as lab

SECONDS = (1.0, 10.0)
EXAMPLE = "a person walks forward"
BATCH = 16
WAITING = 32  # requests; who comes then is told to come again

_Ask = TypeVar("_Ask")
_Answer = TypeVar("_Answer")


class Batches(Generic[_Ask, _Answer]):
    """A queue in front of something that answers many of a kind in nearly the time of one.

    While one batch is made, requests gather; the next batch takes all those of the first one's kind, `most` at most.
    Nobody waits for a batch to fill: a request that comes alone is made alone, at once.
    """

    def __init__(self, answer: Callable[[Any, Sequence[_Ask]], Sequence[_Answer]], most: int = BATCH) -> None:
        self._answer, self._most = answer, most
        self._waiting: list[tuple[Hashable, _Ask, Future[_Answer]]] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")

    def ask(self, kind: Hashable, request: _Ask) -> Future[_Answer]:
        """The answer to be. ValueError where too many wait already."""
        future: Future[_Answer] = Future()
        with self._lock:
            if len(self._waiting) >= WAITING:
                raise ValueError("This page is busy: too many requests wait already. Try again in a few seconds.")
            self._waiting.append((kind, request, future))
        self._pool.submit(self._next)
        return future

    def _next(self) -> None:
        with self._lock:
            kind = self._waiting[0][0] if self._waiting else None
            taken = [one for one in self._waiting if one[0] == kind][: self._most]
            self._waiting = [one for one in self._waiting if one[2] not in {future for _, _, future in taken}]
        asked = [(request, future) for _, request, future in taken if future.set_running_or_notify_cancel()]
        if not asked:  # a batch before took this one along, or whoever asked has left
            return
        try:
            answers = self._answer(kind, [request for request, _ in asked])
        except Exception as error:
            for _, future in asked:
                future.set_exception(error)
        else:
            for (_, future), answer in zip(asked, answers, strict=True):
                future.set_result(answer)


def generations(studio: Studio, kind: tuple[ModelCard, float], asked: Sequence[tuple[Prompt, int]]) -> list[Generation]:
    """Motions of one model at one temperature, for prompts with their seeds: each what it would be alone."""
    card, temperature = kind
    prompts, seeds = zip(*asked, strict=True)
    return studio.generator(card).generate_batch(prompts, seed=seeds, temperature=temperature)


def endpoints(studio: Studio, batch: int = BATCH) -> None:
    """Register the endpoints in the Blocks being built. Their inputs are never shown.

    batch: how many requests for the same model are made in one pass at most; 1 makes them one after the other.
    """
    batches = Batches[tuple[Prompt, int], Generation](lambda kind, asked: generations(studio, kind, asked), batch)
    drawing = ThreadPoolExecutor(max_workers=2, thread_name_prefix="drawing")
    with gr.Row(visible=False):
        prompt = gr.Textbox(EXAMPLE, label="prompt")
        first = making.first(studio)
        labels = list(dict.fromkeys(label for row in studio.cells.values() for label in row))
        # In MCP's schema a Radio of numbers is one of strings, which fits nothing, and no Number may be null.
        codebook = Api(first[0], {"type": "integer", "enum": list(studio.cells)}, "codebook")  # type: ignore[dict-item]
        size = gr.Radio(labels, value=first[1])
        seconds, seed = Api(4, _or_null("number"), "seconds"), Api(0, _or_null("integer"), "seed")
        temperature = gr.Number(studio.temperature, label="temperature")
        video = gr.Checkbox(True, label="video")
        picture, features, joints = gr.Video(label="video"), gr.File(label="features"), gr.File(label="joints")
        made, cards, report = gr.JSON(label="recipe"), Api(None, {}, "models"), gr.JSON(label="report")
        motion = _reads_own(gr.File(label="motion", file_types=[".npy", ".npz", ".bvh"]))
        button = gr.Button()

    async def generate(
        prompt: str, codebook: int, size: str, seconds: float | None, seed: int | None, temperature: float, video: bool
    ) -> tuple[str | None, str, str, dict[str, Any]]:
        """Make a human motion from an English sentence that says what a person does.

        Args:
            prompt: What the person does, for example "an old man walks forward, then bows".
            codebook: Size of the codebook, as `models` lists it: how many kinds of token a motion is made of.
            size: Size of the transformer, as `models` lists it for this codebook.
            seconds: Length of the motion, 1 to 10 seconds; null lets the model decide.
            seed: The same seed gives the same motion again; 0 if not given, null draws one.
            temperature: 0 always takes the likeliest token, 1 draws as the model says.
            video: Whether to draw it; false is faster and gives null in the video's place.

        Returns:
            the video (mp4)
            HumanML3D features (npy, float32 [frames, 263], 20 frames a second)
            joints (npy, float32 [frames, 22, 3], metres, Y up)
            the recipe, with model, seed and tokens
        """
        try:
            card, asked = studio.card(_whole("codebook", codebook), size), Prompt(prompt, _length(seconds))
            options = Sampling(None if seed is None else _whole("seed", seed), temperature).resolved()
            waiting = batches.ask((card, options.temperature), (asked, options.seed or 0))
            one = await asyncio.wrap_future(waiting)
            told = recipe(card, [one.prompt], one.sampling, one.tokens)
            files = drawing.submit(export, one.motion, "npy,mp4" if video else "npy", workspace(), stem_of(told), told)
            paths = [str(path) for path in await asyncio.wrap_future(files)]
        except (ValueError, OverflowError, OSError) as error:
            raise refusal(error) from error
        return paths[2] if video else None, paths[0], paths[1], told

    def reconstruct(motion: str, codebook: int) -> tuple[dict[str, Any], str, str]:
        """Turn a motion into the tokens of a codebook and back, and tell how far it comes back from where it was.

        Args:
            motion: A minute at most of features or joints (npy, 20 frames a second), SMPL parameters (npz) or BVH.
            codebook: Size of the codebook, as `models` lists it.

        Returns:
            a report: codebook, tokens, frames, fps, seconds, and mpjpe_mm, the joints' mean distance, pelvis on pelvis
            HumanML3D features as they came back (npy, float32 [frames, 263])
            joints as they came back (npy, float32 [frames, 22, 3], metres, Y up)
        """
        try:
            if motion is None:
                raise ValueError("There is no motion; give a file.")
            there = load_motion(motion)
            if len(there) > 4 * MAX_TOKENS:
                raise ValueError(f"This motion lasts {there.seconds:.0f} seconds; give a minute at most.")
            one = lab.reconstructed(studio, there, _whole("codebook", codebook))
            features, joints = export(one.motion, "npy", workspace(), f"{Path(motion).stem}-{codebook}")
        except (ValueError, OSError) as error:
            raise refusal(error) from error
        told = {
            "codebook": one.card.codebook, "tokens": one.tokens.tolist(), "frames": len(one.motion),
            "fps": one.motion.fps, "seconds": one.motion.seconds, "mpjpe_mm": 1000 * float(one.over_time.mean()),
        }  # fmt: skip
        return told, str(features), str(joints)

    def models() -> list[dict[str, Any]]:
        """List the models that `generate` can use and the codebooks that `reconstruct` can use.

        Returns:
            for each model: codebook, size, name, licence, what it knows, bytes on disk and memory_bytes
        """
        return [
            {"codebook": codebook, "size": size, "name": card.name, "licence": card.licence, "knows": card.knows}
            | {"bytes": card.disk_bytes, "memory_bytes": card.memory_bytes}
            for codebook, row in studio.cells.items()
            for size, card in row.items()
        ]

    # Batches bounds what waits and what runs, so that programs take no place in the queue from people on the page.
    button.click(
        generate, [prompt, codebook, size, seconds, seed, temperature, video], [picture, features, joints, made],
        api_name="generate", concurrency_limit=None,
    )  # fmt: skip
    button.click(reconstruct, [motion, codebook], [report, features, joints], api_name="reconstruct")
    button.click(models, None, cards, api_name="models", queue=False)


def _reads_own(file: gr.File) -> gr.File:
    """Let it take the URLs of files on this page, such as what /generate made: Gradio fetches none from private
    addresses, and an MCP client has nothing but URLs to give."""
    component: Any = file  # whose method cannot be overridden in a subclass: Gradio writes a file beside those
    fetch = component.async_move_resource_to_block_cache

    async def move(place: Any) -> str | None:
        _, own, name = str(place).partition("/gradio_api/file=")
        path = Path(unquote(name)).resolve()
        if own and path.is_file() and path.is_relative_to(Path(component.GRADIO_CACHE).resolve()):
            place = str(path)
        try:
            return await fetch(place)
        except (ValueError, OSError, httpx.HTTPError) as error:
            if not is_http_url_like(str(place)):
                raise
            words = f"{place} cannot be fetched from here; give a public address, or upload the file first."
            raise refusal(ValueError(words)) from error

    component.async_move_resource_to_block_cache = move
    return file


def _or_null(kind: str) -> Any:
    return {"anyOf": [{"type": kind}, {"type": "null"}]}


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, (int, float)) or value != value // 1:
        raise ValueError(f"The {name} is {value!r}; give a whole number.")
    return int(value)


def _length(seconds: Any) -> float | None:
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)):
        raise ValueError(f"{seconds!r} is no number of seconds; give one of {SECONDS[0]:g} to {SECONDS[1]:g}.")
    if not SECONDS[0] <= seconds <= SECONDS[1]:
        raise ValueError(f"{seconds:g} seconds are not offered here; choose {SECONDS[0]:g} to {SECONDS[1]:g}.")
    return seconds
