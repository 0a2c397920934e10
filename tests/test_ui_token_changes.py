"""Motions with another token in one place, and what the model makes of a motion that is there."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo.ui.jobs.token_changes import replace_token, trace_recipe


@pytest.fixture(scope="module")
def pipeline(shared_pool):
    return shared_pool.pipeline(shared_pool.card(256, "0.3M"))


@pytest.fixture(scope="module")
def made(pipeline):
    return pipeline.generate("a person walks", seconds=2.0, seed=7, temperature=1.0)


def change(pipeline, now, place, token, branch):
    *_, step = replace_token(pipeline, now, place, token, branch)
    return step.result


def other_token(made, place):
    """The likeliest token that is not the one there."""
    return next(token for token in made.trace.top[place].tolist() if token != made.tokens[place])


def test_a_replaced_token_leaves_the_others(pipeline, made):
    token = other_token(made, 4)
    new = change(pipeline, made, 4, token, branch=False)
    before, after = made.tokens.tolist(), new.now.tokens.tolist()
    assert after == [*before[:4], token, *before[5:]]
    assert new.before is made
    np.testing.assert_allclose(new.now.trace.probability[:4], made.trace.probability[:4], rtol=1e-4)


def test_a_branch_keeps_the_start_and_the_length(pipeline, made):
    token = other_token(made, 4)
    new = change(pipeline, made, 4, token, branch=True)
    before, after = made.tokens.tolist(), new.now.tokens.tolist()
    assert after[:5] == [*before[:4], token]
    assert len(after) == len(before) == 10
    again = change(pipeline, new.now, 4, before[4], branch=True)
    assert again.now.tokens.tolist() == before  # the seed stays, so the way back is open


@pytest.mark.parametrize("codebook", [256, 512])
@pytest.mark.parametrize("branch", [False, True])
def test_codecs_of_other_rates_keep_their_length(slow_pool, codebook, branch):
    """2.5 and 3.125 tokens a second; once, 12 tokens were taken for 2.4 seconds, in which only 8 fit."""
    slow = slow_pool.pipeline(slow_pool.card(codebook, "0.3M"))
    made = slow.generate("a person walks", seconds=4.0, seed=7)
    assert len(made.tokens) in (10, 13)
    new = change(slow, made, 9, other_token(made, 9), branch)
    assert len(new.now.tokens) == len(made.tokens)
    assert new.now.tokens[:9].tolist() == made.tokens[:9].tolist()
    assert trace_recipe(slow, made.recipe).tokens.tolist() == made.tokens.tolist()


def test_a_motion_that_is_there_is_traced_without_sampling(pipeline, made):
    again = trace_recipe(pipeline, made.recipe)
    assert again.recipe.to_dict() == made.recipe.to_dict()
    np.testing.assert_array_equal(again.motion.features, made.motion.features)
    for mine, theirs in zip(again.trace, made.trace, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


def test_a_place_outside_is_refused(pipeline, made):
    for place in (-1, 10):
        with pytest.raises(ValueError, match="10 tokens"):
            change(pipeline, made, place, 0, branch=True)
