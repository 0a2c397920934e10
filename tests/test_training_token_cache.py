"""Tokens on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate")

from scamo.configs import LEVELS, TokenizerConfig
from scamo.tokenizer import MotionTokenizer
from tests.corpus import write_codec, write_corpus
from training.data import token_cache
from training.data.dataset import Dataset


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_corpus(tmp_path_factory.mktemp("corpus") / "data")


@pytest.fixture(scope="module")
def codec(corpus: Path) -> Path:
    return write_codec(corpus)


def test_tokens_on_disk_are_those_in_memory(corpus: Path, codec: Path, tmp_path: Path) -> None:
    data = Dataset(corpus)
    token_cache.main(token_cache.Args(corpus, codec, tmp_path / "tokens"))
    made = token_cache.load_tokens(None, data, codec)
    read = token_cache.load_tokens(tmp_path / "tokens.npz", data, codec)
    made_now = token_cache.load_tokens(tmp_path / "new.npz", data, codec)  # the file is made where it is not there
    assert (tmp_path / "new.npz").exists() and made_now.keys() == read.keys()
    for split, clips in made.items():
        for one, other in zip(clips, read[split], strict=True):
            assert np.array_equal(one.tokens, other.tokens) and one.captions == other.captions
    stamp = (tmp_path / "tokens.npz").stat().st_mtime_ns
    token_cache.main(token_cache.Args(corpus, codec, tmp_path / "tokens"))
    assert (tmp_path / "tokens.npz").stat().st_mtime_ns == stamp
    other = MotionTokenizer(TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1)).save_pretrained(tmp_path / "b")
    with pytest.raises(ValueError, match="another dataset or tokenizer"):
        token_cache.load_tokens(tmp_path / "tokens.npz", data, other)
    # As many clips and frames, in another order.
    turned = shutil.copytree(corpus, tmp_path / "turned")
    lines = (corpus / "clips.jsonl").read_text().splitlines(keepends=True)
    (turned / "clips.jsonl").write_text("".join(reversed(lines)))
    with pytest.raises(ValueError, match="another dataset or tokenizer"):
        token_cache.load_tokens(tmp_path / "tokens.npz", Dataset(turned), codec)


def test_the_ending_may_be_left_out_and_a_name_may_have_a_dot(corpus: Path, codec: Path, tmp_path: Path) -> None:
    data = Dataset(corpus)
    for name in ("bandai-1024", "v1.5", "whole.npz"):
        token_cache.main(token_cache.Args(corpus, codec, tmp_path / name))
        clips = token_cache.load_tokens(tmp_path / name, data, codec)
        assert len(clips["train"]) == 2 * len(data.split("train"))
    assert {path.name for path in tmp_path.iterdir()} == {"bandai-1024.npz", "v1.5.npz", "whole.npz"}
    # A file of one name does not serve for another.
    assert not (tmp_path / "v1.npz").exists()
