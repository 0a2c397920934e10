"""Stick figures: the camera keeps everybody in the picture, and bad input is named."""

from collections.abc import Iterator

import numpy as np
import pytest

from scamo.motion import Motion
from scamo.render import scene as scenes
from scamo.render.backdrop import build_backdrop, caption_lines
from scamo.render.scene import Figure, to_figures
from scamo.render.stick import stick_frames, strip

from .motions import ALL, cartwheel, walk


def ink(frame: np.ndarray, colour: str) -> int:
    """Pixels of exactly this colour."""
    wanted = np.round(255 * np.array(scenes.rgb(colour))).astype(int)
    return int((np.abs(frame.astype(int) - wanted).max(axis=-1) <= 1).sum())


def test_frames_have_size_and_both_sides() -> None:
    frames = list(stick_frames(walk(5), size=(160, 120)))
    assert len(frames) == 5
    for frame in frames:
        assert frame.shape == (120, 160, 3)
        assert frame.dtype == np.uint8
        assert all(ink(frame, colour) > 20 for colour in scenes.SOLO)
    assert (frames[0] != frames[4]).any()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("camera", ["follow", "fixed"])
@pytest.mark.parametrize("azimuth", [-120, 0])
def test_nobody_is_cut_off(name: str, camera: scenes.CameraMode, azimuth: float) -> None:
    scene = scenes.build_scene(
        to_figures([ALL[name]()] * 2), size=(300, 200), camera=camera, azimuth=azimuth, caption_lines=2
    )
    for frame in range(len(scene)):
        pixels, depth = scene.project(scene.figures[:, frame], frame)
        assert (depth > 0.3).all()
        assert (pixels[..., 0] > 4).all()
        assert (pixels[..., 0] < 296).all()
        assert (pixels[..., 1] > scene.caption_height).all()
        assert (pixels[..., 1] < 196).all()


def test_camera_sees_left_on_the_right_when_facing_us() -> None:
    scene = scenes.build_scene(to_figures(walk(2)), azimuth=0)
    (left, right, head, foot), _ = scene.project(scene.figures[0, 0, [16, 17, 15, 10]], 0)
    assert left[0] > right[0]
    assert head[1] < foot[1]


def test_following_camera_goes_along_and_fixed_one_stays() -> None:
    assert np.ptp(scenes.build_scene(to_figures(walk()), camera="follow").target[:, 2]) > 1.0
    assert not np.ptp(scenes.build_scene(to_figures(walk()), camera="fixed").target, axis=0).any()
    fixed = list(stick_frames(walk(3), camera="fixed", size=64))
    assert len(fixed) == 3


@pytest.mark.parametrize("camera", ["follow", "fixed"])
def test_a_canvas_is_clean_when_it_is_used_again(camera: scenes.CameraMode) -> None:
    def frames() -> Iterator[np.ndarray]:
        return stick_frames([walk(40)[::4], cartwheel(12)], labels=["one", "two"], size=(96, 128), camera=camera)

    held = list(frames())  # every frame on a canvas of its own
    assert len({frame.base.ctypes.data for frame in held}) == len(held)
    passing = [(frame.base.ctypes.data, frame.copy()) for frame in frames()]
    assert len({address for address, _ in passing}) == 2  # the one before is still held while a frame is drawn
    for frame, (_, again) in zip(held, passing, strict=True):
        np.testing.assert_array_equal(frame, again)
    with pytest.raises(ValueError, match="read-only"):
        held[0][:] = 0
    first = frames()
    part = next(first)[::2, ::2]  # a part of a frame keeps the whole
    kept = part.copy()
    for _ in first:
        np.testing.assert_array_equal(part, kept)


def test_several_figures_wait_for_the_longest() -> None:
    frames = list(stick_frames([walk(3), cartwheel(6)], labels=["one", "two"], size=120))
    assert len(frames) == 6
    assert all(ink(frames[-1], colour) for palette in scenes.CROWD[:2] for colour in palette[:2])


def test_options_change_the_picture() -> None:
    plain = next(stick_frames(walk(2), size=96))
    for options in ({"caption": "a person walks"}, {"background": "black"}, {"grid": False}, {"azimuth": 90.0}):
        assert (next(stick_frames(walk(2), size=96, **options)) != plain).any(), options


def test_caption_wraps_and_any_script_is_drawn(recwarn: pytest.WarningsRecorder) -> None:
    assert caption_lines(None, 480) == caption_lines("  ", 480) == []
    lines = caption_lines("word " * 2000, 480)
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert caption_lines("x" * 10_000, 480)[0].endswith("…")
    next(stick_frames(walk(1), caption="走る 🏃 $x$ ünï", size=96))
    assert not recwarn.list


def test_strip_stands_on_the_way_or_in_a_row() -> None:
    assert strip(walk(60), 4, size=(320, 120)).shape == (120, 320, 3)
    scene, path = scenes.build_strip_scene(Figure(walk(60)), 4, size=(320, 120), elevation=12, caption_lines=0)
    assert path is not None
    x = scene.project(scene.figures[:, 0, 0], 0)[0][:, 0]
    assert (np.diff(x) > 0).all()  # walks to the right
    assert scenes.build_strip_scene(Figure(walk(4)), 4, size=(320, 120), elevation=12, caption_lines=0)[1] is None
    assert strip(walk(1), 3, size=(320, 120)).shape == (120, 320, 3)


@pytest.mark.parametrize(
    ("motion", "options", "word"),
    [
        (np.zeros((0, 22, 3)), {}, "no frames"),
        (np.zeros((4, 263)), {}, "joints_from_features"),
        (np.full((4, 22, 3), np.nan), {}, "NaN"),
        (walk(2), {"camera": "drone"}, "follow"),
        (walk(2), {"size": 100_000}, "8192"),
        (walk(2), {"background": "nocolour"}, "no colour"),
        ([walk(2)], {"labels": ["a", "b"]}, "one for each"),
        ([], {}, "at least one"),
    ],
)
def test_bad_input_is_named_before_the_first_frame(motion: object, options: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        stick_frames(motion, **options)


def test_figures_know_their_rate_and_are_brought_to_the_first_ones() -> None:
    motion, slow = Motion.from_joints(walk(41)), Motion(Motion.from_joints(walk(21)).features, 10)
    assert [figure.fps for figure in to_figures([motion, slow])] == [20, 20]
    first, second = to_figures([motion, slow])
    assert len(first.joints) == 40
    assert len(second.joints) == 39  # 19 steps of a tenth of a second
    np.testing.assert_allclose(second.joints[::2], slow.joints, atol=0.02)
    assert [len(figure.joints) for figure in to_figures([slow, motion])] == [20, 20]
    assert to_figures(walk(3), fps=30)[0].fps == to_figures([walk(3), motion], fps=30)[1].fps == 30
    assert to_figures(np.stack([walk(3), walk(3)]))[1].fps == 20


def test_figures_bring_their_labels() -> None:
    named = build_backdrop([Figure(walk(2), label="one"), Figure(walk(2))], size=96)
    assert named.names == ["one", ""]
    assert build_backdrop([Figure(walk(2))], size=96).names == []
