"""What is measured, as pure functions on arrays.

Motions are joints [T, J, 3] in metres, Y up, at 20 fps; embeddings are [n, d] of one evaluator. Nothing here imports a
model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def mpjpe(guess: Array, truth: Array, aligned: bool = True, reduce: bool = True) -> Any:
    """Mean per-joint position error in metres (appendix Tab. 3).

    guess, truth: joints [T, J, 3]. ``aligned`` moves both pelvises to the origin at every frame. ``reduce=False`` gives
    the error of every frame, [T].
    """
    if guess.shape != truth.shape:
        raise ValueError(
            f"Motions of shapes {guess.shape} and {truth.shape} cannot be compared; cut them to one length."
        )
    if aligned:
        guess, truth = guess - guess[:, :1], truth - truth[:, :1]
    error = np.linalg.norm(np.asarray(guess, dtype=np.float64) - truth, axis=-1).mean(-1)
    return float(error.mean()) if reduce else error


@dataclass(frozen=True)
class CodebookUse:
    """usage: share of codes that occur at least once ("Activate"); entropy: exp(-sum p log p) of their histogram."""

    usage: float
    entropy: float


def codebook_use(tokens: NDArray[np.integer], codes: int) -> CodebookUse:
    """Appendix Tab. 3's last columns over all tokens of a test set; ValueError for ids outside 0 ... codes - 1."""
    tokens = np.asarray(tokens).reshape(-1)
    if tokens.size == 0 or tokens.min() < 0 or tokens.max() >= codes:
        raise ValueError(f"Tokens must be ids from 0 to {codes - 1}, at least one of them.")
    counts = np.bincount(tokens, minlength=codes)
    p = counts[counts > 0] / tokens.size
    return CodebookUse(float((counts > 0).mean()), float(np.exp(-(p * np.log(p)).sum())))


def normalised_loss(log_p: Array, log_unigram: Array) -> float:
    """Eq. 8: the mean over targets of -(log p(m | before, text) - log p(m)), in nats; negative, lower is better.

    log_p, log_unigram: [n], the model's and the training corpus' log probability of each target token.
    """
    return float(np.mean(np.asarray(log_unigram, dtype=np.float64) - np.asarray(log_p, dtype=np.float64)))
