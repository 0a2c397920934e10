"""Readers of every source into the one dataset format."""

from __future__ import annotations

import errno
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scamo.body.smpl import SmplSkeleton
from scamo.io.bvh_read import read_bvh
from scamo.motion import canonical_joints, features_from_joints, first_facing, joints_from_features
from scamo.skeleton import BONE_LENGTHS, MIRROR, PARENTS, bone_lengths, forward_kinematics
from tests.corpus import write_corpus
from tests.motions import quaternions, swing, turning, walk
from tests.rigs import FLAT, RIGS, write_bandai, write_bvh
from training.data import corpus, mixture
from training.data.archive import read_about, read_pack
from training.data.captions import mirrored_words
from training.data.dataset import Dataset
from training.data.growing_dataset import GrowingDataset, Piece, pieces_of, prepare, split_of
from training.data.readers import amass, bandai, bvh, clips, humanml3d


def limbs_error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean distance of joints [T, 22, 3] seen from the shoulder or hip that carries them; the trunk counts nothing."""
    out = []
    for joint in (4, 5, 7, 8, 10, 11, 18, 19, 20, 21):
        root = joint
        while root not in (1, 2, 16, 17):
            root = PARENTS[root]
        out.append(np.linalg.norm((a[:, joint] - a[:, root]) - (b[:, joint] - b[:, root]), axis=-1).mean())
    return np.array(out)


@pytest.mark.parametrize(
    ("rig", "up", "unit", "prefix"),
    [("lafan1", "y", 100, ""), ("mixamo", "y", 1, "mixamorig:"), ("100style", "z", 100, ""), ("cmu", "x", 17.7, "")],
)
def test_bvh_of_every_rig_axis_and_unit(tmp_path: Path, rig: str, up: str, unit: float, prefix: str) -> None:
    truth = canonical_joints(turning(61))
    turned = {"y": truth, "z": truth[..., [0, 2, 1]] * [1, -1, 1], "x": truth[..., [1, 0, 2]] * [1, -1, 1]}[up]
    write_bvh(tmp_path / "in" / "turn.bvh", turned * unit + [3.0, 5.0, -7.0], rig, 20.0, prefix)
    (tmp_path / "in" / "turn.txt").write_text("a person turns left\n\nsomeone turns#someone/NOUN turn/VERB#0.0#0.0\n")
    bvh.main(bvh.Args(tmp_path / "in", tmp_path / "out"))
    data = Dataset(tmp_path / "out")
    assert [clip.captions for clip in data.clips] == [("a person turns left", "someone turns")]
    joints = joints_from_features(data[data.clips[0]])
    assert joints.shape == (60, 22, 3)
    assert bone_lengths(joints).mean(0) == pytest.approx(BONE_LENGTHS, abs=1e-4)
    assert limbs_error(joints, truth[:60]).max() < 0.02
    assert limbs_error(joints[:, MIRROR] * [-1, 1, 1], truth[:60]).max() > 0.1  # left is left
    assert np.linalg.norm(joints - truth[:60], axis=-1).mean() < 0.08
    assert np.linalg.norm(joints[-1, 0] - truth[59, 0]) < 0.1


def test_bvh_frame_rate_parts_and_long_takes(tmp_path: Path) -> None:
    write_bvh(tmp_path / "in" / "long.bvh", walk(361), fps=60.0)  # 6 s
    write_bvh(tmp_path / "in" / "sub" / "told.bvh", walk(181), fps=60.0)  # 3 s
    (tmp_path / "in" / "sub" / "told.txt").write_text("he walks##0.5#2.0\n")
    bvh.main(bvh.Args(tmp_path / "in", tmp_path / "out", longest=50))
    clips = {clip.name: clip for clip in Dataset(tmp_path / "out").clips}
    assert {name: clip.frames for name, clip in clips.items()} == {
        "long_0": 40, "long_1": 40, "long_2": 40, "sub/told_10-40": 29}  # fmt: skip
    assert clips["sub/told_10-40"].captions == ("he walks",)
    bvh.main(bvh.Args(tmp_path / "in", tmp_path / "slow", fps=20.0, longest=0))
    assert Dataset(tmp_path / "slow").clips[0].frames == 360


def test_broken_files_are_named_and_whole_ones_kept(tmp_path: Path, capsys) -> None:
    for number in range(3):
        write_bvh(tmp_path / "in" / f"good{number}.bvh", walk(40))
    cut_off = write_bvh(tmp_path / "in" / "cut.bvh", walk(40))
    cut_off.write_text(cut_off.read_text()[:-300])
    (tmp_path / "in" / "empty.bvh").write_text("")
    write_bvh(tmp_path / "in" / "short.bvh", walk(5))
    odd = write_bvh(tmp_path / "in" / "odd.bvh", walk(40))
    odd.write_text(odd.read_text().replace("LeftLeg", "Tail"))
    with pytest.raises(ValueError, match="3 of 7 files cannot be read"):  # one is whole, and too short
        bvh.main(bvh.Args(tmp_path / "in", tmp_path / "out"))
    said = capsys.readouterr()
    for name in ("cut", "empty", "short", "odd"):
        assert f"skipped {name}.bvh: " in said.err
    assert json.loads(said.out)["skipped"] == 4
    about = Dataset(tmp_path / "out").about
    assert set(about["skipped"]) == {"cut.bvh", "empty.bvh", "short.bvh", "odd.bvh"}
    assert "Tail" in about["skipped"]["odd.bvh"]
    # A map of the user's own names what the odd one calls its joints.
    names = {ours: RIGS["lafan1"][ours].replace("LeftLeg", "tail") for ours in FLAT}
    (tmp_path / "map.json").write_text(json.dumps(names))
    (tmp_path / "odd").mkdir()
    odd.rename(tmp_path / "odd" / "odd.bvh")
    bvh.main(bvh.Args(tmp_path / "odd", tmp_path / "mapped", joints=tmp_path / "map.json"))
    assert len(Dataset(tmp_path / "mapped").clips) == 1


def test_a_second_run_reads_only_what_is_new(tmp_path: Path, capsys) -> None:
    read: list[str] = []

    def reader(path: Path) -> list[Piece]:
        read.append(path.stem)
        if path.read_text() == "broken":
            raise ValueError("is broken")
        value = float(path.read_text())
        return [Piece(path.stem, np.full((6, 263), value)), Piece(path.stem + "b", np.full((2, 263), -value))]

    def run() -> dict:
        files = sorted((tmp_path / "in").glob("*.txt"))
        return prepare(tmp_path / "out", files, tmp_path / "in", reader, {"source": "test"})

    (tmp_path / "in").mkdir()
    for name, text in {"a": "1", "b": "2", "c": "broken"}.items():
        (tmp_path / "in" / f"{name}.txt").write_text(text)
    assert run() | {"new": 2, "kept": 0, "skipped": 1} == run() | {"new": 2, "kept": 0, "skipped": 1}
    assert read == ["a", "b", "c", "c"]  # a broken one is tried again
    (tmp_path / "in" / "c.txt").write_text("3")
    counts = run()
    assert (counts["new"], counts["kept"], counts["skipped"]) == (1, 2, 0)
    read.clear()
    stamp = (tmp_path / "out" / "features.npy").stat().st_mtime_ns
    assert run()["kept"] == 3 and read == [] and (tmp_path / "out" / "features.npy").stat().st_mtime_ns == stamp
    data = Dataset(tmp_path / "out")
    assert [float(data[clip].mean()) for clip in data.clips] == [1, -1, 2, -2, 3, -3]
    train = np.concatenate([data[clip] for clip in data.split("train")])
    assert data.about["mean"][0] == pytest.approx(train[:, 0].mean())


def test_a_killed_run_goes_on_after_the_last_whole_file(tmp_path: Path) -> None:
    with GrowingDataset(tmp_path / "out", 3) as growing:
        growing.add("one", [Piece("one", np.ones((4, 3)))])
        growing.add("two", [Piece("two", 2 * np.ones((5, 3)))])
    partial = tmp_path / "out.partial"
    # A kill in the middle of a third file, and of the line that would have said so.
    for name, junk in {"features.npy": b"\0" * 77, "clips.jsonl": b'{"name": "th', "done.jsonl": b'{"sou'}.items():
        with (partial / name).open("ab") as file:
            file.write(junk)
    with GrowingDataset(tmp_path / "out", 3) as growing:
        assert growing.done == {"one", "two"}
        with pytest.raises(ValueError, match="NaN"):
            growing.add("bad", [Piece("bad", np.ones((2, 3))), Piece("worse", np.full((2, 3), np.nan))])
        growing.add("three", [Piece("three", 3 * np.ones((2, 3)))])
        statistics = type("S", (), {"mean": np.zeros(3), "std": np.ones(3)})
        growing.finish({}, statistics)
    features = np.load(tmp_path / "out" / "features.npy")
    assert features[:, 0].tolist() == [1] * 4 + [2] * 5 + [3] * 2
    assert [clip.name for clip in Dataset(tmp_path / "out").clips] == ["one", "two", "three"]


def test_splits_are_80_15_5_and_pieces_even() -> None:
    found = [split_of(f"clip {number}") for number in range(4000)]
    shares = [found.count(split) / 4000 for split in ("train", "test", "val")]
    assert shares == pytest.approx([0.8, 0.15, 0.05], abs=0.02)
    assert pieces_of(10, 4) == [(0, 3), (3, 6), (6, 10)]
    assert pieces_of(10, 0) == pieces_of(10, 10) == [(0, 10)]


def write_humanml3d(folder: Path, width: int = 263) -> Path:
    """Three clips of 100 frames, one of them with a sentence about a part, one of them broken."""
    for name in ("new_joint_vecs", "texts"):
        (folder / name).mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(4):
        x = draw.normal(size=(100, width)).astype(np.float32)
        x[:, 3] += 1.0 if width == 263 else 950.0  # KIT-ML's root stands at so many millimetres
        if number == 3:
            x[50, 7] = np.nan
        np.save(folder / "new_joint_vecs" / f"{number:06d}.npy", x)
        (folder / "texts" / f"{number:06d}.txt").write_text("a man walks#a/DET man/NOUN walk/VERB#0.0#0.0\n")
    lines = ("all of it#all/DET#nan#nan", "some of it#some/DET#1.0#4.0", "the same bit#same/ADJ#1.0#4.0",
             "too short##0.0#0.5")  # fmt: skip
    (folder / "texts" / "000001.txt").write_text("\n".join(lines) + "\n")
    for split, names in {"train": "000000\n000001\n000003", "val": "", "test": "000002\n000009"}.items():
        (folder / f"{split}.txt").write_text(names)
    np.save(folder / "Mean.npy", np.full(width, 0.5))
    np.save(folder / "Std.npy", np.full(width, 2.0))
    return folder


@pytest.mark.parametrize(("width", "part"), [(263, (20, 80)), (251, (12, 50))])
def test_humanml3d_folder(tmp_path: Path, capsys, width: int, part: tuple[int, int]) -> None:
    source = write_humanml3d(tmp_path / "in", width)
    humanml3d.main(humanml3d.Args(source, tmp_path / "out", shortest=30))
    said = capsys.readouterr()
    assert "skipped 000003.npy: features hold NaN" in said.err and "skipped 000009.npy" in said.err
    data = Dataset(tmp_path / "out")
    suffix = f"{part[0]}-{part[1]}"
    assert [(c.name, c.split, c.frames) for c in data.clips] == [
        ("000000", "train", 100), ("000001", "train", 100), (f"000001_{suffix}", "train", part[1] - part[0]),
        ("000002", "test", 100)]  # fmt: skip
    assert data.clips[2].captions == ("some of it", "the same bit")
    assert data.clips[2].labels["tokens"] == ["some/DET", "same/ADJ"]
    raw = np.load(source / "new_joint_vecs" / "000001.npy")
    assert np.array_equal(data[data.clips[2]], raw[part[0] : part[1]])
    assert data.mirrors == (width == 263)
    assert data.unit == (1.0 if width == 263 else 0.001)
    humanml3d.main(humanml3d.Args(source, tmp_path / "given", statistics="folder"))
    assert Dataset(tmp_path / "given").statistics.std.tolist() == [2.0] * width


def test_a_new_split_keeps_a_recording_together(tmp_path: Path) -> None:
    source = write_humanml3d(tmp_path / "in")
    names = [f"{number:06d}" for number in range(40)]
    for name in names:
        for called in (name, f"M{name}"):  # HumanML3D's mirror images are files of their own
            np.save(source / "new_joint_vecs" / f"{called}.npy", np.ones((60, 263)))
            (source / "texts" / f"{called}.txt").write_text("all of it#x#0#0\na part#x#0.0#2.5\n")
    (source / "test.txt").write_text("")
    (source / "train.txt").write_text("\n".join(names + [f"M{name}" for name in names]))
    humanml3d.main(humanml3d.Args(source, tmp_path / "out"))
    mixture.main(mixture.Args((str(tmp_path / "out"),), tmp_path / "mix", resplit=True))
    splits: dict[str, set[str]] = {}
    for clip in Dataset(tmp_path / "mix").clips:
        splits.setdefault(clip.name.split("/")[1].lstrip("M")[:6], set()).add(clip.split)
    assert len(splits) == 40 and all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} >= {"train", "test"}


def test_humanml3d_real_clip(shared: Path, tmp_path: Path) -> None:
    real = np.load(shared / "data" / "humanml3d" / "HumanML3D_new_joint_vecs_012314.npy")
    for name in ("new_joint_vecs", "texts"):
        (tmp_path / "in" / name).mkdir(parents=True)
    np.save(tmp_path / "in" / "new_joint_vecs" / "012314.npy", real)
    (tmp_path / "in" / "texts" / "012314.txt").write_text("a person moves#a/DET#0.0#0.0\n")
    (tmp_path / "in" / "train.txt").write_text("012314\n")
    humanml3d.main(humanml3d.Args(tmp_path / "in", tmp_path / "out"))
    data = Dataset(tmp_path / "out")
    assert np.array_equal(data[data.clips[0]], real)


def test_caption_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("plain words\nwith # signs#x#y#z\n")
    with pytest.raises(ValueError, match=r"line 2 of a\.txt"):
        clips.read_captions(path)


def test_a_byte_order_mark_and_odd_separators_are_no_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffa person walks\u2028and waves#a/DET#0.0#0.0\r\nhe\x85sits##1.0#2.0\n".encode())
    assert [(line.caption, line.start, line.end) for line in clips.read_captions(path)] == [
        ("a person walks\u2028and waves", 0, 0), ("he\x85sits", 1, 2)]  # fmt: skip


def write_body(path: Path) -> np.ndarray:
    """A body of one vertex a joint on our skeleton, whose only shape number makes it taller. Returns joints at rest."""
    rest = forward_kinematics(quaternions(np.zeros((1, 22, 3))), np.zeros((1, 3)))[0]
    rest = np.concatenate([rest, rest[20:] + [0, -0.08, 0]])
    parents = np.array([*PARENTS, 20, 21])
    tree = np.stack([np.where(parents < 0, 2**32 - 1, parents), np.arange(24)]).astype(np.uint32)
    directions = (0.1 * rest)[..., None]
    np.savez(path, v_template=rest, shapedirs=directions, J_regressor=np.eye(24), kintree_table=tree)
    return rest


def test_amass_joints_are_forward_kinematics(tmp_path: Path) -> None:
    write_body(tmp_path / "model.npz")
    local = swing(50)
    local[:, 0] = [0.2, 0.4, 0.1]
    path = np.linspace([0, 0, 0], [1, 0.2, 2], 50)
    expected = forward_kinematics(quaternions(local), path)
    joints = SmplSkeleton(tmp_path / "model.npz").joints(local.reshape(50, 66), path, np.zeros(10))
    assert joints == pytest.approx(expected, abs=1e-5)
    taller = SmplSkeleton(tmp_path / "model.npz").joints(local.reshape(50, 66), path, np.ones(10))
    assert taller - path[:, None] == pytest.approx((expected - path[:, None]) * 1.1, abs=1e-5)


def test_amass_folder(tmp_path: Path, capsys) -> None:
    (tmp_path / "in").mkdir()
    write_body(tmp_path / "in" / "model.npz")
    truth = canonical_joints(walk(61))
    # AMASS has Z up: the root is turned with the world.
    local, frames = swing(61), 61
    z_up = Rotation.from_euler("x", 90, degrees=True)
    root = Rotation.from_rotvec(local[:, 0])
    local[:, 0] = (z_up * root).as_rotvec()
    moved = np.zeros((frames, 3))
    moved[:, 1] = -np.arange(frames) / 20
    (tmp_path / "in" / "CMU").mkdir()
    poses = np.concatenate([local.reshape(frames, 66), np.zeros((frames, 90))], axis=1)
    np.savez(tmp_path / "in" / "CMU" / "walk.npz", poses=poses, trans=moved, mocap_framerate=20.0, betas=np.zeros(16))
    (tmp_path / "in" / "CMU" / "walk.txt").write_text("a person walks\n")
    np.savez(tmp_path / "in" / "CMU" / "shape.npz", betas=np.zeros(16))
    (tmp_path / "in" / "CMU" / "cut.npz").write_bytes(b"PK\x03\x04")
    amass.main(amass.Args(tmp_path / "in", tmp_path / "in" / "model.npz", tmp_path / "out"))
    said = capsys.readouterr().err
    assert "skipped CMU/shape.npz" in said and "skipped CMU/cut.npz" in said and "model.npz" not in said
    data = Dataset(tmp_path / "out")
    assert data.clips[0].captions == ("a person walks",)
    assert joints_from_features(data[data.clips[0]]) == pytest.approx(truth[:60], abs=1e-3)


def write_bandai_source(folder: Path) -> Path:
    """Six styles of two actions, two clips each, one broken."""
    for style in ("normal", "active", "elderly", "tired", "happy", "sad"):
        for content, motion in (("walk", walk), ("walk-turn-left", turning)):
            for number in range(2):
                write_bandai(folder / f"dataset-1_{content}_{style}_{number:03d}.bvh", motion(70 + 9 * number))
    (folder / "dataset-1_walk_sad_002.bvh").write_text("HIERARCHY")
    return folder


def test_sentences_and_splits_of_a_folder_with_folders(tmp_path: Path, capsys) -> None:
    for place in ("a/take", "b/take", "b/left out"):  # two takes of one name
        write_bvh(tmp_path / "in" / f"{place}.bvh", walk(61), fps=20.0)
        (tmp_path / "in" / f"{place}.txt").write_text(f"walks as in {place}\n")
    (tmp_path / "lists").mkdir()
    for split, names in {"train": "a/take", "test": "b/take"}.items():
        (tmp_path / "lists" / f"{split}.txt").write_text(names + "\n")
    args = bvh.Args(tmp_path / "in", tmp_path / "out", splits=tmp_path / "lists")
    bvh.main(args)
    said = capsys.readouterr()
    assert "skipped b/left out.bvh: no split list names it" in said.err
    assert json.loads(said.out)["clips_without_sentences"] == 0
    clips = Dataset(tmp_path / "out").clips
    assert [(c.name, c.split, c.captions) for c in clips] == [
        ("a/take", "train", ("walks as in a/take",)), ("b/take", "test", ("walks as in b/take",))]  # fmt: skip
    # A dataset that does not say what its source says now is not taken for done.
    (tmp_path / "in" / "b" / "take.txt").write_text("does something else\n")
    with pytest.raises(ValueError, match=r"changed or removed since.*b/take\.bvh"):
        bvh.main(args)
    (tmp_path / "in" / "b" / "take.txt").write_text("walks as in b/take\n")
    (tmp_path / "in" / "a" / "take.bvh").unlink()
    with pytest.raises(ValueError, match=r"changed or removed since.*a/take\.bvh"):
        bvh.main(args)
    with pytest.raises(ValueError, match="There is no folder"):
        bvh.main(replace(args, texts=tmp_path / "wrong"))


def test_other_options_are_refused(tmp_path: Path) -> None:
    write_bvh(tmp_path / "in" / "walk.bvh", walk(61), fps=20.0)
    args = bvh.Args(tmp_path / "in", tmp_path / "out", longest=30)
    bvh.main(args)
    with pytest.raises(ValueError, match="prepared with another longest, shortest"):
        bvh.main(replace(args, longest=60, shortest=5))
    # A run that was cut off is not finished with other ones either.
    os.replace(tmp_path / "out", tmp_path / "out.partial")
    with pytest.raises(ValueError, match="prepared with another up"):
        bvh.main(replace(args, up="z"))
    bvh.main(args)
    assert len(Dataset(tmp_path / "out").clips) == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_no_broken_file(tmp_path: Path, number: int) -> None:
    def reader(path: Path) -> list[Piece]:
        raise OSError(number, os.strerror(number))

    (tmp_path / "in").mkdir()
    with pytest.raises(OSError, match=os.strerror(number)):
        prepare(tmp_path / "out", [tmp_path / "in" / "a.txt"], tmp_path / "in", reader, {})


@pytest.mark.parametrize(
    ("sentence", "mirrored"),
    [
        ("a person turns left", "a person turns right"),
        ("Left foot first, rightward, then leftwards", "Right foot first, leftward, then rightwards"),
        ("turns clockwise on the spot", "turns counterclockwise on the spot"),
        ("counter-clockwise, counter clockwise, anticlockwise", "clockwise, clockwise, clockwise"),
        ("Anti-clockwise with the left-hand glove", "Clockwise with the right-hand glove"),
        ("is bright, copyrighted and lefties leave", "is bright, copyrighted and lefties leave"),
    ],
)
def test_sentences_of_mirror_images(sentence: str, mirrored: str) -> None:
    assert mirrored_words(sentence) == mirrored


def test_bandai_rig(tmp_path: Path) -> None:
    truth = canonical_joints(turning(60))
    elsewhere = truth @ Rotation.from_rotvec([0, 0.3, 0]).as_matrix() + [3.0, 0.0, -2.0]
    joints = bandai.canonical(read_bvh(write_bandai(tmp_path / "dataset-1_walk_normal_001.bvh", elsewhere, 20.0)))
    assert joints.shape == (60, 22, 3)
    assert bone_lengths(joints).mean(0) == pytest.approx(BONE_LENGTHS, abs=1e-4)
    limbs = limbs_error(joints, truth)
    assert limbs[[0, 1, 2, 3, 6, 7, 8, 9]].max() < 1e-3  # knees, ankles, elbows, wrists
    # Its feet point steeper down than SMPL's, so toes are lifted: by 14 degrees of a foot's length.
    lifted = 2 * np.sin(bandai.FOOT_PITCH / 2) * BONE_LENGTHS[[10, 11]]
    assert limbs[[4, 5]] == pytest.approx(lifted, rel=0.05)
    assert ((joints[:, 10] - joints[:, 7]) @ [0, 1, 0] > (truth[:, 10] - truth[:, 7]) @ [0, 1, 0]).all()
    assert np.linalg.norm(joints - truth, axis=-1).mean() < 0.08


def test_bandai_pack_and_corpus(tmp_path: Path, capsys) -> None:
    source, pack, out = write_bandai_source(tmp_path / "in"), tmp_path / "made.pack", tmp_path / "out"
    bandai.main(bandai.Args(source, pack))
    said = capsys.readouterr()
    assert "skipped dataset-1_walk_sad_002.bvh: " in said.err and json.loads(said.out)["skipped"] == 1
    assert list(read_about(pack)["skipped"]) == ["dataset-1_walk_sad_002.bvh"]  # type: ignore[call-overload]
    clips = list(read_pack(pack))
    splits = {clip.labels["group"]: clip.split for clip in clips}
    assert len(clips) == 24 and len(splits) == 12 and set(splits.values()) == {"train", "test", "val"}
    assert all(splits[clip.labels["group"]] == clip.split for clip in clips)  # clips of a group never part

    # As long as a file is broken it is tried again; then a pack of the same files is kept.
    (source / "dataset-1_walk_sad_002.bvh").unlink()
    bandai.main(bandai.Args(source, pack))
    stamp = pack.stat().st_mtime_ns
    bandai.main(bandai.Args(source, pack))
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["kept"] == 24 and pack.stat().st_mtime_ns == stamp

    args = corpus.Args(pack, out, pairs=20, triples=10, repeats=10, wordings=3)
    corpus.main(args)
    data = Dataset(out)
    kinds = {clip.labels["kind"] for clip in data.clips}
    assert kinds == {"real", "joined"} and {len(clip.captions) for clip in data.clips} == {3}
    assert max(clip.frames for clip in data.clips) <= 200
    for clip in data.split("train"):
        words = " ".join(clip.captions)
        assert ("left" in words or "counter" in words) == ("walk-turn-left" in clip.labels["contents"]), words
    assert any(len(set(clip.labels["contents"])) > 1 for clip in data.clips)

    stamp = (out / "features.npy").stat().st_mtime_ns
    corpus.main(args)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["kept"]
    assert (out / "features.npy").stat().st_mtime_ns == stamp
    corpus.main(replace(args, seed=1))
    assert (out / "features.npy").stat().st_mtime_ns != stamp


def test_bandai_zips_are_unpacked_elsewhere(tmp_path: Path) -> None:
    source = tmp_path / "repository" / "dataset" / "Bandai-Namco-Research-Motiondataset-1"
    source.mkdir(parents=True)
    clip = write_bandai(tmp_path / "dataset-1_walk_normal_000.bvh", walk(70))
    with zipfile.ZipFile(source / "data.zip", "w") as archive:
        archive.write(clip, f"data/{clip.name}")
    bandai.main(bandai.Args(tmp_path / "repository", tmp_path / "out.pack"))
    assert [clip.name for clip in read_pack(tmp_path / "out.pack")] == ["dataset-1_walk_normal_000"]
    assert [path.name for path in (tmp_path / "repository").rglob("*") if path.is_file()] == ["data.zip"]


def test_joined_motions_go_on_where_the_first_ends() -> None:
    first, second = canonical_joints(turning(60)), canonical_joints(walk(50))
    joined = corpus.join(first, second)
    assert joined.shape == (60 + 50 - corpus.BLEND, 22, 3)
    assert np.array_equal(joined[: 60 - corpus.BLEND], first[: 60 - corpus.BLEND])

    def fastest(joints: np.ndarray) -> float:
        return float(np.linalg.norm(np.diff(joints, axis=0), axis=-1).max())

    assert fastest(joined) < 1.1 * max(fastest(first), fastest(second))
    # The second is moved and turned as a whole: it goes where the first one looked.
    looked = first_facing(first)[60 - corpus.BLEND // 2]
    went = joined[-1, 0] - joined[60, 0]
    assert went @ looked > 0.98 * np.linalg.norm(went)  # but for the sway of its shoulders
    assert bone_lengths(joined) == pytest.approx(np.broadcast_to(BONE_LENGTHS, joined.shape[:2]), abs=1e-4)


def test_mixture(tmp_path: Path) -> None:
    for name, value in {"one": 1.0, "two": 2.0}.items():

        def reader(path: Path, value: float = value) -> list[Piece]:
            return [Piece(path.stem, np.full((4, 263), value) + np.arange(4)[:, None], ("words",))]

        (tmp_path / name).mkdir()
        files = [tmp_path / name / f"{i:03d}.txt" for i in range(40)]
        prepare(tmp_path / f"data-{name}", files, tmp_path / name, reader, {"source": name, "licence": name})
    one, two = Dataset(tmp_path / "data-one"), Dataset(tmp_path / "data-two")
    args = mixture.Args((f"{tmp_path}/data-one=2.5", f"{tmp_path}/data-two=0.5"), tmp_path / "mix")
    mixture.main(args)
    mix = Dataset(tmp_path / "mix")
    listed = {part: [c for c in mix.split("train") if c.labels["part"] == part] for part in ("data-one", "data-two")}
    assert len(listed["data-one"]) == pytest.approx(2.5 * len(one.split("train")), abs=1.5)
    assert len(listed["data-two"]) == pytest.approx(0.5 * len(two.split("train")), abs=1.5)
    assert len(mix.split("test")) == len(one.split("test")) + len(two.split("test"))
    assert len({clip.start for clip in mix.clips}) * 4 == len(mix.features)  # stored once, however often listed
    assert all(mix[clip][:, 5].tolist() == [v, v + 1, v + 2, v + 3]
               for clip in mix.clips for v in [1.0 if clip.labels["part"] == "data-one" else 2.0])  # fmt: skip
    rows = np.concatenate([mix[clip] for clip in mix.split("train")])
    assert mix.about["mean"][3] == pytest.approx(rows[:, 3].mean(), abs=1e-5)
    assert mix.about["source"] == "one + two" and mix.about["licence"] == "one; two"
    stamp = (tmp_path / "mix" / "features.npy").stat().st_mtime_ns
    mixture.main(args)
    assert (tmp_path / "mix" / "features.npy").stat().st_mtime_ns == stamp
    mixture.main(mixture.Args(args.parts, tmp_path / "again", resplit=True))
    assert {clip.split for clip in Dataset(tmp_path / "again").clips} >= {"train", "test"}
    # Clips that were joined of others would carry those into another split.
    made = write_corpus(tmp_path / "joined", clips=6)
    lines = (made / "clips.jsonl").read_text()
    (made / "clips.jsonl").write_text(lines.replace('"kind": "real"', '"kind": "joined"', 1))
    with pytest.raises(ValueError, match="joined of others"):
        mixture.main(mixture.Args((str(made),), tmp_path / "no", resplit=True))
    with pytest.raises(ValueError, match="FOLDER=WEIGHT"):
        mixture.main(mixture.Args(("a=x",), tmp_path / "no"))


def test_features_of_the_reader_are_the_librarys(tmp_path: Path) -> None:
    # Wherever a part of a take was recorded, its features are those of the same motion at its canonical place.
    joints = canonical_joints(walk(41))
    elsewhere = joints @ Rotation.from_rotvec([0, 1.1, 0]).as_matrix() + [4.0, 0.0, -1.0]
    clip = next(iter(clips.clips_of("walk", elsewhere, tmp_path / "none.txt", 0, 10)))
    np.testing.assert_allclose(clip.features, features_from_joints(joints), atol=1e-5)
    np.testing.assert_allclose(joints_from_features(clip.features), joints[:-1], atol=1e-4)
