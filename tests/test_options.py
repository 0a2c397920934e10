"""Options: what a model's own choice fills in, and values that files can hold."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from scamo.options import GenerationOptions, listed


def test_a_models_choice_fills_in_what_is_not_given() -> None:
    options = GenerationOptions(seed=1, top_k=5).resolved({"temperature": 0.7, "top_k": 9, "guidance": 2.0})
    assert options == GenerationOptions(seed=1, top_k=5, temperature=0.7, guidance=2.0)


def test_a_card_without_a_choice_leaves_the_usual_one() -> None:
    options = GenerationOptions(seed=1).resolved({"temperature": None, "guidance": None})
    assert (options.temperature, options.guidance) == (1.0, 1.0)


def test_a_fresh_seed_is_drawn() -> None:
    seeds = {GenerationOptions().resolved({}).seed for _ in range(3)}
    assert len(seeds) == 3 and None not in seeds


@pytest.mark.parametrize("value", ["\n\n", "a\nb", "x" * 400, {"a": [1] * 99}])
def test_a_refusal_is_one_line_whatever_was_given(value) -> None:
    with pytest.raises(ValueError, match=r"guidance .* makes no sense") as caught:
        GenerationOptions(guidance=value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_numbers_of_numpy_become_pythons() -> None:
    options = GenerationOptions(
        seconds=np.float32(2), seed=np.int64(3), temperature=np.float32(0.5), top_p=np.float64(0.9),  # type: ignore[arg-type]
        guidance=np.int32(2), top_k=np.int8(4),  # type: ignore[arg-type]
    )  # fmt: skip
    assert json.loads(json.dumps(asdict(options)))["temperature"] == 0.5


def test_fields_replace_those_of_options() -> None:
    options = GenerationOptions(seed=1, seconds=4)
    assert GenerationOptions.of(options, seed=2) == GenerationOptions(seed=2, seconds=4)
    with pytest.raises(TypeError):
        GenerationOptions.of(options, sed=2)  # type: ignore[call-arg]


def test_many_names_of_a_file_are_listed_in_one_short_line() -> None:
    assert listed(["Hips", "Left\nLeg"]) == "Hips, Left Leg"
    assert listed([]) == "nothing"
    assert len(listed(["x" * 5000] * 9)) < 500
    many = listed(f"joint{number}" for number in range(1000))
    assert many.startswith("joint0, joint1, ") and many.endswith(" ...") and len(many) < 500
