"""A dataset folder of made-up motions, a tokenizer and caption embeddings, for tests of what trains on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from scamo.configs import LEVELS, TokenizerConfig
from scamo.motion import canonical_joints, features_from_joints
from scamo.tokenizer import MotionTokenizer
from tests.motions import backwards, turning, walk
from training.data.captions import mirrored_words
from training.data.dataset import Dataset, DatasetWriter

MOTIONS = {"walks forward": walk, "turns left": turning, "steps back": backwards}
PEOPLE = ("a person", "someone", "a man")
WIDTH = 8  # of the made-up text embeddings


def write_corpus(folder: Path, clips: int = 18) -> Path:
    """``clips`` motions of 30 to 64 frames, two thirds for training, each with two captions."""
    draw = np.random.default_rng(0)
    with DatasetWriter(folder, {"source": "made up", "licence": "CC0-1.0"}) as dataset:
        for number in range(clips):
            action = list(MOTIONS)[number % 3]
            joints = canonical_joints(MOTIONS[action](int(draw.integers(31, 66))))
            joints = joints + 0.002 * draw.normal(size=joints.shape)
            split = ("train", "train", "train", "train", "val", "test")[number // 3 % 6]
            captions = [f"{PEOPLE[number % 3]} {action}", f"{PEOPLE[number % 2]} {action}"]
            dataset.add(f"clip-{number:03d}", features_from_joints(joints), split, captions, kind="real")
    return folder


def write_texts(folder: Path) -> Path:
    """Random embeddings, of all captions and their mirrored ones, as training.data.text_embeddings lays them out."""
    draw = np.random.default_rng(1)
    texts = [f"{subject} {action}" for subject in PEOPLE for action in MOTIONS]
    texts = sorted({*texts, *map(mirrored_words, texts)})
    folder.mkdir(parents=True)
    lengths = [len(text.split()) for text in texts]
    ends = np.cumsum(lengths).tolist()
    places = [(text, end - n, end) for text, n, end in zip(texts, lengths, ends, strict=True)]
    np.save(folder / "embeddings.npy", draw.normal(size=(ends[-1], WIDTH)).astype(np.float16))
    (folder / "index.json").write_text(json.dumps({"encoder": "made up", "places": places}), encoding="utf-8")
    return folder


def write_codec(corpus: Path) -> Path:
    """An untrained tokenizer of 15 codes with the statistics of a dataset folder, beside it."""
    statistics = Dataset(corpus).statistics
    torch.manual_seed(0)
    config = TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1)
    return MotionTokenizer(config, statistics.mean, statistics.std).save_pretrained(corpus.parent / "codec")
