"""Pictures of bodies: both rasterisers give the same one, and none is needed."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scamo.body.smpl import Body, load_body
from scamo.render import mesh, render_motion
from scamo.render import rasteriser as rasterisers
from scamo.render import scene as scenes
from scamo.render.backdrop import build_backdrop
from scamo.render.mesh import mesh_frames, mesh_strip
from scamo.render.rasteriser import NumpyRasteriser, pyrender_problem
from scamo.render.scene import to_figures

from .motions import cartwheel, walk


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


def near(frame: np.ndarray, colour: tuple[float, ...], reach: int = 60) -> int:
    """Pixels about this colour."""
    return int((np.abs(frame.astype(int) - 255 * np.array(colour)).sum(axis=-1) < reach).sum())


def test_frames_show_both_sides(body: Body) -> None:
    frames = list(mesh_frames(walk(3), body, backend="numpy", size=(160, 200), azimuth=0))
    assert len(frames) == 3
    for frame in frames:
        assert frame.shape == (200, 160, 3)
        assert frame.dtype == np.uint8
        orange, blue = (
            (frame[..., 0].astype(int) - frame[..., 2] > 40),
            (frame[..., 2].astype(int) - frame[..., 0] > 40),
        )
        assert orange.sum() > 100
        assert blue.sum() > 100
        assert np.nonzero(orange)[1].mean() > np.nonzero(blue)[1].mean()  # it faces us, its left is on our right
    assert (frames[0] != frames[2]).any()


@pytest.mark.skipif(bool(pyrender_problem()), reason="no OpenGL here")
def test_pyrender_and_numpy_agree(body: Body) -> None:
    options: Any = {"size": (240, 200), "caption": "a person", "labels": ["one", "two"]}
    ours = next(mesh_frames([walk(1), cartwheel(1)], body, backend="numpy", **options)).astype(int)
    theirs = next(mesh_frames([walk(1), cartwheel(1)], body, backend="pyrender", **options)).astype(int)
    difference = np.abs(ours - theirs).max(axis=-1)
    assert (difference > 24).mean() < 0.01  # only the smoothing of edges differs
    assert difference.mean() < 0.5


def test_nobody_is_cut_off(body: Body) -> None:
    for azimuth in (0.0, 90.0):
        backdrop = build_backdrop(to_figures(cartwheel(20)), size=120, azimuth=azimuth, floor=-body.sole)
        vertices = next(iter(body.vertices(body.fit(cartwheel(20)))))
        for frame in range(20):
            pixels, _ = backdrop.scene.project(vertices[frame], frame)
            assert pixels.min() > 0
            assert pixels.max() < 120


def test_a_nearer_triangle_hides_a_farther_one() -> None:
    scene = scenes.build_scene(to_figures(walk(1)), size=64)
    right, up, back = scene.rotation
    vertices = np.concatenate(
        [scene.target[0] + shift * back + np.array([-0.5 * right - 0.5 * up, 0.5 * right - 0.5 * up, 0.5 * up]) * size
         for shift, size in ((0.0, 1.0), (0.3, 0.5), (-0.3, 0.5))]
    )  # fmt: skip
    colours = np.repeat(np.eye(3), 3, axis=0)
    picture, where = NumpyRasteriser().draw(scene, 0, vertices, np.arange(9).reshape(3, 3), colours)
    whole = np.zeros((64, 64, 4), dtype=np.uint8)
    whole[where] = picture
    x, y = scene.project(scene.target[:1], 0)[0][0].astype(int)
    assert tuple(whole[y, x]) == (0, 255, 0, 255)
    assert near(whole[..., :3], (1, 0, 0)) > 50
    assert near(whole[..., :3], (0, 0, 1), 10) == 0
    behind = NumpyRasteriser().draw(scene, 0, vertices, np.arange(9).reshape(3, 3)[:, ::-1], colours)[0]
    assert behind.max() == 0  # seen from behind


def test_colours_are_linear_inside_a_triangle() -> None:
    points = np.array([[0, 0], [0, 40], [40, 0]], dtype=np.float32)
    filled = rasterisers._fill(points, np.ones(3), np.array([[0, 1, 2]]), np.eye(3), 40, 40)
    np.testing.assert_allclose(filled[10, 10, :3], [1 - 21 / 40, 10.5 / 40, 10.5 / 40], atol=1e-4)
    assert filled[30, 30, 3] == 0


def test_shadow_and_floor_are_below_the_soles(body: Body) -> None:
    backdrop = build_backdrop(to_figures(walk(1)), size=100, floor=-body.sole)
    vertices = next(iter(body.vertices(body.fit(walk(1)))))
    assert backdrop.scene.floor <= vertices[..., 1].min() + 0.02
    backdrop.start_frame(0)
    before = backdrop.canvas.pixels.copy()
    mesh._cast_shadow(backdrop, 0, vertices, backdrop.scene.floor_points())
    darker = before.astype(int) - backdrop.canvas.pixels
    assert darker.max() > 20
    assert darker.min() >= 0


def test_strip_and_files(body: Body, tmp_path: Path) -> None:
    assert mesh_strip(walk(30), 3, body, backend="numpy", size=(160, 80)).shape == (80, 160, 3)
    assert render_motion(walk(2), tmp_path / "a.mp4", body="person", size=64, backend="numpy").stat().st_size > 500
    assert render_motion(walk(2), tmp_path / "a.png", body=body, size=(96, 64), poses=2, backend="numpy").exists()


def test_without_opengl_the_numpy_one_draws(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    pyrender_problem.cache_clear()
    monkeypatch.setitem(sys.modules, "pyrender", None)  # importing it fails
    try:
        assert "apt-get install libegl1 libgl1" in pyrender_problem()
        assert next(mesh_frames(walk(1), body, size=64)).shape == (64, 64, 3)
        with pytest.raises(ValueError, match="apt-get install libegl1"):
            mesh_frames(walk(1), body, backend="pyrender")
    finally:
        pyrender_problem.cache_clear()


def test_a_broken_egl_is_found_by_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    pyrender_problem.cache_clear()

    def broken(*_: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'glGetError'")

    monkeypatch.setattr(rasterisers, "_OffScreen", broken)
    assert "glGetError" in pyrender_problem()
    pyrender_problem.cache_clear()
    black = type("Black", (), {"render": lambda *_: np.zeros((16, 16, 4)), "close": lambda _: None})
    monkeypatch.setattr(rasterisers, "_OffScreen", lambda *_: black())
    assert "black" in pyrender_problem()
    pyrender_problem.cache_clear()


@pytest.mark.skipif(bool(pyrender_problem()), reason="no OpenGL here")
def test_two_clips_at_once_do_not_share_opengl(body: Body) -> None:
    """pyrender shuts the process's one display down with every renderer, so a second clip is drawn by numpy."""
    first = mesh_frames(walk(3), body, size=64)
    one = next(first)
    second = list(mesh_frames(walk(3), body, size=64))
    rest = list(first)
    assert len(second) == 3
    assert len(rest) == 2
    assert np.abs(one.astype(int) - second[0]).mean() < 1
    assert rasterisers._display.acquire(blocking=False)
    rasterisers._display.release()


def test_bad_input_is_named(body: Body, tmp_path: Path) -> None:
    for motion, word in ((np.zeros((0, 22, 3)), "no frames"), (np.full((1, 22, 3), np.nan), "NaN")):
        with pytest.raises(ValueError, match=word):
            mesh_frames(motion, body)
    with pytest.raises(ValueError, match="no renderer"):
        mesh_frames(walk(1), body, backend="vulkan")  # type: ignore[arg-type]
    for kind, word in (("robot", "no body"), ("smpl", "licensed SMPL file")):
        with pytest.raises(ValueError, match=word):
            render_motion(walk(1), tmp_path / "a.mp4", body=kind)
    assert not list(tmp_path.iterdir())
