"""What the page must answer in a soak: every motion computed alone, in the process that asks.

A bounded set of requests, each with a seed of its own, so that an answer to somebody else's request is seen.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scamo.pipeline import Generation

CODEBOOK = 1024
SECONDS = 2.0
TEMPERATURE = 0.8
SEEDS = range(6)
PROMPTS = (
    "a person walks forward",
    "an old man walks forward, then bows",
    "a woman raises her left hand",
    "a person runs",
    "a man waves with the right hand",
    "a person turns left",
    "a person jumps",
    "somebody dances slowly",
)
FORMATS = ("bvh", "glb", "csv")
KEPT = 1.0  # seconds of a motion that is continued
NEAR = 2  # millimetres, or thousandths: what two ways of rounding may differ by


@dataclass(frozen=True)
class Question:
    """One motion: a prompt, a seed, and the label of a model."""

    prompt: str
    seed: int
    size: str


class Answers:
    """Computes and keeps what the page should answer. One thread asks at a time, before the page is started."""

    def __init__(self) -> None:
        from scamo.ui.model_pool import ModelPool

        self._pool = ModelPool(device="cpu")
        self.sizes = list(self._pool.by_codebook[CODEBOOK])
        self.questions = [Question(prompt, seed, size) for size in self.sizes for prompt in PROMPTS for seed in SEEDS]
        self.tokens: dict[Question, list[int]] = {}
        self.places: dict[Question, np.ndarray] = {}
        self.stories: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}
        self.files: list[bytes] = []
        self.reports: list[dict[str, Any]] = []
        self.exports: dict[tuple[int, str], bytes] = {}

    def compute(self) -> None:
        """Make all motions, files and reports once."""
        for question in self.questions:
            made = self._generation(question)
            self.tokens[question], self.places[question] = made.tokens.tolist(), places_of(made.motion)
        for seed in SEEDS:
            for size in self.sizes[:2]:
                self.stories[seed, size] = self._story(seed, size)
        with tempfile.TemporaryDirectory() as folder:
            for number, prompt in enumerate(PROMPTS):
                self._add_file(Path(folder) / f"take-{number}.npy", Question(prompt, 0, self.sizes[0]))

    @lru_cache  # noqa: B019 - there is one, and it lives as long as the process
    def _generation(self, question: Question) -> Generation:
        from scamo.options import GenerationOptions

        pipeline = self._pool.pipeline(self._pool.card(CODEBOOK, question.size))
        options = GenerationOptions(seed=question.seed, seconds=SECONDS, temperature=TEMPERATURE)
        return pipeline.generate(question.prompt, options)

    def _story(self, seed: int, size: str) -> tuple[np.ndarray, np.ndarray]:
        """Two prompts after each other, and the same continued by a third after KEPT seconds."""
        from scamo.options import GenerationOptions, Prompt
        from scamo.ui.jobs.continuation import continue_motion

        pipeline = self._pool.pipeline(self._pool.card(CODEBOOK, size))
        options = GenerationOptions(seed=seed, temperature=TEMPERATURE)
        first = pipeline.timeline([Prompt(text, SECONDS) for text in parts_of(seed)], options)
        steps = continue_motion(pipeline, first.recipe, KEPT, Prompt(PROMPTS[2], SECONDS), options)
        last = [step.result for step in steps][-1]
        return places_of(first.motion), places_of(last.motion)

    def _add_file(self, path: Path, question: Question) -> None:
        from scamo.io.read import read_motion
        from scamo.io.write import export
        from scamo.ui.jobs.reconstruction import reconstruct

        number = len(self.files)
        np.save(path, self._generation(question).motion.joints)
        self.files.append(path.read_bytes())
        motion = read_motion(path).motion
        found = reconstruct(self._pool, motion, CODEBOOK)
        error = 1000 * float(found.error_over_time.mean())
        self.reports.append({"tokens": found.tokens.tolist(), "frames": len(found.motion), "mpjpe_mm": error})
        for format in FORMATS:
            written = export(motion, format, path.parent / format, path.stem)
            self.exports[number, format] = Path(written[0]).read_bytes()


def parts_of(seed: int) -> tuple[str, str]:
    """The prompts of a story."""
    return PROMPTS[seed % len(PROMPTS)], PROMPTS[(seed + 3) % len(PROMPTS)]


def places_of(motion: Any) -> np.ndarray:
    """A motion as the player gets it: millimetres, int16."""
    from scamo.ui.components.motion_player import player_figure

    return unpacked(player_figure("", motion))


def unpacked(figure: dict[str, Any]) -> np.ndarray:
    """The places of a player's figure, int16 [frames x points x 3]."""
    import base64

    return np.frombuffer(base64.b64decode(figure["positions"]), dtype="<i2")


def is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two motions are the same, but for rounding."""
    return one.shape == other.shape and bool(np.abs(one.astype(int) - other).max() <= NEAR)
