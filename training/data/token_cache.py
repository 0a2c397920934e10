"""Turn a dataset into tokens: what transformers of one codebook are trained on.

    python -m training.data.token_cache --data data/bandai --tokenizer runs/tokenizer-1024/model --out data/bandai-1024

The file is named ``.npz``; that ending may be left out, here and in ``--tokens``. training.tasks.transformer makes the
file itself where it is not there yet. Make it before a training on several processes, whose wait for one another is
limited.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scamo import checkpoint
from scamo.atomic import replacing_file
from scamo.motion import mirror_features
from scamo.numpy_files import reason_of
from scamo.tokenizer import MotionTokenizer
from training.command_line import device_named
from training.data.captions import mirrored_words
from training.data.dataset import ClipInfo, Dataset
from training.processes import process_group

RARE = 60  # a content with fewer real clips is shown more often, up to eight times
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class TokenClip:
    """A clip as a transformer reads it: tokens int64 [n], its sentences, and how often an epoch shows it."""

    tokens: np.ndarray
    captions: tuple[str, ...]
    repeat: int = 1
    kind: str = "real"


def usable_clips(data: Dataset, split: str, frames_per_token: int) -> list[ClipInfo]:
    """The clips of a split that a transformer can learn from: those of one token or more, with a sentence."""
    return [clip for clip in data.split(split) if clip.frames >= frames_per_token and clip.captions]


def tokenise(data: Dataset, tokenizer: MotionTokenizer, split: str, mirror: bool) -> list[np.ndarray]:
    """Tokens int64 [n] of a split's usable clips, with ``mirror`` each followed by those of its mirror image."""
    from tqdm import tqdm

    out = []
    for clip in tqdm(usable_clips(data, split, tokenizer.frames_per_token), desc=f"tokens, {split}", unit="clip",
                     mininterval=5):  # fmt: skip
        features = data[clip]
        out.append(tokenizer.encode(features))
        if mirror:
            out.append(tokenizer.encode(mirror_features(features)))
    return out


def token_clips(data: Dataset, tokens: list[np.ndarray], split: str, mirror: bool, per_token: int) -> list[TokenClip]:
    """The tokens of ``tokenise`` with their captions; those of mirror images have left and right exchanged."""
    clips = usable_clips(data, split, per_token)
    assert len(tokens) == len(clips) * (2 if mirror else 1), (len(tokens), len(clips))
    counts: dict[str, int] = {}
    for clip in clips:
        counts[_content(clip)] = counts.get(_content(clip), 0) + 1
    out = []
    for number, ids in enumerate(tokens):
        clip = clips[number // 2 if mirror else number]
        words = tuple(map(mirrored_words, clip.captions)) if mirror and number % 2 else clip.captions
        # Every combination of a joined clip is rare, and a clip without labels has no content: those are shown once.
        rare = split == "train" and "contents" in clip.labels and clip.labels.get("kind") == "real"
        repeat = int(np.clip(RARE // counts[_content(clip)], 1, 8)) if rare else 1
        out.append(TokenClip(ids, words, repeat, clip.labels.get("kind", "real")))
    return out


def _content(clip: ClipInfo) -> str:
    return "+".join(clip.labels.get("contents", [clip.labels.get("kind", "")]))


def load_tokens(path: Path | None, data: Dataset, tokenizer_folder: Path) -> dict[str, list[TokenClip]]:
    """All splits as clips of tokens, from a file that is made where it is not there, or without a file.

    ValueError where the file was made with another tokenizer or of another dataset.
    """
    tokenizer = MotionTokenizer.from_pretrained(tokenizer_folder)
    per_token = tokenizer.frames_per_token
    if path is None:
        found = {split: tokenise(data, tokenizer, split, split == "train" and data.mirrors) for split in SPLITS}
    else:
        file = tokens_file(path)
        with process_group().main_process_first():
            if not file.exists():
                main(Args(data.folder, tokenizer_folder, file))
        found = _read(file, data, tokenizer_folder)
    return {
        split: token_clips(data, found[split], split, split == "train" and data.mirrors, per_token) for split in SPLITS
    }


def tokens_file(path: Path) -> Path:
    """A path with the ending ``.npz``, which is added where it is missing."""
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def _about(data: Dataset, tokenizer_folder: Path) -> str:
    return json.dumps({"tokenizer": checkpoint.fingerprint(tokenizer_folder), "data": data.digest})


def _read(path: Path, data: Dataset, tokenizer_folder: Path) -> dict[str, list[np.ndarray]]:
    try:
        with np.load(path) as file:
            about = str(file["about"])
            out = {split: np.split(file[split].astype(np.int64), np.cumsum(file[f"{split}_lengths"])[:-1])
                   for split in SPLITS}  # fmt: skip
            out = {split: rows if file[f"{split}_lengths"].size else [] for split, rows in out.items()}
    except Exception as error:  # archives and headers of arrays fail in many ways
        raise ValueError(
            f"{path} holds no tokens ({reason_of(error)}); make them with training.data.token_cache."
        ) from error
    if about != _about(data, tokenizer_folder):
        raise ValueError(
            f"{path} was made of another dataset or tokenizer; make it again with training.data.token_cache."
        )
    return out


@dataclass(frozen=True)
class Args:
    """Turn a dataset into the tokens of one tokenizer."""

    data: Path
    """A dataset folder."""
    tokenizer: Path
    """The folder of a trained tokenizer."""
    out: Path
    """The file to write; ".npz" is added where it is missing."""
    device: str = "auto"
    """Where the tokenizer computes; auto: on a GPU if there is one."""


def main(args: Args) -> None:
    """Tokenise every split, and the training split's mirror images. Nothing is done where the file is there.

    ValueError where the file was made with another tokenizer or of another dataset.
    """
    data = Dataset(args.data)
    out = tokens_file(args.out)
    if out.exists():
        _read(out, data, args.tokenizer)
        print(json.dumps({"tokens": str(out), "kept": True}))
        return
    tokenizer = MotionTokenizer.from_pretrained(args.tokenizer, device_named(args.device))
    arrays: dict[str, np.ndarray] = {"about": np.array(_about(data, args.tokenizer))}
    for split in SPLITS:
        rows = tokenise(data, tokenizer, split, split == "train" and data.mirrors)
        arrays[split] = np.concatenate([*rows, np.empty(0, np.int64)]).astype(np.int32)
        arrays[f"{split}_lengths"] = np.array([len(row) for row in rows], dtype=np.int64)
    with replacing_file(out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    print(json.dumps({"tokens": str(out), **{split: len(arrays[split]) for split in SPLITS}}))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
