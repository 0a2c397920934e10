"""The endpoints: /generate makes a motion, /reconstruct passes one through a tokenizer, /export writes one in another
format, /models lists all models.

The same four are the tools of the MCP server, where Gradio's extra for it is installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
import httpx
from gradio.components.api_component import Api
from gradio_client.utils import is_http_url_like

from scamo.io.read import READABLE, Recording, read_motion
from scamo.io.read_options import ReadOptions
from scamo.io.upright import AXES, UNITS
from scamo.io.write import export
from scamo.io.write_options import RIG_NAMES, UNIT_NAMES, WriteOptions
from scamo.options import MAX_SECONDS, GenerationOptions, Prompt
from scamo.pipeline import Generation
from scamo.registry import ModelCard
from scamo.ui.jobs.batch_queue import MAX_BATCH, BatchQueue
from scamo.ui.jobs.reconstruction import reconstruct
from scamo.ui.limits import checked_seconds
from scamo.ui.messages import refusing
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import VIDEO_PIXELS, new_folder

EXAMPLE = "a person walks forward"
EXPORTS = ("bvh", "glb", "fbx", "vrma", "npz", "npy", "csv")  # pictures are drawn by /generate

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
        reading, writing = _reading_fields(), _writing_fields()
        formats = Api("glb", {"type": "string", "enum": [*EXPORTS]}, "format")  # type: ignore[dict-item]
        files, notes = gr.File(file_count="multiple", label="files"), Api(None, {}, "notes")
        button = gr.Button()

    # The batch queue bounds what waits and what runs, so that programs take no place in the queue of the page's users.
    button.click(
        endpoints.generate, list(fields.values()), [video, features, joints, recipe], api_name="generate",
        concurrency_limit=None,
    )  # fmt: skip
    button.click(
        endpoints.reconstruct, [motion, fields["codebook"], *reading], [report, features, joints],
        api_name="reconstruct",
    )  # fmt: skip
    button.click(
        endpoints.export, [motion, formats, *writing, *reading], [files, notes], api_name="export",
        concurrency_id="files",
    )  # fmt: skip
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
            card = self._card(_whole("codebook", codebook), size)
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
            write = partial(export, generation.motion, formats, new_folder(), recipe.file_stem, facts)
            files = self._drawing.submit(partial(write, size=VIDEO_PIXELS) if video else write)
            paths = [str(path) for path in await asyncio.wrap_future(files)]
        return paths[2] if video else None, paths[0], paths[1], facts

    def reconstruct(
        self,
        motion: str,
        codebook: int,
        up: str | None = None,
        source_fps: float | None = None,
        source_unit: str | None = None,
        joints: dict[str, str] | str | None = None,
    ) -> tuple[dict[str, Any], str, str]:
        """Turn a motion into the tokens of a codebook and back, and tell how far it comes back from where it was.

        Args:
            motion: A minute at most of features or joints (npy, 20 frames a second), SMPL parameters (npz), BVH or GLB.
            codebook: Size of the codebook, as `models` lists it.
            up: The axis of the file that points up, such as "z", or "-y" where Y points down; null finds it.
            source_fps: Frames a second of the file, if it says none or a wrong one; null takes the file's.
            source_unit: What one unit of the file is: "m", "cm", "mm" or "inch"; null finds it.
            joints: For a rig that is not known, our joint names with the file's: {"left_hip": "LThigh"}; null finds it.

        Returns:
            a report: codebook, tokens, frames, fps, seconds, mpjpe_mm (joints' mean distance, pelvis on pelvis), notes
            HumanML3D features as they came back (npy, float32 [frames, 263])
            joints as they came back (npy, float32 [frames, 22, 3], metres, Y up)
        """
        with refusing(to_program=True):
            original, notes = _read(motion, ReadOptions.of_fields(up, source_fps, source_unit, joints))
            found = reconstruct(self._pool, original, _whole("codebook", codebook))
            features, places = export(found.motion, "npy", new_folder(), f"{Path(motion).stem}-{codebook}")
        report = {
            "codebook": found.card.codebook, "tokens": found.tokens.tolist(), "frames": len(found.motion),
            "fps": found.motion.fps, "seconds": found.motion.seconds,
            "mpjpe_mm": 1000 * float(found.error_over_time.mean()), "notes": list(notes),
        }  # fmt: skip
        return report, str(features), str(places)

    def _card(self, codebook: int | None, size: str | None) -> ModelCard:
        """The model that is asked for; where only a codebook was given, the largest one of it."""
        row = self._pool.by_codebook.get(codebook or 0, {})
        if row and size in (None, self._pool.default_key[1]) and size not in row:
            size = next(reversed(row))
        return self._pool.card(codebook, size)

    def export(
        self,
        motion: str,
        format: str,
        rig: str | None = None,
        unit: str | None = None,
        fps: float | None = None,
        exact: bool = False,
        in_place: bool = False,
        loop: bool = False,
        up: str | None = None,
        source_fps: float | None = None,
        source_unit: str | None = None,
        joints: dict[str, str] | str | None = None,
    ) -> tuple[list[str], list[str]]:
        """Write a motion as a file for another program: BVH, GLB, FBX, VRMA, SMPL parameters, joints or a table.

        Args:
            motion: A minute at most of a motion in any file that `reconstruct` takes.
            format: "bvh", "glb", "fbx", "vrma", "npz", "npy" (features and joints) or "csv".
            rig: Joint names and rest pose of bvh, glb and fbx; null takes HumanML3D's.
            unit: What one unit of bvh and fbx is, "m" or "cm"; null takes what the rig's programs expect.
            fps: Frames a second of bvh, glb, fbx and vrma; null takes the motion's.
            exact: Whether a bvh keeps every joint where it is, with bones that change their length.
            in_place: Whether the figure stays on its spot, for game engines.
            loop: Whether it is cut and blended, so that it repeats without a seam.
            up: The axis of the source that points up, such as "z", or "-y" where Y points down; null finds it.
            source_fps: Frames a second of the source, if it says none or a wrong one; null takes the file's.
            source_unit: What one unit of the source is: "m", "cm", "mm" or "inch"; null finds it.
            joints: For a rig that is not known, our joint names with the file's: {"left_hip": "LThigh"}; null finds it.

        Returns:
            the files, one or for npy two
            notes: what was assumed of the source
        """
        with refusing(to_program=True):
            writing = {"rig": rig, "unit": unit, "fps": fps, "exact": exact, "in_place": in_place, "loop": loop}
            options = WriteOptions.of_fields(writing)
            if format not in EXPORTS:
                raise ValueError(f"There is no format {format!r} here; choose from {', '.join(EXPORTS)}.")
            original, notes = _read(motion, ReadOptions.of_fields(up, source_fps, source_unit, joints))
            paths = export(original, format, new_folder(), Path(motion).stem, **options.given())
        return [str(path) for path in paths], list(notes)

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


def _or_null(kind: str, choices: Sequence[str] = ()) -> Any:
    return {"anyOf": [{"type": kind} | ({"enum": [*choices]} if choices else {}), {"type": "null"}]}


def _reading_fields() -> list[Api]:
    """What a motion file does not say of itself."""
    names = {"anyOf": [{"type": "object", "additionalProperties": {"type": "string"}}, {"type": "string"},
                       {"type": "null"}]}  # fmt: skip
    return [
        Api(None, _or_null("string", AXES), "up"), Api(None, _or_null("number"), "source_fps"),
        Api(None, _or_null("string", [*UNITS]), "source_unit"), Api(None, names, "joints"),  # type: ignore[arg-type]
    ]  # fmt: skip


def _writing_fields() -> list[Any]:
    """The options of a file that is written."""
    return [
        Api(None, _or_null("string", RIG_NAMES), "rig"), Api(None, _or_null("string", UNIT_NAMES), "unit"),
        Api(None, _or_null("number"), "fps"),
        *(Api(False, {"type": "boolean"}, name) for name in ("exact", "in_place", "loop")),
    ]  # fmt: skip


def _read(path: str | None, options: ReadOptions) -> Recording:
    """A motion that somebody sent: a minute at most."""
    if path is None:
        raise ValueError("There is no motion; give a file.")
    found = read_motion(path, **options.given)
    if found.motion.seconds > MAX_SECONDS:
        raise ValueError(f"This motion lasts {found.motion.seconds:.0f} seconds; give a minute at most.")
    return found


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
