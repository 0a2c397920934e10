"""The endpoints: /generate makes a motion, /reconstruct passes one through a tokenizer, /models lists all models.

The same three are the tools of the MCP server, where Gradio's extra for it is installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
import httpx
from gradio.components.api_component import Api
from gradio_client.utils import is_http_url_like

from scamo.io.read import READABLE, load_motion
from scamo.io.write import export
from scamo.options import MAX_SECONDS, GenerationOptions, Prompt
from scamo.pipeline import Generation
from scamo.registry import ModelCard
from scamo.ui.jobs.batch_queue import MAX_BATCH, BatchQueue
from scamo.ui.jobs.reconstruction import reconstruct
from scamo.ui.limits import checked_seconds
from scamo.ui.messages import refusing
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import new_folder

EXAMPLE = "a person walks forward"

Kind = tuple[ModelCard, GenerationOptions]  # options without seed and length
Request = tuple[Prompt, int]  # with the seed


def generate_together(pool: ModelPool, kind: Kind, requests: Sequence[Request]) -> list[Generation]:
    """Motions of one model with the same options, for prompts with their seeds: each is what it would be alone."""
    card, options = kind
    prompts, seeds = zip(*requests, strict=True)
    return pool.pipeline(card).generate_batch(prompts, options, seeds=seeds)


def add_endpoints(pool: ModelPool, batch: int = MAX_BATCH) -> None:
    """Register the endpoints in the Blocks being built. Their fields are never shown.

    batch: how many requests for one model are computed in one pass at most; 1 computes them one after the other.
    """
    endpoints = Endpoints(pool, batch)
    codebook, size = pool.default_key
    labels = list(dict.fromkeys(label for row in pool.by_codebook.values() for label in row))
    with gr.Row(visible=False):
        # A Textbox turns anything into text, and null too; in MCP's schema a Radio of numbers is one of strings, which
        # fits nothing; and no Number may be null. Api leaves values as they are.
        fields = {
            "prompt": Api(EXAMPLE, {"type": "string"}, "prompt"),
            "codebook": Api(codebook, {"type": "integer", "enum": list(pool.by_codebook)}, "codebook"),  # type: ignore[dict-item]
            "size": gr.Radio(labels, value=size, label="size"),
            "seconds": Api(4, _or_null("number"), "seconds"),
            "seed": Api(0, _or_null("integer"), "seed"),
            "temperature": gr.Number(pool.default_temperature, label="temperature"),
            "video": gr.Checkbox(True, label="video"),
        }
        video, features, joints = gr.Video(label="video"), gr.File(label="features"), gr.File(label="joints")
        recipe, cards, report = gr.JSON(label="recipe"), Api(None, {}, "models"), gr.JSON(label="report")
        motion = _with_own_urls(gr.File(label="motion", file_types=list(READABLE)))
        button = gr.Button()

    # The batch queue bounds what waits and what runs, so that programs take no place in the queue of the page's users.
    button.click(
        endpoints.generate, list(fields.values()), [video, features, joints, recipe], api_name="generate",
        concurrency_limit=None,
    )  # fmt: skip
    button.click(
        endpoints.reconstruct, [motion, fields["codebook"]], [report, features, joints], api_name="reconstruct"
    )
    button.click(endpoints.models, None, cards, api_name="models", queue=False)


class Endpoints:
    """What the endpoints do. Their docstrings are the descriptions that MCP clients read."""

    def __init__(self, pool: ModelPool, batch: int = MAX_BATCH) -> None:
        self._pool = pool
        self._queue = BatchQueue[Request, Generation](
            lambda kind, requests: generate_together(pool, kind, requests), batch
        )
        self._drawing = ThreadPoolExecutor(max_workers=2, thread_name_prefix="drawing")

    async def generate(
        self,
        prompt: str,
        codebook: int,
        size: str,
        seconds: float | None,
        seed: int | None,
        temperature: float,
        video: bool,
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
            the recipe, with model, seed and tokens, and notes where the prompt is not read or kept as it stands
        """
        with refusing(to_program=True):
            card = self._pool.card(_whole("codebook", codebook), size)
            options = GenerationOptions(
                seconds=None if seconds is None else checked_seconds(seconds),
                seed=None if seed is None else _whole("seed", seed),
                temperature=temperature,
            ).resolved(card.sampling)
            request = (Prompt(_text(prompt), options.seconds), options.seed or 0)
            kind = (card, replace(options, seconds=None, seed=None))
            generation = await asyncio.wrap_future(self._queue.submit(kind, request))
            recipe, formats = generation.recipe, "npy,mp4" if video else "npy"
            facts = recipe.to_dict()
            files = self._drawing.submit(export, generation.motion, formats, new_folder(), recipe.file_stem, facts)
            paths = [str(path) for path in await asyncio.wrap_future(files)]
        return paths[2] if video else None, paths[0], paths[1], facts

    def reconstruct(self, motion: str, codebook: int) -> tuple[dict[str, Any], str, str]:
        """Turn a motion into the tokens of a codebook and back, and tell how far it comes back from where it was.

        Args:
            motion: A minute at most of features or joints (npy, 20 frames a second), SMPL parameters (npz) or BVH.
            codebook: Size of the codebook, as `models` lists it.

        Returns:
            a report: codebook, tokens, frames, fps, seconds, and mpjpe_mm, the joints' mean distance, pelvis on pelvis
            HumanML3D features as they came back (npy, float32 [frames, 263])
            joints as they came back (npy, float32 [frames, 22, 3], metres, Y up)
        """
        with refusing(to_program=True):
            if motion is None:
                raise ValueError("There is no motion; give a file.")
            original = load_motion(motion)
            if original.seconds > MAX_SECONDS:
                raise ValueError(f"This motion lasts {original.seconds:.0f} seconds; give a minute at most.")
            found = reconstruct(self._pool, original, _whole("codebook", codebook))
            features, joints = export(found.motion, "npy", new_folder(), f"{Path(motion).stem}-{codebook}")
        report = {
            "codebook": found.card.codebook, "tokens": found.tokens.tolist(), "frames": len(found.motion),
            "fps": found.motion.fps, "seconds": found.motion.seconds,
            "mpjpe_mm": 1000 * float(found.error_over_time.mean()),
        }  # fmt: skip
        return report, str(features), str(joints)

    async def models(self) -> list[dict[str, Any]]:
        """List the models that `generate` can use and the codebooks that `reconstruct` can use.

        Returns:
            for each model: codebook, size, name, licence, what it knows, bytes on disk and memory_bytes
        """
        return [
            {"codebook": codebook, "size": size, "name": card.name, "licence": card.licence, "knows": card.knows}
            | {"bytes": card.disk_bytes, "memory_bytes": card.memory_bytes}
            for codebook, row in self._pool.by_codebook.items()
            for size, card in row.items()
        ]


def _or_null(kind: str) -> Any:
    return {"anyOf": [{"type": kind}, {"type": "null"}]}


def _text(prompt: Any) -> str:
    if not isinstance(prompt, str):
        raise ValueError(f'The prompt is no text; give one sentence, e.g. "{EXAMPLE}".')
    return prompt


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise ValueError(f"The {name} is {value!r}; give a whole number.")
    return int(value)


def _with_own_urls(file: gr.File) -> gr.File:
    """Let a field take the URLs of files on this page, such as those of /generate.

    Gradio fetches nothing from private addresses, and an MCP client can give nothing but URLs.
    """
    component: Any = file  # not a subclass: Gradio writes a file beside every module that holds one
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
            raise gr.Error(words, print_exception=False) from error

    component.async_move_resource_to_block_cache = move
    return file
