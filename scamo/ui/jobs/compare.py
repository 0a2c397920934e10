"""The work of a comparison: one prompt for several models, each drawn while the next one samples.

A tab iterates over the progress, shows it, and closes the iterator to stop.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scamo import metrics
from scamo.device import Place
from scamo.io.recipe import Recipe
from scamo.motion import Motion
from scamo.options import GenerationOptions, Prompt
from scamo.pipeline import Generation
from scamo.registry import ModelCard
from scamo.ui.jobs.follow import Deadline
from scamo.ui.limits import MAX_SAMPLES, MAX_SEED, checked_seconds
from scamo.ui.messages import reason
from scamo.ui.model_pool import ModelPool
from scamo.ui.motion_files import RecordedMotion, decode_recipe, draw_video

_POLL = 0.05  # seconds between two checks whether a drawing is ready


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

    elapsed: seconds of computing for all samples; drawing_elapsed: for the video.
    """

    label: str
    card: ModelCard
    samples: tuple[Sample, ...]
    elapsed: float
    picked: int
    motion: Motion
    video: str
    drawing_elapsed: float = 0.0
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
    """Where one model is in a comparison. state: waiting, tokens, drawing, done or failed.

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
    samples: int = 1,
) -> CompareRequest:
    """Check what a user chose; keys is what the grid of models holds. Raises ValueError in words for the user."""
    cards = pool.selected(keys)
    if seconds is not None:
        checked_seconds(seconds)
    if not 1 <= samples <= MAX_SAMPLES:
        raise ValueError(f"{samples} samples are not offered here; choose 1 to {MAX_SAMPLES}.")
    options = GenerationOptions(
        seed=random.randrange(MAX_SEED + 1) if seed is None else int(seed), temperature=temperature
    )
    return CompareRequest(Prompt(prompt or "", seconds), options, cards, int(samples))


def compare(pool: ModelPool, request: CompareRequest, folder: Path) -> Generator[tuple[ModelProgress, ...], None, None]:
    """Let one model after the other make its motions, and draw each while the next model computes.

    Yields the progress of all models at every change. The videos go to `folder`. A model that fails does not keep the
    others from finishing. Close the generator to stop.
    """
    return _Comparison(pool, request, folder).progress()


class _Comparison:
    def __init__(self, pool: ModelPool, request: CompareRequest, folder: Path) -> None:
        self._pool, self._request, self._folder = pool, request, folder
        self._models = [ModelProgress(label) for label in request.cards]
        self._drawings: dict[int, Future[ModelResult]] = {}
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drawing")
        self._deadline = Deadline()

    def progress(self) -> Generator[tuple[ModelProgress, ...], None, None]:
        try:
            for index, (label, card) in enumerate(self._request.cards.items()):
                yield self._changed(index, state="tokens")
                try:
                    generations = yield from self._generate(index, card)
                except Exception as error:
                    yield self._changed(index, state="failed", error=reason(error))
                else:
                    self._drawings[index] = self._threads.submit(
                        finish_model, label, card, generations, self._folder / str(index)
                    )
                    yield self._changed(index, state="drawing")
            while self._drawings:
                time.sleep(_POLL)
                yield self._changed()
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

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

    def _changed(self, index: int | None = None, **change: Any) -> tuple[ModelProgress, ...]:
        """All models after a change to one of them, and with the drawings that have become ready."""
        if index is not None:
            self._models[index] = replace(self._models[index], **change)
        for place in [place for place, drawing in self._drawings.items() if drawing.done()]:
            drawing = self._drawings.pop(place)
            try:
                change = {"state": "done", "result": drawing.result()}
            except Exception as error:
                change = {"state": "failed", "error": reason(error)}
            self._models[place] = replace(self._models[place], **change)
        return tuple(self._models)


def finish_model(label: str, card: ModelCard, generations: Sequence[Generation], folder: Path) -> ModelResult:
    """Measure the samples that a model made, and draw the smoothest."""
    motions = [one.motion for one in generations]
    slides = [metrics.foot_slide(motion.skeleton_joints, motion.fps) for motion in motions]
    jitters = [metrics.jitter(motion.skeleton_joints, motion.fps) for motion in motions]
    roughness = metrics.roughness_score(slides, jitters).tolist()
    order = sorted(range(len(generations)), key=lambda place: roughness[place])
    samples = [Sample(generations[place].recipe, slides[place], jitters[place], roughness[place]) for place in order]
    motion, began = motions[order[0]], time.perf_counter()
    video = draw_video({label: motion}, samples[0].recipe, folder)
    drawing_elapsed = time.perf_counter() - began
    first = generations[0]
    return ModelResult(
        label, card, tuple(samples), first.elapsed, 0, motion, video, drawing_elapsed, first.place
    )  # fmt: skip


def pick_sample(pool: ModelPool, comparison: Comparison, result: ModelResult, place: int, folder: Path) -> Comparison:
    """The comparison with another sample of one model shown, which is decoded and drawn."""
    if not 0 <= place < len(result.samples):
        raise ValueError(f"There are {len(result.samples)} samples; choose one of them.")
    recorded = decode_recipe(pool, result.samples[place].recipe)
    video = draw_video({result.label: recorded.motion}, recorded.recipe, folder)
    picked = replace(result, picked=place, motion=recorded.motion, video=video)
    return replace(comparison, results=tuple(picked if one is result else one for one in comparison.results))
