"""Measure trained networks on the test split: one table for tokenizers, one for generation.

    python -m training.measure.evaluate tokenizers --data data/bandai --texts data/bandai-minilm \
        --evaluator runs/evaluator/model --models runs/tokenizer-*/model --out results
    python -m training.measure.evaluate generation ... --models runs/1024-*/model --repeats 20 --out results

Writes results/tokenizers.json (.md, .png) with the columns of the paper's appendix Tab. 3, and results/generation.*
with those of Tab. 4 and normalised loss, foot slide and jitter. The published rows of the same codebook and size stand
beside ours. ``--guo`` takes Guo et al.'s released evaluator instead of ours.
"""

from __future__ import annotations

from typing import Annotated

import torch
import tyro

from training.measure.generation import GenerationTable, evaluate_generation
from training.measure.tokenizers import TokenizerTable, evaluate_tokenizers

Command = (
    Annotated[TokenizerTable, tyro.conf.subcommand("tokenizers")]
    | Annotated[GenerationTable, tyro.conf.subcommand("generation")]
)


def main(config: TokenizerTable | GenerationTable) -> None:
    """Measure and write one table."""
    torch.manual_seed(0)
    if isinstance(config, TokenizerTable):
        evaluate_tokenizers(config)
    else:
        evaluate_generation(config)


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Command)
