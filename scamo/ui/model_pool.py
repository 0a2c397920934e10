"""The models a page offers. All users share the pool, so it keeps nothing of any one of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from scamo import registry
from scamo.engine import Engine
from scamo.io.recipe import Recipe
from scamo.pipeline import MotionPipeline
from scamo.registry import ModelCard
from scamo.text import MINILM, TextEncoder, load_text_encoder
from scamo.transformer import PrefixTransformer

MAX_LOADED_BYTES = 4 << 30  # of models in memory; the bundled ones have a few MB each

ModelKey = tuple[int, str]  # codebook and size label, as in ModelPool.by_codebook
EngineMaker = Callable[[ModelCard, PrefixTransformer], Engine | None]


class ModelPool:
    """Loads a model when it is first needed, and drops the least recently used ones when memory gets short.

    folders: models offered beside the bundled ones. make_engine: chooses what samples a model's tokens; None means
    this process. load_encoder: loads a text encoder by its name; models with the same encoder share it.
    """

    def __init__(
        self,
        folders: Sequence[str | Path] = (),
        make_engine: EngineMaker | None = None,
        load_encoder: Callable[[str], TextEncoder] = load_text_encoder,
    ) -> None:
        self.by_codebook: dict[int, dict[str, ModelCard]] = {}  # codebook -> size label -> card
        for card in sorted(registry.models(folders), key=lambda card: (card.codebook, size_order(card))):
            row = self.by_codebook.setdefault(card.codebook, {})
            labels = (card.size, f"{card.size} · {card.name}", f"{card.size} · {card.name} ({len(row)})")
            row[next(label for label in labels if label not in row)] = card
        self.tokenizers = registry.tokenizers(folders)  # those without a model
        self._make_engine = make_engine
        self._load_encoder = load_encoder
        self._pipelines: OrderedDict[ModelCard, MotionPipeline] = OrderedDict()
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
        """The largest model with 1024 codes, or with the largest codebook; None where there is no model."""
        codebook = 1024 if 1024 in self.by_codebook else max(self.by_codebook, default=None)
        return codebook, next(reversed(self.by_codebook.get(codebook or 0, {})), None)

    def card(self, codebook: int | None, size: str | None) -> ModelCard:
        """The model with this codebook and size label. Raises ValueError that lists what there is."""
        row = self.by_codebook.get(codebook or 0)
        if row is None:
            raise ValueError(f"There is no model with a codebook of {codebook}; choose {_listed(self.by_codebook)}.")
        if size not in row:
            raise ValueError(f"There is no {size} model with a codebook of {codebook}; choose {_listed(row)}.")
        return row[size or ""]

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
            if card not in self._pipelines:
                used = sum(other.memory_bytes for other in self._pipelines)
                while self._pipelines and used + card.memory_bytes > MAX_LOADED_BYTES:
                    used -= self._pipelines.popitem(last=False)[0].memory_bytes
                self._pipelines[card] = self._load(card)
            self._pipelines.move_to_end(card)
            return self._pipelines[card]

    def is_loaded(self, card: ModelCard) -> bool:
        """Whether the model is in memory."""
        return card in self._pipelines

    def preload(self) -> None:
        """Load what the first click would wait for: MiniLM, which imports transformers. Others may take gigabytes."""
        if any(card.text_encoder == MINILM for card in self.cards):
            with self._lock:
                encoder = self._encoder(MINILM)
            encoder.encode(["a person walks"])

    def _load(self, card: ModelCard) -> MotionPipeline:
        tokenizer, transformer = registry.load_networks(card)
        encoder = self._encoder(card.text_encoder) if card.text_encoder else None
        engine = self._make_engine(card, transformer) if self._make_engine else None
        return MotionPipeline(tokenizer, transformer, card, encoder, engine=engine)

    def _encoder(self, name: str) -> TextEncoder:
        if name not in self._encoders:
            self._encoders[name] = self._load_encoder(name)
        return self._encoders[name]


def size_order(card: ModelCard) -> int:
    """What models are sorted by: the parameters without the vocabulary."""
    return card.transformer.parameter_counts.non_vocabulary


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "none"
