"""Write bundled_tokens.json: the tokens that every bundled model gives to twelve prompts.

    python tests/golden/bundled_tokens.py

Run it only when the bundled models change; a change of the code must leave these tokens equal to the bit.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import scamo
from scamo import registry
from scamo.text import TextEncoder, load_text_encoder

FILE = Path(__file__).with_name("bundled_tokens.json")
PROMPTS: tuple[tuple[str, float | None], ...] = (
    ("a person walks forward", 4.0),
    ("an old man walks forward, then bows", None),
    ("a woman raises her left hand", 2.0),
    ("someone walks while turning left", 3.0),
    ("a happy child dances", None),
    ("a man kicks with his right leg", 2.4),
    ("a person runs forward", 3.0),
    ("someone walks backwards", 4.0),
    ("a person waves with both hands", None),
    ("a person walks forward, then waves with the left hand", 6.0),
    ("a tired person turns right", 3.0),
    ("a person punches", 2.0),
)


@cache
def encoder() -> TextEncoder:
    """The encoder that all bundled models share."""
    return load_text_encoder(str(registry.BUNDLED / "text-encoder"))


def sampled(card: scamo.ModelCard) -> list[list[int]]:
    """Tokens of each prompt; the seed is the prompt's place in the list."""
    pipeline = scamo.load(card, text_encoder=encoder())
    return [
        pipeline.generate(prompt, seed=seed, seconds=seconds).tokens.tolist()
        for seed, (prompt, seconds) in enumerate(PROMPTS)
    ]


def main() -> None:
    tokens = {card.name: sampled(card) for card in scamo.models() if card.source == "bundled"}
    rows = [f"{json.dumps(name)}: {json.dumps(lists)}" for name, lists in tokens.items()]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
