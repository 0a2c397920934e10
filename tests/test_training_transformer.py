"""The transformer's objective, and its runs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("accelerate")

from scamo import checkpoint
from scamo.configs import TransformerConfig
from scamo.transformer import PrefixTransformer
from tests.corpus import WIDTH, write_codec, write_corpus, write_texts
from training.configuration import Run, with_settings
from training.data import token_cache
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank
from training.tasks import transformer
from training.tasks.transformer import NextToken, TransformerTraining, begin_with


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_corpus(tmp_path_factory.mktemp("corpus") / "data")


@pytest.fixture(scope="module")
def codec(corpus: Path) -> Path:
    return write_codec(corpus)


def test_next_token_parts_make_the_whole_batch(corpus: Path, codec: Path, tmp_path: Path) -> None:
    data, texts = Dataset(corpus), TextBank(write_texts(tmp_path / "texts"))
    clips = token_cache.load_tokens(None, data, codec)
    assert len(clips["train"]) == 2 * len(data.split("train")) and len(clips["test"]) == len(data.split("test"))
    mirrored = [clip for clip in clips["train"] if "turns right" in clip.captions[0]]
    assert len(mirrored) == len([clip for clip in data.split("train") if "turns left" in clip.captions[0]])
    model = PrefixTransformer(TransformerConfig(15, 1, 2, 8, WIDTH))
    task = NextToken(model, clips, texts, targets=60, seed=0)
    whole = task.loss(model, task.batch(3, 0, 1))[0]
    parts = [task.batch(3, part, 3) for part in range(3)]
    split = sum(task.loss(model, part)[0] * part["share"] for part in parts)
    assert sum(part["share"] for part in parts) == pytest.approx(1)
    assert split.item() == pytest.approx(whole.item(), abs=1e-5)
    idle = task.batch(3, 999, 1000)
    assert idle["share"] == 0 and torch.isfinite(task.loss(model, idle)[0])


def test_a_step_does_not_depend_on_the_one_before(corpus: Path, codec: Path, tmp_path: Path) -> None:
    clips = token_cache.load_tokens(None, Dataset(corpus), codec)
    texts = TextBank(write_texts(tmp_path / "texts"))
    model = PrefixTransformer(TransformerConfig(15, 1, 2, 8, WIDTH))
    steps = range(60)  # several epochs
    going = NextToken(model, clips, texts, targets=60, seed=0)
    tokens = [going.batch(step, 0, 1)["tokens_bn"] for step in steps]
    for step in (41, 3, 59, 0, 25):  # as after a resume
        fresh = NextToken(model, clips, texts, targets=60, seed=0)
        assert torch.equal(fresh.batch(step, 0, 1)["tokens_bn"], tokens[step])
        assert torch.equal(going.batch(step, 0, 1)["tokens_bn"], tokens[step])
    # An epoch has every clip once: as many ends as clips.
    first = [going.batch(step, 0, 1)["targets_bn"] for step in range(going._steps[0])]
    assert sum(int((targets == going.end).sum()) for targets in first) == len(going.samples)


def test_the_normalised_loss_is_equation_8(corpus: Path, codec: Path, tmp_path: Path) -> None:
    clips = token_cache.load_tokens(None, Dataset(corpus), codec)
    chances = np.random.default_rng(0).dirichlet(np.ones(16))  # of the 15 codes and the end, at every position

    class Constant(nn.Module):
        config = TransformerConfig(15, 1, 2, 8, WIDTH)

        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Parameter(torch.log(torch.from_numpy(chances)))

        def forward(self, tokens_bn: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return (self.logits + 3.0).expand(len(tokens_bn), tokens_bn.shape[1] + 1, -1)

    model = Constant()
    task = NextToken(model, clips, TextBank(write_texts(tmp_path / "texts")), 60, 0)  # type: ignore[arg-type]
    found = task.measure(model, "test")
    counts = [1] * 16  # of the training corpus and its ends, one added
    for clip in clips["train"]:
        for token in [*clip.tokens.tolist(), 15]:
            counts[token] += 1
    tokens = [token for clip in clips["test"] for token in [*clip.tokens.tolist(), 15]]
    nll = -sum(math.log(chances[token]) for token in tokens) / len(tokens)
    unigram = -sum(math.log(counts[token] / sum(counts)) for token in tokens) / len(tokens)
    assert found == pytest.approx({"nll": nll, "normalised_loss": nll - unigram}, rel=1e-5)


def test_a_transformer_begins_with_another(corpus: Path, codec: Path, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    first = with_settings(
        TransformerTraining(corpus, texts, codec, Run(tmp_path / "a"), "0.3M"), steps=1, targets=60, lr=0.0
    )
    transformer.main(first)
    other = with_settings(first, out=tmp_path / "b", seed=1, start=tmp_path / "a" / "model")
    transformer.main(other)
    a, b = (checkpoint.read_tensors(tmp_path / name / "model") for name in "ab")
    assert all(torch.equal(value, b[name]) for name, value in a.items())
    before = checkpoint.read_card(tmp_path / "a" / "model")["training"]
    assert checkpoint.read_card(tmp_path / "b" / "model")["training"]["start"] == {
        name: before[name] for name in ("steps", "tokens", "seconds")
    }
    with pytest.raises(ValueError, match="begun with another start"):
        transformer.main(with_settings(other, start=None))
    with pytest.raises(ValueError, match="another shape"):
        transformer.main(with_settings(other, out=tmp_path / "c", size="1M"))


def test_of_another_codebook_all_but_the_vocabulary_is_taken() -> None:
    torch.manual_seed(0)
    other, model = (PrefixTransformer(TransformerConfig(codes, 1, 2, 8, WIDTH)) for codes in (15, 20))
    before = model.transformer.wte.weight.clone()
    begin_with(model, other)
    assert torch.equal(model.transformer.wte.weight, before)
    assert torch.equal(model.llama_proj.weight, other.llama_proj.weight)
    assert torch.equal(model.transformer.h[0].attn.c_proj.weight, other.transformer.h[0].attn.c_proj.weight)


def test_in_bfloat16_loss_and_gradients_are_close(corpus: Path, codec: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    clips = token_cache.load_tokens(None, Dataset(corpus), codec)
    model = PrefixTransformer(TransformerConfig(15, 2, 2, 32, WIDTH))
    objective = NextToken(model, clips, TextBank(write_texts(tmp_path / "texts")), targets=60, seed=0)
    batch = objective.batch(0, 0, 1)
    found = []
    for mixed in (False, True):
        objective.model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss, _ = objective.loss(objective.model, batch)
        loss.backward()
        found.append((loss.item(), torch.cat([p.grad.flatten() for p in objective.model.parameters()])))
    (exact, exact_gradient), (mixed_loss, mixed_gradient) = found
    assert mixed_loss == pytest.approx(exact, rel=0.01) and mixed_loss != exact
    assert torch.cosine_similarity(exact_gradient, mixed_gradient, dim=0) > 0.99
