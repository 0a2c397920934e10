"""The evaluator that Guo et al. (2022) released, with which published numbers were measured, and its GloVe words."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scamo.numpy_files import load_npy
from training.tasks.evaluator_networks import CONTACTS, Evaluator, EvaluatorConfig, MotionTextMatcher, Sentence

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
"""Words that have a kind of their own."""
MAX_WORDS = 20


class GloveReader:
    """Word vectors and tags as Guo et al. prepared them, from the folder of their ``our_vab_*`` files.

    ValueError where the folder has none.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        folder = Path(folder)
        try:
            vectors = load_npy(folder / "our_vab_data.npy")
            words = _plain_pickle(folder / "our_vab_words.pkl")
            places = _plain_pickle(folder / "our_vab_idx.pkl")
        except (OSError, ValueError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{folder} holds no word vectors ({error}); give the folder with our_vab_data.npy."
            ) from error
        self._vectors = {word: vectors[places[word]].astype(np.float32) for word in words}
        self._kinds = {word: kind for kind, words in reversed(MARKED.items()) for word in words.split()}

    def batch(self, sentences: Sequence[Sentence]) -> tuple[Tensor, Tensor | None, Tensor]:
        """See SentenceReader.batch. ValueError for a sentence without tagged words."""
        rows = [["sos/OTHER", *one.tagged_words.split()[:MAX_WORDS], "eos/OTHER"] for one in sentences]
        for row, one in zip(rows, sentences, strict=True):
            if len(row) == 2:
                raise ValueError(
                    f"{one.caption!r} has no tagged words; Guo et al.'s evaluator needs those of the text files."
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


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts, words and numbers, and refuses everything that would run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a list of words does not need")


def _plain_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        return _PlainUnpickler(file).load()


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
        matcher = MotionTextMatcher(config, load_npy(mean), load_npy(std))
        for name, tensors in parts.items():
            getattr(matcher, name).load_state_dict(tensors)
    except (
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        RuntimeError,
        EOFError,
        OSError,
        pickle.UnpicklingError,
    ) as error:
        raise ValueError(f"{weights} is not Guo et al.'s text-motion evaluator: {error}") from error
    if matcher.mean.shape != (config.features,):
        raise ValueError(f"{mean} has {len(matcher.mean)} numbers and the evaluator reads {config.features}.")
    return Evaluator(matcher.eval().requires_grad_(False), GloveReader(glove), "Guo et al. 2022")
