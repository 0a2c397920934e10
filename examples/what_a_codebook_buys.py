"""Sends one motion through every bundled tokenizer, and prints how far its joints move and how many tokens differ.

python examples/what_a_codebook_buys.py [MOTION.npy]     # features [T, 263] or joints [T, 22, 3]; else one is generated
"""

import argparse
from pathlib import Path

import numpy as np

import scamo
from scamo.metrics import mpjpe

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("motion", nargs="?", type=Path)


def main(args: argparse.Namespace) -> None:
    if args.motion:
        features = scamo.load_motion(args.motion).features
    else:
        features = scamo.load(codebook=4096, size="4M").generate("an old man walks forward", seed=1).motion.features
    for codebook in sorted({card.codebook for card in scamo.models() if card.source == "bundled"}):
        tokenizer = scamo.load_tokenizer(codebook=codebook)
        whole = features[: len(features) // tokenizer.config.frames_per_token * tokenizer.config.frames_per_token]
        tokens = tokenizer.encode(whole)
        decoded = scamo.joints_from_features(tokenizer.decode(tokens))
        error = mpjpe(decoded, scamo.joints_from_features(whole))
        distinct = len(np.unique(tokens))
        print(f"codebook {codebook:5d}: MPJPE {1000 * error:5.1f} mm, {distinct} of {len(tokens)} tokens differ")


if __name__ == "__main__":
    main(parser.parse_args())
