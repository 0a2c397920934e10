"""The judge of text and motion: two encoders that put a motion near the sentence it was made for.

    python -m training.tasks.evaluator --data data/bandai --texts data/bandai-minilm --out runs/evaluator

FID, R-precision, matching score and diversity are distances between its embeddings. It has the layout of Guo et al.'s
(2022) evaluator, so that theirs, which published numbers were measured with, loads into the same networks
(``guo_evaluator``); ours reads the sentences' cached embeddings in place of GloVe words and is trained to pick each
motion's sentence, and each sentence's motion, out of a batch. Numbers of different evaluators do not compare.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from scamo import checkpoint
from scamo.metrics import matching_score, r_precision
from scamo.motion import mirror_features
from training.data.captions import mirrored_words
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank
from training.loop import Optimisation, Saving, is_finished, is_main_process, settings_of, train
from training.publish import training_facts

MAX_FRAMES = 200
UNIT = 4  # frames a movement snippet moves on by
CONTACTS = 4  # the last channels, which the evaluator does not see


class Words(NamedTuple):
    """A sentence, and where the data has them its tagged tokens: ``a/DET man/NOUN walk/VERB``."""

    caption: str
    tokens: str = ""


class Front(Protocol):
    """Turns sentences into what the text encoder reads."""

    def batch(self, texts: Sequence[Words]) -> tuple[Tensor, Tensor | None, Tensor]:
        """Word vectors float32 [B, L, D], tags [B, L, 15] or None, and lengths [B]."""


@dataclass(frozen=True)
class EvaluatorConfig:
    """Shape of the networks; the defaults are Guo et al.'s.

    features: channels of a motion; words: width of a word vector; tags: kinds of words told apart (0: none).
    """

    features: int = 263
    words: int = 300
    tags: int = 15
    movement: int = 512
    motion_hidden: int = 1024
    text_hidden: int = 512
    width: int = 512


class _MovementEncoder(nn.Module):
    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (config.features - CONTACTS, config.movement):
            layers += [nn.Conv1d(channels, config.movement, 4, 2, 1), nn.Dropout(0.2), nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*layers)
        self.out_net = nn.Linear(config.movement, config.movement)

    def forward(self, x_btd: Tensor) -> Tensor:
        return self.out_net(self.main(x_btd.transpose(1, 2)).transpose(1, 2))


class _Sequence(nn.Module):
    """A bidirectional GRU that reads a sequence of known length into one vector."""

    def __init__(self, inputs: int, hidden: int, middle: int, width: int, tags: int = 0) -> None:
        super().__init__()
        if tags:
            self.pos_emb = nn.Linear(tags, inputs)
        self.input_emb = nn.Linear(inputs, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(
            nn.Linear(2 * hidden, middle), nn.LayerNorm(middle), nn.LeakyReLU(0.2), nn.Linear(middle, width)
        )
        self.hidden = nn.Parameter(torch.randn(2, 1, hidden))

    def forward(self, x_bld: Tensor, lengths_b: Tensor, tags_blk: Tensor | None = None) -> Tensor:
        if tags_blk is not None:
            x_bld = x_bld + self.pos_emb(tags_blk)
        packed = pack_padded_sequence(self.input_emb(x_bld), lengths_b.cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed, self.hidden.expand(-1, len(x_bld), -1).contiguous())
        return self.output_net(torch.cat([last[0], last[1]], dim=-1))


class MotionTextMatcher(nn.Module):
    """Embeds motions and sentences in one space. Parameter names within the encoders are Guo et al.'s."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: EvaluatorConfig, mean: ArrayLike, std: ArrayLike) -> None:
        super().__init__()
        self.config = config
        self.movement_encoder = _MovementEncoder(config)
        self.motion_encoder = _Sequence(config.movement, config.motion_hidden, config.motion_hidden, config.width)
        self.text_encoder = _Sequence(config.words, config.text_hidden, config.text_hidden, config.width, config.tags)
        self.log_scale = nn.Parameter(torch.tensor(0.0))  # of distances, in the training objective only
        for name, value in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.as_tensor(np.array(value, dtype=np.float32)))

    def embed_motions(self, x_btd: Tensor, lengths_b: Tensor) -> Tensor:
        """Unnormalised features [B, T, D] and lengths [B], at least 4 -> [B, width]; what is behind a length is 0."""
        seen = torch.arange(x_btd.shape[1], device=x_btd.device) < (lengths_b // UNIT * UNIT)[:, None]
        x_btd = ((x_btd - self.mean) / self.std) * seen[..., None]
        return self.motion_encoder(self.movement_encoder(x_btd[..., :-CONTACTS]), lengths_b // UNIT)

    def embed_texts(self, words_bld: Tensor, tags_blk: Tensor | None, lengths_b: Tensor) -> Tensor:
        """Word vectors -> [B, width]."""
        return self.text_encoder(words_bld, lengths_b, tags_blk)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Both embeddings of a training batch."""
        texts = self.embed_texts(batch["words_bld"], batch.get("tags_blk"), batch["words_b"])
        return texts, self.embed_motions(batch["x_btd"], batch["frames_b"])


@dataclass(frozen=True)
class Evaluator:
    """A trained matcher with what turns sentences into its input."""

    matcher: MotionTextMatcher
    front: Front
    name: str

    @torch.inference_mode()
    def motions(self, motions: Sequence[np.ndarray]) -> np.ndarray:
        """Unnormalised features [T, D] each, T >= 4 -> embeddings float32 [n, width]. Longer ones are cut at 200."""
        device, out = self.matcher.mean.device, []
        for start in range(0, len(motions), 64):
            x, lengths = _padded([m[:MAX_FRAMES] for m in motions[start : start + 64]])
            out.append(self.matcher.embed_motions(x.to(device), lengths.to(device)).cpu().numpy())
        return np.concatenate(out)

    @torch.inference_mode()
    def texts(self, texts: Sequence[Words]) -> np.ndarray:
        """Sentences -> embeddings float32 [n, width]."""
        device, out = self.matcher.mean.device, []
        for start in range(0, len(texts), 64):
            words, tags, lengths = self.front.batch(texts[start : start + 64])
            tags = None if tags is None else tags.to(device)
            out.append(self.matcher.embed_texts(words.to(device), tags, lengths.to(device)).cpu().numpy())
        return np.concatenate(out)


def _padded(motions: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(m) for m in motions])
    if int(lengths.min()) < UNIT:
        raise ValueError(
            f"A motion of {int(lengths.min())} frames is too short to be judged; at least {UNIT} are needed."
        )
    x = torch.zeros(len(motions), -(-int(lengths.max()) // UNIT) * UNIT, motions[0].shape[1])
    for row, motion in enumerate(motions):
        x[row, : len(motion)] = torch.from_numpy(np.array(motion, dtype=np.float32))
    return x, lengths


class BankFront:
    """Cached sentence embeddings in place of words."""

    def __init__(self, bank: TextBank) -> None:
        self.bank = bank

    def batch(self, texts: Sequence[Words]) -> tuple[Tensor, Tensor | None, Tensor]:
        """See Front.batch."""
        words, mask = self.bank.batch([text.caption for text in texts])
        return words, None, mask.sum(1)


class Matching:
    """The evaluator's objective: which sentence belongs to which motion of a part of a batch.

    Both ways round, by the squared distance. Another clip with the very same sentence is no wrong answer.
    """

    unit = "clips"

    def __init__(self, model: MotionTextMatcher, data: Dataset, texts: TextBank, batch_size: int, seed: int) -> None:
        self.model, self.data, self.size, self.seed = model, data, batch_size, seed
        self.front = BankFront(texts)
        self.clips = {split: [c for c in data.split(split) if c.frames >= 4 * UNIT and c.captions]
                      for split in ("train", "val", "test")}  # fmt: skip
        if len(self.clips["train"]) < 2:
            raise ValueError("The training split has no clips with sentences; an evaluator cannot be trained on it.")

    def batch(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """Random clips, half of them mirrored, each with one of its sentences."""
        draw = np.random.default_rng([self.seed, 3, step])
        clips = self.clips["train"]
        chosen = draw.choice(len(clips), size=min(self.size, len(clips)), replace=False)
        flips, words = (draw.random(len(chosen)) < 0.5) & self.data.mirrors, draw.random(len(chosen))
        motions, captions = [], []
        own = range(part, len(chosen), parts)
        for i in own or [0]:
            clip = clips[chosen[i]]
            caption, x = clip.captions[int(words[i] * len(clip.captions))], self.data[clip][:MAX_FRAMES]
            motions.append(mirror_features(x) if flips[i] else x)
            captions.append(mirrored_words(caption) if flips[i] else caption)
        words_bld, _, words_b = self.front.batch([Words(caption) for caption in captions])
        x_btd, frames_b = _padded(motions)
        numbers = {caption: number for number, caption in enumerate(captions)}
        return {"x_btd": x_btd, "frames_b": frames_b, "words_bld": words_bld, "words_b": words_b,
                "same_b": torch.tensor([numbers[caption] for caption in captions]),
                "share": len(own) / len(chosen), "units": len(own)}  # fmt: skip

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Mean of both cross-entropies, and how often a sentence finds its motion first."""
        texts, motions = model({key: value for key, value in batch.items() if isinstance(value, Tensor)})
        inner: Any = getattr(model, "module", model)
        logits = -torch.cdist(texts.float(), motions.float()).square() * inner.log_scale.exp()
        same = batch["same_b"]
        wrong = (same[:, None] == same[None]) & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
        logits = logits.masked_fill(wrong, -torch.inf)
        target = torch.arange(len(same), device=same.device)
        both = nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target)
        return both / 2, {"top1": float((logits.argmax(1) == target).float().mean())}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """The metrics of ``measure`` on the validation split."""
        return self.measure(model, "val")

    def measure(self, model: nn.Module, split: str) -> dict[str, float]:
        """R-precision of real pairs, each clip with its first sentence, in pools of 32 or all there are."""
        clips = self.clips[split]
        if len(clips) < 2:
            return {}
        assert isinstance(model, MotionTextMatcher)
        was_training = model.training
        judge = Evaluator(model.eval(), self.front, "in training")
        texts = judge.texts([Words(clip.captions[0]) for clip in clips])
        motions = judge.motions([self.data[clip] for clip in clips])
        model.train(was_training)
        found = r_precision(texts, motions, seed=0, pool=min(32, len(clips)))
        return {f"r_precision_{k}": float(v) for k, v in enumerate(found, 1)} | {
            "matching_score": matching_score(texts, motions)
        }


# Guo et al.'s released evaluator.

KINDS = ("VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV", "Loc_VIP", "Body_VIP", "Obj_VIP", "Act_VIP",
         "Desc_VIP", "OTHER")  # fmt: skip
MARKED = {
    "Loc_VIP": "left right clockwise counterclockwise anticlockwise forward back backward up down straight curve",
    "Body_VIP": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "Obj_VIP": "stair dumbbell chair window floor car ball handrail baseball basketball",
    "Act_VIP": "walk run swing pick bring kick put squat throw hop dance jump turn stumble stop sit lift lower raise "
    "wash stand kneel stroll rub bend balance flap jog shuffle lean rotate spin spread climb",
    "Desc_VIP": "slowly carefully fast careful slow quickly happy angry sad happily angrily sadly",
}
"""Words that are a kind of their own there."""
MAX_WORDS = 20


class GloveFront:
    """Word vectors and tags as Guo et al. prepared them, from the folder of their ``our_vab_*`` files."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        folder = Path(folder)
        try:
            vectors = np.load(folder / "our_vab_data.npy")
            words = _plain_pickle(folder / "our_vab_words.pkl")
            places = _plain_pickle(folder / "our_vab_idx.pkl")
        except (OSError, ValueError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{folder} holds no word vectors ({error}); give the folder with our_vab_data.npy."
            ) from error
        self._vectors = {word: vectors[places[word]].astype(np.float32) for word in words}
        self._kinds = {word: kind for kind, words in reversed(MARKED.items()) for word in words.split()}

    def batch(self, texts: Sequence[Words]) -> tuple[Tensor, Tensor | None, Tensor]:
        """See Front.batch. ValueError for a sentence whose tagged tokens the data does not have."""
        rows = [["sos/OTHER", *text.tokens.split()[:MAX_WORDS], "eos/OTHER"] for text in texts]
        for row, text in zip(rows, texts, strict=True):
            if len(row) == 2:
                raise ValueError(
                    f"{text.caption!r} has no tagged tokens; Guo et al.'s evaluator needs the text files'."
                )
        longest = max(map(len, rows))
        words = torch.zeros(len(rows), longest, len(self._vectors["unk"]))
        tags = torch.zeros(len(rows), longest, len(KINDS))
        for i, row in enumerate(rows):
            for j, token in enumerate(row):
                word, _, kind = token.rpartition("/")
                known = word in self._vectors
                words[i, j] = torch.from_numpy(self._vectors[word if known else "unk"])
                kind = self._kinds.get(word, kind) if known else "OTHER"
                tags[i, j, KINDS.index(kind if kind in KINDS else "OTHER")] = 1
        return words, tags, torch.tensor([len(row) for row in rows])


class _Nothing(pickle.Unpickler):
    """Reads lists, dicts, words and numbers; refuses whatever would run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a list of words does not need")


def _plain_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        return _Nothing(file).load()


def guo_evaluator(weights: Path, mean: Path, std: Path, glove: Path) -> Evaluator:
    """Guo et al.'s evaluator: ``text_mot_match/model/finest.tar``, its own mean.npy and std.npy, and the GloVe folder.

    ValueError where the file has another layout.
    """
    try:
        found = torch.load(weights, map_location="cpu", weights_only=True)
        parts = {name: found[name] for name in ("movement_encoder", "motion_encoder", "text_encoder")}
        config = EvaluatorConfig(
            features=parts["movement_encoder"]["main.0.weight"].shape[1] + CONTACTS,
            words=parts["text_encoder"]["input_emb.weight"].shape[1],
            tags=parts["text_encoder"]["pos_emb.weight"].shape[1],
            movement=parts["movement_encoder"]["out_net.weight"].shape[0],
            motion_hidden=parts["motion_encoder"]["input_emb.weight"].shape[0],
            text_hidden=parts["text_encoder"]["input_emb.weight"].shape[0],
            width=parts["motion_encoder"]["output_net.3.weight"].shape[0],
        )
        matcher = MotionTextMatcher(config, np.load(mean), np.load(std))
        for name, tensors in parts.items():
            getattr(matcher, name).load_state_dict(tensors)
    except (KeyError, RuntimeError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(f"{weights} is not Guo et al.'s text-motion evaluator: {error}") from error
    if matcher.mean.shape != (config.features,):
        raise ValueError(f"{mean} has {len(matcher.mean)} numbers and the evaluator reads {config.features}.")
    return Evaluator(matcher.eval().requires_grad_(False), GloveFront(glove), "Guo et al. 2022")


def load_evaluator(folder: str | os.PathLike[str], texts: TextBank) -> Evaluator:
    """An evaluator of ours. CheckpointError where it is damaged, ValueError where the embeddings are another's."""
    card = checkpoint.read_checked(folder, "evaluator")
    if card["text_encoder"] != texts.encoder:
        raise ValueError(f"{folder} reads {card['text_encoder']} and the embeddings are of {texts.encoder}.")
    config = EvaluatorConfig(**card["config"])
    matcher = MotionTextMatcher(config, np.zeros(config.features), np.ones(config.features))
    matcher.load_state_dict(checkpoint.read_tensors(folder))
    return Evaluator(matcher.eval().requires_grad_(False), BankFront(texts), card["name"])


@dataclass(frozen=True)
class Args:
    """Train a text-motion evaluator; run again to resume."""

    data: Path
    """A dataset folder."""
    texts: Path
    """Embeddings of its captions, made by training.data.text_embeddings."""
    out: Path
    """The run's folder; the finished evaluator is OUT/model."""
    hidden: int = 256
    """Width of its networks (Guo et al.'s: 512 and 1024)."""
    width: int = 128
    """Numbers of an embedding (Guo et al.'s: 512; FID needs more motions than this)."""
    steps: int = 3000
    batch: int = 64
    lr: float = 1e-3
    seed: int = 0
    threads: int = 0
    """CPU threads (0: torch's choice)."""
    save_every: int = 500
    validate_every: int = 1000
    tensorboard: bool = False


def main(args: Args) -> None:
    """Train, measure on the test split, and write the evaluator's folder."""
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data, texts = Dataset(args.data), TextBank(args.texts)
    optimisation = Optimisation(args.steps, args.lr, warmup=0.05, fall=0.02, weight_decay=1e-2)
    settings = settings_of(args, optimisation, data=data.digest, texts=texts.encoder)
    if is_finished(args.out, settings):
        print({"model": str(args.out / "model"), "kept": True})
        return
    statistics = data.statistics
    config = EvaluatorConfig(data.features.shape[1], texts.width, 0, args.hidden, args.hidden, args.hidden, args.width)
    model = MotionTextMatcher(config, statistics.mean, statistics.std)
    objective = Matching(model, data, texts, args.batch, args.seed)
    saving = Saving(20, args.save_every, args.validate_every, args.tensorboard)
    result = train(objective, optimisation, args.out, args.seed, saving, settings)
    if not is_main_process():
        return
    model = objective.model.cpu()
    metrics = objective.measure(model, "test")
    card = {
        "kind": "evaluator",
        "name": f"evaluator of {data.about.get('source')}",
        "config": asdict(config),
        "text_encoder": texts.encoder,
        "metrics": metrics,
        "data": data.about.get("source"),
        "licence": data.about.get("licence"),
        "training": training_facts(args, result["seconds"], clips=args.steps * args.batch),
    }
    checkpoint.write(args.out / "model", model.state_dict(), card)
    print({"model": str(args.out / "model"), **metrics})


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
