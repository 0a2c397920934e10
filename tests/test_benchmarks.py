"""The benchmarks on toy sizes: everything runs, means what it says, and becomes the page. Nothing is timed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import app, generation, growth, machine, rendering, report, training
from scamo import registry
from scamo.transformer import PrefixTransformer, TransformerConfig
from tests.tiny import FakeEncoder, write_models

WORDS = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_models(tmp_path_factory.mktemp("models"), (256,), ("0.3M", "1M"))


def test_the_loops_write_the_same_tokens_and_the_page_says_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = PrefixTransformer(TransformerConfig(64_000, 2, 2, 8, 6)).eval().requires_grad_(False)
    with torch.inference_mode():
        rows = generation.measured(model, WORDS, 4, 2, ("float16", "int8"))
    named = {row["name"]: row for row in rows}
    assert list(named) == ["reference", "plain cache", "ours", "float16", "int8", "generate", "floor"]
    for name in ("reference", "plain cache", "ours", "generate"):
        assert (named[name]["equal"], len(named[name]["seconds"])) == (4, 2)
    assert named["ours"]["argmax"] == 1 and named["ours"]["error"] < 1e-4 < named["int8"]["error"]
    arguments = {"size": "44M", "model": None, "threads": 1, "device": "cpu"}
    machine.write(tmp_path / "generation-44M-1.json", {"arguments": arguments, "load": [None, 1.0], "variants": rows})
    report.main(report.Args(tmp_path, tmp_path / "page.md"))
    page = (tmp_path / "page.md").read_text()
    assert "| tokens, 44M, 1 thread, float32: share equal to the reference's | >= 1 | 1 | met |" in page
    assert "| tokens, 343M, 2 threads, int8: times the reference | >= 10x |  | not measured on this machine |" in page
    assert "## Tokens of a motion" in page and "## Training" not in page


def test_agreement_compares_with_float32(models: Path) -> None:
    generator = registry.load(models / "256-1M", text_encoder=FakeEncoder())
    texts = [generator.text_encoder.encode([text])[0] for text in generation.PROMPTS[:2]]
    with torch.inference_mode():
        half, eighth = generation.agreement(generator, texts, 1.0, ("float16", "int8"))
    assert (half["type"], eighth["type"], half["motions"]) == ("float16", "int8", 2)
    assert half["sampled_nll"] == pytest.approx(half["sampled_nll_float32"], rel=1e-2)
    assert eighth["greedy_argmax"] <= half["greedy_argmax"] <= 1
    assert "| all | int8 |" in generation.agreement_table(
        {"models": [{"codebook": 256, "size": "1M", **row} for row in (half, eighth)]}
    )


def test_rendering_measures_every_part() -> None:
    found = rendering.measured(rendering.Args(quick=True, size=64, width=8))
    assert {"stick", "stick, fixed camera", "body, numpy"} <= set(found["variants"])
    assert found["ratios"]["matplotlib"] == 1 and set(found["steps"]) == {"decode", "joints"}
    assert "| the same in the picture |" in rendering.rendering_table({"arguments": {"size": 64, "width": 8}, **found})


def test_a_crowd_is_answered_or_told_why() -> None:
    def refuse(seed: int) -> None:
        raise ValueError("too many")

    asked: list[int] = []
    found = app.crowd([asked.append, asked.append], 3)
    assert (found["requests"], found["failures"]) == (6, 0) and sorted(asked) == [0, 1, 2, 1000, 1001, 1002]
    assert found["p50"] <= found["p95"]
    found = app.crowd([asked.append, refuse], 2)
    assert (found["requests"], found["failures"], found["why"]) == (2, 2, "too many")


def test_stages_and_side_by_side(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio")
    from scamo.ui.model_pool import Studio

    monkeypatch.setattr(registry, "BUNDLED", models)
    monkeypatch.delenv(registry.MODELS_VARIABLE, raising=False)
    monkeypatch.setattr("scamo.ui.model_pool.load_text_encoder", lambda name: FakeEncoder())
    monkeypatch.setattr(app, "SECONDS", 1.0)
    studio = Studio()
    steps = app.stages(studio.generator(studio.card(256, "1M")), 1, seconds=1.0)
    assert {"text", "tokens", "decoder", "joints", "drawing", "encoding"} <= set(steps)
    beside = app.side_by_side(studio, 256, ("0.3M", "1M"), 1)
    assert set(beside["alone"]) == {"0.3M", "1M"} and beside["sum"] == pytest.approx(sum(beside["alone"].values()))
    users = [{"batched": True, "clients": 1, **app.crowd([lambda seed: None], 1)}]
    told = app.app_table(
        {"cold": [1.0], "first_click": 1.0, "click": [1.0], "users": users, "stages": steps, "side_by_side": beside}
    )
    assert "| 1 | together |" in told


def test_training_compares_equal_losses() -> None:
    pytest.importorskip("accelerate")
    args = training.Args(targets=60, batch=2, codebook=256, quick=True)
    found = training.measured(args, FakeEncoder(384))  # type: ignore[arg-type]  # has no name of a known encoder
    losses = found["transformer"]["loss_of_same_rows"]
    assert losses["ours"] == pytest.approx(losses["straightforward"], rel=1e-5)
    for part, loops in (("transformer", 3), ("tokenizer", 2)):
        assert len(found[part]["loops"]) == loops
        assert all(row["units_per_second"] > 0 and row["utilisation"] > 0 for row in found[part]["loops"])
    assert "| ours |" in training.training_table(found)


def test_useful_operations_are_those_of_a_network() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = TransformerConfig(60, 2, 2, 64, 6)
    model = PrefixTransformer(config)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 7, dtype=torch.long), torch.randn(1, 5, 6), torch.ones(1, 5, dtype=torch.bool))
    # Not every version's counter knows the fused attention, here 2 % of all.
    assert 3 * counter.get_total_flops() == pytest.approx(training.useful_flops(config, 5, 7), rel=0.03)


def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    args = growth.replace_quick(growth.Args())
    found = [growth.series(args, name) for name in ("length", "batch", "size", "codebook")]
    assert set(found[0]["exponents"]) == {"tokens", "decoder", "joints"}
    assert [point["value"] for point in found[3]["points"]] == [256, 1024]
    assert all(point["bytes"] >= 0 for part in found for point in part["points"])
    growth.plot({"series": found}, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert growth.exponent([1, 2, 4, 8], [5, 6, 36, 216]) == pytest.approx(math.log(6) / math.log(2))


def test_a_load_is_measured_in_a_process_of_its_own() -> None:
    (row,) = growth.loads("0.3M", 256, types=("float16",))
    assert (row["stored"], row["computed"]) == ("float16", "float16")
    assert row["weights"] > 5e5


def test_results_are_short_and_name_the_machine(tmp_path: Path) -> None:
    machine.write(tmp_path / "a.json", {"values": [1 / 3, {"deep": np.pi}], "count": 12345})
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["values"], found["count"]) == ([0.3333, {"deep": 3.142}], 12345)
    assert found["machine"]["cores"] and found["machine"]["versions"]["torch"]
    assert machine.ratio([2.0, 6.0, 9.0], [1.0, 2.0, 9.0]) == 2
