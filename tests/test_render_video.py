"""The encoder: whole files or none, the right colours, the recipe inside."""

import contextlib
import errno
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as imageio
import imageio_ffmpeg
import numpy as np
import pytest

from scamo.motion import Motion
from scamo.render import render_motion
from scamo.render import video as videos
from scamo.render.video import read_metadata, write_image, write_video

from .motions import walk
from .test_motion import kit_joints

RECIPE = {"prompt": 'a "person" = walks; # ünï 漢字 \\ $x$\nand on', "seed": 3, "sizes": ["1M"]}
ORANGE = (226, 120, 60)


def plain(count: int = 6, height: int = 48, width: int = 64) -> Iterator[np.ndarray]:
    for _ in range(count):
        yield np.broadcast_to(np.array(ORANGE, np.uint8), (height, width, 3)).copy()


def decode(path: Path) -> np.ndarray:
    if path.suffix in (".gif", ".webp"):
        return imageio.imread(path, plugin="pillow", mode="RGB", index=...)
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    width, height = meta["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


def moving() -> Iterator[np.ndarray]:
    """Frames that differ: encoders may merge equal ones."""
    for index, frame in enumerate(plain()):
        frame[:8, : 8 + 4 * index] = 255
        yield frame


@pytest.mark.parametrize("suffix", videos.SUFFIXES)
def test_every_format_keeps_frames_colours_and_recipe(tmp_path: Path, suffix: str) -> None:
    path = write_video(moving(), tmp_path / "new folder" / f"clip{suffix}", 20, metadata=RECIPE)
    frames = decode(path)
    assert len(frames) == 6
    assert frames.shape[1:] == (48, 64, 3)
    np.testing.assert_allclose(frames[3, 24, 32], ORANGE, atol=6)
    assert read_metadata(path) == RECIPE
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_mp4_plays_everywhere(tmp_path: Path) -> None:
    path = write_video(plain(height=47, width=63), tmp_path / "odd.mp4", 20)  # odd sizes are padded, yuv420p needs it
    meta = next(imageio_ffmpeg.read_frames(str(path)))
    assert meta["size"] == (64, 48)
    assert meta["pix_fmt"].startswith("yuv420p")
    assert meta["fps"] == 20
    assert meta["codec"] == "h264"
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart: playing begins before the download ends


def test_a_fourth_channel_behind_the_frames_changes_nothing(tmp_path: Path) -> None:
    def of_four(first: int, left_out: int = -1) -> Iterator[np.ndarray]:
        for index, frame in enumerate(moving()):
            whole = np.full((48, 64, 4), 77, np.uint8)
            whole[..., first : first + 3] = frame
            yield frame if index == left_out else whole[..., first : first + 3]

    expected = decode(write_video(moving(), tmp_path / "a.mp4"))
    for frames in (of_four(0), of_four(1), of_four(0, left_out=3), of_four(0, left_out=0)):
        found = decode(write_video(frames, tmp_path / "b.mp4")).astype(int)
        assert np.abs(found - expected).max() <= 2  # ffmpeg rounds three channels and four differently


def test_metadata_is_optional(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.gif", "a.webp"):
        assert read_metadata(write_video(plain(2), tmp_path / name)) == {}


def test_png_keeps_pixels_and_recipe(tmp_path: Path) -> None:
    frame = next(plain())
    path = write_image(frame, tmp_path / "still.png", metadata=RECIPE)
    assert (imageio.imread(path) == frame).all()
    assert read_metadata(path) == RECIPE
    with pytest.raises(ValueError, match=r"\.png"):
        write_image(frame, tmp_path / "still.bmp")


def test_render_motion_chooses_by_suffix(tmp_path: Path) -> None:
    assert decode(render_motion(walk(3), tmp_path / "a.mp4", size=64)).shape == (3, 64, 64, 3)
    assert render_motion(walk(3), tmp_path / "a.png", poses=2, size=(128, 64)).stat().st_size > 100


def broken() -> Iterator[np.ndarray]:
    yield from plain(3)
    raise KeyboardInterrupt


@pytest.mark.parametrize("suffix", videos.SUFFIXES)
def test_a_stop_leaves_the_older_file_alone(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        write_video(broken(), path)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("frames", "name", "word"),
    [
        (list(plain(1)), "clip.avi", r"\.mp4"),
        ([], "clip.mp4", "no frames"),
        ([*plain(1), *plain(1, 32)], "clip.mp4", "keep one size"),
        ([np.zeros((4, 4))], "clip.gif", "uint8"),
    ],
)
def test_wrong_input(tmp_path: Path, frames: list, name: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        write_video(frames, tmp_path / name)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="frames a second"):
        write_video(plain(), tmp_path / "clip.mp4", fps=0)


def test_unwritable_folder_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(OSError, match="choose another folder"):
        write_video(plain(), tmp_path / "file" / "clip.mp4")


def test_full_disk_when_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        "#!/bin/sh\nhead -c 100 >/dev/null\necho 'write: No space left on device' >&2\nexit 1\n", encoding="utf-8"
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(videos, "_ffmpeg", lambda: str(fake))
    with pytest.raises(OSError, match=r"disk is full.*Free disk space"):
        write_video(plain(400), tmp_path / "out" / "clip.mp4")
    assert not list((tmp_path / "out").iterdir())


def test_full_disk_in_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(videos, "_encode_pillow", full)
    with pytest.raises(OSError, match=r"No space left.*Free disk space"):
        write_video(plain(), tmp_path / "clip.gif")
    assert not list(tmp_path.iterdir())


def test_a_file_runs_at_the_motions_own_rate(tmp_path: Path) -> None:
    motion = Motion(Motion.from_joints(walk(6)).features, 12.5)
    for name, wanted in (("a.mp4", motion), ("b.mp4", [motion, walk(6)])):
        meta = next(imageio_ffmpeg.read_frames(str(render_motion(wanted, tmp_path / name, size=64))))
        assert meta["fps"] == 12.5
    with pytest.raises(ValueError, match="A strip shows one motion"):
        render_motion([motion, motion], tmp_path / "c.png")
    assert render_motion([motion], tmp_path / "c.png", size=(96, 64), poses=2).exists()


def test_kit_motions_are_drawn(tmp_path: Path) -> None:
    features = np.zeros((4, 251), np.float32)
    joints = kit_joints(4)
    features[:, 3], features[:, 4:64] = joints[:, 0, 1], (joints[:, 1:] * 1.0).reshape(4, 60)
    frames = decode(render_motion(Motion(features, 12.5), tmp_path / "a.mp4", size=96, grid=False))
    assert frames.shape == (4, 96, 96, 3)
    plain_floor = frames[0].reshape(-1, 3).astype(int)
    assert (np.abs(plain_floor - np.median(plain_floor, axis=0)).sum(-1) > 60).sum() > 100  # there is a figure


class Listener(threading.Thread):
    """Counts who asks for something on a port of this machine."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port, self.asked = self.server.getsockname()[1], 0
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.server.accept()[0].close()
                self.asked += 1


def test_ffmpeg_opens_nothing_but_the_file_that_is_named(tmp_path: Path) -> None:
    listener = Listener()
    url = f"http://127.0.0.1:{listener.port}/x.ts"
    texts = {
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
        "list": f"ffconcat version 1.0\nfile '{url}'\n",
        "session": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {listener.port} RTP/AVP 96\n",  # noqa: E501
        "manifest": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{url}</BaseURL></MPD>',
    }
    for name, text in texts.items():
        for suffix in (".mp4", ".webm"):
            path = tmp_path / f"{name}{suffix}"
            path.write_text(text, encoding="utf-8")
            assert read_metadata(path) == {}
    assert listener.asked == 0
    listener.server.close()


def test_ffmpeg_has_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "ffmpeg"
    slow.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    slow.chmod(0o755)
    monkeypatch.setattr("scamo.render.video._ffmpeg", lambda: str(slow))
    monkeypatch.setattr("scamo.render.video._READ_SECONDS", 0.2)
    (tmp_path / "a.mp4").write_bytes(bytes(99))
    with pytest.raises(OSError, match=r"did not read it in 0\.2 s"):
        read_metadata(tmp_path / "a.mp4")
