"""Draws one sentence by every bundled size, as strips of poses in one picture. README's picture is drawn by this.

python examples/strips.py "a person punches, then turns a cartwheel" --codebook 1024 --seconds 5 --out docs/picture.png
"""

import argparse
from pathlib import Path

import numpy as np

import scamo
from scamo.render import mesh_strip, write_image

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("prompt", nargs="?", default="a person runs forward")
parser.add_argument("--codebook", type=int, default=4096)
parser.add_argument("--seconds", type=float, default=4.0)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("strips.png"))


def main(args: argparse.Namespace) -> None:
    rows = []
    for card in scamo.models():
        if card.source == "bundled" and card.codebook == args.codebook:
            generation = scamo.load(card).generate(args.prompt, seconds=args.seconds, seed=args.seed)
            caption = f"{card.size} parameters: “{args.prompt}”"
            rows.append(mesh_strip(generation.motion, poses=7, size=(1280, 330), caption=caption))
    write_image(np.concatenate(rows), args.out)
    print(f"{len(rows)} sizes -> {args.out}")


if __name__ == "__main__":
    main(parser.parse_args())
