"""One command for the models that know many actions. Finished steps are not repeated; a killed training goes on.

    python -m training.reproduce_actions --bandai Bandai-Namco-Research-Motiondataset --actions actions \
        --deepmimic motions --out build --codebooks 1024 --sizes 1M 4M

prepares the corpus (docs/actions.md has where each collection is found), tunes the text encoder on its sentences, then
trains the base tokenizer, one for each codebook from it, and the transformers, with the settings of
``training.recipes``, and writes build/checkpoints in the layout of the bundled models. ``--share 0.01`` tries all of it
in twenty minutes. ``--start`` gives a folder with trained tokenizers, one for each codebook, which take the base's
place: the bundled ones began with tokenizers of the Bandai-Namco clips alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from training import publish, recipes
from training.configuration import with_settings
from training.data import many_actions, text_embeddings
from training.data.readers import actions, bandai, takes
from training.recipes import Places
from training.reproduce import once, train_models
from training.tasks import text_encoder, tokenizer
from training.tasks.text_encoder import TextEncoderTraining
from training.tasks.tokenizer import TokenizerTraining
from training.tasks.transformer import TransformerTraining

Training = TypeVar("Training", TextEncoderTraining, TokenizerTraining, TransformerTraining)


@dataclass(frozen=True)
class Args:
    """Prepare the corpus of many actions and train models on it; run again to go on."""

    bandai: Path
    """A clone of the Bandai-Namco Research Motiondataset, or an archive of it."""
    actions: Path
    """The folder of the collections of other actions, one folder each."""
    out: Path
    """The folder for data, runs and models."""
    deepmimic: Path | None = None
    """The folder of humanoid3d_*.txt."""
    start: Path | None = None
    """A folder that holds tokenizer-CODEBOOK for each codebook, to begin with in place of a new base."""
    codebooks: tuple[int, ...] = (1024,)
    sizes: tuple[str, ...] = ("4M",)
    share: float = 1.0
    """Of the steps of every training; 0.01 tries the whole chain."""
    threads: int = 0
    """CPU threads (0: torch's choice)."""


def prepare(args: Args, places: Places) -> None:
    """Make pack, takes, clips, corpus, the text encoder and embeddings."""
    pack, read, cut = args.out / "bandai.pack", args.out / "takes.npz", args.out / "actions.npz"
    once(pack, partial(bandai.main, bandai.Args(args.bandai, pack)))
    once(read, partial(takes.main, takes.Args(args.actions, args.deepmimic, read)))
    once(cut, partial(actions.main, actions.Args(read, cut, args.out / "coverage.md", pack)))
    once(places.data, partial(many_actions.main, many_actions.Args(pack, cut, places.data)))
    reader = shortened(recipes.bundled_text_encoder(places, args.threads), args.share)
    model = reader.run.out / "model"
    once(model, partial(text_encoder.main, reader), again=True)
    embed = text_embeddings.Args(places.data, places.texts, str(model), threads=args.threads)
    once(places.texts, partial(text_embeddings.main, embed))


def shortened(training: Training, share: float) -> Training:
    """A training with a share of its steps, one at least. ValueError for a share that is not between 0 and 1."""
    if not 0 < share <= 1:
        raise ValueError(f"--share {share} is no share; give a number above 0, and at most 1.")
    steps = training.optimisation.steps
    return training if share == 1 else with_settings(training, steps=max(1, round(steps * share)))


def main(args: Args) -> None:
    """Run the chain. ValueError for a share that is none."""
    places = Places(args.out / "many-actions", args.out / "many-actions-tuned", args.out / "runs")
    base = shortened(recipes.base_tokenizer(places, args.threads), args.share)  # refuses a wrong share at once
    args.out.mkdir(parents=True, exist_ok=True)
    prepare(args, places)
    if args.start is None:
        once(base.run.out / "model", partial(tokenizer.main, base), again=True)
    begin = {codebook: args.start / f"tokenizer-{codebook}" if args.start else base.run.out / "model"
             for codebook in args.codebooks}  # fmt: skip
    codecs = [recipes.bundled_tokenizer(codebook, places, begin[codebook], args.threads) for codebook in begin]
    models = [recipes.bundled_transformer(codebook, size, places, args.threads)
              for codebook in args.codebooks for size in args.sizes]  # fmt: skip
    train_models([shortened(one, args.share) for one in codecs], [shortened(one, args.share) for one in models])
    for model in models:
        bundle = args.out / "checkpoints"
        once(bundle / model.run.out.name, partial(publish.bundle, model.run.out, bundle))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
