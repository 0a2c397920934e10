"""The measures of motions, tokens and embeddings, as pure functions on arrays.

Motions are joints [T, J, 3] in metres, Y up; embeddings are [n, d] of one evaluator. No function here loads a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CodebookUse",
    "Gaussian",
    "Interval",
    "codebook_use",
    "diversity",
    "fid",
    "foot_slide",
    "jitter",
    "matching_score",
    "mpjpe",
    "multimodality",
    "normalised_loss",
    "r_precision",
    "repeated",
    "roughness_score",
]

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
    """Use of a codebook. usage: share of codes that occur ("Activate"); entropy: exp(-sum p log p) of the histogram."""

    usage: float
    entropy: float


def codebook_use(tokens: NDArray[np.integer], codes: int) -> CodebookUse:
    """Use of a codebook by all tokens of a test set (appendix Tab. 3); ValueError for ids outside 0 ... codes - 1."""
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


class Gaussian(NamedTuple):
    """Mean [d] and covariance [d, d] of a set of embeddings, float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, embeddings: Array) -> Gaussian:
        """Fit to embeddings [n, d]; ValueError for fewer than two."""
        embeddings = _checked_embeddings(embeddings)
        if len(embeddings) < 2:
            raise ValueError("A covariance needs at least two motions; give more.")
        return cls(embeddings.mean(0), np.atleast_2d(np.cov(embeddings, rowvar=False)))


def fid(generated: Array | Gaussian, truth: Array | Gaussian) -> float:
    """Frechet distance between the Gaussians of two sets of motion embeddings [n, d]; 0 where they are equal.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)). With fewer motions than d it is biased upwards, so that only sets of
    one size can be compared.
    """
    a, b = (x if isinstance(x, Gaussian) else Gaussian.of(x) for x in (generated, truth))
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"Embeddings of {len(a.mean)} and {len(b.mean)} numbers come from different evaluators.")
    # The root of S1 S2 has the same trace as the root of S1^(1/2) S2 S1^(1/2), which is symmetric and so stays real.
    values, vectors = np.linalg.eigh(a.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b.covariance @ root), 0)).sum()
    distance = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared
    return float(max(distance, 0.0))


def r_precision(texts: Array, motions: Array, seed: int, pool: int = 32, top: int = 3) -> NDArray[np.float64]:
    """R-precision@1 ... @top, [top]: how often a text's own motion is among its nearest ones of a pool of ``pool``.

    texts, motions: embeddings [n, d], row i of both belongs together. Pools are drawn without replacement, what does
    not fill one is left out. A motion at the same distance as the text's own counts as nearer, so a model whose motions
    are all alike scores zero. ValueError for fewer than ``pool`` pairs.
    """
    texts, motions = _checked_pairs(texts, motions)
    if len(texts) < pool:
        raise ValueError(f"R-precision needs pools of {pool} motions and there are {len(texts)}; measure more.")
    order = np.random.default_rng(seed).permutation(len(texts))
    hits = np.zeros(top)
    pools = len(texts) // pool
    for rows in order[: pools * pool].reshape(pools, pool):
        distance = np.linalg.norm(texts[rows, None] - motions[None, rows], axis=-1)
        rank = (distance <= np.diagonal(distance)[:, None]).sum(1)
        hits += (rank[:, None] <= np.arange(1, top + 1)).sum(0)
    return hits / (pools * pool)


def matching_score(texts: Array, motions: Array) -> float:
    """Mean distance of each text to its motion ("MM-Dist"), embeddings [n, d]; lower is better."""
    texts, motions = _checked_pairs(texts, motions)
    return float(np.linalg.norm(texts - motions, axis=-1).mean())


def diversity(motions: Array, seed: int, pairs: int = 300) -> float:
    """Mean distance of ``pairs`` random pairs of motion embeddings [n, d]; the closer to real motions', the better.

    Pairs are drawn as in the field: two subsets, each without repetition, side by side; n pairs if n is smaller.
    """
    motions = _checked_embeddings(motions)
    pairs = min(pairs, len(motions))
    draw = np.random.default_rng(seed)
    first, second = (draw.choice(len(motions), pairs, replace=False) for _ in range(2))
    return float(np.linalg.norm(motions[first] - motions[second], axis=-1).mean())


def multimodality(motions: Array, seed: int, pairs: int = 10) -> float:
    """Mean distance of ``pairs`` random pairs of motions of one text, embeddings [texts, samples, d]."""
    motions = np.asarray(motions, dtype=np.float64)
    if motions.ndim != 3 or motions.shape[1] < 2:
        raise ValueError(f"Embeddings have shape {motions.shape}; give [texts, samples, d] with at least two samples.")
    draw = np.random.default_rng(seed)
    pairs = min(pairs, motions.shape[1])
    first, second = (draw.choice(motions.shape[1], pairs, replace=False) for _ in range(2))
    return float(np.linalg.norm(motions[:, first] - motions[:, second], axis=-1).mean())


def jitter(joints: Array, fps: float = 20.0) -> float:
    """Mean size of the jerk, the third derivative of the joints' positions, in m/s^3; joints [T, J, 3], T >= 4."""
    if len(joints) < 4:
        raise ValueError(f"Jitter needs at least 4 frames and there are {len(joints)}.")
    jerk = np.diff(np.asarray(joints, dtype=np.float64), n=3, axis=0) * fps**3
    return float(np.linalg.norm(jerk, axis=-1).mean())


def foot_slide(joints: Array, fps: float = 20.0) -> float:
    """How fast the toes move over the floor while they are on it, in metres per second; 0 for a single frame.

    joints [T, 22, 3] in metres. The measure of Zhang et al. (2018): speed times 2 - 2^(height / 2.5 cm), averaged over
    both toes, so that a low toe counts more than a high one.
    """
    toes = np.asarray(joints, dtype=np.float64)[:, [10, 11]]
    if len(toes) < 2:
        return 0.0
    speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * fps
    height = toes[..., 1] - np.percentile(toes[..., 1], 1, axis=0)
    height = np.maximum(height[1:], height[:-1]) / 0.025
    return float((speed * np.clip(2 - 2**height, 0, 1)).mean())


def roughness_score(slides: Array | list[float], jitters: Array | list[float]) -> NDArray[np.float64]:
    """One number for each of n samples, by which to choose the smoothest; lower is better.

    slides, jitters: [n], from `foot_slide` and `jitter`. Each is divided by its mean over the samples, and the two are
    averaged, so the units do not matter and a sample of mean quality has 1. The text plays no part; a figure that
    stands still has 0.
    """
    measured = np.array([slides, jitters], dtype=np.float64)
    mean = measured.mean(axis=1, keepdims=True)
    return np.divide(measured, mean, out=np.zeros_like(measured), where=mean > 0).mean(axis=0)


class Interval(NamedTuple):
    """A mean and the half width of its 95 % interval."""

    mean: float
    half_width: float

    @classmethod
    def of(cls, values: Array | list[float]) -> Interval:
        """The mean of values [n] with 1.96 standard deviations over the root of n, as in the field."""
        values = np.asarray(values, dtype=np.float64)
        return cls(float(values.mean()), float(1.96 * values.std() / np.sqrt(len(values))))


def repeated(measure: Callable[[int], Mapping[str, float]], times: int = 20) -> dict[str, Interval]:
    """Call ``measure(0) ... measure(times - 1)`` and give each of its numbers as mean and 95 % interval."""
    rows = [measure(number) for number in range(times)]
    return {name: Interval.of([row[name] for row in rows]) for name in rows[0]}


def _checked_embeddings(embeddings: Array) -> NDArray[np.float64]:
    checked: NDArray[np.float64] = np.asarray(embeddings, dtype=np.float64)
    if checked.ndim != 2 or len(checked) == 0 or not np.isfinite(checked).all():
        raise ValueError(f"Embeddings have shape {checked.shape}; give finite numbers [n, d], one row a motion.")
    return checked


def _checked_pairs(texts: Array, motions: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    texts, motions = _checked_embeddings(texts), _checked_embeddings(motions)
    if texts.shape != motions.shape:
        raise ValueError(f"{texts.shape} text and {motions.shape} motion embeddings; give one text for each motion.")
    return texts, motions
