"""The corpus of many actions: balance, joining, held-out takes; and the classifier of actions."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scamo.motion import canonical_joints, features_from_joints
from tests.motions import walk
from training.data import action_pieces, many_actions
from training.data.archive import Clip, PackWriter
from training.data.dataset import Dataset, DatasetWriter
from training.data.sentences import kept_apart
from training.measure.action_classifier import (
    ActionClassifier,
    Args,
    ask,
    mirrored_label,
    statistics_of,
    table_rows,
)


def _joints(frames: int, seed: int = 0) -> np.ndarray:
    return canonical_joints(walk(frames + seed)[seed:])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
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
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    pack, actions = files
    args = many_actions.Args(
        pack, actions, tmp_path / "corpus", shown=6, pairs=4, mixed=3, asked=2, mixed_triples=1, repeated=2
    )
    many_actions.main(args)
    data = Dataset(tmp_path / "corpus")
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
    walks = [clip for clip in train if clip.labels["contents"] == ["walk"] and clip.labels["style"] == "normal"]
    assert len(walks) == 6  # the style that is meant where none is named
    before = (tmp_path / "corpus" / "clips.jsonl").stat().st_mtime_ns
    many_actions.main(args)
    assert (tmp_path / "corpus" / "clips.jsonl").stat().st_mtime_ns == before


def test_the_normal_style_of_every_content_is_learned_from() -> None:
    def clips(content: str, style: str, split: str, count: int) -> list[Clip]:
        labels = {"content": content, "style": style, "group": f"{content}_{style}"}
        return [Clip(f"{content}-{style}-{i}", _joints(8), split, labels=labels) for i in range(count)]

    given = [
        *clips("wave-both-hands", "normal", "test", 2),
        *clips("wave-both-hands", "tired", "val", 2),
        *clips("raise-up-left-hand", "normal", "test", 2),  # its mirror image is learned from
        *clips("raise-up-right-hand", "normal", "train", many_actions.FEW),
    ]
    found = many_actions.with_normal_styles(given)
    assert [clip.name for clip in found] == [clip.name for clip in given]
    changed = {old.labels["group"] for old, new in zip(given, found, strict=True) if old.split != new.split}
    assert changed == {"wave-both-hands_normal"}
    assert {clip.split for clip in found if clip.labels["group"] in changed} == {"train"}


def test_pairs_that_people_ask_for_are_joined() -> None:
    pieces = [action_pieces.ActionPiece(name, name, _joints(40), "train", name, name != "jump")
              for name in ("walk", "bow", "jump")]  # fmt: skip
    asked = [("walk", "bow"), ("walk", "nothing")]
    made = list(action_pieces.mixed_clips(pieces, 2, 5, np.random.default_rng(0), asked))
    assert [contents for _, contents in made] == [["walk", "bow"]] * 5
    others = action_pieces.mixed_clips(pieces, 2, 5, np.random.default_rng(0))
    assert all("jump" in contents for _, contents in others)


def test_takes_are_held_out_of_actions_with_clips_elsewhere_only() -> None:
    rows = [{"source": "made", "take": f"walk-{i}", "action": "walk"} for i in range(40)]
    rows += [{"source": "made", "take": "only", "action": "swim"}] * 9
    splits = action_pieces.held_out(rows)
    assert splits["made/only"] == "train"
    assert {splits[f"made/walk-{i}"] for i in range(40)} == {"train", "test", "val"}


def test_poses_that_do_not_fit_are_not_joined() -> None:
    joints = _joints(40)
    assert action_pieces.fits(joints, joints)
    assert not action_pieces.fits(joints, joints - [0.0, 0.4, 0.0])


def test_speed_changes_the_length() -> None:
    joints = _joints(60)
    assert len(action_pieces.at_speed(joints, 1.2)) == pytest.approx(50, abs=1)


def test_labels_of_mirror_images() -> None:
    assert mirrored_label("kick-right") == "kick-left"
    assert mirrored_label("raise-up-left-hand") == "raise-up-right-hand"
    assert mirrored_label("walk") == "walk"
    assert np.isfinite(statistics_of(features_from_joints(canonical_joints(walk(12))))).all()


def test_steps_are_counted() -> None:
    joints = _joints(100)  # a walk whose legs swing once a second: a step every half second
    moments = action_pieces.steps_of(joints)
    np.testing.assert_allclose(np.diff(moments), 10, atol=1)
    clip = Clip("walk", joints, "train", labels={"content": "walk", "style": "normal", "group": "walk"})
    for _, part, count in action_pieces.counted_clips([clip] * 5, np.random.default_rng(0)):
        assert len(part) == pytest.approx(10 * count + 5, abs=3)


def test_the_classifier_tells_walking_from_standing(tmp_path: Path) -> None:
    """Clips of two actions that differ, learned from one split and named in the other."""
    pytest.importorskip("sklearn")
    with DatasetWriter(tmp_path / "data") as dataset:
        for number in range(24):
            walks = _joints(40, number)
            still = canonical_joints(np.repeat(walk(1), 40, axis=0) + 0.001 * number)
            for action, joints in (("walk", walks), ("stand", still)):
                split = "train" if number < 16 else "test"
                dataset.add(f"{action}-{number}", features_from_joints(joints), split, [action], contents=[action])
    data = Dataset(tmp_path / "data")
    classifier = ActionClassifier(data, trees=10)
    assert classifier.accuracy(data) == 1.0
    assert classifier.names([np.array(data[data.clips[0]])]) == ["walk"]
    rows = table_rows([("raise-left", "a"), ("raise-left", "b"), ("sit", "c")], ["raise-up-left-hand", "walk", "drive"])
    assert rows == [
        {"action": "raise-left", "asked": 2, "passed": 1, "instead": {"walk": 1}},
        {"action": "sit", "asked": 1, "passed": 1, "instead": {}},
    ]
    empty = Dataset(tmp_path / "data")
    empty.clips = []
    with pytest.raises(ValueError, match="no clips of one action"):
        ActionClassifier(empty)


def test_every_sentence_kept_apart_is_asked_with_guidance() -> None:
    class Pipeline:
        """Answers with one frame; remembers what it was asked."""

        def __init__(self) -> None:
            self.prompts: list[str] = []
            self.seeds: list[int] = []

        def generate_batch(self, prompts: list[str], *, seeds: list[int], guidance: float, temperature: float) -> list:
            assert (guidance, temperature) == (2.0, 0.7)
            self.prompts += prompts
            self.seeds += seeds
            return [SimpleNamespace(motion=SimpleNamespace(features=np.zeros((1, 263)))) for _ in prompts]

    pipeline = Pipeline()
    asked, motions = ask(pipeline, Args(Path("data"), Path("model"), seeds=2))  # type: ignore[arg-type]
    assert len(asked) == len(motions) == len(set(pipeline.seeds)) == 2 * len(set(pipeline.prompts))
    assert [text for _, text in asked] == pipeline.prompts
    assert {action for action, _ in asked} == {*kept_apart()} - {"two"}
