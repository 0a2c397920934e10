"""BVH files of made-up motions on the rigs that the reader knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.prepare.bvh import RIGS

# Our joint of the 22 at which a rig has the one that it calls by a name of ours.
PLACES = {"spine": 6, "chest": 9, "neck": 12, "head": 15}
SIDES = {"collar": 13, "shoulder": 16, "elbow": 18, "wrist": 20, "hip": 1, "knee": 4, "ankle": 7, "toe": 10}


def write_bvh(path: Path, joints: np.ndarray, rig: str = "lafan1", fps: float = 30.0, prefix: str = "") -> Path:
    """joints [T, 22, 3] as a BVH file whose joints all have position channels and hang on the root."""
    places = PLACES | {f"left_{name}": j for name, j in SIDES.items()}
    places |= {f"right_{name}": j + 1 for name, j in SIDES.items()}
    names = {theirs: places[ours] for ours, theirs in RIGS[rig].items()}
    channels = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    lines = ["HIERARCHY", f"ROOT {prefix}Hips", "{", "OFFSET 0 0 0", channels]
    for name in names:
        lines += [f"JOINT {prefix}{name.title()}", "{", "OFFSET 0 1 0", channels]
        lines += ["End Site", "{", "OFFSET 0 0 0", "}", "}"]
    lines += ["}", "MOTION", f"Frames: {len(joints)}", f"Frame Time: {1 / fps:.9f}"]
    for frame in joints:
        rows = [frame[0], *(frame[joint] - frame[0] for joint in names.values())]
        lines.append(" ".join(f"{value:.6f}" for row in rows for value in (*row, 0.0, 0.0, 0.0)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path
