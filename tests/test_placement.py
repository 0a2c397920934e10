"""Where a model goes: as asked, or where it is faster."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scamo import placement
from scamo.configs import SIZES, TransformerConfig
from scamo.placement import choose_for_page, choose_place
from tests.devices import stand_in

SMALL = TransformerConfig(15, *SIZES["0.3M"], 6)
HUGE = TransformerConfig(65536, *SIZES["3B"], 2048)


@pytest.fixture(autouse=True)
def nothing_measured(monkeypatch):
    monkeypatch.setattr(placement, "_times", {})


def timed(monkeypatch, cpu: float, gpu: float) -> list[str]:
    asked: list[str] = []

    def time_step(shape, device, dtype=None):
        asked.append(str(device))
        return cpu if device.type == "cpu" else gpu

    monkeypatch.setattr(placement, "time_step", time_step)
    return asked


def test_without_a_gpu_nothing_is_measured(monkeypatch):
    stand_in(monkeypatch, [])
    asked = timed(monkeypatch, 1, 1)
    assert choose_place(SMALL, "auto") == (torch.device("cpu"), None, "")
    assert choose_place(HUGE, "auto", torch.int8) == (torch.device("cpu"), torch.int8, "")
    assert asked == []


@pytest.mark.parametrize(("cpu", "gpu", "where"), [(0.001, 0.004, "cpu"), (0.009, 0.004, "cuda:0")])
def test_a_small_model_goes_where_it_was_measured_faster(monkeypatch, cpu, gpu, where):
    stand_in(monkeypatch, ["cuda:0"], dtype=torch.bfloat16)
    asked = timed(monkeypatch, cpu, gpu)
    assert str(choose_place(SMALL, "auto", measure=False).device) == "cuda:0" and asked == []
    first = choose_place(SMALL, "auto")
    assert str(first.device) == where
    assert first.dtype == (None if where == "cpu" else torch.bfloat16)
    assert first.why == f"measured: {1000 * cpu:.1f} ms a token on the CPU, 4.0 ms on cuda:0"
    assert choose_place(SMALL, "auto") == choose_place(SMALL, "auto", measure=False) == first
    assert asked == ["cpu", "cuda:0"]  # once for a shape
    choose_place(replace(SMALL, layers=5), "auto")
    assert len(asked) == 4


def test_a_large_model_goes_to_the_gpu_unmeasured(monkeypatch):
    stand_in(monkeypatch, ["cuda:0"], dtype=torch.float16)
    asked = timed(monkeypatch, 1, 1)
    found = choose_place(HUGE, "auto")
    assert found[:2] == (torch.device("cuda:0"), torch.float16) and asked == []
    assert str(found.place) == "cuda:0 in float16"


def test_what_is_asked_for_is_done_or_refused(monkeypatch):
    stand_in(monkeypatch, ["cuda:0"], dtype=torch.bfloat16)
    assert choose_place(SMALL, "cuda")[:2] == (torch.device("cuda:0"), torch.bfloat16)
    assert choose_place(SMALL, "cuda", torch.float32).dtype == torch.float32
    assert choose_place(SMALL, "cpu") == (torch.device("cpu"), None, "")
    assert choose_place(SMALL, "auto", torch.int8) == (torch.device("cpu"), torch.int8, "int8 is for the CPU")
    with pytest.raises(ValueError, match="int8 is for the CPU"):
        choose_place(SMALL, "cuda", torch.int8)
    with pytest.raises(ValueError, match='no device "cuda:3"'):
        choose_place(SMALL, "cuda:3")


def test_the_page_halves_large_models_on_a_cpu(monkeypatch):
    stand_in(monkeypatch, [])
    large = TransformerConfig(65536, *SIZES["111M"], 384)
    found = choose_for_page(large, "auto")
    if "fbgemm" in torch.backends.quantized.supported_engines:
        assert found.dtype == torch.float16 and "--dtype float32" in found.why
    else:
        assert found.dtype is None
    for dtype in (torch.float32, torch.int8):  # what is asked for is done
        assert choose_for_page(large, "cpu", dtype).dtype == dtype
    assert choose_for_page(SMALL, "cpu") == choose_place(SMALL, "cpu")
    assert choose_place(large, "auto").dtype is None  # as the library computes
    stand_in(monkeypatch, ["cuda:0"], dtype=torch.bfloat16)
    assert choose_for_page(large, "auto") == choose_place(large, "auto")


def test_a_step_is_really_timed():
    """Of more than ten times the weights, by the same code that a GPU runs."""
    big = TransformerConfig(1000, *SIZES["4M"], 384)
    assert 0 < placement.time_step(SMALL, torch.device("cpu")) < placement.time_step(big, torch.device("cpu")) < 5
    assert placement.time_step(SMALL, torch.device("cpu"), torch.float16) > 0
