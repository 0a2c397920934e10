"""The models a page offers. All users share the pool, so it keeps nothing of any one of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from scamo import registry
from scamo.device import DEVICES, Memory, default_device, find_device, full, is_out_of_memory
from scamo.engine import Engine, LocalEngine
from scamo.io.recipe import Recipe
from scamo.pipeline import MotionPipeline
from scamo.placement import Choice, choose_for_page, choose_place
from scamo.registry import ModelCard
from scamo.text import TextEncoder, encoder_beside, is_minilm
from scamo.transformer import PrefixTransformer

MAX_LOADED_BYTES = 4 << 30  # of models in the machine's memory; the bundled ones have a few MB each

ModelKey = tuple[int, str]  # codebook and size label, as in ModelPool.by_codebook
EngineMaker = Callable[[ModelCard, PrefixTransformer], Engine | None]


class _Loaded(NamedTuple):
    pipeline: MotionPipeline
    device: torch.device
    size: int  # bytes


class ModelPool:
    """Loads a model when it is first needed, and drops the least recently used ones when a device's memory gets short.

    folders: models offered beside the bundled ones. make_engine: chooses what samples a model's tokens; None means
    this process. load_encoder: loads a text encoder by its name; models with the same encoder share it.
    device, dtype: where and in which type models compute, as for `choose_for_page`; None is what SCAMO_DEVICE says, or
    "auto". Raises ValueError for a device that is not there.
    """

    def __init__(
        self,
        folders: Sequence[str | Path] = (),
        make_engine: EngineMaker | None = None,
        load_encoder: Callable[[str], TextEncoder] | None = None,
        device: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._device, self._dtype = device or default_device(), dtype
        best = find_device(self._device)
        self.by_codebook: dict[int, dict[str, ModelCard]] = {}  # codebook -> size label -> card
        for card in sorted(registry.models(folders), key=lambda card: (card.codebook, size_order(card))):
            row = self.by_codebook.setdefault(card.codebook, {})
            own = card.name.removesuffix(f"-{card.codebook}-{card.size}")  # what is not said already
            labels = (card.size, f"{card.size} · {own}", f"{card.size} · {card.name} ({len(row)})")
            row[next(label for label in labels if label not in row)] = card
        self.tokenizers = registry.tokenizers(folders)  # those without a model
        self._make_engine = make_engine
        self._load_encoder = load_encoder or (lambda name: encoder_beside(name, best))
        self._loaded: OrderedDict[ModelCard, _Loaded] = OrderedDict()
        self._encoders: dict[str, TextEncoder] = {}
        self._lock = threading.Lock()

    @property
    def cards(self) -> list[ModelCard]:
        """All models, by codebook and size."""
        return [card for row in self.by_codebook.values() for card in row.values()]

    @property
    def default_temperature(self) -> float:
        """The first model's own temperature."""
        return float(self.cards[0].sampling.get("temperature", 1.0)) if self.cards else 1.0

    @property
    def default_key(self) -> tuple[int | None, str | None]:
        """The model that its card calls the default; else the largest with 1024 codes, or with the largest codebook.

        None where there is no model.
        """
        for card in self.cards:
            if card.is_default:
                return card.codebook, self.label_of(card)
        codebook = 1024 if 1024 in self.by_codebook else max(self.by_codebook, default=None)
        return codebook, next(reversed(self.by_codebook.get(codebook or 0, {})), None)

    def card(self, codebook: int | None, size: str | None) -> ModelCard:
        """The model with this codebook and size label. Raises ValueError that lists what there is."""
        row = self.by_codebook.get(codebook or 0) if isinstance(codebook, (int, type(None))) else None
        if row is None:
            raise ValueError(f"There is no model with a codebook of {codebook}; choose {_listed(self.by_codebook)}.")
        if not isinstance(size, str) or size not in row:
            raise ValueError(f"There is no {size} model with a codebook of {codebook}; choose {_listed(row)}.")
        return row[size]

    def selected(self, keys: Any) -> dict[str, ModelCard]:
        """The models a user ticked, [[codebook, size label], ...], each under a label that no other one has.

        Raises ValueError where none is ticked, or one is not there.
        """
        if not self.by_codebook:
            raise ValueError("No model was found on this machine; start the page with --models and a folder.")
        try:
            ticked = list(dict.fromkeys((int(codebook), str(label)) for codebook, label in keys or []))
        except (TypeError, ValueError) as error:
            raise ValueError("The models that are ticked cannot be read; tick them again.") from error
        if not ticked:
            raise ValueError("No model is chosen; tick at least one.")
        several = len({codebook for codebook, _ in ticked}) > 1
        return {f"{book} · {label}" if several else label: self.card(book, label) for book, label in ticked}

    def card_of_recipe(self, recipe: Recipe) -> ModelCard:
        """The model a recipe was made with, or one of the same codebook and size. Raises ValueError where none is."""
        fitting = [card for card in self.cards if (card.codebook, card.size) == (recipe.codebook, recipe.size)]
        same = [card for card in fitting if card.sha256 == recipe.model_sha256]  # several models may have one size
        return (same or fitting or [self.card(recipe.codebook, recipe.size)])[0]

    def label_of(self, card: ModelCard) -> str:
        """The size label of a card of this pool."""
        return next(label for label, other in self.by_codebook[card.codebook].items() if other is card)

    def pipeline(self, card: ModelCard) -> MotionPipeline:
        """The model of a card, loaded if need be. Raises ValueError where its files are missing or damaged."""
        with self._lock:
            if card not in self._loaded:
                choice = self._choose(card)
                self._make_room(choice.device, card.memory_in(choice.dtype))
                self._loaded[card] = self._load_or_retry(card, choice)
            self._loaded.move_to_end(card)
            return self._loaded[card].pipeline

    def is_loaded(self, card: ModelCard) -> bool:
        """Whether the model is in memory."""
        return card in self._loaded

    def drop(self, card: ModelCard) -> None:
        """Let a model go. Its memory is free when nobody uses it any more."""
        with self._lock:
            self._loaded.pop(card, None)

    def expected_place(self, card: ModelCard) -> Choice:
        """Where a model computes, or will as far as is known before it is loaded."""
        return self._choose(card, measure=False)

    def _choose(self, card: ModelCard, measure: bool = True) -> Choice:
        # A lent GPU takes the weights as they are.
        choose = choose_for_page if self._make_engine is None else choose_place
        return choose(card.transformer, self._device, self._dtype, measure)

    def gpu_memory(self, device: torch.device) -> Memory | None:
        """A GPU's memory, with that of the models here as free, since they can be dropped. None for the CPU."""
        memory = DEVICES.memory(device) if DEVICES.is_gpu(device) else None
        if memory is None:
            return None
        ours = sum(one.size for one in list(self._loaded.values()) if one.device == device)
        return Memory(min(memory.free + ours, memory.total), memory.total)

    def preload(self) -> None:
        """Load what the first click would wait for: MiniLM, which imports transformers, and the default model.

        Only what is bundled; others may take gigabytes.
        """
        reader = next((card.text_encoder for card in self.cards if is_minilm(card.text_encoder)), None)
        if reader is not None:
            with self._lock:
                encoder = self._encoder(reader)
            encoder.encode(["a person walks"])
        codebook, label = self.default_key
        if label is not None and self.card(codebook, label).source == "bundled":
            self.pipeline(self.card(codebook, label))

    def _make_room(self, device: torch.device, needed: int) -> None:
        """Drop the models of one device that were unused longest, until `needed` bytes are free there."""
        on_device = [(card, one.size) for card, one in self._loaded.items() if one.device == device]
        memory = DEVICES.memory(device) if DEVICES.is_gpu(device) else None
        free = MAX_LOADED_BYTES - sum(size for _, size in on_device) if memory is None else memory.free
        dropped = False
        while on_device and free < needed:
            card, size = on_device.pop(0)
            self._loaded.pop(card)
            free, dropped = free + size, True
        if memory is not None and free < needed:
            for encoder in self._encoders.values():
                encoder.release()
        if dropped:
            DEVICES.empty_cache(device)

    def _load_or_retry(self, card: ModelCard, choice: Choice) -> _Loaded:
        """Load a model; where memory runs out, once more with the device to itself. Raises DeviceFull."""
        for last in (False, True):
            try:
                return self._load(card, choice)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the block, the error and all that its traceback held are gone.
            self._make_room(choice.device, 1 << 62)
            if last:
                break
        raise full(choice.device, choice.place.dtype)

    def _load(self, card: ModelCard, choice: Choice) -> _Loaded:
        tokenizer, transformer = registry.load_networks(card, device=choice.device, dtype=choice.dtype)
        encoder = self._encoder(card.text_encoder) if card.text_encoder else None
        engine = self._make_engine(card, transformer) if self._make_engine else None
        pipeline = MotionPipeline(
            tokenizer, transformer, card, encoder, engine=engine or LocalEngine(transformer, choice.why),
            when_full=lambda: self.drop(card),
        )  # fmt: skip
        return _Loaded(pipeline, choice.device, card.memory_in(choice.dtype))

    def _encoder(self, name: str) -> TextEncoder:
        if name not in self._encoders:
            self._encoders[name] = self._load_encoder(name)
        return self._encoders[name]


def size_order(card: ModelCard) -> int:
    """What models are sorted by: the parameters without the vocabulary."""
    return card.transformer.parameter_counts.non_vocabulary


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "none"
