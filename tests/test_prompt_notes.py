"""What is said of a prompt: cut, not English, rounded; alike wherever it is said."""

from __future__ import annotations

import pytest
import torch

from scamo.configs import TokenizerConfig
from scamo.device import Place
from scamo.options import Prompt
from scamo.pipeline import MotionPipeline
from scamo.prompt_notes import batch_notes, is_english, prompt_notes
from scamo.tuned_text import Understood
from tests.tiny import FakeEncoder, small_pipeline

CODEC = TokenizerConfig((5, 3))


@pytest.mark.parametrize(
    "text",
    [
        "", "a person walks forward", "an old man bows and waves with both hands", "walk forwad quikly", "42!",
        "he cartwheels, then moonwalks backwards", "a pirouetting ballerina", "kung fu kick", "saunters along",
        "someone does tai chi and qigong", "a fiancée dances the tango", "jogs, carries a box and trudges on",
    ],
)  # fmt: skip
def test_english(text: str) -> None:
    assert is_english(text)


@pytest.mark.parametrize(
    "text",
    [
        "eine Person geht vorwärts", "ein alter Mann winkt mit beiden Händen", "une personne marche en avant",
        "una persona camina hacia adelante", "un hombre salta y baila", "una persona cammina in avanti",
        "uma pessoa anda para frente", "een persoon loopt vooruit", "osoba idzie do przodu", "bir kişi ileri yürüyor",
        "человек идёт вперёд", "一个人向前走", "人が歩く", "mies kävelee eteenpäin", "orang itu melompat",
    ],
)  # fmt: skip
def test_other_languages(text: str) -> None:
    assert not is_english(text)


def test_what_is_said() -> None:
    def notes(text: str, seconds: float | None, is_cut: bool = False) -> tuple[str, ...]:
        return prompt_notes([Prompt(text, seconds)], [CODEC.tokens_in(seconds or 4)], CODEC, [is_cut], 150)

    assert notes("a person walks", 4) == notes("a person walks", None) == notes("a person walks", 0.6) == ()
    assert notes("a person walks", 4.33) == ("4.33 seconds become 4.4: lengths are multiples of 0.2 seconds.",)
    assert notes("a person walks " * 60, 4, is_cut=True) == (
        "The prompt reaches 150 word pieces; what comes after is not read.",
    )
    assert notes("人が歩く", 4) == ("The models read English; this prompt will mean little to them.",)


def test_a_prompt_that_is_not_clear_is_told_of() -> None:
    def notes(text: str, *actions: str, sureness: float) -> tuple[str, ...]:
        read = [Understood(actions, "normal", sureness)]
        return prompt_notes([Prompt(text)], [20], CODEC, [False], 150, read)

    assert notes("he falls", "fall", sureness=0.9) == ()
    assert notes("she plays the piano", "dance-long", sureness=0.2) == (
        "It is not clear which of the known actions “she plays the piano” asks for; it was read as “dance”.",
    )
    assert notes("the weather is nice", sureness=0.9) == (
        "It is not clear which of the known actions “the weather is nice” asks for; none was read.",
    )


def test_company_is_told_of_where_rounding_depends_on_it() -> None:
    said = ("Made in bfloat16 in one pass with 2 others: alone, the same seed may give another motion.",)
    assert batch_notes(3, Place("cpu", "bfloat16")) == batch_notes(3, Place("cuda:0", "bfloat16")) == said
    assert batch_notes(2, Place("cuda:0", "float16")) and not batch_notes(2, Place("cuda:0", "float32"))
    assert not batch_notes(3, Place("cpu", "float32")) and not batch_notes(1, Place("cpu", "bfloat16"))
    small = small_pipeline()
    pipeline = MotionPipeline(small.tokenizer, small.transformer.to(torch.bfloat16), small.card, FakeEncoder(6))
    one, other = pipeline.generate_batch(["a person walks", "a person bows"], seconds=1, seeds=[0, 1])
    assert one.recipe.notes == other.recipe.notes and "with 1 others" in one.recipe.notes[0]


def test_a_generation_and_its_recipe_say_it() -> None:
    made = small_pipeline().generate("una persona camina hacia adelante", seconds=1.3, seed=0)
    assert (
        made.notes
        == made.recipe.notes
        == (
            "The models read English; this prompt will mean little to them.",
            "1.3 seconds become 1.4: lengths are multiples of 0.2 seconds.",
        )
    )
    assert type(made.recipe).from_dict(made.recipe.to_dict()).notes == made.notes
    assert type(made.recipe).from_dict(made.recipe.to_dict() | {"notes": [1, "a" * 9999, "b"]}).notes == ("b",)
    parts = [Prompt("a person walks", 1), Prompt("a person bows", 1.05)]
    assert small_pipeline().timeline(parts, seed=0).notes[0].startswith("1.05 seconds become 1:")
