"""What a generation gives: the motion, and everything needed to make it again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scamo.engine import Trace
from scamo.io.recipe import Recipe
from scamo.motion import Motion
from scamo.options import GenerationOptions, Prompt
from scamo.registry import ModelCard


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare
class Generation:
    """A motion and everything needed to make it again.

    prompts: one, or those of a timeline in turn. lengths: tokens of each prompt. options: with the definite seed and
    temperature. tokens: int64 [n]. elapsed: seconds of computing, without what the caller did between two tokens.
    """

    prompts: tuple[Prompt, ...]
    lengths: tuple[int, ...]
    options: GenerationOptions
    tokens: NDArray[np.int64]
    motion: Motion
    card: ModelCard
    trace: Trace
    elapsed: float

    @property
    def recipe(self) -> Recipe:
        """What was asked of which model, and the tokens; it goes into the files of the motion."""
        card = self.card
        return Recipe(
            model=card.name, codebook=card.codebook, size=card.size, prompts=self.prompts, options=self.options,
            tokens=tuple(int(token) for token in self.tokens), model_sha256=card.sha256,
        )  # fmt: skip
