"""Turns a sentence into a motion: features, joints and a video.

python examples/generate.py "a woman walks forward, then waves with her left hand" --seconds 6 --out out/
"""

import argparse
from pathlib import Path

import numpy as np

import scamo
from scamo.render import render_motion

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("prompt", nargs="?", default="a person walks forward")
parser.add_argument("--seconds", type=float, default=4.0)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("out"))


def main(args: argparse.Namespace) -> None:
    pipeline = scamo.load(codebook=4096, size="4M")
    generation = pipeline.generate(args.prompt, seconds=args.seconds, seed=args.seed)
    motion = generation.motion
    args.out.mkdir(parents=True, exist_ok=True)
    np.save(args.out / "features.npy", motion.features)  # float32 [T, 263], HumanML3D
    np.save(args.out / "joints.npy", motion.joints)  # float32 [T, 22, 3], metres, Y up
    render_motion(motion, args.out / "motion.mp4", caption=args.prompt)
    print(f"{motion.seconds:.1f} s of motion in {generation.elapsed:.2f} s of computing -> {args.out}")


if __name__ == "__main__":
    main(parser.parse_args())
