"""What a training will cost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip("accelerate")

from tests.corpus import write_codec, write_corpus, write_texts
from training.configuration import Optimisation, Run
from training.estimate import duration, estimate
from training.tasks import evaluator, tokenizer, transformer
from training.tasks.evaluator import EvaluatorTraining
from training.tasks.tokenizer import TokenizerTraining
from training.tasks.transformer import TransformerTraining


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_corpus(tmp_path_factory.mktemp("corpus") / "data")


@pytest.fixture(scope="module")
def codec(corpus: Path) -> Path:
    return write_codec(corpus)


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
    tokenizer.main(TokenizerTraining(corpus, Run(tmp_path / "a", dry_run=True), width=8, batch=2))
    texts, run = write_texts(tmp_path / "texts"), Run(tmp_path / "b", dry_run=True)
    transformer.main(TransformerTraining(corpus, texts, codec, run, size="0.3M"))
    evaluator.main(EvaluatorTraining(corpus, texts, run, hidden=16, width=8, batch=8))
    printed = capsys.readouterr().out
    assert "duration" in printed and "eq. 7" in printed and "Code 1" in printed
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
    with pytest.raises(ValueError, match="No codebook 300"):
        tokenizer.main(TokenizerTraining(corpus, Run(tmp_path / "a", dry_run=True), codebook=300))
