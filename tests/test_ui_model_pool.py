"""The models of the page: how they are listed, chosen, loaded and dropped."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("gradio")

from scamo.ui import model_pool
from tests.tiny import write_models
from tests.ui import make_pool


def test_models_are_listed_by_codebook_and_size(pool, tiny_models):
    assert list(pool.by_codebook) == [256, 1024]
    assert list(pool.by_codebook[256]) == ["0.3M", "1M"]
    assert pool.default_key == (1024, "1M")
    assert len(make_pool(tiny_models, [tiny_models / "256-1M"]).cards) == 4  # the same folder twice is one model


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
    pool.preload()
    assert encoder.asked == ["a person walks"]


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
