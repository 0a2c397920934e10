"""From files of a dataset to what networks are trained on: BVH, packs, captions, joined clips, dataset folders."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scamo.bvh import read_bvh
from scamo.motion import first_facing
from scamo.skeleton import BONE_LENGTHS, bone_lengths
from tests.test_motion import walker
from training.captions import ACTIONS, STYLES, caption, mirrored_words
from training.dataset import Dataset, DatasetWriter
from training.pack import UNIT, Clip, PackWriter, read_pack
from training.prepare import corpus
from training.prepare.bandai import assign_splits, retarget

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Knee
  {
    OFFSET 0 -1 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -1 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
1 2 3 0 0 0 0 0 0
1 2 3 90 0 0 0 90 0
"""


def test_bvh_is_posed_by_its_channels(tmp_path) -> None:
    (tmp_path / "a.bvh").write_text(BVH)
    motion = read_bvh(tmp_path / "a.bvh")
    assert motion.names == ("Hips", "Knee")
    assert motion.parents == (-1, 0)
    assert motion.fps == pytest.approx(30, abs=0.01)
    np.testing.assert_allclose(motion.positions[0], [[1, 2, 3], [1, 1, 3]], atol=1e-12)
    np.testing.assert_allclose(motion.positions[1, 1], [2, 2, 3], atol=1e-12)  # 90 degrees about Z take -Y to +X
    np.testing.assert_allclose(motion.rotations[1, 1] @ [0, 0, 1], [1, 0, 0], atol=1e-12)  # X: Z to -Y; Z: -Y to X


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", "not a BVH"),
        (BVH.replace("Frames: 2", "Frames: 3"), "cut off"),
        (BVH.replace("90 0 0", "nan 0 0", 1), "not finite"),
        (BVH.replace("Frame Time: 0.0333333", "Frame Time: x"), "MOTION part"),
        (BVH.replace("OFFSET 0 -1 0", "OFFSET 0 a 0", 1), "HIERARCHY part"),
    ],
)
def test_a_broken_bvh_is_named(tmp_path, text: str, words: str) -> None:
    path = tmp_path / "broken.bvh"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"(?s)broken\.bvh.*{words}"):
        read_bvh(path)


def test_packs_keep_joints_to_their_unit(tmp_path) -> None:
    clips = [Clip(f"c{i}", walker(30 + i, i), "train", ("walks",), {"content": "walk"}) for i in range(3)]
    with PackWriter(tmp_path / "p.pack") as pack:
        for clip in clips:
            pack.add(clip)
    back = list(read_pack(tmp_path / "p.pack"))
    assert [c.name for c in back] == ["c0", "c1", "c2"]
    assert back[1].labels == {"content": "walk"}
    for a, b in zip(clips, back, strict=True):
        np.testing.assert_allclose(a.joints, b.joints, atol=UNIT)
    with pytest.raises(ValueError, match="not a readable pack"):
        list(read_pack(tmp_path / "none.pack"))
    with pytest.raises(RuntimeError), PackWriter(tmp_path / "q.pack"):
        raise RuntimeError
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.pack"]


def test_a_dataset_folder_gives_back_what_went_in(tmp_path) -> None:
    draw = np.random.default_rng(0)
    features = [draw.normal(size=(n, 263)).astype(np.float32) for n in (5, 7)]
    with DatasetWriter(tmp_path / "d", {"source": "made up"}) as writer:
        writer.add("a", features[0], "train", ["walks"], kind="real")
        writer.add("b", features[1], "test", ["runs"], kind="real")
    data = Dataset(tmp_path / "d")
    assert [clip.name for clip in data.split("test")] == ["b"]
    np.testing.assert_array_equal(data[data.split("test")[0]], features[1])
    np.testing.assert_allclose(data.statistics.mean, features[0].mean(0), atol=1e-6)
    with pytest.raises(ValueError, match="no dataset"):
        Dataset(tmp_path / "nowhere")


def test_every_label_has_words_in_every_style() -> None:
    draw = np.random.default_rng(1)
    for content in ACTIONS:
        for style in STYLES:
            words = caption([content], style, draw)
            assert "{" not in words
            assert words == words.strip()
    assert len({caption(["walk"], "old", draw) for _ in range(200)}) > 50
    with pytest.raises(ValueError, match="No words for 'fly'"):
        caption(["fly"], "normal", draw)


def test_sentences_say_who_and_keep_the_order_of_the_actions() -> None:
    draw = np.random.default_rng(2)
    for _ in range(100):
        words = caption(["walk", "wave-left-hand"], "normal", draw).lower()
        walk = re.search(r"walk|stroll|step|goes|pace|moves", words)
        assert walk is not None
        assert walk.start() < words.index("left")
        if re.search(r"\bwoman\b|\bshe\b", words):
            assert " his " not in words


def test_mirrored_words() -> None:
    assert mirrored_words("Turns left, counterclockwise; waves the right hand.") == (
        "Turns right, clockwise; waves the left hand."
    )
    assert mirrored_words("what is left over") == "what is right over"  # a known limit of exchanging words


@given(st.sampled_from(sorted(ACTIONS)), st.sampled_from(sorted(STYLES)), st.integers(0, 99))
def test_mirroring_words_twice_changes_nothing(content: str, style: str, seed: int) -> None:
    words = caption([content], style, np.random.default_rng(seed))
    assert mirrored_words(mirrored_words(words)) == words


def test_joined_clips_go_on_from_where_the_first_ends() -> None:
    first, second = walker(50, turn=2.0), walker(50, turn=-1.0, seed=1)
    joined = corpus.join(first, second)
    assert len(joined) == 50 + 50 - corpus.BLEND
    np.testing.assert_array_equal(joined[: 50 - corpus.BLEND], first[: 50 - corpus.BLEND])
    np.testing.assert_allclose(bone_lengths(joined), np.tile(BONE_LENGTHS, (len(joined), 1)), atol=1e-6)
    pelvis = np.linalg.norm(np.diff(joined[:, 0], axis=0), axis=-1)
    assert pelvis.max() < 0.1  # both walk 0.05 m a frame: no jump at the seam
    seam = first_facing(joined[45:55])
    assert (seam[1:] * seam[:-1]).sum(-1).min() > np.cos(np.radians(35))  # nor a sudden turn


def test_near_duplicates_stay_on_one_side() -> None:
    groups = [(f"dataset-{d}", f"content{c}", f"style{s}") for d in (1, 2) for c in range(6) for s in range(7)]
    groups += [("dataset-1", "punch", "normal")]
    splits = assign_splits(groups * 3)
    assert set(splits) == set(groups)
    assert splits[("dataset-1", "punch", "normal")] == "train"
    share = {split: sum(s == split for s in splits.values()) / len(splits) for split in ("train", "test", "val")}
    assert 0.7 < share["train"] < 0.87
    assert 0.1 < share["test"] < 0.2
    assert share["val"] > 0.03


def test_the_corpus_has_real_joined_and_repeated_clips(tmp_path, capsys) -> None:
    with PackWriter(tmp_path / "p.pack") as pack:
        for split in ("train", "test", "val"):
            for number, content in enumerate(("walk", "wave-left-hand", "raise-up-left-hand")):
                labels = {"content": content, "style": "elderly", "group": f"g-{content}-{split}"}
                pack.add(Clip(f"{split}-{content}", walker(60, 0.2, number), split, labels=labels))
    corpus.main(corpus.Args(tmp_path / "p.pack", tmp_path / "d", pairs=20, triples=10, repeats=20, wordings=2))
    assert json.loads(capsys.readouterr().out)["train_clips"] > 20
    data = Dataset(tmp_path / "d")
    assert {clip.labels["kind"] for clip in data.split("train")} == {"real", "joined"}
    assert max(clip.frames for clip in data.clips) <= corpus.MAX_FRAMES
    assert all(len(clip.captions) == 2 for clip in data.clips)
    assert np.isfinite(data.features).all()


def test_the_real_dataset_retargets_left_to_left(shared, tmp_path) -> None:
    import tarfile

    wanted = "dataset-2_raise-up-left-hand_normal_001.bvh"
    with tarfile.open(shared / "data" / "bandai.tar.xz") as archive:
        for member in archive:  # the archive is a stream: stop at the first file that is wanted
            if member.name.endswith(".bvh") and "raise-up-left-hand" in member.name:
                member.name = wanted
                archive.extract(member, tmp_path, filter="data")
                break
    joints = retarget(read_bvh(tmp_path / wanted))
    head, left, right = joints[:, 15, 1], joints[:, 20, 1], joints[:, 21, 1]
    assert (left - head).max() > 0.1
    assert (right - head).max() < -0.2
    np.testing.assert_allclose(bone_lengths(joints), np.tile(BONE_LENGTHS, (len(joints), 1)), atol=1e-6)
