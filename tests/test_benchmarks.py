"""The benchmarks on toy sizes: everything runs, measures what it says, and becomes the page. Nothing is timed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import (
    agreement,
    app,
    click,
    generation,
    growth,
    machine,
    models,
    precision,
    rendering,
    report,
    rigid,
    targets,
    training,
)
from benchmarks import all as everything
from scamo.configs import TransformerConfig
from scamo.pipeline import MotionPipeline
from scamo.skeleton import rest_offsets
from scamo.transformer import PrefixTransformer
from tests.motions import stretchy, walk
from tests.tiny import FakeEncoder, write_models

WORDS = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> MotionPipeline:
    torch.set_num_threads(1)
    folder = write_models(tmp_path_factory.mktemp("models"), (256,), ("1M",))
    return MotionPipeline.from_pretrained(folder / "256-1M", text_encoder=FakeEncoder())


@pytest.fixture(scope="module")
def variants() -> list[dict]:
    """A report's rows of the token loops of a tiny network."""
    torch.manual_seed(0)
    model = PrefixTransformer(TransformerConfig(64_000, 2, 2, 8, 6)).eval().requires_grad_(False)
    with torch.inference_mode():
        return generation.measure(model, WORDS, 4, 2, ("float16", "int8"))


def test_the_loops_write_the_same_tokens(variants: list[dict]) -> None:
    named = {row["name"]: row for row in variants}
    assert list(named) == ["reference", "plain cache", "ours", "float16", "int8", "generate", "floor"]
    for name in ("reference", "plain cache", "ours", "generate"):
        assert (named[name]["equal"], len(named[name]["seconds"])) == (4, 2)
    assert named["ours"]["argmax"] == 1 and named["ours"]["error"] < 1e-4 < named["int8"]["error"]


def test_the_page_holds_what_was_measured_and_no_more(tmp_path: Path, variants: list[dict]) -> None:
    arguments = {"size": "44M", "model": None, "threads": 1, "device": "cpu"}
    found = {"arguments": arguments, "load": [None, 1.0], "variants": variants}
    machine.write_report(tmp_path / "generation-44M-1.json", found)
    report.main(report.Args(tmp_path, tmp_path / "page.md"))
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| tokens, 44M, 1 thread, float32: share equal to the reference's | >= 1 | 1 | met |" in page
    assert "| tokens, 343M, 2 threads, int8: times the reference | >= 10x |  | not measured on this machine |" in page
    assert "## Tokens of a motion" in page and "## Training" not in page and "$" not in page
    with pytest.raises(ValueError, match=r"no measurements .* run benchmarks\.all"):
        report.main(report.Args(tmp_path / "empty", tmp_path / "page.md"))


def test_the_page_in_the_documentation_is_that_of_its_reports(tmp_path: Path) -> None:
    docs = Path(__file__).parents[1] / "docs"
    report.main(report.Args(docs / "performance", tmp_path / "page.md"))
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == (docs / "performance.md").read_text(encoding="utf-8")


def test_an_aim_is_met_missed_or_not_measured() -> None:
    assert targets.Target("a", 2, 2.0).row() == ["a", ">= 2", "2", "met"]
    assert targets.Target("a", 2, 1.5, unit="x").row() == ["a", ">= 2x", "1.5x", "**missed** by 25%"]
    assert targets.Target("a", 2, 3.0, below=True).row() == ["a", "<= 2", "3", "**missed** by 50%"]
    assert targets.Target("a", 2, None).row() == ["a", ">= 2", "", "not measured on this machine"]


def test_nothing_is_written_into_the_repository_unasked() -> None:
    ignored = (Path(__file__).parents[1] / ".gitignore").read_text(encoding="utf-8").splitlines()
    for module in (agreement, app, everything, generation, growth, rendering, report, training):
        out = module.Args().out
        assert not out.is_absolute() and f"/{out.parts[0]}/" in ignored


def test_agreement_compares_with_float32(pipeline: MotionPipeline) -> None:
    texts = [pipeline.text_encoder.encode([text])[0] for text in agreement.PROMPTS[:2]]
    with torch.inference_mode():
        half, eighth = agreement.measure(pipeline, texts, 1.0, ("float16", "int8"))
    assert (half["type"], eighth["type"], half["motions"]) == ("float16", "int8", 2)
    assert half["sampled_nll"] == pytest.approx(half["sampled_nll_float32"], rel=1e-2)
    assert eighth["greedy_argmax"] <= half["greedy_argmax"] <= 1
    table = agreement.agreement_table({"models": [{"codebook": 256, "size": "1M", **row} for row in (half, eighth)]})
    assert "| all | int8 |" in table and "| 256, 1M | float16 |" in table


def test_rendering_measures_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(task: Callable[[], object], wait: object = None) -> tuple[float, float]:
        task()
        return 1.0, 2.0

    monkeypatch.setattr(machine, "time_call", run)
    found = rendering.measure(rendering.Args(quick=True, size=64, width=8))
    assert {"stick", "stick, fixed camera", "person, numpy"} <= set(found["variants"])
    assert set(found["cpu_per_frame_at_960"]) == {"matplotlib", "the same in the picture", "as people get it"}
    # CPU seconds are all the same here, of 1 frame by matplotlib and of 4 by ours.
    assert found["ratios"] == {"matplotlib": 1, "the same in the picture": 4, "as people get it": 4}
    assert set(found["steps"]) == {"decode", "joints"}
    assert "| the same in the picture |" in rendering.rendering_table({"arguments": {"size": 64, "width": 8}, **found})


def test_the_walk_is_one_of_a_body() -> None:
    joints = rendering.walk(40)
    lengths = np.linalg.norm(joints[:, 4] - joints[:, 1], axis=-1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-6)
    assert joints[..., 1].min() == pytest.approx(0) and np.ptp(joints[:, 0, 2]) > 0.5


def test_users_are_answered_or_the_failure_is_reported() -> None:
    def refuse(seed: int) -> None:
        raise ValueError("too many")

    asked: list[int] = []
    found = app.ask_at_once([asked.append, asked.append], 3)
    assert (found["requests"], found["failures"]) == (6, 0) and sorted(asked) == [0, 1, 2, 1000, 1001, 1002]
    assert found["p50"] <= found["p95"]
    found = app.ask_at_once([asked.append, refuse], 2)
    assert (found["requests"], found["failures"], found["why"]) == (2, 2, "too many")


def test_a_model_that_fails_beside_others_is_no_measurement() -> None:
    alone = iter([True])

    def refuse_company(seed: int) -> None:
        if not next(alone, False):
            raise ValueError("too many")

    with pytest.raises(RuntimeError, match="too many"):
        app.measure_side_by_side({"0.3M": lambda seed: None, "1M": refuse_company}, 1)


def test_stages_and_models_side_by_side_become_tables(pipeline: MotionPipeline) -> None:
    stages = app.measure_stages(pipeline, 1, seconds=1.0)
    assert list(stages) == ["text", "tokens", "decoder", "joints", "drawing", "encoding", "drawing while encoding"]
    beside = app.measure_side_by_side({"0.3M": lambda seed: None, "1M": lambda seed: None}, 1)
    assert set(beside["alone"]) == {"0.3M", "1M"} and beside["sum"] == pytest.approx(sum(beside["alone"].values()))
    users = [{"batched": True, "clients": 1, **app.ask_at_once([lambda seed: None], 1)}]
    table = app.app_table(
        {
            "cold": [1.0],
            "first_click": 1.0,
            "click": [1.0],
            "figure": [0.5],
            "users": users,
            "stages": stages,
            "side_by_side": beside,
        }
    )
    assert "| 1 | together |" in table and "| all 2 side by side |" in table


def test_training_compares_equal_losses() -> None:
    pytest.importorskip("accelerate")
    args = training.Args(targets=60, batch=2, codebook=256, quick=True)
    found = training.measure(args, FakeEncoder(384))  # type: ignore[arg-type]  # has no name of a known encoder
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


def test_growth_is_measured_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([100, 150, 90, 100, 110, 300, 0, 7, 7, 0, 5, 1])  # before each series, then after each point
    monkeypatch.setattr(growth, "peak_bytes", lambda device, start=False: next(peaks))
    args = growth.smallest(growth.Args())
    found = [growth.measure_series(args, name) for name in ("length", "batch", "size", "codebook")]
    assert set(found[0]["exponents"]) == {"tokens", "tokens, all kept", "decoder", "joints"}
    assert [point["value"] for point in found[3]["points"]] == [256, 1024]
    assert [[point["bytes"] for point in part["points"]] for part in found] == [[50, 0], [10, 200], [7, 7], [5, 1]]
    growth.draw_growth({"series": found}, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert growth.exponent([1, 2, 4, 8], [5, 6, 36, 216]) == pytest.approx(math.log(6) / math.log(2))


def test_a_clip_longer_than_its_model_knows_is_sampled_to_the_end() -> None:
    model = models.random_transformer("0.3M", 256, growth.TEXT_WIDTH, "cpu")
    count = model.config.max_positions + 5
    assert growth.sample_tokens(model, count).shape == (count,)


def test_a_click_in_a_browser_is_timed(visit: Callable[..., Any]) -> None:
    page = visit()
    page.wait_for_function("document.querySelector('#stage .scamo-player')?.player")
    page.fill("#composer textarea", click.PROMPT)
    for box in page.locator("#cells input:checked").all()[:0:-1]:  # from the last one, which leaves places as they are
        box.uncheck()
    found = click.measure_click(page, 1)
    assert set(found) == set(click.EVENTS)
    assert 0 < found["first figure"] <= found["all figures"] and found["first video"] <= found["all videos"]
    report = {"arguments": {"wait": 0.0}, "starts": [{"answered": 4.0, "sizes": 1, "first": found, "later": [found]}]}
    assert "| all videos, of 1 sizes |" in click.click_table(report)
    assert [target.aim for target in targets.click_targets(report)] == [1, 3]


def test_trainings_in_both_precisions_are_compared(tmp_path: Path) -> None:
    found = precision.measure(precision.Args(quick=True, width=8))
    assert {(row["network"], row["precision"]) for row in found} == {
        (network, kind) for network in ("tokenizer", "transformer") for kind in ("no", "bf16")
    }
    assert all(np.isfinite(row["metric"]).all() and len(row["metric"]) == 1 for row in found)
    rows = [{"network": "tokenizer", "precision": kind, "metric": values}
            for kind, values in (("no", [1.0, 2.0]), ("bf16", [1.5, 2.5]))]  # fmt: skip
    rows += [{**row, "network": "transformer"} for row in rows]
    table = precision.precision_table({"rows": rows})
    assert "| tokenizer, 2 seeds | MPJPE, mm | 1.500 [1.000, 2.000] | 2.000 [1.500, 2.500] | +0.500 | 1.000 |" in table


def test_a_peak_of_memory_is_seen() -> None:
    held = growth.peak_bytes("cpu", start=True)
    if not held:
        pytest.skip("this system does not state its peaks")
    block = np.ones(50_000_000, dtype=np.uint8)
    assert growth.peak_bytes("cpu") - held > 40_000_000 and block.all()


def test_the_attention_measured_is_that_of_the_network() -> None:
    keys, values = (np.random.default_rng(n).normal(size=(2, 5, 8)).astype(np.float32) for n in (0, 1))
    shown = [torch.from_numpy(part)[:, :4] for part in (keys, values)]
    expected = torch.nn.functional.scaled_dot_product_attention(shown[0][:, 3:], *shown).reshape(-1)
    np.testing.assert_allclose(growth.attend(keys, values, 3), expected.numpy(), rtol=1e-5)
    rows = growth.measure_attention(growth.smallest(growth.Args()))
    assert [row["length"] for row in rows] == [4, 8] and all(0 < row["attention"] < row["token"] for row in rows)


def test_a_load_is_measured_in_a_process_of_its_own() -> None:
    (row,) = growth.measure_loads("0.3M", 256, types=("float16",))
    assert (row["stored"], row["computed"]) == ("float16", "float16")
    parameters = sum(p.numel() for p in models.random_transformer("0.3M", 256, growth.TEXT_WIDTH, "cpu").parameters())
    assert 2 * parameters <= row["weights"] < 4 * parameters


def test_reports_are_short_and_name_the_machine(tmp_path: Path) -> None:
    machine.write_report(tmp_path / "a.json", {"values": [1 / 3, {"deep": np.pi}], "count": 12345})
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert (found["values"], found["count"]) == ([0.3333, {"deep": 3.142}], 12345)
    assert found["machine"]["cores"] and found["machine"]["versions"]["torch"]
    assert machine.median_ratio([2.0, 6.0, 9.0], [1.0, 2.0, 9.0]) == 2


def test_rigid_bones_are_measured_against_better_ones() -> None:
    """A recording whose bones were measured wrongly in one half: other lengths are found, and come closer."""
    joints = stretchy(30)
    found = rigid.measure_motions([joints, joints], 4)
    assert found["closest"] < found["mean"] < found["turned"] and 0 < found["hands"] < found["mean"]
    assert found["stretch"] > 0.02
    offsets = rest_offsets(walk(30))
    bent = rigid.refitted(walk(30), walk(30), offsets * np.linspace(0.9, 1.1, 22)[:, None])
    np.testing.assert_allclose(np.linalg.norm(bent, axis=-1), np.linalg.norm(offsets, axis=-1), atol=1e-6)
    assert "| a walk | 1.0 |" in rigid.rigid_table({"prompts": {"a walk": dict.fromkeys(found, 1.0)}})


def test_the_page_for_animators_quotes_the_measurement() -> None:
    docs = Path(__file__).parents[1] / "docs"
    measured = json.loads((docs / "tables" / "rigid.json").read_text(encoding="utf-8"))
    assert rigid.summary(measured) in (docs / "animators.md").read_text(encoding="utf-8")
    assert rigid.rigid_table(measured) == (docs / "tables" / "rigid.md").read_text(encoding="utf-8")
