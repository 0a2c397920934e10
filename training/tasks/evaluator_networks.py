"""The networks that evaluate text and motion: two encoders that put a motion near the sentence that describes it.

FID, R-precision, matching score and diversity are distances between their embeddings. They have the layout of Guo et
al.'s (2022) evaluator, so that the released one, with which published numbers were measured, loads into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

MAX_FRAMES = 200
UNIT = 4  # frames that a movement snippet moves on by
CONTACTS = 4  # the last channels, which the evaluator does not read


class Sentence(NamedTuple):
    """A sentence, and where the data has them its tagged words: ``a/DET man/NOUN walk/VERB``."""

    caption: str
    tagged_words: str = ""


class SentenceReader(Protocol):
    """Turns sentences into the input of the text encoder."""

    def batch(self, sentences: Sequence[Sentence]) -> tuple[Tensor, Tensor | None, Tensor]:
        """Word vectors float32 [B, L, D], tags [B, L, 15] or None, and lengths [B]."""


@dataclass(frozen=True)
class EvaluatorConfig:
    """Shape of the networks; the defaults are Guo et al.'s.

    features: channels of a motion; words: width of a word vector; tags: kinds of words (0: none).
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
        """Unnormalised features [B, T, D] and lengths [B], at least 4 -> [B, width]. Frames behind a length do
        not count.
        """
        real = torch.arange(x_btd.shape[1], device=x_btd.device) < (lengths_b // UNIT * UNIT)[:, None]
        x_btd = ((x_btd - self.mean) / self.std) * real[..., None]
        return self.motion_encoder(self.movement_encoder(x_btd[..., :-CONTACTS]), lengths_b // UNIT)

    def embed_texts(self, words_bld: Tensor, tags_blk: Tensor | None, lengths_b: Tensor) -> Tensor:
        """Word vectors [B, L, D], tags [B, L, K] or None, and lengths [B] -> [B, width]."""
        return self.text_encoder(words_bld, lengths_b, tags_blk)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embeddings of a training batch's sentences and of its motions, [B, width] each."""
        texts = self.embed_texts(batch["words_bld"], batch.get("tags_blk"), batch["words_b"])
        return texts, self.embed_motions(batch["x_btd"], batch["frames_b"])


@dataclass(frozen=True)
class Evaluator:
    """A trained matcher, and what turns sentences into its input."""

    matcher: MotionTextMatcher
    reader: SentenceReader
    name: str

    @torch.inference_mode()
    def embed_motions(self, motions: Sequence[np.ndarray]) -> np.ndarray:
        """Unnormalised features [T, D] each, T >= 4 -> embeddings float32 [n, width].

        Longer ones are cut at 200 frames. ValueError for a shorter one.
        """
        device, out = self.matcher.mean.device, []
        for start in range(0, len(motions), 64):
            x, lengths = padded([m[:MAX_FRAMES] for m in motions[start : start + 64]])
            out.append(self.matcher.embed_motions(x.to(device), lengths.to(device)).cpu().numpy())
        return np.concatenate(out)

    @torch.inference_mode()
    def embed_sentences(self, sentences: Sequence[Sentence]) -> np.ndarray:
        """Sentences -> embeddings float32 [n, width]."""
        device, out = self.matcher.mean.device, []
        for start in range(0, len(sentences), 64):
            words, tags, lengths = self.reader.batch(sentences[start : start + 64])
            tags = None if tags is None else tags.to(device)
            out.append(self.matcher.embed_texts(words.to(device), tags, lengths.to(device)).cpu().numpy())
        return np.concatenate(out)


def padded(motions: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Motions [T, D] as one tensor float32 [B, T, D], T a multiple of 4, with zeros behind them; and lengths [B].

    ValueError where one is shorter than 4 frames.
    """
    lengths = torch.tensor([len(m) for m in motions])
    if int(lengths.min()) < UNIT:
        raise ValueError(
            f"A motion of {int(lengths.min())} frames is too short to be embedded; at least {UNIT} are needed."
        )
    x = torch.zeros(len(motions), -(-int(lengths.max()) // UNIT) * UNIT, motions[0].shape[1])
    for row, motion in enumerate(motions):
        x[row, : len(motion)] = torch.from_numpy(np.array(motion, dtype=np.float32))
    return x, lengths
