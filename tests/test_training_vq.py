"""The VQ baseline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate")

from scamo import checkpoint, registry
from scamo.configs import TokenizerConfig
from tests.corpus import write_corpus
from training.configuration import Run, with_settings
from training.data.dataset import Dataset
from training.tasks import tokenizer
from training.tasks.reconstruction import measure_reconstruction
from training.tasks.tokenizer import TokenizerTraining
from training.tasks.vq import VQTokenizer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_corpus(tmp_path_factory.mktemp("corpus") / "data")


def test_the_vq_baseline_trains_saves_and_loads(corpus: Path, tmp_path: Path) -> None:
    training = TokenizerTraining(corpus, Run(tmp_path / "run"), 16, quantiser="vq", width=8, batch=8, window=16)
    tokenizer.main(with_settings(training, steps=12, lr=3e-3, validate_every=100))
    model = registry.load_tokenizer(tmp_path / "run" / "model")
    assert model.kind == "vq-tokenizer" and model.codebook_size == 16
    metrics = measure_reconstruction(model, Dataset(corpus), "test")
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
