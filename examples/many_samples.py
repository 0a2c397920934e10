"""Generates many motions of one sentence in one batch, and prints how far each of them walks.

python examples/many_samples.py "a person runs forward" --samples 8
"""

import argparse

import numpy as np

import scamo

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("prompt", nargs="?", default="a person runs forward")
parser.add_argument("--samples", type=int, default=8)
parser.add_argument("--size", default="4M")


def main(args: argparse.Namespace) -> None:
    pipeline = scamo.load(codebook=4096, size=args.size)
    seeds = range(args.samples)
    generations = pipeline.generate_batch([args.prompt] * args.samples, seeds=seeds, seconds=4)
    for seed, generation in zip(seeds, generations, strict=True):
        path = generation.motion.joints[:, 0, [0, 2]]  # of the pelvis on the floor
        metres = np.linalg.norm(np.diff(path, axis=0), axis=-1).sum()
        print(f"seed {seed}: {metres:4.1f} m of path, ends {np.linalg.norm(path[-1] - path[0]):4.1f} m away")


if __name__ == "__main__":
    main(parser.parse_args())
