"""ZeroGPU, by a stand-in for the platform's `spaces` package."""

from __future__ import annotations

import pickle
import sys
import types

import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo.engine import LocalEngine
from scamo.options import Prompt
from scamo.ui.zero_gpu import ZeroGPU, ZeroGPUEngine, zero_gpu
from tests.ui import make_pool


class Lent:
    """`spaces.GPU`: the task runs elsewhere, what goes in and out is pickled, and its return value is lost."""

    def __init__(self) -> None:
        self.durations: list[float] = []

    def __call__(self, task, duration):
        def run(*args):
            self.durations.append(duration(*args))
            for message in task(*pickle.loads(pickle.dumps(args))):
                yield pickle.loads(pickle.dumps(message))

        return run


def test_elsewhere_there_is_no_zero_gpu(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert zero_gpu() is None


def test_small_models_stay_on_the_cpu(tiny_models, monkeypatch):
    lent = Lent()
    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=lent))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    pool = make_pool(tiny_models, make_engine=zero_gpu().engine)
    pipeline = pool.pipeline(pool.card(256, "1M"))
    assert isinstance(pipeline.engine, LocalEngine)
    pipeline.generate("a person walks", seconds=1, seed=1)
    assert lent.durations == []


def test_large_models_sample_their_tokens_on_a_lent_gpu(tiny_models, shared_pool):
    lent = Lent()
    pool = make_pool(tiny_models, make_engine=ZeroGPU(lent, large=0, device="cpu").engine)
    card = pool.card(256, "1M")
    large, local = pool.pipeline(card), shared_pool.pipeline(card)
    assert isinstance(large.engine, ZeroGPUEngine)
    counts: list[int] = []
    generated = large.generate_batch(["a person walks", "old"], seconds=1, seeds=[1, 2], on_token=counts.append)
    expected = local.generate_batch(["a person walks", "old"], seconds=1, seeds=[1, 2])
    assert counts == [1, 2, 3, 4, 5]
    for one, other in zip(generated, expected, strict=True):
        assert one.tokens.tolist() == other.tokens.tolist()
        np.testing.assert_array_equal(one.motion.features, other.motion.features)
        np.testing.assert_array_equal(one.trace.top, other.trace.top)
    assert len(lent.durations) == 1 and 20 < lent.durations[0] < 60
    timeline = [Prompt("walks", 1.0), Prompt("turns", 0.6)]
    tokens = [each.timeline(timeline, seed=1).tokens.tolist() for each in (large, local)]
    assert tokens[0] == tokens[1] and len(tokens[0]) == 8
    with pytest.raises(ValueError, match="is empty"):
        large.generate("", seconds=1)
    assert len(lent.durations) == 3  # no GPU is lent for what makes no sense
