"""The models of the page: how they are listed, chosen, loaded and dropped."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import pytest
import torch

pytest.importorskip("gradio")

from scamo import registry
from scamo.device import DeviceFull
from scamo.engine import LocalEngine
from scamo.ui import model_pool
from tests.devices import GB, stand_in
from tests.tiny import write_models
from tests.ui import make_pool


def test_models_are_listed_by_codebook_and_size(pool, tiny_models):
    assert list(pool.by_codebook) == [256, 1024]
    assert list(pool.by_codebook[256]) == ["0.3M", "1M"]
    assert pool.default_key == (1024, "1M")
    assert len(make_pool(tiny_models, [tiny_models / "256-1M"]).cards) == 4  # the same folder twice is one model


@pytest.mark.parametrize("odd", [[], {}, [256], 2.5, "256", float("nan")])
def test_a_model_that_is_no_name_is_refused(pool, odd):
    with pytest.raises(ValueError, match="There is no model with a codebook"):
        pool.card(odd, "0.3M")
    with pytest.raises(ValueError, match=r"There is no .* model with a codebook of 256"):
        pool.card(256, odd)


def test_a_model_of_ones_own_stands_beside_the_bundled_one(tiny_models, tmp_path):
    own = [write_models(tmp_path / name, (256,), ("1M",)) for name in ("first", "second")]
    pool = make_pool(tiny_models, own)
    assert list(pool.by_codebook[256]) == ["0.3M", "1M", "1M · 256-1M", "1M · 256-1M (3)"]
    for label, card in pool.by_codebook[256].items():
        assert pool.label_of(card) == label


def test_any_models_can_be_ticked_and_are_told_apart(pool):
    assert list(pool.selected([[1024, "0.3M"], [1024, "1M"], [1024, "1M"]])) == ["0.3M", "1M"]
    across = pool.selected([[256, "1M"], [1024, "1M"]])
    assert list(across) == ["256 · 1M", "1024 · 1M"]
    assert [card.codebook for card in across.values()] == [256, 1024]


def test_a_model_is_loaded_once_and_the_text_encoder_is_shared(pool, encoder):
    small, large = pool.selected([[256, "0.3M"], [1024, "1M"]]).values()
    assert not pool.is_loaded(small)
    assert pool.pipeline(small) is pool.pipeline(small)
    assert pool.is_loaded(small)
    assert pool.pipeline(small).text_encoder is pool.pipeline(large).text_encoder is encoder
    pool.drop(large)
    pool.preload()
    assert encoder.asked == ["a person walks"]
    assert pool.default_key == (1024, "1M") and pool.is_loaded(large)  # the first click finds the default model


def test_the_model_that_was_unused_longest_is_dropped(pool, monkeypatch):
    first, second, third = pool.cards[:3]
    monkeypatch.setattr(
        model_pool, "MAX_LOADED_BYTES", first.memory_bytes + second.memory_bytes + third.memory_bytes - 1
    )
    for card in (first, second, first, third):
        pool.pipeline(card)
    assert [pool.is_loaded(card) for card in (first, second, third)] == [True, False, True]


def test_a_recipe_finds_its_own_model_among_twins(tiny_models, tmp_path):
    pool = make_pool(tiny_models, [write_models(tmp_path, (256,), ("1M",))])
    bundled, own = pool.card(256, "1M"), pool.card(256, "1M · 256-1M")
    recipe = pool.pipeline(own).generate("a person walks", seconds=1).recipe
    assert recipe.size == "1M"
    assert bundled.sha256 != own.sha256
    assert pool.card_of_recipe(recipe) is own
    elsewhere = dataclasses.replace(recipe, model_sha256="of another training")
    assert pool.card_of_recipe(elsewhere) is bundled  # one of the same shape
    with pytest.raises(ValueError, match=r"0\.3M, 1M"):
        pool.card_of_recipe(dataclasses.replace(recipe, size="9T"))


def test_a_gpu_keeps_what_fits_its_own_memory(tiny_models, monkeypatch):
    """The machine's limit is not the GPU's: the CPU stands for a GPU that has room for one model more."""
    pool = make_pool(tiny_models, device="cpu")
    first, second, third = pool.cards[:3]
    facts = stand_in(monkeypatch, free=10 * GB)
    monkeypatch.setattr(model_pool, "MAX_LOADED_BYTES", 1)
    for card in (first, second):
        pool.pipeline(card)
    assert pool.is_loaded(first) and pool.is_loaded(second)
    facts.free = third.memory_bytes - 1
    assert pool.gpu_memory(torch.device("cpu")).free == facts.free + first.memory_bytes + second.memory_bytes
    emptied = facts.emptied
    pool.pipeline(third)
    assert [pool.is_loaded(card) for card in (first, second, third)] == [False, True, True]
    assert facts.emptied == emptied + 1


def test_models_on_a_gpu_take_nothing_from_those_on_the_cpu(tiny_models, monkeypatch):
    pool = make_pool(tiny_models, device="cpu")
    first, second = pool.cards[:2]
    pool.pipeline(first)
    stand_in(monkeypatch, ["cuda:0"])
    monkeypatch.setattr(model_pool, "choose_for_page", lambda *_, **__: model_pool.Choice(torch.device("cuda:0"), None))
    load = registry.load_networks
    monkeypatch.setattr(registry, "load_networks", lambda card, device, dtype: load(card))
    monkeypatch.setattr(model_pool, "MAX_LOADED_BYTES", 1)
    pool.pipeline(second)
    assert pool.is_loaded(first) and pool.is_loaded(second)


def test_a_model_that_runs_out_of_memory_is_let_go(tiny_models, monkeypatch):
    pool = make_pool(tiny_models, device="cpu")
    facts = stand_in(monkeypatch)
    card = pool.cards[0]
    pipeline = pool.pipeline(card)
    weights = weakref.ref(pipeline.transformer)

    def stream(self, *request):
        yield 1
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(LocalEngine, "stream", stream)
        with pytest.raises(DeviceFull, match="smaller size"):
            pipeline.generate("a person walks", seconds=1)
    assert not pool.is_loaded(card) and facts.emptied
    del pipeline
    gc.collect()
    assert weights() is None
    assert len(pool.pipeline(card).generate("a person walks", seconds=1).tokens) == 5


def test_loading_that_runs_out_of_memory_is_tried_again_alone(tiny_models, encoder, monkeypatch):
    pool = make_pool(tiny_models, encoder=encoder, device="cpu")
    stand_in(monkeypatch)
    first, second = pool.cards[:2]
    pool.pipeline(first)
    load, failures = registry.load_networks, [1]

    def load_or_fail(card, **where):
        if failures:
            failures.pop()
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return load(card, **where)

    monkeypatch.setattr(registry, "load_networks", load_or_fail)
    pool.pipeline(second)
    assert [pool.is_loaded(card) for card in (first, second)] == [False, True]
    assert encoder.released == 1
    failures += [1, 1]
    with pytest.raises(DeviceFull):
        pool.pipeline(first)


def test_the_pool_computes_where_it_is_told(tiny_models, monkeypatch):
    with pytest.raises(ValueError, match='no device "abacus"'):
        make_pool(tiny_models, device="abacus")
    pool = make_pool(tiny_models, device="cpu", dtype=torch.int8)
    card = pool.card(1024, "1M")
    assert str(pool.pipeline(card).engine.place) == "cpu in int8"
    assert str(pool.expected_place(card).place) == "cpu in int8"
    monkeypatch.setenv("SCAMO_DEVICE", "abacus")
    with pytest.raises(ValueError, match='no device "abacus"'):
        make_pool(tiny_models)
