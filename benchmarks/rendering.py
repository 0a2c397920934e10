"""How long pictures of a motion take: drawing, encoding, both together, and how that compares with plain matplotlib.

    python -m benchmarks.rendering --out rendering.json

A clip of 196 frames (the longest of HumanML3D) at 480 pixels: stick figure, and the mannequin by each rasteriser that
works here. "matplotlib" draws as the reference does, by a function written for this comparison: for every frame a new
figure with 3D axes, lines for the five chains, a floor, the path, saved as PNG and decoded again, at the reference's
960 pixels; ours is measured at that size too, for the ratio (of CPU time, both draw in one thread). Medians over the
repetitions; the variants take turns.
Writes JSON to --out and a Markdown table beside it.
"""

from __future__ import annotations

import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scamo.render import mesh_frames, stick_frames, write_video
from scamo.render.mesh import pyrender_problem
from scamo.skeleton import CHAINS, forward_kinematics

FRAMES, FPS = 196, 20
REFERENCE_PIXELS = 960

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Args:
    """Measure drawing and encoding on this machine's CPU."""

    out: Path = Path("rendering.json")
    repetitions: int = 5
    size: int = 480
    quick: bool = False
    """One repetition of 40 frames, 5 for matplotlib."""


def main(args: Args) -> None:
    """Measure, print and write."""
    frames, repetitions = (40, 1) if args.quick else (FRAMES, args.repetitions)
    slow_frames = 5 if args.quick else 20
    joints = walk(frames)
    variants: dict[str, Callable[[], Iterator[Frame]]] = {
        "stick": lambda: stick_frames(joints, size=args.size, caption="a person walks in a circle"),
        "stick, fixed camera": lambda: stick_frames(joints, size=args.size, camera="fixed"),
        "body, numpy": lambda: mesh_frames(joints, size=args.size, backend="numpy"),
    }
    if not pyrender_problem():
        variants["body, pyrender"] = lambda: mesh_frames(joints, size=args.size, backend="pyrender")
    found: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    ours_large: list[float] = []
    theirs: list[float] = []
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    for draw in variants.values():
        next(draw())  # imports, the mannequin, OpenGL: once in a process, not once in a clip
    next(matplotlib_frames(joints[:1]))
    for repetition in range(repetitions):
        for name, draw in variants.items():
            found[name].append(measure(draw))
            print(f"{repetition + 1}/{repetitions} {name}: {found[name][-1]['together_s']:.2f} s", flush=True)
        theirs.append(seconds(lambda: consume(matplotlib_frames(joints[:slow_frames])))[1] / slow_frames)
        ours_large.append(seconds(lambda: consume(stick_frames(joints, size=REFERENCE_PIXELS)))[1] / frames)
    report = {
        "machine": machine() | {"load_at_start": load},
        "frames": frames,
        "pixels": args.size,
        "repetitions": repetitions,
        "variants": {
            name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()
        },
        "matplotlib": {
            "pixels": REFERENCE_PIXELS,
            "ms_a_frame": 1e3 * statistics.median(theirs),
            "ours_ms_a_frame": 1e3 * statistics.median(ours_large),
            "times_slower": statistics.median(theirs) / statistics.median(ours_large),
        },
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=2) + "\n")
    args.out.with_suffix(".md").write_text(markdown(report))
    print(markdown(report))


def measure(draw: Callable[[], Iterator[Frame]]) -> dict[str, float]:
    """One clip: drawn alone, its frames encoded alone, and drawn while it is encoded, as users have it."""
    drawing, drawing_cpu = seconds(lambda: consume(draw()))
    kept = list(draw())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        encoding, _ = seconds(lambda: write_video(kept, path, FPS))
        together, _ = seconds(lambda: write_video(draw(), path, FPS))
        size = path.stat().st_size
    return {
        "drawing_s": drawing,
        "drawing_cpu_s": drawing_cpu,
        "drawing_ms_a_frame": 1e3 * drawing_cpu / len(kept),
        "encoding_s": encoding,
        "together_s": together,
        "megabytes": size / 1e6,
    }


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU time of a call (of this process; the encoder is one of its own)."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def consume(frames: Iterable[Frame]) -> None:
    """Draw and forget."""
    for _ in frames:
        pass


def walk(frames: int) -> NDArray[np.floating]:
    """Joints [frames, 22, 3] of a figure that walks in a circle of 2 m, arms and legs swinging."""
    time_s = np.arange(frames) / FPS
    phase = 2 * np.pi * 0.9 * time_s
    heading = time_s / 2

    def about(axis: int, angle: NDArray[np.floating]) -> NDArray[np.floating]:
        q = np.zeros((frames, 4))
        q[:, 0], q[:, 1 + axis] = np.cos(angle / 2), np.sin(angle / 2)
        return q

    turns = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 22, 1))
    turns[:, 0] = about(1, heading)
    turns[:, 1], turns[:, 2] = about(0, -0.5 * np.sin(phase)), about(0, 0.5 * np.sin(phase))
    turns[:, 4], turns[:, 5] = about(0, 0.5 + 0.4 * np.cos(phase)), about(0, 0.5 - 0.4 * np.cos(phase))
    turns[:, 16], turns[:, 17] = about(2, np.full(frames, -1.2)), about(2, np.full(frames, 1.2))
    turns[:, 18], turns[:, 19] = about(1, -0.6 - 0.3 * np.sin(phase)), about(1, 0.6 - 0.3 * np.sin(phase))
    root = np.stack([2 - 2 * np.cos(heading), np.zeros(frames), 2 * np.sin(heading)], axis=-1)
    joints = forward_kinematics(turns, root)
    return joints - [0, joints[..., 1].min(), 0]


def matplotlib_frames(joints: NDArray[np.floating]) -> Iterator[Frame]:
    """The plain way: a figure with 3D axes for every frame, its PNG decoded. uint8 [960, 960, 4]."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

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


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        names = [
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    packages = ("numpy", "matplotlib", "torch", "pyrender", "imageio-ffmpeg")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    facts, plain = report["machine"], report["matplotlib"]
    lines = [
        f"{report['frames']} frames, {report['pixels']} x {report['pixels']} pixels, {facts['cores']} cores "
        f"({facts['cpu']}), Python {facts['python']}, matplotlib {facts['matplotlib']}, "
        f"medians of {report['repetitions']}.",
        "",
        "| | drawing, CPU ms a frame | drawing, s | encoding, s | both together, s | MB |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['drawing_ms_a_frame']:.1f} | {row['drawing_s']:.2f} | {row['encoding_s']:.2f} | "
        f"{row['together_s']:.2f} | {row['megabytes']:.2f} |"
        for name, row in report["variants"].items()
    ]
    lines += [
        "",
        f"Plain matplotlib at {plain['pixels']} pixels: {plain['ms_a_frame']:.0f} CPU ms a frame; our stick figure at "
        f"that size: {plain['ours_ms_a_frame']:.1f} ms, {plain['times_slower']:.0f} times as fast.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
