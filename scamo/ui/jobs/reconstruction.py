"""Motions through tokenizers: encoded, decoded, and how far they come back from where they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scamo import registry
from scamo.io.recipe import Recipe
from scamo.metrics import mpjpe
from scamo.motion import FEATURES, Motion
from scamo.options import GenerationOptions, Prompt
from scamo.registry import ModelCard, TokenizerCard
from scamo.tokenizer import MotionTokenizer
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import RecordedMotion

_SCALE_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # metres


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare
class Reconstruction:
    """What one tokenizer makes of a motion. Errors are in metres, with the pelvis on the pelvis.

    errors: float64 [T, 22]. error_over_time: float64 [T]. joint_errors: float64 [22].
    """

    label: str
    card: ModelCard | TokenizerCard
    tokens: NDArray[np.int64]
    motion: Motion
    errors: NDArray[np.float64]
    error_over_time: NDArray[np.float64]
    joint_errors: NDArray[np.float64]

    def recorded(self, words: str) -> RecordedMotion | None:
        """The motion with a recipe, so that files of it can be written; None for a tokenizer without a model."""
        if not isinstance(self.card, ModelCard):
            return None
        seconds = len(self.tokens) / self.card.tokenizer.tokens_per_second
        recipe = Recipe(
            model=self.card.name, codebook=self.card.codebook, size=self.card.size, prompts=(Prompt(words, seconds),),
            tokens=tuple(self.tokens.tolist()), options=GenerationOptions(seed=0, temperature=1.0),
            model_sha256=self.card.sha256,
        )  # fmt: skip
        return RecordedMotion(recipe, self.motion)


def tokenizer_cards(pool: ModelPool) -> dict[str, ModelCard | TokenizerCard]:
    """The tokenizers by label, smallest codebook first: one of every codebook's models, then those without a model.

    "1024" is FSQ and "1024 VQ" is VQ; the folder's name tells a second one apart. KIT-ML's skeleton is left out.
    """
    offered: dict[str, ModelCard | TokenizerCard] = {
        str(codebook): next(iter(row.values())) for codebook, row in pool.by_codebook.items()
    }
    for card in pool.tokenizers:
        label = f"{card.codebook}{' VQ' * (card.quantiser == 'vq')}"
        labels = (label, f"{label} · {card.name}", f"{label} · {card.name} ({len(offered)})")
        offered[next(label for label in labels if label not in offered)] = card
    fitting = ((label, card) for label, card in offered.items() if card.tokenizer.features == FEATURES)
    return dict(sorted(fitting, key=lambda labelled: labelled[1].codebook))


def reconstruct(pool: ModelPool, motion: Motion, codebook: int | str) -> Reconstruction:
    """A motion through the tokenizer with this codebook or label. Raises ValueError that lists what there is."""
    cards, label = tokenizer_cards(pool), str(codebook)
    if label not in cards:
        raise ValueError(f"There is no codebook of {codebook} here; choose {', '.join(cards) or 'none'}.")
    return compare_with_original(label, cards[label], registry.load_tokenizer(cards[label].location), motion)


def compare_with_original(
    label: str, card: ModelCard | TokenizerCard, tokenizer: MotionTokenizer, motion: Motion
) -> Reconstruction:
    """Encode a motion, decode it, and measure. Frames that fill no token are left out of the comparison."""
    check_fps(motion, tokenizer)
    tokens = tokenizer.encode(motion.features)
    decoded = Motion(tokenizer.decode(tokens), motion.fps)
    truth = motion.joints[: len(decoded)]
    difference = (decoded.joints - decoded.joints[:, :1]) - (truth - truth[:, :1])
    errors = np.linalg.norm(difference.astype(np.float64), axis=-1)
    over_time = mpjpe(decoded.joints, truth, reduce=False)
    return Reconstruction(label, card, tokens, decoded, errors, over_time, errors.mean(axis=0))


def scale_end(found: Sequence[Reconstruction]) -> float:
    """Where a scale of these errors ends, metres: a round number above all but the largest twentieth of them."""
    most = float(np.quantile(np.concatenate([one.errors.ravel() for one in found]), 0.95))
    return next((end for end in _SCALE_ENDS if end >= most), _SCALE_ENDS[-1])


def check_fps(motion: Motion, tokenizer: MotionTokenizer) -> None:
    """Raises ValueError where a motion does not run at the tokenizer's frame rate."""
    if motion.fps != tokenizer.config.fps:
        raise ValueError(
            f"This motion has {motion.fps:g} frames a second and the model reads {tokenizer.config.fps:g}; "
            "choose a model of that rate."
        )
