"""Draws what other programs get of a motion, for docs/animators.md: every picture is a file as Blender imports it.

    python tools/draw_importers.py --out docs/animators

A motion is generated and exported as the page tells. Blender, which has to be installed, imports each file: on the left
the rest pose with the bones' names, on the right frames of the motion. Unreal, Unity and Mixamo's site cannot be run
from a command; their pictures show the file that they are given.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs as a script

import scamo  # noqa: E402
from scamo.skeleton import JOINTS  # noqa: E402

PROMPT = "a person walks forward, then waves with the right hand"
SECONDS = (0.6, 1.1)  # of the walk that are drawn, before the moment when the hand is highest
PIXELS, CENTRE = (1200, 430), 0.93  # of the pictures, and the height in metres that is in their middle
PAPER, INK, LINE = (246, 246, 244), (40, 46, 56), (150, 156, 166)
FONT = 15

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("out/animators"), help="a folder")
parser.add_argument("--only", help="one of the pictures")
parser.add_argument("--samples", type=int, default=48, help="of light in every pixel")


@dataclass(frozen=True)
class Picture:
    """What is drawn: the files' formats for left and right, how they are exported, and the width in metres."""

    left: str
    right: str
    options: dict[str, Any]
    wide: float = 6.3


PICTURES = {
    "blender": Picture("bvh", "glb", {}),
    "unreal": Picture("fbx", "fbx", {"rig": "unreal", "fps": 30}),
    "unity": Picture("fbx", "fbx", {"rig": "vrm", "fps": 30}),
    "mixamo": Picture("fbx", "fbx", {"rig": "mixamo"}, 7.4),
}


def main() -> None:
    """Generate, export, import, draw."""
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    motion = scamo.load(codebook=1024, size="4M").generate(PROMPT, seed=1, seconds=5).motion
    highest = float(motion.joints[:, JOINTS.index("right_wrist"), 1].argmax()) / motion.fps
    with tempfile.TemporaryDirectory() as folder:
        for name in [args.only] if args.only else PICTURES:
            picture = PICTURES[name]
            for suffix in {picture.left, picture.right}:
                motion.save(Path(folder) / f"{name}.{suffix}", **picture.options)
            drawn, spots = rendered(Path(folder), name, (*SECONDS, highest), args.samples)
            path = args.out / f"{name}.png"
            labelled(drawn, spots).quantize(112, dither=Image.Dither.NONE).save(path, optimize=True)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def rendered(folder: Path, name: str, seconds: tuple[float, ...], samples: int) -> tuple[Image.Image, dict[str, Any]]:
    """Blender's picture, and where the bones at rest are in it."""
    picture = PICTURES[name]
    middle = picture.wide / 2 - 1.76 - 0.53 * (picture.wide - 6.3)  # the rest pose is at 0, its names beside it
    job = {
        "left": str(folder / f"{name}.{picture.left}"), "right": str(folder / f"{name}.{picture.right}"),
        "seconds": seconds, "first": middle + picture.wide / 2 - 2.45, "step": 0.95, "turn": 35, "rest_alpha": 0.25,
        "alpha": 1.0, "wide": picture.wide, "middle": middle, "centre": CENTRE, "pixels": PIXELS, "samples": samples,
        "picture": str(folder / f"{name}.png"), "report": str(folder / f"{name}.json"),
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = ["blender", "--background", "--factory-startup", "--python-exit-code", "1", "--python"]
    command += [str(Path(__file__).with_name("blender_scene.py")), "--", str(folder / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    spots = json.loads(Path(job["report"]).read_text(encoding="utf-8"))
    return Image.open(job["picture"]).convert("RGBA"), spots


def labelled(drawn: Image.Image, spots: dict[str, Any]) -> Image.Image:
    """The picture on paper, with the bones' names left and right of the rest pose."""
    page = Image.new("RGBA", drawn.size, (*PAPER, 255))
    page.alpha_composite(drawn)
    draw = ImageDraw.Draw(page)
    font = ImageFont.truetype(font_file(), FONT)
    middle = float(np.median([x for x, _ in spots.values()]))
    reach = max(abs(x - middle) for x, _ in spots.values()) + 12
    # The body's left is on the right; the trunk's names go to the side with fewer.
    sides: dict[int, list[str]] = {-1: [], 1: []}
    for name, (x, _) in spots.items():
        if abs(x - middle) > 4:
            sides[1 if x > middle else -1].append(name)
    for name, (x, _) in spots.items():
        if abs(x - middle) <= 4:
            sides[min(sides, key=lambda side: len(sides[side]))].append(name)
    for side, names in sides.items():
        names.sort(key=lambda name: (spots[name][1], -abs(spots[name][0] - middle)))
        heights = spread([spots[name][1] for name in names], FONT + 4, 6, drawn.size[1] - FONT - 8)
        edge = middle + side * reach
        for name, height in zip(names, heights, strict=True):
            x, y = spots[name]
            draw.line([(x, y), (edge, height + FONT / 2 + 2)], fill=LINE, width=1)
            draw.text((edge + 4 * side, height), name, INK, font, anchor="la" if side > 0 else "ra")
    return page.convert("RGB")


def spread(wanted: list[float], step: float, low: float, high: float) -> list[float]:
    """Heights near the wanted ones, in their order, at least `step` apart."""
    found = [max(low, one - step / 2) for one in wanted]
    for k in range(1, len(found)):
        found[k] = max(found[k], found[k - 1] + step)
    limit = high
    for k in reversed(range(len(found))):
        found[k] = min(found[k], limit)
        limit = found[k] - step
    return found


def font_file() -> str:
    """A font that comes with matplotlib."""
    from matplotlib.font_manager import findfont

    return findfont("DejaVu Sans")


if __name__ == "__main__":
    main()
