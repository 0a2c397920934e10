"""Embed every caption of a dataset once, so that no training waits for the text encoder.

    python -m training.data.text_embeddings --data data/bandai --encoder minilm --out data/bandai-minilm

Captions of mirror images, with left and right exchanged, are embedded too. The embeddings are stored as float16, one
row a word piece (or whatever the encoder gives a vector for), and mapped into memory when they are read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scamo import checkpoint
from scamo.numpy_files import reason_of
from scamo.text import MINILM, is_minilm, load_text_encoder
from training.command_line import device_named
from training.data.captions import mirrored_words
from training.data.dataset import HEADER, Dataset, npy_header
from training.data.partial_folder import begin_anew, partial_of, put_in_place
from training.json_files import read_json, read_whole_rows, row_line, write_json, write_rows

BATCH = 64  # captions that are embedded at once
PLACES = "places.jsonl"  # in a partial folder: what is embedded already
Place = tuple[str, int, int]  # a caption, its first row, and the row behind its last


def identity_of(encoder: str) -> str:
    """A text encoder's name, or for an update of MiniLM what its weights hash to: the same wherever the folder is."""
    return checkpoint.fingerprint(encoder) if encoder != MINILM and is_minilm(encoder) else encoder


class TextBank:
    """Embeddings by caption, opened from a folder that ``main`` wrote. ValueError where it is none."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        folder = Path(folder)
        try:
            about = read_json(folder / "index.json")
            self._rows: np.ndarray = np.load(folder / "embeddings.npy", mmap_mode="r")
        except Exception as error:  # numpy parses the header as Python, which fails in many ways
            raise ValueError(
                f"{folder} holds no embeddings ({reason_of(error)}); make them with training.data.text_embeddings."
            ) from error
        self.encoder: str = about["encoder"]
        self.identity: str = about.get("identity", self.encoder)
        """See ``identity_of``."""
        self.width: int = self._rows.shape[1]
        self._places: dict[str, tuple[int, int]] = {text: (a, b) for text, a, b in about["places"]}

    def card_entries(self, model: Path) -> dict[str, str]:
        """What the card of a model in the folder ``model`` tells of its text encoder."""
        if self.identity == self.encoder:
            return {"text_encoder": self.encoder}
        folder = Path(self.encoder).expanduser()
        sha256 = checkpoint.read_card(folder)["sha256"]
        return {"text_encoder": os.path.relpath(folder, model), "text_encoder_sha256": sha256}

    def length(self, text: str) -> int:
        """Vectors of a caption."""
        start, end = self._place(text)
        return end - start

    def batch(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embeddings float32 [B, L, D] and mask bool [B, L] of captions; ValueError for one that was not embedded."""
        rows = [self._rows[slice(*self._place(text))] for text in texts]
        longest = max(map(len, rows))
        out = torch.zeros(len(texts), longest, self.width)
        mask = torch.zeros(len(texts), longest, dtype=torch.bool)
        for row, own in enumerate(rows):
            out[row, : len(own)] = torch.from_numpy(own.astype(np.float32))
            mask[row, : len(own)] = True
        return out, mask

    def _place(self, text: str) -> tuple[int, int]:
        if text not in self._places:
            raise ValueError(
                f"The caption {text!r} has no embedding; run training.data.text_embeddings on this dataset again."
            )
        return self._places[text]


@dataclass(frozen=True)
class Args:
    """Embed a dataset's captions."""

    data: Path
    """A dataset folder."""
    out: Path
    """The folder to write."""
    encoder: str = "minilm"
    """"minilm", a folder of training.tasks.text_encoder, or a Flan-T5: "google/flan-t5-xl" is the paper's."""
    device: str = "auto"
    """Where the encoder computes; auto: on a GPU if there is one."""
    threads: int = 0
    """CPU threads (0: torch's choice)."""


def main(args: Args) -> None:
    """Embed the captions of a dataset's clips and of their mirror images.

    A killed run is continued. Nothing is done where every caption is embedded by that encoder already.
    ValueError where no clip has a caption.
    """
    if args.threads:
        torch.set_num_threads(args.threads)
    data = Dataset(args.data)
    texts = {text for clip in data.clips for text in clip.captions}
    ordered = sorted(texts | {mirrored_words(text) for text in texts}, key=lambda text: (len(text), text))
    if not ordered:
        raise ValueError(f"No clip of {args.data} has a sentence; prepare it with texts.")
    about = {"encoder": args.encoder, "identity": identity_of(args.encoder)}
    index = args.out / "index.json"
    if index.exists():
        found = read_json(index)
        is_same = found.get("identity", found["encoder"]) == about["identity"]
        if is_same and {place[0] for place in found["places"]}.issuperset(ordered):
            print(json.dumps({"texts": len(ordered), "kept": True, "out": str(args.out)}))
            return
    encoder = load_text_encoder(args.encoder, device=device_named(args.device))
    places = _begin(args.out, about, ordered)
    rows = _embed(encoder, ordered, places, partial_of(args.out))
    partial = partial_of(args.out)
    write_json(partial / "index.json", about | {"places": places})
    (partial / "begun.json").unlink()  # first: without it the folder of a killed run is begun anew
    (partial / PLACES).unlink()
    put_in_place(args.out)
    print(json.dumps({"texts": len(ordered), "word_pieces": rows, "out": str(args.out)}))


def _embed(encoder: Any, ordered: list[str], places: list[Place], partial: Path) -> int:
    """Embed the captions that ``places`` does not have yet, append them to it, and return the rows of all."""
    from tqdm import tqdm

    width, rows = encoder.width, places[-1][2] if places else 0
    with (partial / "embeddings.npy").open("r+b") as file, (partial / PLACES).open("ab") as lines:
        file.truncate(HEADER + 2 * width * rows)
        file.seek(0, os.SEEK_END)
        for begin in tqdm(range(len(places), len(ordered), BATCH), desc="embed", unit="batch", mininterval=5):
            batch = ordered[begin : begin + BATCH]
            embedding, mask = encoder.encode(batch)
            for text, row, length in zip(batch, embedding, mask.sum(1).tolist(), strict=True):
                file.write(row[:length].to(torch.float16).cpu().numpy().tobytes())
                places.append((text, rows, rows + length))
                rows += length
            file.flush()  # before the lines that say it is there
            lines.writelines(row_line(place) for place in places[begin : begin + len(batch)])
            lines.flush()
        file.seek(0)
        file.write(npy_header((rows, width), "<f2"))
    return rows


def _begin(folder: Path, about: Mapping[str, str], ordered: list[str]) -> list[Place]:
    """What a killed run has embedded of the same captions by the same encoder; else the folder is begun anew."""
    stamp = {**about, "texts": hashlib.sha256("\n".join(ordered).encode()).hexdigest()}
    partial = partial_of(folder)
    begun = partial / "begun.json"
    if begun.exists() and read_json(begun) == stamp:
        whole = read_whole_rows(partial / PLACES)
        whole = whole[: len(whole) // BATCH * BATCH]  # so that the same captions are embedded side by side
        write_rows(partial / PLACES, whole)
        return [tuple(place) for place in whole]
    begin_anew(folder)
    (partial / "embeddings.npy").write_bytes(bytes(HEADER))
    (partial / PLACES).touch()
    write_json(begun, stamp)
    return []


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
