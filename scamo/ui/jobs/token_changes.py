"""Motions as tokens: how sure the model was of each, and the same motion with another token in one place."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from scamo.io.recipe import Recipe
from scamo.options import MAX_SECONDS, Prompt
from scamo.pipeline import Generation, MotionPipeline
from scamo.stream import Step, Stream


@dataclass(frozen=True, eq=False)  # a Generation holds arrays
class TokenChange:
    """A motion, and the one before a change of one token; None where nothing was changed."""

    now: Generation
    before: Generation | None = None


def replace_token(
    pipeline: MotionPipeline, now: Generation, place: int, token: int, branch: bool
) -> Generator[Step[TokenChange], None, None]:
    """Put another token into one place: the others stay, or with `branch` all after it are sampled again.

    The seed stays too, so a branch differs only by that choice and what follows from it. Raises ValueError for a place
    that the motion does not have.
    """
    tokens = now.tokens.tolist()
    if not 0 <= place < len(tokens):
        raise ValueError(f"This motion has {len(tokens)} tokens; click one of them.")
    start = [*tokens[:place], token, *([] if branch else tokens[place + 1 :])]
    with closing(_stream(pipeline, now.recipe, start)) as stream:
        for step in stream:
            yield Step(step.count, step.total, TokenChange(step.result, now) if step.result else None)


def trace_recipe(pipeline: MotionPipeline, recipe: Recipe) -> Generation:
    """The motion of a recipe, and how likely its tokens are to the model; nothing is sampled."""
    return _stream(pipeline, recipe, recipe.tokens).finish()


def _stream(pipeline: MotionPipeline, recipe: Recipe, start: list[int] | tuple[int, ...]) -> Stream[Generation]:
    """A motion as long as the recipe's, with its prompt and options, from these tokens on."""
    seconds = pipeline.tokenizer.config.seconds_of(len(recipe.tokens))
    prompt = Prompt(recipe.prompt, min(seconds, MAX_SECONDS))
    return pipeline.stream(prompt, recipe.options, start=np.array(start, dtype=np.int64))
