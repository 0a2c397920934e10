"""How long it takes from tokens to joints to pictures to a file, and how that compares with plain matplotlib.

    python -m benchmarks.rendering

A clip of 196 frames (the longest of HumanML3D) at 480 pixels: stick figure, and a person by each rasteriser that
works here. "matplotlib" draws as the reference does, by a function written for this comparison: for every frame a new
figure with 3D axes, lines for the five chains, a floor, the path, saved as PNG and decoded again, at the reference's
960 pixels. Ours is measured at that size too, once with the same things in the picture (figure, floor, path, and
shadows that the other lacks) and once as people get it, with the floor's grid; the ratio is one of CPU time, since both
draw in one thread. Decoding is that of the paper's decoder, 512 channels wide, with random weights. Medians over the
repetitions; the variants take turns. Writes JSON to --out.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import OUT, markdown_table, median_ratio, recorded, take_turns, time_call
from benchmarks.models import decoding_tasks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]

FRAMES, FPS = 196, 20
REFERENCE_PIXELS = 960


@dataclass(frozen=True)
class Args:
    """Measure drawing and encoding on this machine's CPU."""

    out: Path = OUT / "rendering.json"
    threads: int = 0
    """For the decoder; 0: as many as there are cores."""
    repetitions: int = 5
    body_repetitions: int = 1
    """Of a person, which takes a hundred times as long."""
    size: int = 480
    width: int = 512
    """Channels of the decoder."""
    quick: bool = False
    """One repetition of 4 frames, 1 for matplotlib."""


def main(args: Args) -> None:
    """Measure, print and write."""
    with recorded(args) as report:
        report |= measure(args)
    print(rendering_table(report))


def measure(args: Args) -> dict[str, Any]:
    """All figures of a run; times are medians in seconds."""
    frames, slow_frames = (4, 1) if args.quick else (FRAMES, 20)
    repetitions, body_repetitions = (1, 1) if args.quick else (args.repetitions, args.body_repetitions)
    joints = walk(frames)
    sticks, bodies = stick_drawings(joints, args.size), body_drawings(joints, args.size)
    for draw in (*sticks.values(), *bodies.values()):
        next(draw())  # imports, the body, OpenGL: once in a process, not once in a clip
    next(matplotlib_frames(joints[:1]))
    comparison: dict[str, Callable[[], Any]] = {
        "matplotlib": lambda: consume(matplotlib_frames(joints[:slow_frames])),
        **{name: lambda draw=draw: consume(draw()) for name, draw in large_drawings(joints).items()},
    }
    decoding = decoding_tasks(frames // 4, 65536, args.width, name="decode")
    take_turns(decoding, 1)  # warm
    clips: dict[str, list[dict[str, float]]] = {name: [] for name in sticks}
    per_frame: dict[str, list[float]] = {name: [] for name in comparison}
    steps: dict[str, list[float]] = {name: [] for name in decoding}
    for _ in range(repetitions):
        for name, draw in sticks.items():
            clips[name].append(measure_clip(draw))
        for name, times in take_turns(comparison, 1).items():
            per_frame[name].append(times["cpu"][0] / (slow_frames if name == "matplotlib" else frames))
        for name, times in take_turns(decoding, 1).items():
            steps[name].append(times["seconds"][0])
    for name, draw in bodies.items():
        clips[name] = [measure_clip(draw) for _ in range(body_repetitions)]
    return {
        "frames": frames,
        "variants": {
            name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in clips.items()
        },
        "cpu_per_frame_at_960": {name: statistics.median(values) for name, values in per_frame.items()},
        "ratios": {name: median_ratio(per_frame["matplotlib"], values) for name, values in per_frame.items()},
        "steps": {name: statistics.median(values) for name, values in steps.items()},
    }


def stick_drawings(joints: NDArray[np.floating], size: int) -> dict[str, Callable[[], Iterator[Frame]]]:
    """Stick figures as people get them, at `size` pixels."""
    from scamo.render import stick_frames

    return {
        "stick": lambda: stick_frames(joints, size=size, caption="a person walks in a circle"),
        "stick, fixed camera": lambda: stick_frames(joints, size=size, camera="fixed"),
    }


def body_drawings(joints: NDArray[np.floating], size: int) -> dict[str, Callable[[], Iterator[Frame]]]:
    """The dressed person by each rasteriser that works here, at `size` pixels."""
    from scamo.body.person import load_person
    from scamo.render import mesh_frames

    person = load_person("neutral")
    drawings = {
        "person, numpy": lambda: mesh_frames(joints, person, size=size, backend="numpy"),
        "person, pyrender": lambda: mesh_frames(joints, person, size=size, backend="pyrender"),
    }
    with contextlib.suppress(ValueError):  # pyrender needs OpenGL, which is not everywhere
        next(drawings["person, pyrender"]())
        return drawings
    return {"person, numpy": drawings["person, numpy"]}


def large_drawings(joints: NDArray[np.floating]) -> dict[str, Callable[[], Iterator[Frame]]]:
    """Stick figures at the reference's size: with what the reference draws, and as people get them."""
    from scamo.render import stick_frames

    size = REFERENCE_PIXELS
    return {
        "the same in the picture": lambda: stick_frames(joints, size=size, grid=False),
        "as people get it": lambda: stick_frames(joints, size=size, caption="a person walks in a circle"),
    }


def measure_clip(draw: Callable[[], Iterator[Frame]]) -> dict[str, float]:
    """One clip: drawn alone, and drawn while it is encoded, as users have it. Seconds and megabytes."""
    from scamo.render import write_video

    drawing, drawing_cpu = time_call(lambda: consume(draw()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        together, _ = time_call(lambda: write_video(draw(), path, FPS))
        size = path.stat().st_size
    return {"drawing": drawing, "drawing_cpu": drawing_cpu, "together": together, "megabytes": size / 1e6}


def consume(frames: Iterable[Frame]) -> None:
    """Draw all frames and keep none."""
    for _ in frames:
        pass


def walk(frames: int) -> NDArray[np.floating]:
    """Joints [frames, 22, 3] of a figure that walks in a circle of 2 m, arms and legs swinging."""
    import numpy as np

    from scamo.skeleton import forward_kinematics

    time_s = np.arange(frames) / FPS
    phase = 2 * np.pi * 0.9 * time_s
    heading = time_s / 2

    def about(axis: int, angle: NDArray[np.floating]) -> NDArray[np.floating]:
        q = np.zeros((frames, 4))
        q[:, 0], q[:, 1 + axis] = np.cos(angle / 2), np.sin(angle / 2)
        return q

    turned = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 22, 1))
    turned[:, 0] = about(1, heading)
    turned[:, 1], turned[:, 2] = about(0, -0.5 * np.sin(phase)), about(0, 0.5 * np.sin(phase))
    turned[:, 4], turned[:, 5] = about(0, 0.5 + 0.4 * np.cos(phase)), about(0, 0.5 - 0.4 * np.cos(phase))
    turned[:, 16], turned[:, 17] = about(2, np.full(frames, -1.2)), about(2, np.full(frames, 1.2))
    turned[:, 18], turned[:, 19] = about(1, -0.6 - 0.3 * np.sin(phase)), about(1, 0.6 - 0.3 * np.sin(phase))
    root = np.stack([2 - 2 * np.cos(heading), np.zeros(frames), 2 * np.sin(heading)], axis=-1)
    joints = forward_kinematics(turned, root)
    return joints - [0, joints[..., 1].min(), 0]


def matplotlib_frames(joints: NDArray[np.floating]) -> Iterator[Frame]:
    """The plain way: a figure with 3D axes for every frame, its PNG decoded. uint8 [960, 960, 4]."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    from scamo.skeleton import CHAINS

    low, high = joints.min(axis=(0, 1)), joints.max(axis=(0, 1))
    for frame, pose in enumerate(joints):
        figure = plt.figure(figsize=(10, 10), dpi=REFERENCE_PIXELS / 10)
        axes = figure.add_subplot(projection="3d")
        axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), zlim=(0, 3))
        axes.grid(False)
        axes.set_axis_off()
        axes.view_init(elev=20, azim=-60)
        here = pose[0] * [1, 0, 1]
        x0, _, z0 = low - here
        x1, _, z1 = high - here
        floor = Poly3DCollection([[(x0, z0, 0), (x0, z1, 0), (x1, z1, 0), (x1, z0, 0)]])
        floor.set_facecolor((0.5, 0.5, 0.5, 0.5))
        axes.add_collection3d(floor)
        way = joints[: frame + 1, 0] - here
        axes.plot(way[:, 0], way[:, 2], np.zeros(len(way)), linewidth=1.0, color="blue")
        for index, chain in enumerate(CHAINS):
            x, y, z = (pose[list(chain)] - here).T
            axes.plot(
                x, z, y, linewidth=4.0 if index < 3 else 2.0, color=("red", "blue", "black", "red", "blue")[index]
            )
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=REFERENCE_PIXELS / 10)
        plt.close(figure)
        stream.seek(0)
        yield np.round(255 * plt.imread(stream)).astype(np.uint8)


def rendering_table(report: dict[str, Any]) -> str:
    """The report as Markdown tables."""
    frames, size = report["frames"], report["arguments"]["size"]
    rows = [
        [name, f"{1e3 * row['drawing_cpu'] / frames:.1f}", f"{row['drawing']:.2f}", f"{row['together']:.2f}",
         f"{row['megabytes']:.2f}"]
        for name, row in report["variants"].items()
    ]  # fmt: skip
    head = [f"{frames} frames, {size} x {size}", "CPU ms a frame", "drawn, s", "drawn and encoded, s", "MB"]
    beside = [
        [name, f"{1e3 * value:.1f}", f"{report['ratios'][name]:.0f}"]
        for name, value in report["cpu_per_frame_at_960"].items()
    ]
    steps = [[name, f"{value:.3f}"] for name, value in report["steps"].items()]
    width = report["arguments"]["width"]
    return "\n".join(
        [
            markdown_table(head, rows),
            markdown_table([f"{REFERENCE_PIXELS} x {REFERENCE_PIXELS}", "CPU ms a frame", "times as fast"], beside),
            markdown_table([f"{frames} frames, {width} channels", "s"], steps),
        ]
    )


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
