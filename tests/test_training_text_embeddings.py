"""Embedding captions, over several runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

pytest.importorskip("accelerate")

from tests.corpus import write_corpus
from training.data import text_embeddings
from training.data.captions import mirrored_words
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_corpus(tmp_path_factory.mktemp("corpus") / "data")


def test_a_dataset_without_sentences_is_named(corpus: Path, tmp_path: Path) -> None:
    silent = shutil.copytree(corpus, tmp_path / "silent")
    rows = [json.loads(line) | {"captions": []} for line in (corpus / "clips.jsonl").read_text().splitlines()]
    (silent / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=r"No clip of .* has a sentence"):
        text_embeddings.main(text_embeddings.Args(silent, tmp_path / "texts"))


def test_texts_go_on_where_they_were_killed(corpus: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    class Encoder:
        """As many word pieces as words, each of the word's length; breaks down after so many batches."""

        width, left, encoded = 2, 1, 0

        def encode(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
            if not Encoder.left:
                raise KeyboardInterrupt
            Encoder.left -= 1
            Encoder.encoded += len(texts)
            words = [[len(word) for word in text.split()] for text in texts]
            longest = max(map(len, words))
            rows = torch.tensor([row + [0] * (longest - len(row)) for row in words], dtype=torch.float32)
            return rows[..., None].expand(-1, -1, 2), rows > 0

    monkeypatch.setattr(text_embeddings, "load_text_encoder", lambda *_, **__: Encoder())
    monkeypatch.setattr(text_embeddings, "BATCH", 4)
    args = text_embeddings.Args(corpus, tmp_path / "texts")
    with pytest.raises(KeyboardInterrupt):
        text_embeddings.main(args)
    with (tmp_path / "texts.partial" / "places.jsonl").open("a") as lines:
        lines.write('["cut o')  # a line that the kill cut
    Encoder.left = 100
    text_embeddings.main(args)
    captions = {text for clip in Dataset(corpus).clips for text in clip.captions}
    captions |= {mirrored_words(text) for text in captions}
    assert Encoder.encoded == len(captions) > 4
    bank = TextBank(tmp_path / "texts")
    for text in captions:
        rows, mask = bank.batch([text])
        assert rows[0, :, 1].tolist() == [len(word) for word in text.split()] and mask.all()
    assert {path.name for path in (tmp_path / "texts").iterdir()} == {"embeddings.npy", "index.json"}
    Encoder.left = 0
    text_embeddings.main(args)
    assert '"kept": true' in capsys.readouterr().out
