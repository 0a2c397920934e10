"""The corpus of several sources: balance, joining, held-out takes; and the judge of actions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from scamo.motion import canonical_joints, features_from_joints, joints_from_features
from scamo.skeleton import PARENTS
from tests.motions import walk
from training.action_judge import statistics_of, swapped
from training.dataset import Dataset
from training.pack import Clip, PackWriter
from training.prepare import broad
from training.tokenizer import joint_places


def _joints(frames: int, seed: int = 0) -> np.ndarray:
    return canonical_joints(walk(frames + seed)[seed:])


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path]:
    with PackWriter(tmp_path / "bandai.pack") as pack:
        for number, (content, style) in enumerate([("walk", "normal"), ("bow", "normal"), ("walk", "tired")] * 2):
            split = "train" if number < 4 else "test"
            labels = {"content": content, "style": style, "group": f"{content}_{style}"}
            pack.add(Clip(f"clip-{number}", _joints(50, number), split, labels=labels))
    rows = [{"name": f"made/jump-{i}", "source": "made", "take": f"jump-{i}", "action": "jump", "frames": 45,
             "licence": "CC0-1.0"} for i in range(3)]  # fmt: skip
    joints = np.concatenate([_joints(45, 10 + i) for i in range(3)]).astype(np.float32)
    np.savez_compressed(tmp_path / "actions.npz", joints=joints, about=json.dumps(rows))
    return tmp_path / "bandai.pack", tmp_path / "actions.npz"


def test_rare_actions_are_shown_often_and_sentences_are_now_and_then_empty(
    tmp_path: Path, sources: tuple[Path, Path]
) -> None:
    pack, actions = sources
    args = broad.Args(pack, actions, tmp_path / "broad", shown=6, pairs=4, mixed=3, mixed_triples=1, repeated=2)
    broad.main(args)
    data = Dataset(tmp_path / "broad")
    train = [clip for clip in data.split("train") if clip.labels["kind"] != "joined"]
    jumps = [clip for clip in train if clip.labels["contents"] == ["jump"]]
    assert len(jumps) == 9  # three clips of an action that is asked for often: 1.5 times 6
    assert len({clip.frames for clip in jumps}) > 3  # at several speeds
    assert all(clip.captions.count("") == 2 and clip.captions[0] for clip in jumps)
    mixed = [clip for clip in data.clips if clip.name.startswith("mixed")]
    assert mixed
    assert all("jump" in clip.labels["contents"] for clip in mixed)
    assert all("tired" in text or "wear" in text or "exhaust" in text or "heavy" in text for clip in train
               if clip.labels["style"] == "tired" for text in clip.captions if text)  # fmt: skip
    before = (tmp_path / "broad" / "clips.jsonl").stat().st_mtime_ns
    broad.main(args)
    assert (tmp_path / "broad" / "clips.jsonl").stat().st_mtime_ns == before


def test_takes_are_held_out_of_actions_with_clips_elsewhere_only() -> None:
    rows = [{"source": "made", "take": f"walk-{i}", "action": "walk"} for i in range(40)]
    rows += [{"source": "made", "take": "only", "action": "swim"}] * 9
    splits = broad.held_out(rows)
    assert splits["made/only"] == "train"
    assert {splits[f"made/walk-{i}"] for i in range(40)} == {"train", "test", "val"}


def test_poses_that_do_not_fit_are_not_joined() -> None:
    joints = _joints(40)
    assert broad.fits(joints, joints)
    assert not broad.fits(joints, joints - [0.0, 0.4, 0.0])


def test_speed_changes_the_length() -> None:
    joints = _joints(60)
    assert len(broad.at_speed(joints, 1.2)) == pytest.approx(50, abs=1)


def test_joints_seen_from_the_root_keep_their_bones() -> None:
    features = features_from_joints(canonical_joints(walk(30)))
    made = joint_places(torch.from_numpy(features)[None])[0].numpy()
    world = joints_from_features(features)
    for child, parent in enumerate(PARENTS[1:], 1):
        lengths = np.linalg.norm(made[:, child] - made[:, parent], axis=-1)
        np.testing.assert_allclose(lengths, np.linalg.norm(world[:, child] - world[:, parent], axis=-1), atol=1e-5)


def test_labels_of_mirror_images() -> None:
    assert swapped("kick-right") == "kick-left"
    assert swapped("raise-up-left-hand") == "raise-up-right-hand"
    assert swapped("walk") == "walk"
    assert np.isfinite(statistics_of(features_from_joints(canonical_joints(walk(12))))).all()


def test_steps_are_counted() -> None:
    joints = _joints(100)  # a walk whose legs swing once a second: a step every half second
    moments = broad.steps_of(joints)
    np.testing.assert_allclose(np.diff(moments), 10, atol=1)
    clip = Clip("walk", joints, "train", labels={"content": "walk", "style": "normal", "group": "walk"})
    for _, part, count in broad.counted_clips([clip] * 5, np.random.default_rng(0)):
        assert len(part) == pytest.approx(10 * count + 5, abs=3)
