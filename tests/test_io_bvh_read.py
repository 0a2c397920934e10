"""Dialects of BVH: whatever a converter writes, the motion is the same, or the file is refused in one sentence."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scamo.io import bvh_read
from scamo.io.bvh_read import read_bvh
from scamo.io.frame_rates import rate_of_step
from scamo.io.read import read_motion

from .motions import pose, swing, walk
from .rigs import RIGS, write_rig

JOINT = r"(JOINT|ROOT) (\S+)"


def replaced(pattern: str, by: str | Callable[[re.Match[str]], str]) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, by, text, flags=re.DOTALL)


def only_in_head(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: change(text[: text.index("MOTION")]) + text[text.index("MOTION") :]


def with_positions(kind: str) -> Callable[[str], str]:
    """Position channels on every joint: "zero", the offset again ("absolute"), or none of a change ("delta")."""

    def change(text: str) -> str:
        offsets = [list(words) for words in re.findall(r"OFFSET (\S+) (\S+) (\S+)\n\s*CHANNELS 3", text)]
        head, body = text.split("Frame Time: ")
        step, *rows = body.splitlines()
        lines = []
        for row in rows:
            numbers = row.split()
            line, numbers = numbers[:6], numbers[6:]
            for offset in offsets:
                line += {"zero": ["0", "0", "0"], "absolute": offset, "delta": ["0.001", "0", "0"]}[kind] + numbers[:3]
                numbers = numbers[3:]
            lines.append(" ".join(line))
        head = head.replace("CHANNELS 3 ", "CHANNELS 6 Xposition Yposition Zposition ")
        return head + "Frame Time: " + "\n".join([step, *lines]) + "\n"

    return change


def only_numbers(text: str, between: str) -> str:
    """The numbers of a frame with something else between them."""
    head, body = text.split("Frame Time: ")
    step, rows = body.split("\n", 1)
    return f"{head}Frame Time: {step}\n" + rows.replace(" ", between)


DIALECTS: dict[str, Callable[[str], str]] = {
    "lower case": only_in_head(replaced("HIERARCHY|ROOT|JOINT|OFFSET|CHANNELS|End Site", lambda m: m[0].lower())),
    "upper case": replaced("End Site", "END SITE"),
    "one word": replaced("End Site", "EndSite"),
    "named end": replaced("End Site", "End Site tip of it"),
    "empty end": replaced(r"End Site\s*{[^}]*}", "End Site { }"),
    "empty end on lines": replaced(r"End Site\s*{[^}]*}", "End Site\n{\n}"),
    "no end": replaced(r"End Site\s*{[^}]*}", ""),
    "brace on the line": replaced(JOINT + r"\s*{", r"\1 \2 {"),
    "spaces": replaced(JOINT, r"\1 Actor 1:\2"),
    "dos lines": replaced(r"\n", "\r\n"),
    "mac lines": replaced(r"\n", "\r"),
    "tabs": replaced(r"Frame Time: ", "Frame Time:\t"),
    "lower motion": replaced("MOTION\nFrames: (\\d+)\nFrame Time:", r"motion\nframes:\1\nframe time:"),
    "zero byte at the end": lambda text: text + "\0",
    "comments": lambda text: (
        re.sub(r"(OFFSET.*)", r"\1 # ROOT {", text)
        .replace("HIERARCHY", "// a JOINT {\nHIERARCHY")
        .replace("MOTION\n", "MOTION // begins\n# here\n")
        + "# the end\n"
    ),
    "commas between": lambda text: only_numbers(text, ", "),
    "semicolons": lambda text: only_numbers(text, ";"),
    "wrapped": lambda text: only_numbers(text, "\n"),
    "exponents": lambda text: re.sub(r"-?\d+\.\d+(?=[ \n])", lambda found: f"{float(found[0]):.8E}", text),
    "number of frames": replaced("Frames:", "Number of Frames:"),
    "comma": lambda text: text.replace(".", ","),
    "one frame more announced": replaced(r"Frames: 11", "Frames: 12"),
    "one frame less announced": replaced(r"Frames: 11", "Frames: 10"),
    "zero positions": with_positions("zero"),
    "absolute positions": with_positions("absolute"),
    "added positions": with_positions("delta"),
}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_rig(tmp_path / "plain.bvh", walk(11), "mixamo")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_same_motion(tmp_path: Path, plain: Path, dialect: str) -> None:
    text = plain.read_text(encoding="utf-8")
    changed = DIALECTS[dialect](text)
    assert changed != text
    (tmp_path / "b.bvh").write_bytes(changed.encode())
    wanted, found = read_motion(plain).motion, read_motion(tmp_path / "b.bvh").motion
    assert len(found) == len(wanted) == 10
    np.testing.assert_allclose(found.joints, wanted.joints, atol=1e-3)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb2312", "latin-1"])
def test_every_encoding_is_read(tmp_path: Path, plain: Path, encoding: str) -> None:
    extra = {"gb2312": "\u4eba\u7269", "latin-1": "H\xfcfte"}.get(encoding, "\u4eba")
    text = plain.read_text(encoding="utf-8")
    text = text.replace("End Site", f"JOINT {extra}\n{{\nOFFSET 0 0 0\nCHANNELS 0\n}}\nEnd Site", 1)
    (tmp_path / "b.bvh").write_bytes(text.encode(encoding))
    assert extra in read_bvh(tmp_path / "b.bvh").names
    found, _ = read_motion(tmp_path / "b.bvh")
    np.testing.assert_allclose(found.joints, read_motion(plain).motion.joints, atol=1e-6)


@pytest.mark.parametrize(
    ("step", "rate"),
    [("0.0333333", 30), ("0.033333", 30), ("0.0333", 30), ("0.033", 30), ("0.03333334", 30), ("0.0083333", 120),
     ("0.008333", 120), ("0.0083", 120), ("0.0166667", 60), ("0.0166666", 60), ("0.016667", 60), ("0.05", 20),
     ("0.04", 25), ("0.0416667", 24), ("0.01", 100), ("0.0333667", 30000 / 1001), ("0.0166833", 60000 / 1001),
     ("3.33333e-02", 30), ("0.050000000745", 20), ("0.004167", 240), ("0.07", 15),
     ("0.0712345", 1 / 0.0712345), ("0.5", 2)],
)  # fmt: skip
def test_rounded_frame_times(step: str, rate: float) -> None:
    assert rate_of_step(step) == pytest.approx(rate, rel=1e-9)


def test_no_frame_is_lost_to_a_rounded_frame_time(tmp_path: Path) -> None:
    path = write_rig(tmp_path / "a.bvh", walk(16), "mixamo", fps=30.0)
    text = re.sub(r"Frame Time: .*", "Frame Time: 0.033333", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    assert len(read_motion(path).motion) == 10


def test_names_that_come_twice_are_said_and_the_first_counts(tmp_path: Path, plain: Path) -> None:
    text = plain.read_text(encoding="utf-8")
    twice = "JOINT LeftHand\n{\nOFFSET 0 -30 -30\nCHANNELS 0\n}\n}\nMOTION"
    (tmp_path / "b.bvh").write_text(re.sub(r"}\s*MOTION", twice, text), encoding="utf-8")
    motion, notes = read_motion(tmp_path / "b.bvh")
    np.testing.assert_array_equal(motion.joints, read_motion(plain).motion.joints)
    assert any("called LeftHand" in note for note in notes)


def test_a_second_root_and_a_rest_pose_first(tmp_path: Path, plain: Path) -> None:
    text = plain.read_text(encoding="utf-8").replace("MOTION", "ROOT Ball\n{\nOFFSET 5 5 5\nCHANNELS 0\n}\nMOTION")
    (tmp_path / "b.bvh").write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(read_motion(tmp_path / "b.bvh").motion.joints, read_motion(plain).motion.joints)
    rest = pose(np.zeros((1, 22, 3)), np.zeros((1, 3)))
    local = swing(20)
    local[:, 4, 0] = 0.3
    moving = pose(local, np.zeros((20, 3)))
    motion, notes = read_motion(write_rig(tmp_path / "c.bvh", np.concatenate([rest, moving]), "mixamo"))
    assert len(motion) == 19 and any("rest pose" in note for note in notes)


def test_rotations_and_places_agree(plain: Path) -> None:
    found = read_bvh(plain)
    for joint, parent in enumerate(found.parents):
        if parent >= 0:
            place = found.positions[:, parent] + found.rotations[:, parent] @ found.offsets[joint]
            np.testing.assert_allclose(place, found.positions[:, joint], atol=1e-6)
    assert found.joint(RIGS["mixamo"]["head"]) == found.names.index("Head")
    with pytest.raises(ValueError, match="no joint 'Tail'"):
        found.joint("Tail")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replaced(r"Frames: 11", "Frames: 999999999999"), "cut off"),
        (replaced(r"Frames: 11", "Frames: -3"), "-3 frames"),
        (replaced(r"Frames: 11", "Frames: many"), "number of frames"),
        (replaced(r"Frames: 11\n(Frame Time: .*?\n).*", r"Frames: 0\n\1"), "no frames"),
        (replaced(r"Frame Time: .*?\n", "Frame Time: 9.9\n"), "--fps"),
        (replaced(r"Frame Time: .*?\n", "Frame Time: 0\n"), "--fps"),
        (replaced(r"CHANNELS \d [^\n]*", ""), "no joint has channels"),
        (replaced(r"Zrotation", "Wrotation"), "no channel"),
        (replaced(r"Zrotation Xrotation", "Xrotation Xrotation"), "cannot be read"),
        (replaced(r"MOTION", "MOTIONS"), "MOTION"),
        (lambda text: text[:-40], "cut off|holds"),
        (lambda text: text[:-3] + " nan\n", "holds|finite"),
        (lambda text: text.replace("OFFSET 0", "OFFSET 1e999 0", 1), "OFFSET"),
        (lambda text: text + "x", "MOTION part is broken"),
        (lambda text: "{" * 100_000, "HIERARCHY"),
    ],
)
def test_what_is_broken_is_one_sentence(tmp_path: Path, plain: Path, change: Callable[[str], str], words: str) -> None:
    (tmp_path / "b.bvh").write_text(change(plain.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match=words) as told:
        read_motion(tmp_path / "b.bvh")
    assert "b.bvh" in str(told.value) and "\n" not in str(told.value)


def test_the_rate_can_be_given_where_the_file_has_none(tmp_path: Path, plain: Path) -> None:
    text = re.sub(r"Frame Time: .*", "Frame Time: 0", plain.read_text(encoding="utf-8"))
    (tmp_path / "b.bvh").write_text(text, encoding="utf-8")
    given, _ = read_motion(tmp_path / "b.bvh", fps=20)
    np.testing.assert_array_equal(given.joints, read_motion(plain).motion.joints)


def test_frames_times_joints_are_bounded(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bvh_read, "MAX_PLACES", 100)
    with pytest.raises(ValueError, match="11 frames of 27 joints and ends; cut it first"):
        read_bvh(plain)


def test_thousands_of_spaces_take_no_time(tmp_path: Path) -> None:
    path = tmp_path / "a.bvh"
    path.write_bytes(b"HIERARCHY\nROOT a\n{\nMOTION FRAMES" + b" " * 50_000 + b"x")
    start = time.process_time()
    with pytest.raises(ValueError, match="MOTION"):
        bvh_read.read_bvh(path)
    assert time.process_time() - start < 1


def test_end_sites_are_bounded(tmp_path: Path) -> None:
    path, ends = tmp_path / "a.bvh", "End Site\n{\nOFFSET 0 0 1\n}\n"
    head = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 1 Xposition\n"
    tail = "}\nMOTION\nFrames: 9000\nFrame Time: 0.05\n" + "0\n" * 9000
    for count, words in (
        (5000, "more than 4000 End Sites"),
        (1000, "9000 frames of 1001 joints and ends; cut it first"),
    ):
        path.write_text(head + ends * count + tail, encoding="utf-8")
        with pytest.raises(ValueError, match=words):
            bvh_read.read_bvh(path)


def test_frames_are_posed_alike_in_pieces(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bvh_read.read_bvh(plain)
    monkeypatch.setattr(bvh_read, "_CHUNK", 50)  # two frames
    pieces = bvh_read.read_bvh(plain)
    np.testing.assert_array_equal(pieces.positions, whole.positions)
    np.testing.assert_array_equal(pieces.tips, whole.tips)
