"""Generates a motion and writes it for Blender: a skeleton (BVH) and a body with its animation (GLB).

python examples/to_blender.py "a person walks forward, then bows" --out out/

In Blender: File > Import > Motion Capture (.bvh), or glTF 2.0 (.glb). Both are in metres and face the viewer. With
--in-place the pelvis stays above one spot, as game engines want it. --rig names the bones as other programs do.
"""

import argparse
from pathlib import Path

import scamo

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("prompt", nargs="?", default="a person walks forward")
parser.add_argument("--seconds", type=float, default=4.0)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--in-place", action="store_true")
parser.add_argument("--rig", default="humanml3d", help="humanml3d, smpl, mixamo, unreal or vrm")
parser.add_argument("--out", type=Path, default=Path("out"))


def main(args: argparse.Namespace) -> None:
    pipeline = scamo.load(codebook=4096, size="4M")
    generation = pipeline.generate(args.prompt, seconds=args.seconds, seed=args.seed)
    recipe = generation.recipe  # goes into the GLB, so that the motion can be made again from it
    paths = scamo.export(
        generation.motion, "bvh,glb", args.out, recipe.file_stem, recipe.to_dict(), in_place=args.in_place,
        rig=args.rig, unit="m",
    )  # fmt: skip
    print(*paths, sep="\n")


if __name__ == "__main__":
    main(parser.parse_args())
