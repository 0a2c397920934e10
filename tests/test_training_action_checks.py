"""The checks of actions, on motions whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest

from scamo.configs import LEVELS, TokenizerConfig
from scamo.skeleton import MIRROR
from scamo.tokenizer import MotionTokenizer
from tests import motions
from training.data.sentences import kept_apart
from training.measure import prompt_checks
from training.measure.action_checks import BY_ACTION, CHECKS, given_back, rates
from training.measure.joint_measures import (
    left_metres,
    longest_run,
    pelvis_height,
    seconds_in_air,
    turned_degrees,
    uprightness,
)

ARMS_DOWN = {16: (0, 0, -1.4), 17: (0, 0, 1.4)}


def posed(frames: int = 60, **turns: np.ndarray) -> np.ndarray:
    """A figure on the floor with its arms down; turns: rotation vectors [frames, 3] of joints, as j16=..."""
    local = np.zeros((frames, 22, 3))
    for joint, vector in ARMS_DOWN.items():
        local[:, joint] = vector
    for name, vectors in turns.items():
        local[:, int(name[1:])] = vectors
    joints = motions.pose(local, np.zeros((frames, 3)))
    joints[..., 1] -= joints[..., 1].min(axis=1, keepdims=True)
    return joints


def along(values: list[float], axis: int, frames: int = 60) -> np.ndarray:
    """Rotation vectors about one axis that pass through the values, [frames, 3]."""
    out = np.zeros((frames, 3))
    out[:, axis] = np.interp(np.linspace(0, len(values) - 1, frames), range(len(values)), values)
    return out


STAND = posed()
JUMP = STAND + np.array([0, 1, 0]) * np.maximum(0, 0.3 - ((np.arange(60) - 30) / 8.0) ** 2 * 0.3)[:, None, None]
SIT = posed(
    j1=along([0, -1.5, -1.5], 0), j2=along([0, -1.5, -1.5], 0), j4=along([0, 1.5, 1.5], 0), j5=along([0, 1.5, 1.5], 0)
)
BOW = posed(j3=along([0, 0.8, 0], 0), j6=along([0, 0.3, 0], 0))
WHEEL = posed(j0=along([0, 2 * np.pi], 2), j1=along([0.6, 0.6], 2), j2=along([-0.6, -0.6], 2))
RAISE = posed(j16=along([-1.4, 1.2, 1.2], 2))
MADE = {
    "stand": STAND, "jump": JUMP, "sit-down": SIT, "stand-up": SIT[::-1].copy(), "bow": BOW, "raise-left": RAISE,
    "raise-right": (RAISE * [-1, 1, 1])[:, MIRROR],
}  # fmt: skip


@pytest.mark.parametrize("action", MADE)
def test_a_motion_passes_the_check_of_its_own_action(action: str) -> None:
    assert BY_ACTION[action].check(MADE[action])


SIMILAR = {"sit-down": {"sit", "crouch"}, "stand-up": {"sit", "crouch"}, "bow": {"stand"}, "jump": {"stand"}}
"""What a motion of an action may pass for as well."""


@pytest.mark.parametrize("action", MADE)
def test_a_motion_passes_no_check_of_another_action(action: str) -> None:
    passed = {check.action for check in CHECKS if check.check(MADE[action])}
    assert action in passed
    assert passed - {action} <= SIMILAR.get(action, set())


def test_the_measures_give_known_numbers() -> None:
    assert pelvis_height(STAND)[0] == pytest.approx(0.93, abs=0.05)
    assert seconds_in_air(JUMP) == pytest.approx(0.7, abs=0.1)
    assert seconds_in_air(STAND) == 0
    assert uprightness(STAND).min() > 0.95
    assert uprightness(WHEEL).min() < -0.95
    assert longest_run(np.array([True, False, True, True])) == 2
    sideways = STAND + np.linspace(0, 1, 60)[:, None, None] * [1, 0, 0]
    assert left_metres(sideways) == pytest.approx(1, abs=0.01)
    assert turned_degrees(posed(j0=along([0, np.pi / 2], 1))) == pytest.approx(90, abs=1)


def test_two_actions_have_to_come_in_order() -> None:
    both = np.concatenate([BOW, JUMP])
    assert prompt_checks.shows(both, ("bow", "jump"))
    assert not prompt_checks.shows(both, ("jump", "bow"))
    assert not prompt_checks.shows(BOW, ("bow", "jump"))


def test_rates_count_real_clips_of_the_action_and_of_others() -> None:
    row = rates(BY_ACTION["jump"], {"jump": [JUMP, STAND], "bow": [BOW, JUMP], "leap": [JUMP]})
    assert (row["own"], row["own_passed"], row["others"], row["others_passed"]) == (2, 1, 2, 1)
    assert row["wrong"] == {"bow": 1}


def test_clips_are_given_back_in_whole_tokens() -> None:
    tokenizer = MotionTokenizer(TokenizerConfig(LEVELS[16], width=8, code_width=8, depth=1))
    features = {"jump": [np.zeros((10, 263), np.float32)], "bow": [np.zeros((1, 263), np.float32)]}
    back = given_back(features, tokenizer)
    least = tokenizer.frames_per_token
    assert [len(one) for one in back["jump"]] == [10 // least * least] and back["bow"] == []


def test_every_action_is_asked_for_plainly_and_in_words_kept_apart() -> None:
    assert prompt_checks.PLAIN.keys() == BY_ACTION.keys()
    apart = kept_apart()
    assert len(prompt_checks.KEPT_APART_TWO) == len(apart["two"])
    assert BY_ACTION.keys() <= apart.keys()
    named = {action for _, first, second in prompt_checks.TWO for action in (first, second)}
    assert named | {one for pair in prompt_checks.KEPT_APART_TWO for one in pair} <= BY_ACTION.keys()
    asked = prompt_checks.questions(2, 1)
    assert len(asked) == 2 * (len(CHECKS) + len(prompt_checks.TWO)) + sum(apart for _, apart, _ in asked)
