"""Ask a model for every sentence kept apart, and say of each motion which action it shows.

    python -m training.action_judge --data data/broad --model runs/4096-1M/model --seeds 3 --guidance 2 --out asked

The judge is a forest of trees on simple statistics of a clip (mean, spread, extremes, beginning and end of the root's
speed and of the joints' places), trained on the real single-action clips of a corpus and their mirror images. It knows
clips that have only one take by heart, so it is a proxy for a look, and its accuracy on held-out takes stands beside
the table.
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
from torch import Tensor

from scamo import checkpoint
from scamo.motion import mirror_features
from scamo.text import load_text_encoder
from scamo.tokenizer import MotionTokenizer
from scamo.transformer import PrefixTransformer
from training.dataset import Dataset
from training.sentences import kept_apart

CHANNELS = 67  # of the features: the root's speed and height, and the joints' places
SAME = {"walk-slow": "walk", "walk-brisk": "walk", "walk-stride": "walk", "dance-short": "dance", "dance-long": "dance",
        "whirl-dance": "dance", "kneel-tired": "kneel", "pick-up-table": "pick-up"}  # fmt: skip
"""Labels that are one answer to the judge."""

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
    """What the judge sees of a clip: features [T, 263] -> [6 * CHANNELS + 1]."""
    x = np.asarray(features[:, :CHANNELS], dtype=np.float32)
    return np.concatenate([x.mean(0), x.std(0), x.min(0), x.max(0), x[:3].mean(0), x[-3:].mean(0), [len(x) / 200]])


def swapped(label: str) -> str:
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
        yield statistics_of(mirror_features(features)), swapped(label)


class Judge:
    """Says which action a motion shows."""

    def __init__(self, data: Dataset, trees: int = 150) -> None:
        from sklearn.ensemble import ExtraTreesClassifier

        x, labels = zip(*examples(data, "train"), strict=True)
        self.forest = ExtraTreesClassifier(trees, class_weight="balanced", min_samples_leaf=2, random_state=0)
        self.forest.fit(np.stack(x), labels)

    def accuracy(self, data: Dataset, split: str = "test") -> float:
        """Share of held-out clips that it names, mean over actions."""
        x, labels = zip(*examples(data, split), strict=True)
        right = self.forest.predict(np.stack(x)) == np.array(labels)
        return float(np.mean([right[np.array(labels) == label].mean() for label in sorted(set(labels))]))

    def names(self, motions: list[np.ndarray]) -> list[str]:
        """The action of every motion (features [T, 263])."""
        return [str(name) for name in self.forest.predict(np.stack([statistics_of(m) for m in motions]))]


@torch.inference_mode()
def sample(model: PrefixTransformer, text_bld: Tensor, mask_bl: Tensor, empty_1ld: Tensor, guidance: float,
           temperature: float, generator: torch.Generator, limit: int = 50) -> list[np.ndarray]:  # fmt: skip
    """Tokens of a motion a row, each until its end; with guidance l0 + w (l - l0) on log-probabilities."""
    end = model.config.end_id
    count = len(text_bld)
    logits, cache = model.prefill(text_bld, mask_bl, limit)
    logits_bv = logits[:, -1]
    if guidance != 1:
        length = empty_1ld.shape[1]
        free, free_cache = model.prefill(
            empty_1ld.expand(count, -1, -1), torch.ones(count, length, dtype=torch.bool), limit
        )
        free_bv = free[:, -1]
    rows: list[list[int]] = [[] for _ in range(count)]
    done = np.zeros(count, dtype=bool)
    for place in range(limit):
        log_bv = logits_bv[:, : end + 1].log_softmax(-1)
        if guidance != 1:
            log0_bv = free_bv[:, : end + 1].log_softmax(-1)
            log_bv = log0_bv + guidance * (log_bv - log0_bv)
        if place < 2:
            log_bv[:, end] = -torch.inf
        chosen_b = torch.multinomial((log_bv / temperature).softmax(-1), 1, generator=generator)[:, 0]
        for row, token in enumerate(chosen_b.tolist()):
            if token == end:
                done[row] = True
            elif not done[row]:
                rows[row].append(token)
        if done.all() or place == limit - 1:
            break
        chosen_b = chosen_b.clamp(max=end - 1)
        logits_bv = model.step(chosen_b, cache)
        if guidance != 1:
            free_bv = model.step(chosen_b, free_cache)
    return [np.array(row, dtype=np.int64) for row in rows]


@dataclass(frozen=True)
class Args:
    """Ask a model for the sentences kept apart, and judge what it makes."""

    data: Path
    """The corpus of training.prepare.broad, whose real clips train the judge."""
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


def ask(args: Args) -> tuple[list[tuple[str, str]], list[np.ndarray]]:
    """(action, sentence) of every motion, and the motions as features."""
    model = PrefixTransformer.from_pretrained(args.model).eval()
    card = checkpoint.read_card(args.model)
    tokenizer = MotionTokenizer.from_pretrained(args.model / card["tokenizer"])
    encoder = load_text_encoder(card["text_encoder"])
    asked = [(action, text) for action, texts in kept_apart().items() if action != "two" for text in texts]
    empty_1ld, _ = encoder.encode([""])
    motions: list[np.ndarray] = []
    rows: list[tuple[str, str]] = []
    for seed in range(args.seeds):
        generator = torch.Generator().manual_seed(seed)
        for first in range(0, len(asked), 64):
            part = asked[first : first + 64]
            text_bld, mask_bl = encoder.encode([text for _, text in part])
            made = sample(model, text_bld, mask_bl.bool(), empty_1ld, args.guidance, args.temperature, generator)
            motions += [tokenizer.decode(tokens) for tokens in made]
            rows += part
    return rows, motions


def main(args: Args) -> None:
    """Print and write the table."""
    if args.threads:
        torch.set_num_threads(args.threads)
    data = Dataset(args.data)
    judge = Judge(data)
    rows, motions = ask(args)
    answers = judge.names(motions)
    by_action: dict[str, list[str]] = {}
    for (action, _), answer in zip(rows, answers, strict=True):
        by_action.setdefault(action, []).append(answer)
    table: list[dict[str, Any]] = []
    for action, given in by_action.items():
        right = ACCEPTED.get(action, {action})
        wrong = Counter(answer for answer in given if answer not in right).most_common(3)
        passed = sum(answer in right for answer in given)
        table.append({"action": action, "asked": len(given), "passed": passed, "instead": dict(wrong)})
    share = float(np.mean([row["passed"] / row["asked"] for row in table]))
    facts = {"model": str(args.model), "seeds": args.seeds, "guidance": args.guidance,
             "temperature": args.temperature, "judge_held_out": judge.accuracy(data), "right": share}  # fmt: skip
    lines = [f"| {r['action']} | {100 * r['passed'] / r['asked']:.0f} % of {r['asked']} | "
             f"{', '.join(f'{k} {v}' for k, v in r['instead'].items())} |" for r in table]  # fmt: skip
    text = "\n".join(["| action | right | instead |", "|---|---|---|", *lines])
    print(text)
    print(json.dumps(facts))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.with_suffix(".json").write_text(json.dumps({**facts, "rows": table}, indent=1) + "\n")
        args.out.with_suffix(".md").write_text(text + "\n")
        lengths = np.array([len(motion) for motion in motions])
        np.savez_compressed(args.out.with_suffix(".npz"), allow_pickle=False, lengths=lengths,
                            features=np.concatenate(motions).astype(np.float32),
                            asked=np.array([f"{action}: {text}" for action, text in rows]))  # fmt: skip


if __name__ == "__main__":
    from training.command import run_command

    run_command(main, Args)
