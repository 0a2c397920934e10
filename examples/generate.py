"""A sentence becomes a motion: features, joints and a video.

python examples/generate.py "a woman walks forward, then waves with her left hand" --seconds 6 --out out/
"""

import argparse
from pathlib import Path

import numpy as np

import scamo
from scamo.render import stick_frames, write_video

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("prompt", nargs="?", default="a person walks forward")
parser.add_argument("--seconds", type=float, default=4.0)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("out"))


def main(args: argparse.Namespace) -> None:
    made = scamo.load(codebook=4096, size="4M").generate(args.prompt, seconds=args.seconds, seed=args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    np.save(args.out / "features.npy", made.motion.features)  # [T, 263], HumanML3D
    np.save(args.out / "joints.npy", made.motion.joints)  # [T, 22, 3], metres, Y up
    write_video(stick_frames(made.motion, caption=args.prompt), args.out / "motion.mp4")
    print(f"{len(made.tokens)} tokens, {made.motion.seconds:.1f} s of motion in {made.seconds:.2f} s -> {args.out}")


if __name__ == "__main__":
    main(parser.parse_args())
