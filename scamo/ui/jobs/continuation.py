"""Motions that go on: prompts that follow each other, a kept beginning with another end, an opened file."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from scamo.configs import TokenizerConfig
from scamo.io.read import read_motion
from scamo.io.read_options import ReadOptions
from scamo.io.recipe import PICTURES, Recipe, read_recipe
from scamo.motion import Motion
from scamo.options import MAX_SECONDS, GenerationOptions, Prompt
from scamo.pipeline import Generation, MotionPipeline
from scamo.stream import Step
from scamo.ui.jobs.reconstruction import check_fps
from scamo.ui.limits import checked_seconds
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import RecordedMotion, decode_recipe

_OWN_MOTION = "a motion of your own"


def read_parts(parts: Sequence[tuple[str | None, float]]) -> list[Prompt]:
    """The parts that hold words. Raises ValueError where none does or a length is not offered."""
    prompts = [Prompt(text, checked_seconds(seconds)) for text, seconds in parts if text and text.strip()]
    if not prompts:
        raise ValueError("The timeline is empty; say what happens first.")
    return prompts


def continue_motion(
    pipeline: MotionPipeline, before: Recipe, keep: float, prompt: Prompt, options: GenerationOptions
) -> Generator[Step[RecordedMotion], None, None]:
    """Keep the first `keep` seconds of a motion and go on with a prompt for its seconds.

    The model sees the last `options.context` seconds of what is kept. If the prompt is the motion's own, it sees all of
    it, as a generation without a cut would. Raises ValueError where the motion would last longer than a minute.
    """
    codec = pipeline.tokenizer.config
    kept = before.tokens[: codec.tokens_in(keep)] if keep > 0 else ()
    new = codec.tokens_in(prompt.seconds or 0)
    if len(kept) + new > codec.tokens_in(MAX_SECONDS):
        raise ValueError(f"That makes more than {MAX_SECONDS:g} seconds; keep less of it.")
    same = before.prompt == prompt.text and len(kept) + new <= options.max_tokens
    context = len(kept) if same else min(len(kept), codec.tokens_in(options.context, least=0))
    apart = len(kept) - context  # tokens that the model does not see
    seconds = min(codec.seconds_of(context + new), MAX_SECONDS)
    stream = pipeline.stream(prompt, options, seconds=seconds, start=np.array(kept[apart:], dtype=np.int64))
    prompts = (*_first_parts(before, codec.seconds_of(len(kept)), codec), prompt)
    with closing(stream):
        for step in stream:
            result = None if step.result is None else _joined(pipeline, kept[:apart], step.result, prompts)
            yield Step(step.count, step.total, result)


def open_motion(
    pool: ModelPool, path: str, codebook: int | None, size: str | None, reading: ReadOptions | None = None
) -> RecordedMotion:
    """A file as something to go on from: a recipe's own motion, or any other as tokens of the chosen model.

    reading: what the file does not say of itself; a file with a recipe needs nothing.
    """
    if path.lower().endswith((*PICTURES, ".json")) or _holds_recipe(path):
        return decode_recipe(pool, read_recipe(path))
    card = pool.card(codebook, size)
    pipeline = pool.pipeline(card)
    codec = pipeline.tokenizer.config
    motion, notes = read_motion(path, **(reading or ReadOptions()).given)
    check_fps(motion, pipeline.tokenizer)
    tokens = pipeline.tokenizer.encode(motion.features[: codec.tokens_in(MAX_SECONDS) * codec.frames_per_token])
    recipe = Recipe(
        model=card.name, codebook=card.codebook, size=card.size, tokens=tuple(tokens.tolist()),
        prompts=(Prompt(_OWN_MOTION, codec.seconds_of(len(tokens))),),
        options=GenerationOptions(seed=0, temperature=1.0), model_sha256=card.sha256,
    )  # fmt: skip
    return replace(decode_recipe(pool, recipe), notes=notes)


def _holds_recipe(path: str) -> bool:
    """Whether a .glb was made here; others are motions of other programs."""
    if not path.lower().endswith(".glb"):
        return False
    try:
        read_recipe(path)
    except ValueError:
        return False
    return True


def story(recipe: Recipe, codec: TokenizerConfig) -> str:
    """What happens when, in one line."""
    seconds = codec.seconds_of(len(recipe.tokens))
    parts = [f"{part.text} ({part.seconds:.1f} s)" for part in _first_parts(recipe, seconds, codec)]
    return f"{seconds:.1f} s: {', then '.join(parts)}."


def _joined(
    pipeline: MotionPipeline, apart: Sequence[int], generation: Generation, prompts: tuple[Prompt, ...]
) -> RecordedMotion:
    """What the model did not see and what it made, as one motion."""
    recipe, motion = replace(generation.recipe, prompts=prompts), generation.motion
    if apart:
        recipe = replace(recipe, tokens=(*apart, *recipe.tokens))
        motion = Motion(pipeline.tokenizer.decode(np.array(recipe.tokens)), pipeline.fps)
    return RecordedMotion(recipe, motion)


def _first_parts(recipe: Recipe, seconds: float, codec: TokenizerConfig) -> list[Prompt]:
    """The prompts behind the first seconds of a motion, each with its length."""
    parts: list[Prompt] = []
    for prompt in recipe.prompts:
        length = min(prompt.seconds or seconds, seconds)
        if length * codec.tokens_per_second < 0.5:  # too short for a token
            break
        parts.append(Prompt(prompt.text or "a motion", length))
        seconds -= length
    return parts
