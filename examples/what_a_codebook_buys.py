"""One motion through every bundled tokenizer: how far the joints move, and how many tokens are different ones.

python examples/what_a_codebook_buys.py [MOTION.npy]     # features [T, 263] or joints [T, 22, 3]; else one is generated
"""

import argparse
from pathlib import Path

import numpy as np

import scamo
from scamo.io.read import load_motion
from scamo.metrics import mpjpe
from scamo.motion import joints_from_features

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("motion", nargs="?", type=Path)


def main(args: argparse.Namespace) -> None:
    if args.motion:
        features = load_motion(args.motion).features
    else:
        features = scamo.load(codebook=4096, size="4M").generate("an old man walks forward", seed=1).motion.features
    features = features[: len(features) // 4 * 4]  # one token stands for four frames
    truth = joints_from_features(features)
    for codebook in sorted({card.codebook for card in scamo.models() if card.source == "bundled"}):
        tokenizer = scamo.load_tokenizer(codebook=codebook)
        tokens = tokenizer.encode(features)
        error = mpjpe(joints_from_features(tokenizer.decode(tokens)), truth)
        distinct = len(np.unique(tokens))
        print(f"codebook {codebook:5d}: MPJPE {1000 * error:5.1f} mm, {distinct} of {len(tokens)} tokens differ")


if __name__ == "__main__":
    main(parser.parse_args())
