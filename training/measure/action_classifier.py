"""Ask a model for every sentence kept apart, and classify which action each of its motions shows.

    python -m training.measure.action_classifier --data data/many-actions --model runs/4096-1M/model --out asked

The classifier is a forest of trees on simple statistics of a clip (mean, spread, extremes, beginning and end of the
root's speed and of the joints' places). It learns from the real single-action clips of a corpus and their mirror
images. It knows clips that have only one take by heart, so it does not replace a look, and its accuracy on held-out
takes stands beside the table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scamo.atomic import write_npz
from scamo.motion import mirror_features
from scamo.pipeline import MotionPipeline
from training.data.dataset import Dataset
from training.data.sentences import kept_apart
from training.measure.tables import with_ending, write_table

CHANNELS = 67  # of the features: the root's speed and height, and the joints' places
BATCH = 64  # motions that are sampled together
SAME = {"walk-slow": "walk", "walk-brisk": "walk", "walk-stride": "walk", "dance-short": "dance", "dance-long": "dance",
        "whirl-dance": "dance", "kneel-tired": "kneel", "pick-up-table": "pick-up"}  # fmt: skip
"""Labels that are one answer of the classifier."""

_SIDES = ("left", "right")
ACCEPTED = {
    "run": {"run", "dash", "ninja-run"}, "dash": {"dash", "run", "ninja-run"},
    **{f"turn-{s}": {f"walk-turn-{s}"} for s in _SIDES},
    **{f"raise-{s}": {f"raise-up-{s}-hand", "respond" if s == "left" else "bye"} for s in _SIDES},
    **{f"wave-{s}": {f"wave-{s}-hand"} for s in _SIDES},
    "raise-both": {"raise-up-both-hands"}, "wave-both": {"wave-both-hands", "byebye"},
    "kick": {"kick-left", "kick-right", "spin-kick", "kick"}, "punch": {"punch-left", "punch-right", "punch"},
    "dance": {"dance", "ballet", "spin"}, "ballet": {"ballet", "leap", "spin"}, "leap": {"leap", "ballet", "spin"},
    "spin": {"spin", "ballet", "jump-turn"}, "stand": {"stand", "listen"},
    "jump": {"jump", "jump-forward", "jump-turn"}, "jump-forward": {"jump-forward"},
    "hop": {"hop", "jump", "jump-forward"}, "reach-up": {"reach-up", "jump"},
    "sit-down": {"sit-down", "sit-then-stand"}, "stand-up": {"stand-up", "sit-then-stand"}, "sit": {"sit", "drive"},
    "crouch": {"crouch", "crouch-walk"}, "crouch-walk": {"crouch-walk", "crouch"},
    "dribble": {"dribble", "dribble-side", "dribble-back"}, "lie": {"lie", "fall"}, "drive": {"drive", "sit"},
    "uneven": {"uneven", "walk"},
}  # fmt: skip
"""Action of kept_apart.json -> answers that are right, where it is not its own name alone."""


def statistics_of(features: np.ndarray) -> np.ndarray:
    """What the classifier reads of a clip: features [T, 263] -> [6 * CHANNELS + 1]."""
    x = np.asarray(features[:, :CHANNELS], dtype=np.float32)
    return np.concatenate([x.mean(0), x.std(0), x.min(0), x.max(0), x[:3].mean(0), x[-3:].mean(0), [len(x) / 200]])


def mirrored_label(label: str) -> str:
    """The label of the mirror image."""
    return "-".join({"left": "right", "right": "left"}.get(part, part) for part in label.split("-"))


def examples(data: Dataset, split: str) -> Iterator[tuple[np.ndarray, str]]:
    """Statistics and label of every single-action clip of a split, and of their mirror images."""
    for clip in data.split(split):
        contents = clip.labels.get("contents", ())
        if clip.labels.get("kind") == "joined" or len(contents) != 1 or clip.frames < 8:
            continue
        label = SAME.get(contents[0], contents[0])
        features = np.asarray(data[clip])
        yield statistics_of(features), label
        yield statistics_of(mirror_features(features)), mirrored_label(label)


class ActionClassifier:
    """Names the action that a motion shows."""

    def __init__(self, data: Dataset, trees: int = 150) -> None:
        """Learn from the training split. ValueError where the package is not installed, or no clip has one action."""
        try:
            from sklearn.ensemble import ExtraTreesClassifier
        except ImportError as error:
            raise ValueError('The classifier needs scikit-learn; pip install "scamo[train]".') from error
        found = list(examples(data, "train"))
        if not found:
            raise ValueError(f"{data.folder} has no clips of one action; give a corpus of training.data.many_actions.")
        self.forest = ExtraTreesClassifier(trees, class_weight="balanced", min_samples_leaf=2, random_state=0)
        self.forest.fit(np.stack([x for x, _ in found]), [label for _, label in found])

    def accuracy(self, data: Dataset, split: str = "test") -> float:
        """Share of held-out clips that it names, mean over actions; NaN where there are none."""
        found = list(examples(data, split))
        if not found:
            return float("nan")
        labels = np.array([label for _, label in found])
        right = self.forest.predict(np.stack([x for x, _ in found])) == labels
        return float(np.mean([right[labels == label].mean() for label in sorted(set(labels))]))

    def names(self, motions: list[np.ndarray]) -> list[str]:
        """The action of every motion (features [T, 263])."""
        return [str(name) for name in self.forest.predict(np.stack([statistics_of(m) for m in motions]))]


@dataclass(frozen=True)
class Args:
    """Ask a model for the sentences kept apart, and classify its motions."""

    data: Path
    """The corpus of training.data.many_actions, whose real clips the classifier learns from."""
    model: Path
    """A transformer's folder."""
    seeds: int = 3
    guidance: float = 2.0
    """1: none."""
    temperature: float = 0.7
    out: Path | None = None
    """Write OUT.json and OUT.md here, and the motions to OUT.npz."""
    threads: int = 0
    """CPU threads (0: torch's choice)."""


def ask(pipeline: MotionPipeline, args: Args) -> tuple[list[tuple[str, str]], list[np.ndarray]]:
    """(action, sentence) of every motion, and the motions as features, as long as the model makes them."""
    asked = [(action, text) for action, texts in kept_apart().items() if action != "two" for text in texts]
    motions: list[np.ndarray] = []
    for seed in range(args.seeds):
        for first in range(0, len(asked), BATCH):
            part = asked[first : first + BATCH]
            seeds = [seed * 1_000_003 + first + row for row in range(len(part))]
            sentences = [text for _, text in part]
            made = pipeline.generate_batch(sentences, seeds=seeds, guidance=args.guidance, temperature=args.temperature)
            motions += [generation.motion.features for generation in made]
    return asked * args.seeds, motions


def table_rows(asked: list[tuple[str, str]], answers: list[str]) -> list[dict[str, Any]]:
    """For each action: how often it was asked for, how often the answer was right, and the commonest wrong ones."""
    by_action: dict[str, list[str]] = {}
    for (action, _), answer in zip(asked, answers, strict=True):
        by_action.setdefault(action, []).append(answer)
    rows = []
    for action, given in by_action.items():
        right = ACCEPTED.get(action, {action})
        wrong = Counter(answer for answer in given if answer not in right).most_common(3)
        passed = sum(answer in right for answer in given)
        rows.append({"action": action, "asked": len(given), "passed": passed, "instead": dict(wrong)})
    return rows


def main(args: Args) -> None:
    """Print and write the table."""
    if args.threads:
        torch.set_num_threads(args.threads)
    data = Dataset(args.data)
    classifier = ActionClassifier(data)
    asked, motions = ask(MotionPipeline.from_pretrained(args.model), args)
    rows = table_rows(asked, classifier.names(motions))
    share = float(np.mean([row["passed"] / row["asked"] for row in rows]))
    facts = {"model": str(args.model), "seeds": args.seeds, "guidance": args.guidance,
             "temperature": args.temperature, "held_out_accuracy": classifier.accuracy(data),
             "right": share}  # fmt: skip
    lines = [f"| {r['action']} | {100 * r['passed'] / r['asked']:.0f} % of {r['asked']} | "
             f"{', '.join(f'{name} {times}' for name, times in r['instead'].items())} |" for r in rows]  # fmt: skip
    text = "\n".join(["| action | right | instead |", "|---|---|---|", *lines])
    print(text)
    print(json.dumps(facts))
    if args.out:
        write_table(args.out, {**facts, "rows": rows}, text)
        lengths = np.array([len(motion) for motion in motions])
        write_npz(with_ending(args.out, ".npz"), lengths=lengths,
                  features=np.concatenate(motions).astype(np.float32),
                  asked=np.array([f"{action}: {text}" for action, text in asked]))  # fmt: skip


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
