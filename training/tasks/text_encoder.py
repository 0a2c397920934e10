"""Tune MiniLM on sentences that ask for motions: which actions each asks for, in which order, and in what style.

    python -m training.tasks.text_encoder --out runs/text-encoder

MiniLM knows what words mean and not which differences matter to a motion: "drops like a stone" is nearer to stones
than to falling. Here its layers learn together with a small head that reads actions and style from the vectors of the
word pieces. The head is kept: what it reads is all that transformers get of a sentence, as vectors of actions and style
(``scamo.tuned_text.Readings``). Of each matrix's change the part of a low rank is kept, a
quarter of its size (the form of Hu et al. 2021, arXiv:2106.09685, eq. 3). The sentences are those of
``training.data.sentences``, drawn afresh for every step; motions are not needed.
``training.data.text_embeddings --encoder runs/text-encoder/model`` embeds captions with the tuned encoder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from scamo import checkpoint
from scamo.text import MINILM, MINILM_SHA256, load_minilm
from scamo.tuned_text import READING_HEADS, UPDATE, Readings, updated_layers
from training.command_line import device_named
from training.configuration import Optimisation, Run
from training.data import sentences
from training.data.captions import COUNTED, STYLES, mirrored_words
from training.estimate import duration, timed_step
from training.run import run_task

ENCODER_RATE = 0.1  # of the learning rate
EMPTY = 0.02  # how often a sentence is empty and asks for nothing, as in classifier-free guidance
ONE_ACTION = 0.75  # how often another asks for one action
WHOLE = 0.6  # and how often such a one is a whole sentence that somebody wrote, not one of the grammar
FEW = 50  # whole sentences that an action seems to have more than it has
SLOTS = 6  # actions of a sentence that are told, one after the other
SMOOTHING = 0.05  # some sentences fit two labels
STYLE_WEIGHT = 0.5
LONGEST = 64  # word pieces of a caption that are read
OPTIMISATION = Optimisation(steps=3000, lr=1e-3, warmup=0.05, final_share=0.02, weight_decay=1e-2, precision="auto")


class Difference(nn.Module):
    """A matrix plus what is learned on top of it, which is zero at first and learns slower than the head does."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.learned = nn.Parameter(torch.zeros(rows, columns))

    def forward(self, weight: Tensor) -> Tensor:
        """weight [rows, columns] -> its tuned self."""
        return weight + self.difference

    @property
    def difference(self) -> Tensor:
        """What is added."""
        return ENCODER_RATE * self.learned


class SentenceReader(nn.Module):
    """MiniLM whose blocks are free to change, and a head that reads actions and style."""

    def __init__(self, encoder: Any, actions: Sequence[str], styles: Sequence[str]) -> None:
        """encoder: MiniLM, whose own weights stay; actions, styles: labels."""
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        width = encoder.config.hidden_size
        for layer in updated_layers(encoder).values():
            parametrize.register_parametrization(layer, "weight", Difference(layer.out_features, layer.in_features))
        self.readings = Readings(SLOTS + 1, width, READING_HEADS, actions, styles)
        nn.init.normal_(self.readings.queries, std=0.02)

    def forward(self, words_bl: Tensor, mask_bl: Tensor, heard_bl: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, SLOTS, actions] and [B, styles] of word pieces int64 [B, L].

        mask_bl, heard_bl: which of them are real, and which of those the head may hear.
        """
        vectors_bld = self.encoder(input_ids=words_bl, attention_mask=mask_bl).last_hidden_state
        return self.readings.told(vectors_bld, heard_bl)

    def updates(self, rank: int) -> dict[str, Tensor]:
        """What ``scamo.text`` reads: of every matrix's difference the nearest of a rank, and the head."""
        found = {f"readings.{name}": value for name, value in self.readings.state_dict().items()}
        for name, layer in updated_layers(self.encoder).items():
            update: Any = layer.parametrizations["weight"][0]  # type: ignore[index]
            u, s, v = torch.linalg.svd(update.difference.detach(), full_matrices=False)
            root = s[:rank].sqrt()
            found |= {f"{name}.up": u[:, :rank] * root, f"{name}.down": root[:, None] * v[:rank]}
        return found


class Asked(NamedTuple):
    """A sentence, the actions that it asks for in order, and the style."""

    text: str
    actions: tuple[str, ...]
    style: str = "normal"

    def mirrored(self) -> Asked:
        """The same with left and right exchanged."""
        return Asked(mirrored_words(self.text), tuple(map(mirrored_words, self.actions)), self.style)


class Sentences:
    """All whole sentences by split, and as many sentences of the grammar as are wanted."""

    def __init__(self) -> None:
        self.whole: dict[str, dict[tuple[str, ...], list[str]]] = {"train": {}, "val": {}, "test": {}}
        single = {(action,): texts for action, texts in sentences.scenes().items()}
        for actions, texts in (single | dict(sentences.scenes_of_two())).items():
            for text in texts:
                self.whole[_split(text)].setdefault(actions, []).append(text)
        self.worded = sorted(sentences.free_phrases().keys() | sentences.plain_phrases().keys())
        singles = {actions[0] for own in self.whole.values() for actions in own if len(actions) == 1}
        self.single = sorted(singles | set(self.worded))
        # What is asked for in more ways is asked for more often.
        written = np.array([len(self.whole["train"].get((action,), ())) + FEW for action in self.single])
        self.shares = written / written.sum()
        self.pairs = sorted(actions for actions in self.whole["train"] if len(actions) == 2)
        self.styles = sorted(STYLES)
        named = {name for actions in self.pairs for name in actions} | set(self.single)
        self.actions = sorted(named | set(map(mirrored_words, named)))

    def draw(self, draw: np.random.Generator) -> Asked:
        """A sentence of the training, of one action or of several, half of them mirrored; now and then an empty one."""
        if draw.random() < EMPTY:
            return Asked("", ())
        one = draw.random() < ONE_ACTION
        asked = self._single(draw) if one else self._several(draw)
        return asked.mirrored() if draw.random() < 0.5 else asked

    def _single(self, draw: np.random.Generator) -> Asked:
        action = str(draw.choice(self.single, p=self.shares))
        whole = self.whole["train"].get((action,), [])
        if whole and (draw.random() < WHOLE or action not in self.worded):
            return Asked(str(draw.choice(whole)), (action,))
        style = "normal" if draw.random() < 0.7 else str(draw.choice(self.styles))
        if action in ("walk", "walk-back") and draw.random() < 0.3:
            count = int(draw.integers(1, SLOTS + 1))
            steps = sentences.counted_steps(action, count)
            return Asked(sentences.sentence([action], style, draw, own=steps), (action,) * count, style)
        times = int(draw.integers(1, 4)) if draw.random() < 0.15 else 1
        text = sentences.sentence([action], style, draw, times)
        said = any(words in text for words in COUNTED.get(times, ()))
        return Asked(text, (action,) * (times if said else 1), style)

    def _several(self, draw: np.random.Generator) -> Asked:
        if draw.random() < 0.5:
            actions = self.pairs[draw.integers(len(self.pairs))]
            return Asked(str(draw.choice(self.whole["train"][actions])), actions)
        names = [str(name) for name in draw.choice(self.worded, size=2 + int(draw.random() < 0.2), replace=False)]
        style = "normal" if draw.random() < 0.8 else str(draw.choice(self.styles))
        return Asked(sentences.sentence(names, style, draw), tuple(names), style)

    def held_out(self, split: str) -> list[Asked]:
        """The whole sentences of a split."""
        return [Asked(text, actions) for actions, texts in self.whole[split].items() for text in texts]


def _split(text: str) -> str:
    """One whole sentence of twenty is for validation, and one for the test; mirror images stay together."""
    mirrored = mirrored_words(text)
    images = (mirrored, mirrored_words(mirrored))  # twice, so that other spellings of a side count as one
    number = min(int(hashlib.sha256(image.encode()).hexdigest(), 16) for image in images)
    return {0: "val", 1: "test"}.get(number % 20, "train")


@dataclass(frozen=True)
class TextEncoderTraining:
    """Tune the text encoder on sentences that ask for motions; the same command again continues a run."""

    run: Run
    rank: int = 64
    """Rank of the updates that are kept."""
    batch: int = 64
    """Sentences a step."""
    word_dropout: float = 0.15
    """The share of a sentence's word pieces that the head does not hear, others at each step."""
    optimisation: Optimisation = OPTIMISATION


class Reading:
    """The objective: actions in order and style of a sentence."""

    unit = "sentences"

    def __init__(self, model: SentenceReader, tokenizer: Any, said: Sentences, config: TextEncoderTraining) -> None:
        self.model, self.tokenizer, self.said, self.config = model, tokenizer, said, config
        self.actions = {name: number for number, name in enumerate(said.actions)}
        self.styles = {name: number for number, name in enumerate(said.styles)}

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Sentences drawn afresh, with their labels; the same for the same step."""
        draw = np.random.default_rng([self.config.run.seed, 4, step])
        rows = [self.said.draw(draw) for _ in range(self.config.batch)]
        heard = draw.random((len(rows), LONGEST)) >= self.config.word_dropout
        heard[:, 0] = True  # the piece that begins every sentence
        own = slice(part, None, parts)
        batch = self._words(rows[own])
        length = batch["words_bl"].shape[1]
        labels = [self._labels(asked) for asked in rows[own]]
        return batch | {"heard_bl": batch["mask_bl"] & torch.from_numpy(heard[own, :length].copy()),
                        "actions_bs": torch.tensor([actions for actions, _ in labels]),
                        "styles_b": torch.tensor([style for _, style in labels]),
                        "share": len(labels) / len(rows), "units": len(labels)}  # fmt: skip

    def _words(self, rows: Sequence[Asked]) -> dict[str, Tensor]:
        texts = [asked.text for asked in rows]
        found = self.tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        return {"words_bl": found["input_ids"], "mask_bl": found["attention_mask"].bool()}

    def _labels(self, asked: Asked) -> tuple[list[int], int]:
        numbers = [self.actions[name] for name in asked.actions[:SLOTS]]
        return numbers + [len(self.actions)] * (SLOTS - len(numbers)), self.styles[asked.style]

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the first action, of the mean of the others, and of the style."""
        actions, styles = model(batch["words_bl"], batch["mask_bl"], batch["heard_bl"])
        each = nn.functional.cross_entropy(
            actions.float().flatten(0, 1), batch["actions_bs"].flatten(), reduction="none", label_smoothing=SMOOTHING
        ).view(-1, SLOTS)
        style = nn.functional.cross_entropy(styles.float(), batch["styles_b"], label_smoothing=SMOOTHING)
        first = (actions[:, 0].argmax(-1) == batch["actions_bs"][:, 0]).float().mean()
        return each[:, 0].mean() + each[:, 1:].mean() + STYLE_WEIGHT * style, {"first_action": float(first)}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """The metrics of ``measure`` on the sentences for validation."""
        return self.measure(model, "val")

    @torch.inference_mode()
    def measure(self, model: nn.Module, split: str) -> dict[str, float]:
        """Of how many whole sentences of a split the first action is read right, and all in order."""
        was_training = model.training
        model.eval()
        right = []
        rows = sorted(self.said.held_out(split), key=lambda asked: len(asked.text))
        for start in range(0, len(rows), 64):
            part = rows[start : start + 64]
            words = self._words(part)
            actions, _ = model(words["words_bl"], words["mask_bl"], words["mask_bl"])
            for asked, named in zip(part, actions.argmax(-1).tolist(), strict=True):
                wanted, _ = self._labels(asked)
                right.append([named[0] == wanted[0], named == wanted])
        model.train(was_training)
        first, every = np.mean(right, axis=0).tolist()
        return {"first_action": first, "all_actions": every}


class TextEncoderTask:
    """The encoder's training with its inputs open (see training.run.Task)."""

    about: Mapping[str, Any] = {
        "source": "the sentences of training/data/wordings", "licence": "MIT; MiniLM's weights Apache-2.0",
    }  # fmt: skip

    def __init__(self, config: TextEncoderTraining) -> None:
        self.config, self.said = config, Sentences()

    def inputs(self) -> dict[str, Any]:
        """The sentences and MiniLM."""
        found = hashlib.sha256()
        for name in sentences.SOURCES:
            found.update((sentences.WORDINGS / name).read_bytes())
        return {"sentences": found.hexdigest(), "base": MINILM_SHA256}

    def _build(self) -> tuple[Any, SentenceReader]:
        tokenizer, encoder = load_minilm()
        return tokenizer, SentenceReader(encoder, self.said.actions, self.said.styles)

    def cost(self) -> str:
        """Parameters and duration, with sentences of 20 word pieces."""
        device = torch.device(device_named(self.config.run.device))
        model, schedule = self._build()[1].to(device), self.config.optimisation
        learned = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        whole = sum(parameter.numel() for parameter in model.parameters())

        def loss(model: nn.Module, device: torch.device) -> Tensor:
            words = torch.randint(1000, 20_000, (self.config.batch, 20), device=device)
            mask = torch.ones_like(words, dtype=torch.bool)
            actions, styles = model(words, mask, mask)
            return actions.float().square().mean() + styles.float().square().mean()

        seconds = schedule.steps * timed_step(model, loss, device, schedule)
        return (
            f"parameters   {whole:,}, of which {learned:,} learn\n"
            f"duration     {duration(seconds)} (2 steps timed on {device})"
        )

    def objective(self) -> Reading:
        """MiniLM with updates that do nothing yet, and the loss of reading actions."""
        tokenizer, model = self._build()
        return Reading(model, tokenizer, self.said, self.config)

    def amounts(self) -> dict[str, Any]:
        """Sentences of the training."""
        return {"sentences": self.config.optimisation.steps * self.config.batch}

    def save(self, model: SentenceReader, folder: Path, card: dict[str, Any]) -> None:
        """Write the updates' folder, in half precision: what is embedded for training is what is embedded later."""
        own = {
            "kind": UPDATE,
            "name": f"{MINILM} tuned on sentences of motions",
            "config": {"base": MINILM, "base_sha256": MINILM_SHA256, "rank": self.config.rank},
            "actions": self.said.actions,
            "styles": self.said.styles,
        }
        checkpoint.write(folder, model.updates(self.config.rank), own | card, torch.float16)


def main(config: TextEncoderTraining) -> None:
    """Tune, measure on the test split, and write the encoder's folder."""
    run_task(TextEncoderTask(config))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, TextEncoderTraining)
