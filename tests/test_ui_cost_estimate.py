"""What a click is said to cost, and what the estimate learns."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("gradio")

from scamo.ui import cost_estimate as cost
from scamo.ui.formatting import byte_count
from tests.devices import GB, stand_in
from tests.ui import make_pool


def test_what_has_no_room_is_refused_with_the_reason(pool, monkeypatch):
    estimator = cost.CostEstimator()
    card = pool.card(1024, "1M")
    monkeypatch.setattr(estimator, "free_memory", lambda: card.memory_bytes - 1)
    without_room = cost.models_without_room(pool, estimator)
    assert list(without_room) == [(1024, "1M")]
    assert byte_count(card.memory_bytes) in without_room[1024, "1M"]
    assert "1024 · 1M cannot run here" in cost.describe_cost(estimator, {}, 4.0, 1, without_room)
    pool.pipeline(card)
    assert not cost.models_without_room(pool, estimator)  # it is in memory already
    monkeypatch.setattr(estimator, "free_memory", lambda: None)
    assert not cost.models_without_room(pool, estimator)


def test_costs_are_said_before_and_learned_from_what_was_made(shared_pool):
    estimator, cards = cost.CostEstimator(), shared_pool.selected([[1024, "0.3M"], [1024, "1M"]])
    small, large = cards.values()
    times = [estimator.generation_time(*asked) for asked in ((small, 1, 20), (large, 1, 20), (large, 8, 20))]
    assert 0 < times[0] < times[1] < times[2]
    first = cost.describe_cost(estimator, cards, 4.0, 1, {})
    assert "nothing to download" in first
    assert byte_count(small.memory_bytes + large.memory_bytes) in first
    assert "then the videos" in first
    for card in cards.values():
        estimator.record_generation(card, 1, 20, 10.0)
    estimator.record_drawing(80, 5.0)
    assert "about 20 s, then the videos in 10 s" in cost.describe_cost(estimator, cards, 4.0, 1, {})
    assert "about 10 s, then the videos in 5" in cost.describe_cost(estimator, cards, 2.0, 1, {})
    assert "at most" in cost.describe_cost(estimator, cards, None, 1, {})


def test_guidance_is_counted_and_learned_apart(shared_pool):
    """A guided token is read twice; what one kind took says nothing of the other."""
    estimator, card = cost.CostEstimator(), shared_pool.card(1024, "1M")
    plain, own, guided = (estimator.generation_time(card, 1, 20, guidance) for guidance in (1.0, None, 3.0))
    assert own == plain
    assert guided == pytest.approx(2 * plain)
    estimator.record_generation(card, 1, 20, 40.0, 3.0)
    assert estimator.generation_time(card, 1, 20, 2.0) == 40.0
    assert estimator.generation_time(card, 1, 20, 1.0) == plain
    assert "about 40 s" in cost.describe_cost(estimator, {"": card}, 4.0, 1, {}, 3.0)


def test_tokens_and_frames_are_those_of_the_model_itself(slow_pool):
    """Four seconds are 10 tokens of 8 frames with three halvings, and 13 tokens of 4 frames for KIT-ML."""
    estimator = cost.CostEstimator()
    halvings, kit = slow_pool.card(256, "0.3M"), slow_pool.card(512, "0.3M")
    for card in (halvings, kit):
        estimator.record_generation(card, 1, 1, 3.0)
    estimator.record_drawing(1, 0.5)
    assert "about 30 s, then the videos in 40 s" in cost.describe_cost(estimator, {"": halvings}, 4.0, 1, {})
    assert "about 39 s, then the videos in 26 s" in cost.describe_cost(estimator, {"": kit}, 4.0, 1, {})


def test_free_memory_is_what_a_container_leaves(monkeypatch):
    numbers = {"MemAvailable:": 1000, "": None}
    monkeypatch.setattr(cost, "_read_number", lambda path, name="": numbers.get(name or path.name))
    assert cost.CostEstimator().free_memory() == 1024_000
    numbers.update({"memory.max": 500_000, "memory.current": 200_000, "inactive_file": 50_000})
    assert cost.CostEstimator().free_memory() == 350_000
    numbers.clear()
    assert cost.CostEstimator().free_memory() is None


def test_the_memory_of_a_gpu_is_said_and_what_does_not_fit_is_blocked(tiny_models, monkeypatch):
    facts = stand_in(monkeypatch, ["cuda:0"], free=3 * GB, total=16 * GB, dtype=torch.bfloat16)
    pool = make_pool(tiny_models, device="cuda")
    estimator = cost.CostEstimator(pool)
    card = pool.card(1024, "1M")
    words = cost.describe_cost(estimator, {"1M": card}, 4.0, 1, {})
    assert f"{byte_count(card.memory_in(torch.bfloat16))} of memory on cuda:0 (3.0 GB of 16.0 GB free)" in words
    assert card.memory_in(torch.bfloat16) < card.memory_bytes
    assert not cost.models_without_room(pool, estimator)
    facts.free = card.memory_in(torch.bfloat16) - 1
    (reason,) = cost.models_without_room(pool, estimator).values()
    assert f"{byte_count(facts.free)} of 16.0 GB are free on cuda:0" in reason
    assert "choose a smaller size, or start with --device cpu --dtype int8." in reason
    assert list(cost.models_without_room(pool, estimator)) == [(1024, "1M")]


def test_float32_on_a_gpu_is_told_of_bfloat16(tiny_models, monkeypatch):
    stand_in(monkeypatch, ["cuda:0"], free=1)
    pool = make_pool(tiny_models, device="cuda", dtype=torch.float32)
    without_room = cost.models_without_room(pool, cost.CostEstimator(pool))
    assert len(without_room) == 4
    assert all("start with --dtype bfloat16" in reason for reason in without_room.values())


def test_a_gpu_is_expected_to_be_as_quick_as_one(tiny_models, monkeypatch):
    stand_in(monkeypatch, ["cuda:0"], dtype=torch.bfloat16)
    pool = make_pool(tiny_models, device="cuda")
    estimator = cost.CostEstimator(pool)
    monkeypatch.setattr(cost, "_measure_speed", lambda: 1 / 0)  # the CPU's speed says nothing of it
    assert 0.001 < estimator.generation_time(pool.card(1024, "1M"), 1, 20) < 1
