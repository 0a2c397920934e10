"""Objectives, the VQ baseline, tokens on disk, and what a training is said to cost."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("accelerate")

from scamo import checkpoint, registry
from scamo.motion import canonical_joints, features_from_joints, joints_from_features
from scamo.rotation import quat_rotate
from scamo.tokenizer import LEVELS, MotionTokenizer, TokenizerConfig
from scamo.transformer import PrefixTransformer, TransformerConfig
from tests.corpus import WIDTH, write_corpus, write_texts
from tests.motions import walk
from training.data import text_embeddings as texts_step
from training.data import token_cache as tokens_step
from training.data.captions import mirrored_words
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank
from training.estimate import duration, estimate
from training.loop import Optimisation
from training.tasks import tokenizer as tokenizer_step
from training.tasks import transformer as transformer_step
from training.tasks.vq import VQTokenizer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_corpus(tmp_path_factory.mktemp("corpus") / "data")


@pytest.fixture(scope="module")
def codec(corpus: Path) -> Path:
    statistics = Dataset(corpus).statistics
    torch.manual_seed(0)
    config = TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1)
    return MotionTokenizer(config, statistics.mean, statistics.std).save_pretrained(corpus.parent / "codec")


def test_reconstruction_parts_make_the_whole_batch(corpus: Path) -> None:
    data = Dataset(corpus)
    model = MotionTokenizer(TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1))
    task = tokenizer_step.Reconstruction(model, data, 16, 5, 0, data.statistics)
    whole = task.batch(7, 0, 1)["x_btd"]
    parts = [task.batch(7, part, 2) for part in range(2)]
    assert torch.equal(whole[0::2], parts[0]["x_btd"]) and torch.equal(whole[1::2], parts[1]["x_btd"])
    assert [part["share"] for part in parts] == pytest.approx([0.6, 0.4])
    idle = task.batch(7, 6, 7)
    assert idle["share"] == 0 and idle["units"] == 0 and len(idle["x_btd"]) == 1


def test_the_path_is_that_of_the_joints() -> None:
    frames = walk(61).astype(np.float64)
    heading = np.linspace(0, 2.0, 61) / 2
    turn = np.stack([np.cos(heading), 0 * heading, np.sin(heading), 0 * heading], -1)[:, None]
    features = features_from_joints(canonical_joints(quat_rotate(turn, frames), lengths=None)).astype(np.float32)
    joints = joints_from_features(features)
    _, path_btx = tokenizer_step.root_path(torch.from_numpy(features)[None])
    np.testing.assert_allclose(path_btx[0].numpy(), joints[:, 0][:, [0, 2]], atol=1e-5)


def test_restraint_and_path_add_what_they_say(corpus: Path) -> None:
    data = Dataset(corpus)
    model = MotionTokenizer(TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1))
    options = {"restraint": 0.5, "path": 2.0}
    plain = tokenizer_step.Reconstruction(model, data, 16, 5, 0, data.statistics)
    task = tokenizer_step.Reconstruction(model, data, 16, 5, 0, data.statistics, **options)
    batch = task.batch(0, 0, 1)
    near, told = task.loss(model, batch)
    assert near.item() == pytest.approx(plain.loss(model, batch)[0].item() + 2 * told["drift"], rel=1e-5)
    model.vqvae.quantizer.project_in.bias.data += 2.5  # every latent about one beyond its room
    far, told = task.loss(model, batch)
    beyond = far.item() - plain.loss(model, batch)[0].item() - 2 * told["drift"]
    assert beyond == pytest.approx(0.5, rel=0.5)


def test_another_codebook_goes_on_from_a_trained_network(codec: Path) -> None:
    old = MotionTokenizer.from_pretrained(codec)
    model = MotionTokenizer(TokenizerConfig(LEVELS[64], width=8, code_width=8, depth=1))
    tokenizer_step.begin_with(model, old)
    features = np.random.default_rng(0).normal(size=(1, 16, 263)).astype(np.float32)
    encoded = [m.vqvae.encoder(torch.from_numpy(features).transpose(1, 2)) for m in (model, old)]
    assert torch.equal(*encoded)
    with pytest.raises(ValueError, match="--width 8"):
        tokenizer_step.begin_with(MotionTokenizer(TokenizerConfig(LEVELS[64], width=16, code_width=16, depth=1)), old)


def test_next_token_parts_make_the_whole_batch(corpus: Path, codec: Path, tmp_path: Path) -> None:
    data, texts = Dataset(corpus), TextBank(write_texts(tmp_path / "texts"))
    clips = tokens_step.load_tokens(None, data, codec)
    assert len(clips["train"]) == 2 * len(data.split("train")) and len(clips["test"]) == len(data.split("test"))
    mirrored = [clip for clip in clips["train"] if "turns right" in clip.captions[0]]
    assert len(mirrored) == len([clip for clip in data.split("train") if "turns left" in clip.captions[0]])
    model = PrefixTransformer(TransformerConfig(15, 1, 2, 8, WIDTH))
    task = transformer_step.NextToken(model, clips, texts, targets=60, seed=0)
    whole = task.loss(model, task.batch(3, 0, 1))[0]
    parts = [task.batch(3, part, 3) for part in range(3)]
    split = sum(task.loss(model, part)[0] * part["share"] for part in parts)
    assert sum(part["share"] for part in parts) == pytest.approx(1)
    assert split.item() == pytest.approx(whole.item(), abs=1e-5)
    idle = task.batch(3, 999, 1000)
    assert idle["share"] == 0 and torch.isfinite(task.loss(model, idle)[0])


def test_a_step_is_the_same_whichever_came_before(corpus: Path, codec: Path, tmp_path: Path) -> None:
    clips = tokens_step.load_tokens(None, Dataset(corpus), codec)
    texts = TextBank(write_texts(tmp_path / "texts"))
    model = PrefixTransformer(TransformerConfig(15, 1, 2, 8, WIDTH))
    steps = range(60)  # several epochs
    going = transformer_step.NextToken(model, clips, texts, targets=60, seed=0)
    tokens = [going.batch(step, 0, 1)["tokens_bn"] for step in steps]
    for step in (41, 3, 59, 0, 25):  # as after a resume
        fresh = transformer_step.NextToken(model, clips, texts, targets=60, seed=0)
        assert torch.equal(fresh.batch(step, 0, 1)["tokens_bn"], tokens[step])
        assert torch.equal(going.batch(step, 0, 1)["tokens_bn"], tokens[step])
    # An epoch has every clip once: as many ends as clips.
    first = [going.batch(step, 0, 1)["targets_bn"] for step in range(going._steps[0])]
    assert sum(int((targets == going.end).sum()) for targets in first) == len(going.samples)


def test_the_normalised_loss_is_equation_8(corpus: Path, codec: Path, tmp_path: Path) -> None:
    clips = tokens_step.load_tokens(None, Dataset(corpus), codec)
    chances = np.random.default_rng(0).dirichlet(np.ones(16))  # what the model says everywhere: 15 codes and the end

    class Constant(nn.Module):
        config = TransformerConfig(15, 1, 2, 8, WIDTH)

        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Parameter(torch.log(torch.from_numpy(chances)))

        def forward(self, tokens_bn: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return (self.logits + 3.0).expand(len(tokens_bn), tokens_bn.shape[1] + 1, -1)

    model = Constant()
    task = transformer_step.NextToken(model, clips, TextBank(write_texts(tmp_path / "texts")), 60, 0)  # type: ignore[arg-type]
    found = task.measure(model, "test")
    seen = [1] * 16  # add-one counts of the training corpus, the end among them
    for clip in clips["train"]:
        for token in [*clip.tokens.tolist(), 15]:
            seen[token] += 1
    told = [token for clip in clips["test"] for token in [*clip.tokens.tolist(), 15]]
    nll = -sum(math.log(chances[token]) for token in told) / len(told)
    unigram = -sum(math.log(seen[token] / sum(seen)) for token in told) / len(told)
    assert found == pytest.approx({"nll": nll, "normalised_loss": nll - unigram}, rel=1e-5)


def test_a_tokenizer_is_measured_as_by_hand(corpus: Path) -> None:
    class Lifted:
        """Lifts the root by 5 cm, and nothing else; its tokens are 0 and 1 by turns."""

        training, frames_per_token, codebook_size = False, 4, 8

        def __init__(self, data: Dataset) -> None:
            self.mean, self.std = map(torch.from_numpy, (data.statistics.mean, data.statistics.std))

        def eval(self) -> None: ...

        def train(self, mode: bool) -> None: ...

        def encode(self, features: np.ndarray) -> np.ndarray:
            self.features = features
            return np.arange(len(features) // 4) % 2

        def decode(self, tokens: np.ndarray) -> np.ndarray:
            return self.features + 0.05 * (np.arange(263) == 3)

    data = Dataset(corpus)
    found = tokenizer_step.measure(Lifted(data), data, "test")  # type: ignore[arg-type]
    assert found["l1"] == pytest.approx(0.05 / data.statistics.std[3] / 263, rel=1e-4)
    assert found["global_mpjpe_mm"] == pytest.approx(50 / 22, rel=1e-3)
    assert found["mpjpe_mm"] == pytest.approx(50 * 21 / 22, rel=1e-3)  # seen from the pelvis the others sank
    assert found["usage"] == 2 / 8
    tokens = [clip.frames // 4 for clip in data.split("test")]
    ones = sum(n // 2 for n in tokens) / sum(tokens)
    assert found["entropy"] == pytest.approx(math.exp(-ones * math.log(ones) - (1 - ones) * math.log(1 - ones)))
    data.about["unit"] = 0.001
    assert tokenizer_step.measure(Lifted(data), data, "test")["mpjpe_mm"] == pytest.approx(0.05 * 21 / 22, rel=1e-3)  # type: ignore[arg-type]


def test_windows_are_whole_tokens(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        tokenizer_step.main(tokenizer_step.Args(corpus, tmp_path / "run", width=8, window=18, steps=1))


def test_a_transformer_begins_with_another(corpus: Path, codec: Path, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    args = transformer_step.Args(corpus, texts, codec, tmp_path / "a", "0.3M", steps=1, targets=60, lr=0.0)
    transformer_step.main(args)
    other = replace(args, out=tmp_path / "b", seed=1, start=tmp_path / "a" / "model")
    transformer_step.main(other)
    a, b = (checkpoint.read_tensors(tmp_path / name / "model") for name in "ab")
    assert all(torch.equal(value, b[name]) for name, value in a.items())
    with pytest.raises(ValueError, match="begun with another start"):
        transformer_step.main(replace(other, start=None))
    with pytest.raises(ValueError, match="another shape"):
        transformer_step.main(replace(other, out=tmp_path / "c", size="1M"))


def test_a_dataset_without_sentences_is_named(corpus: Path, tmp_path: Path) -> None:
    silent = shutil.copytree(corpus, tmp_path / "silent")
    rows = [json.loads(line) | {"captions": []} for line in (corpus / "clips.jsonl").read_text().splitlines()]
    (silent / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=r"No clip of .* has a sentence"):
        texts_step.main(texts_step.Args(silent, tmp_path / "texts"))


def test_a_run_goes_on_as_it_was_begun_and_is_kept_when_done(corpus: Path, tmp_path: Path, capsys) -> None:
    args = tokenizer_step.Args(corpus, tmp_path / "run", codebook=4096, width=8, steps=2, batch=2, window=16)
    tokenizer_step.main(args)
    card = (tmp_path / "run" / "model" / "card.json").read_bytes()
    # 4096 and 16384 have five channels each, so the weights of one would load into the other.
    for other in (replace(args, codebook=16384), replace(args, batch=4), replace(args, seed=1)):
        with pytest.raises(ValueError, match=r"begun with another (codebook|batch|seed)"):
            tokenizer_step.main(other)
    capsys.readouterr()
    tokenizer_step.main(replace(args, threads=1, save_every=7))
    assert "'kept': True" in capsys.readouterr().out
    assert (tmp_path / "run" / "model" / "card.json").read_bytes() == card


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

    monkeypatch.setattr("scamo.text.load_text_encoder", lambda *_, **__: Encoder())
    monkeypatch.setattr(texts_step, "BATCH", 4)
    args = texts_step.Args(corpus, tmp_path / "texts")
    with pytest.raises(KeyboardInterrupt):
        texts_step.main(args)
    with (tmp_path / "texts.partial" / "places.jsonl").open("a") as lines:
        lines.write('["cut o')  # a line that the kill cut
    Encoder.left = 100
    texts_step.main(args)
    captions = {text for clip in Dataset(corpus).clips for text in clip.captions}
    captions |= {mirrored_words(text) for text in captions}
    assert Encoder.encoded == len(captions) > 4
    bank = TextBank(tmp_path / "texts")
    for text in captions:
        rows, mask = bank.batch([text])
        assert rows[0, :, 1].tolist() == [len(word) for word in text.split()] and mask.all()
    assert {path.name for path in (tmp_path / "texts").iterdir()} == {"embeddings.npy", "index.json"}
    Encoder.left = 0
    texts_step.main(args)
    assert '"kept": true' in capsys.readouterr().out


def test_tokens_on_disk_are_those_in_memory(corpus: Path, codec: Path, tmp_path: Path) -> None:
    data = Dataset(corpus)
    tokens_step.main(tokens_step.Args(corpus, codec, tmp_path / "tokens"))
    made = tokens_step.load_tokens(None, data, codec)
    read = tokens_step.load_tokens(tmp_path / "tokens.npz", data, codec)
    assert (
        tokens_step.load_tokens(tmp_path / "new.npz", data, codec).keys() == read.keys()
    )  # made where it is not there
    assert (tmp_path / "new.npz").exists()
    for split, clips in made.items():
        for one, other in zip(clips, read[split], strict=True):
            assert np.array_equal(one.tokens, other.tokens) and one.captions == other.captions
    stamp = (tmp_path / "tokens.npz").stat().st_mtime_ns
    tokens_step.main(tokens_step.Args(corpus, codec, tmp_path / "tokens"))
    assert (tmp_path / "tokens.npz").stat().st_mtime_ns == stamp
    other = MotionTokenizer(TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1)).save_pretrained(tmp_path / "b")
    with pytest.raises(ValueError, match="another dataset or tokenizer"):
        tokens_step.load_tokens(tmp_path / "tokens.npz", data, other)
    # As many clips and frames, in another order.
    turned = shutil.copytree(corpus, tmp_path / "turned")
    lines = (corpus / "clips.jsonl").read_text().splitlines(keepends=True)
    (turned / "clips.jsonl").write_text("".join(reversed(lines)))
    with pytest.raises(ValueError, match="another dataset or tokenizer"):
        tokens_step.load_tokens(tmp_path / "tokens.npz", Dataset(turned), codec)


def test_the_vq_baseline_trains_saves_and_loads(corpus: Path, tmp_path: Path) -> None:
    args = tokenizer_step.Args(corpus, tmp_path / "run", codebook=16, quantiser="vq", width=8, steps=12, batch=8,
                               window=16, lr=3e-3, validate_every=100)  # fmt: skip
    tokenizer_step.main(args)
    model = registry.load_tokenizer(tmp_path / "run" / "model")
    assert model.kind == "vq-tokenizer" and model.codebook_size == 16
    metrics = tokenizer_step.measure(model, Dataset(corpus), "test")
    assert 0 < metrics["usage"] <= 1 and np.isfinite(metrics["mpjpe_mm"])
    data = Dataset(corpus)
    features = data[data.split("test")[0]]
    tokens = model.encode(features)
    assert np.array_equal(model.encode(features), tokens)  # measuring changes no codebook
    # What the library reads does what vector-quantize-pytorch does with the same vectors, to the bit.
    learning = VQTokenizer(model.config)
    learning.load_state_dict(checkpoint.read_tensors(tmp_path / "run" / "model"))
    learning.eval()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 120, 263)).astype(np.float32))
    with torch.inference_mode():
        latents = learning.vqvae.encoder(x.transpose(1, 2)).transpose(1, 2)
        codes, indices, _ = learning.vqvae.quantizer(latents, freeze_codebook=True)
        again = learning.vqvae.decoder(codes.transpose(1, 2)).transpose(1, 2)
    tokens = model.encode(x, normalised=True)
    assert len(np.unique(tokens)) > 4
    assert np.array_equal(tokens, indices.numpy()) and np.array_equal(learning.encode(x, normalised=True), tokens)
    assert np.array_equal(model.decode(tokens, normalised=True), again.numpy())


def test_the_vq_baseline_has_a_straight_gradient_and_resets_codes() -> None:
    torch.manual_seed(0)
    model = VQTokenizer(TokenizerConfig((32,), width=4, code_width=4, depth=1), batch_tokens=64)
    z = torch.randn(1, 64, 4, requires_grad=True)
    quantised, _, commitment = model.vqvae.quantizer(z)
    (gradient,) = torch.autograd.grad(quantised.sum(), z)
    assert gradient.allclose(torch.ones_like(z))
    assert commitment.item() == pytest.approx(0.02 * (z - quantised).square().mean().item(), rel=1e-4)
    far = torch.full((1, 64, 4), 5.0) + 0.1 * torch.randn(1, 64, 4)
    for _ in range(400):
        model.vqvae.quantizer(far)
    assert (model.codebook > 3).all()  # codes nobody used were put where the latents are


def test_estimate_counts_what_can_be_counted_by_hand() -> None:
    def loss(model: nn.Module, device: torch.device) -> torch.Tensor:
        return model(torch.zeros(10, 64, device=device)).sum()

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 32, bias=False), nn.ReLU(), nn.Linear(32, 16, bias=False))

    found = estimate(build, loss, Optimisation(steps=7, lr=1e-3, accumulate=2), processes=3)
    assert found.parameters == 64 * 32 + 32 * 16
    forward = 2 * 10 * (64 * 32 + 32 * 16)
    backward = forward + 2 * 10 * 32 * 16  # weights of both, input of the second only
    assert found.flops_per_step == (forward + backward) * 2 * 3
    assert found.flops == 7 * found.flops_per_step
    assert found.weights_bytes == 4 * found.parameters and found.optimiser_bytes == 8 * found.parameters
    assert found.activations_bytes == 4 * 10 * (64 + 32)  # the inputs of both products, the ReLU's output among them
    assert found.seconds > 0 and "GiB" in str(found)
    assert [duration(s) for s in (5, 90, 7200, 200_000)] == ["5 seconds", "1.5 minutes", "2.0 hours", "2.3 days"]


def test_a_dry_run_leaves_nothing_behind(corpus: Path, codec: Path, tmp_path: Path, capsys) -> None:
    tokenizer_step.main(tokenizer_step.Args(corpus, tmp_path / "a", width=8, batch=2, steps=10, dry_run=True))
    args = transformer_step.Args(corpus, write_texts(tmp_path / "texts"), codec, tmp_path / "b", size="0.3M",
                                 dry_run=True, steps=10)  # fmt: skip
    transformer_step.main(args)
    said = capsys.readouterr().out
    assert "duration" in said and "eq. 7" in said and "Code 1" in said
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
    with pytest.raises(ValueError, match="No codebook 300"):
        tokenizer_step.main(tokenizer_step.Args(corpus, tmp_path / "a", codebook=300, dry_run=True))
