"""The models a page offers. Read-only and shared by all its users; nothing of any one of them is kept here."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor

from scamo import registry
from scamo.pipeline import Generator, ModelCard
from scamo.text import MINILM, TextEncoder, load_text_encoder

KEPT_BYTES = 4 << 30  # of models in memory; the bundled ones have a few MB each


class Studio:
    """Loads each model when it is first asked for, and forgets the longest unused ones when memory gets short."""

    def __init__(self, folders: Sequence[str | Path] = ()) -> None:
        self.cells: dict[int, dict[str, ModelCard]] = {}  # codebook -> label of a size -> its card
        for card in sorted(registry.models(folders), key=lambda card: (card.codebook, weight(card))):
            row = self.cells.setdefault(card.codebook, {})
            names = (card.size, f"{card.size} · {card.name}", f"{card.size} · {card.name} ({len(row)})")
            row[next(name for name in names if name not in row)] = card
        self.tokenizers = registry.tokenizers(folders)  # those that have no model
        self._generators: OrderedDict[ModelCard, Generator] = OrderedDict()
        self._encoders: dict[str, TextEncoder] = {}
        self._lock = threading.Lock()

    @property
    def cards(self) -> list[ModelCard]:
        """All models, by codebook."""
        return [card for row in self.cells.values() for card in row.values()]

    @property
    def temperature(self) -> float:
        """What the sliders start at: the first model's own choice."""
        return float(self.cards[0].sampling.get("temperature", 1.0)) if self.cards else 1.0

    def card(self, codebook: int, size: str) -> ModelCard:
        """The model of one cell. ValueError names what there is instead."""
        row = self.cells.get(codebook)
        if row is None:
            raise ValueError(f"There is no model with a codebook of {codebook}; choose {_list(self.cells)}.")
        if size not in row:
            raise ValueError(f"There is no {size} model with a codebook of {codebook}; choose {_list(row)}.")
        return row[size]

    def generator(self, card: ModelCard) -> Generator:
        """The model behind a card, loaded if need be. ValueError where its files are missing or damaged."""
        with self._lock:
            if card not in self._generators:
                used = sum(other.memory_bytes for other in self._generators)
                while self._generators and used + card.memory_bytes > KEPT_BYTES:
                    used -= self._generators.popitem(last=False)[0].memory_bytes
                loaded = registry.load(card)
                encoder = self._encoder(card.text_encoder) if card.text_encoder else None
                self._generators[card] = Generator(loaded.tokenizer, loaded.transformer, card, encoder)
            self._generators.move_to_end(card)
            return self._generators[card]

    def holds(self, card: ModelCard) -> bool:
        """Whether the model is in memory already."""
        return card in self._generators

    def embed(self, card: ModelCard, text: str) -> Tensor:
        """What the model reads of a text, float32 [L, D], by an encoder that all models share."""
        name = card.text_encoder
        if name is None:
            raise ValueError(f"The text encoder of {card.name} is not recorded in its card; convert it again.")
        with self._lock:
            encoder = self._encoder(name)
        return encoder.encode([text])[0][0]

    def _encoder(self, name: str) -> TextEncoder:
        if name not in self._encoders:
            self._encoders[name] = load_text_encoder(name)
        return self._encoders[name]

    def warm(self) -> None:
        """Load what the first click would wait for: MiniLM, which imports transformers. Others may take gigabytes."""
        for card in self.cards:
            if card.text_encoder == MINILM:
                self.embed(card, "a person walks")
                return


def weight(card: ModelCard) -> int:
    """What sizes are sorted by; grows with the transformer's parameters."""
    return card.transformer.layers * card.transformer.width**2


def _list(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "none"
