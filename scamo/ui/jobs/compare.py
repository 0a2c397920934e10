"""The work of a comparison: one prompt for several models, one after the other.

A tab iterates over the progress, shows it, and closes the iterator to stop. Videos are drawn afterwards, see
`scamo.ui.jobs.drawing`.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from scamo import metrics
from scamo.device import Place
from scamo.io.recipe import Recipe
from scamo.motion import Motion
from scamo.options import GenerationOptions, Prompt
from scamo.pipeline import Generation
from scamo.registry import ModelCard
from scamo.ui.jobs.drawing import tokens_first
from scamo.ui.jobs.follow import Deadline
from scamo.ui.limits import MAX_SAMPLES, MAX_SEED, checked_seconds
from scamo.ui.messages import reason
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import RecordedMotion, decode_recipe


@dataclass(frozen=True)
class CompareRequest:
    """What one click asks of every chosen model: samples of one prompt, with consecutive seeds."""

    prompt: Prompt
    options: GenerationOptions  # with a definite seed
    cards: dict[str, ModelCard]  # by the label they are shown under
    samples: int = 1

    @property
    def text(self) -> str:
        """The prompt's words."""
        return self.prompt.text or ""

    @property
    def seed(self) -> int:
        """Seed of the first sample."""
        return self.options.seed or 0

    @property
    def seeds(self) -> list[int]:
        """The seed of each sample."""
        return [self.seed + sample for sample in range(self.samples)]


@dataclass(frozen=True)
class Sample:
    """A motion as its recipe, and how it was measured; lower is better.

    foot_slide: m/s. jitter: m/s^3. roughness: both together, against the mean of all samples of the model.
    """

    recipe: Recipe
    foot_slide: float
    jitter: float
    roughness: float


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare
class ModelResult:
    """What a model made, the smoothest sample first; `picked` is the place of the sample that is shown.

    elapsed: seconds of computing for all samples.
    """

    label: str
    card: ModelCard
    samples: tuple[Sample, ...]
    elapsed: float
    picked: int
    motion: Motion
    place: Place | None = None  # where and in which type the tokens were computed

    @property
    def recipe(self) -> Recipe:
        """The recipe of the sample that is shown."""
        return self.samples[self.picked].recipe

    @property
    def recorded(self) -> RecordedMotion:
        """The sample that is shown, for its files."""
        return RecordedMotion(self.recipe, self.motion)


@dataclass(frozen=True)
class Comparison:
    """The motions of one click that are ready. run: its name, new for each click. places: motions there will be."""

    run: str
    prompt: str
    seed: int
    places: int
    results: tuple[ModelResult, ...]


@dataclass(frozen=True)
class ModelProgress:
    """Where one model is in a comparison. state: waiting, tokens, done or failed.

    total: tokens there will be; None where the model decides.
    """

    label: str
    state: str = "waiting"
    count: int = 0
    total: int | None = None
    result: ModelResult | None = None
    error: str = ""


def read_compare_request(
    pool: ModelPool,
    prompt: str,
    keys: Any,
    seconds: float | None,
    seed: float | None,
    temperature: float,
    guidance: float | None = None,
    samples: int = 1,
) -> CompareRequest:
    """Check what a user chose; keys is what the grid of models holds. Raises ValueError in words for the user."""
    cards = pool.selected(keys)
    if seconds is not None:
        checked_seconds(seconds)
    if not 1 <= samples <= MAX_SAMPLES:
        raise ValueError(f"{samples} samples are not offered here; choose 1 to {MAX_SAMPLES}.")
    options = GenerationOptions(
        seed=random.randrange(MAX_SEED + 1) if seed is None else int(seed), temperature=temperature, guidance=guidance
    )
    return CompareRequest(Prompt(prompt or "", seconds), options, cards, int(samples))


def compare(pool: ModelPool, request: CompareRequest) -> Generator[tuple[ModelProgress, ...], None, None]:
    """Let one model after the other make its motions.

    Yields the progress of all models at every change. A model that fails does not keep the others from finishing. Close
    the generator to stop.
    """
    return _Comparison(pool, request).progress()


class _Comparison:
    def __init__(self, pool: ModelPool, request: CompareRequest) -> None:
        self._pool, self._request = pool, request
        self._models = [ModelProgress(label) for label in request.cards]
        self._deadline = Deadline()

    def progress(self) -> Generator[tuple[ModelProgress, ...], None, None]:
        with tokens_first.sampling():
            for index, (label, card) in enumerate(self._request.cards.items()):
                yield self._changed(index, state="tokens")
                try:
                    generations = yield from self._generate(index, card)
                    result = finish_model(label, card, generations)
                except Exception as error:
                    yield self._changed(index, state="failed", error=reason(error))
                else:
                    yield self._changed(index, state="done", result=result)

    def _generate(self, index: int, card: ModelCard) -> Generator[tuple[ModelProgress, ...], None, list[Generation]]:
        prompt, seeds = self._request.prompt, self._request.seeds
        pipeline = self._pool.pipeline(card)
        # The encoder keeps recent prompts, so the time it takes is not counted as the first model's.
        pipeline.encode_prompts([self._request.text])
        stream = pipeline.stream_batch([prompt] * len(seeds), self._request.options, seeds=seeds)
        total = None if prompt.seconds is None else stream.total
        with closing(stream):
            for step in stream:
                if step.result is not None:
                    return step.result
                self._deadline.check()
                yield self._changed(index, count=step.count, total=total)
        raise AssertionError("a stream that was not closed ends with its result")

    def _changed(self, index: int, **change: Any) -> tuple[ModelProgress, ...]:
        """All models after a change to one of them."""
        self._models[index] = replace(self._models[index], **change)
        return tuple(self._models)


def finish_model(label: str, card: ModelCard, generations: Sequence[Generation]) -> ModelResult:
    """Measure the samples that a model made; the smoothest is shown."""
    motions = [one.motion for one in generations]
    slides = [metrics.foot_slide(motion.skeleton_joints, motion.fps) for motion in motions]
    jitters = [metrics.jitter(motion.skeleton_joints, motion.fps) for motion in motions]
    roughness = metrics.roughness_score(slides, jitters).tolist()
    order = sorted(range(len(generations)), key=lambda place: roughness[place])
    samples = [Sample(generations[place].recipe, slides[place], jitters[place], roughness[place]) for place in order]
    first = generations[0]
    return ModelResult(label, card, tuple(samples), first.elapsed, 0, motions[order[0]], first.place)


def pick_sample(pool: ModelPool, comparison: Comparison, result: ModelResult, place: int) -> Comparison:
    """The comparison with another sample of one model shown, which is decoded."""
    if not 0 <= place < len(result.samples):
        raise ValueError(f"There are {len(result.samples)} samples; choose one of them.")
    recorded = decode_recipe(pool, result.samples[place].recipe)
    picked = replace(result, picked=place, motion=recorded.motion)
    return replace(comparison, results=tuple(picked if one is result else one for one in comparison.results))
