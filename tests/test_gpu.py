"""What holds on a GPU, for those who have one: `pytest -m gpu`.

SCAMO_TEST_DEVICE names another device than "cuda"; with "cpu" the same tests run without a GPU, so that they are known
to run at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import scamo
from scamo import registry
from scamo.configs import TokenizerConfig, TransformerConfig
from scamo.device import DEVICES, DeviceFull, find_device
from scamo.engine import LocalEngine
from scamo.fast_step import GraphStep
from scamo.pipeline import MotionPipeline
from scamo.tokenizer import MotionTokenizer
from scamo.transformer import PrefixTransformer
from tests import golden
from tests.golden import bundled_tokens
from tests.tiny import FakeEncoder, write_models

pytestmark = pytest.mark.gpu
NAME = os.environ.get("SCAMO_TEST_DEVICE", "cuda")
PROMPTS = ("a person walks forward", "an old man walks forward, then bows", "a woman raises her left hand")


@pytest.fixture(scope="module", autouse=True)
def device() -> torch.device:
    try:
        return find_device(NAME)
    except ValueError as error:
        pytest.skip(str(error))


def loaded(dtype: torch.dtype | None = torch.float32, device: str = NAME, size: str = "4M") -> MotionPipeline:
    return scamo.load(codebook=1024, size=size, device=device, dtype=dtype, text_encoder=bundled_tokens.encoder())


@pytest.mark.parametrize("name", ["transformer", "transformer-tied"])
def test_golden_logits(name, device):
    weights, values = golden.read(name)
    model = PrefixTransformer(TransformerConfig(*values["shape"].tolist(), name.endswith("tied"))).eval()
    weights.setdefault("lm_head.weight", weights["transformer.wte.weight"])
    model.load_state_dict(weights)
    model = model.to(device)
    for n in (1, 3, 6):
        text = torch.from_numpy(values[f"text_{n}"]).float()[None].to(device)
        tokens = torch.from_numpy(values[f"tokens_{n}"])[None].to(device)
        with torch.inference_mode():
            logits = model(tokens, text, torch.ones(1, n, dtype=torch.bool, device=device))[0].cpu()
        np.testing.assert_allclose(logits, values[f"logits_{n}"], atol=1e-4)


@pytest.mark.parametrize(("name", "width"), [("tokenizer", 263), ("tokenizer-kit", 251)])
def test_golden_tokenizer(name, width, device):
    weights, values = golden.read(name)
    model = MotionTokenizer(TokenizerConfig(tuple(values["levels"]), width=8, code_width=6, features=width))
    model.load_state_dict(model.state_dict() | weights)
    DEVICES.prepare(device)
    model = model.to(device).eval()
    for frames in (4, 10, 33):
        tokens = model.encode(values[f"x_{frames}"].astype(np.float32))
        np.testing.assert_array_equal(tokens, values[f"indices_{frames}"])
        np.testing.assert_allclose(model.decode(tokens), values[f"reconstruction_{frames}"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", ["0.3M", "4M"])
def test_greedy_tokens_are_those_of_the_cpu(size):
    """In float32; the motions agree to a tenth of a millimetre."""
    here, there = loaded(size=size), loaded(device="cpu", size=size)
    assert here.tokenizer.mean.device == here.transformer.llama_proj.weight.device
    for prompt in PROMPTS:
        one, other = (each.generate(prompt, seconds=4, temperature=0, seed=0) for each in (here, there))
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_allclose(one.motion.joints, other.motion.joints, atol=1e-4)
        np.testing.assert_allclose(one.trace.probability, other.trace.probability, atol=1e-4)
    assert one.place.dtype == "float32" and one.recipe.computed_on == str(one.place)


def test_nearly_all_sampled_tokens_are_those_of_the_day_the_model_was_bundled():
    expected = json.loads(bundled_tokens.FILE.read_text(encoding="utf-8"))["1024-4M"]
    pipeline, equal = loaded(), 0
    for seed, (prompt, seconds) in enumerate(bundled_tokens.PROMPTS):
        equal += pipeline.generate(prompt, seed=seed, seconds=seconds).tokens.tolist() == expected[seed]
    assert equal >= len(expected) - 1  # one may come to a border between two tokens


def test_a_batch_is_what_its_rows_are_alone():
    pipeline = loaded()
    together = pipeline.generate_batch(PROMPTS, seconds=3, temperature=0, seed=0)
    for prompt, one in zip(PROMPTS, together, strict=True):
        np.testing.assert_array_equal(one.tokens, pipeline.generate(prompt, seconds=3, temperature=0, seed=0).tokens)


def test_the_same_request_gives_the_same_tokens_in_the_types_own(device):
    pipeline = loaded(None)
    dtype = DEVICES.dtype(device) if DEVICES.is_gpu(device) else torch.float32
    one, other = (pipeline.generate_batch(PROMPTS, seconds=2, seeds=[1, 2, 3]) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.tokens, second.tokens)
        assert first.place.dtype == str(dtype).removeprefix("torch.")
        assert np.isfinite(first.motion.joints).all()


@torch.inference_mode()
def test_a_recorded_step_is_the_step(device):
    torch.manual_seed(0)
    model = PrefixTransformer(TransformerConfig(60, 2, 2, 16, 6)).to(device).eval().requires_grad_(False)
    text_bld, mask_bl = torch.randn(2, 3, 6, device=device), torch.ones(2, 3, dtype=torch.bool, device=device)
    caches = [model.prefill(text_bld, mask_bl, 20)[1] for _ in range(2)]
    recorded = GraphStep(model, caches[0])
    for tokens_b in torch.randint(60, (20, 2), device=device):
        torch.testing.assert_close(recorded(tokens_b), model.step(tokens_b, caches[1]), atol=1e-4, rtol=1e-4)


def test_auto_says_what_it_went_by(device):
    generation = scamo.load(
        codebook=1024, size="0.3M", device="auto", text_encoder=bundled_tokens.encoder()
    ).generate(PROMPTS[0], seconds=1, seed=0)  # fmt: skip
    assert ("ms a token" in generation.place.why) == bool(DEVICES.gpus())
    memory = DEVICES.memory(device)
    assert memory is None or 0 < memory.free <= memory.total


def test_a_click_of_the_page_says_where_it_ran(tmp_path, device):
    pytest.importorskip("gradio")
    from scamo.ui.components.result_cards import facts
    from scamo.ui.jobs.compare import compare, read_compare_request
    from scamo.ui.model_pool import ModelPool

    pool = ModelPool(device=NAME)
    request = read_compare_request(pool, PROMPTS[0], [[1024, "0.3M"], [1024, "4M"]], 2.0, 1, 1.0, 2)
    *_, models = compare(pool, request, tmp_path)
    for model in models:
        assert model.state == "done", model.error
        assert f"<dd>{device} in " in facts(model.result)
        assert Path(model.result.video).stat().st_size > 0


@contextlib.contextmanager
def little_memory(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A device with a few MB left; on the CPU, whose memory cannot be bounded, an engine that has none."""
    if device.type != "cuda":
        with monkeypatch.context() as patch:

            def stream(self, *request):
                yield 1
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")

            patch.setattr(LocalEngine, "stream", stream)
            yield
        return
    DEVICES.empty_cache(device)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + (8 << 20)) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def test_memory_that_runs_out_is_a_sentence_and_comes_back(device, monkeypatch):
    pipeline = loaded(None)
    pipeline.generate(PROMPTS[0], seconds=1, seed=0)
    before = DEVICES.memory(device)
    with little_memory(device, monkeypatch), pytest.raises(DeviceFull, match="smaller size"):
        pipeline.generate_batch(list(PROMPTS) * 40, seconds=10, seed=0)
    after = DEVICES.memory(device)
    assert before is None or after is None or after.free > before.free - (64 << 20)
    assert len(pipeline.generate(PROMPTS[0], seconds=1, seed=0).tokens) == 5


def test_a_model_without_memory_leaves_the_other_its_motion(tmp_path, device, monkeypatch):
    pytest.importorskip("gradio")
    from scamo.ui.jobs import compare as job
    from tests.ui import make_pool

    pool = make_pool(write_models(tmp_path / "models"), encoder=FakeEncoder(), device=NAME)
    first = pool.card(1024, "0.3M")
    monkeypatch.setattr(job, "draw_video", lambda *_: "")
    own = registry.load_networks

    def load(card, **where):
        if card is first:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return own(card, **where)

    monkeypatch.setattr(registry, "load_networks", load)
    request = job.read_compare_request(pool, "a person bows", [[1024, "0.3M"], [1024, "1M"]], 1.0, 7, 1.0)
    *_, models = job.compare(pool, request, tmp_path)
    assert [model.state for model in models] == ["failed", "done"]
    assert "memory" in models[0].error and "smaller size" in models[0].error


def test_a_short_training_follows_the_cpu(tmp_path, device):
    """In processes of their own: Accelerate keeps its device for the life of one."""
    pytest.importorskip("accelerate")
    code = "import sys, pathlib; from tests import toy_training; toy_training.run(pathlib.Path(sys.argv[1]))"
    curves = {}
    for name, hidden in (("cpu", {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}), ("here", {})):
        if name == "here" and device.type == "cpu":
            hidden = {"ACCELERATE_USE_CPU": "true"}
        environment = {**os.environ, **hidden, "PYTHONPATH": str(Path(__file__).parents[1])}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True, env=environment)
        rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        curves[name] = [row["loss"] for row in rows if "loss" in row]
    assert len(curves["here"]) == 30
    assert np.mean(curves["here"][-5:]) < 0.8 * np.mean(curves["here"][:5])
    np.testing.assert_allclose(curves["here"], curves["cpu"], rtol=2e-3, atol=1e-4)
