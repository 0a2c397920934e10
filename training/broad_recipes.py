"""Recipes and one command for the models that know many actions.

    python -m training.broad_recipes --bandai Bandai-Namco-Research-Motiondataset --actions actions \
        --deepmimic motions --out build --codebooks 4096 --sizes 1M 4M

prepares the corpus (docs/actions.md says where each source is found), then trains the base tokenizer, one for each
codebook from it, and the transformers. Finished steps are not repeated; a killed training goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from training import texts, tokenizer, transformer
from training.prepare import actions, bandai, broad, takes
from training.recipes import Places
from training.reproduce import once, train_models


def base(places: Places, threads: int = 0) -> tokenizer.Args:
    """What every tokenizer begins with. Bone lengths, joints' places and the root's path are in the loss."""
    return tokenizer.Args(
        data=places.data, out=places.runs / "tokenizer-base", codebook=4096, width=128, steps=40_000, batch=16,
        window=64, lengths=(32, 48, 64, 96, 128, 192), emphasis=True, restraint=0.1, path=0.3, bones=0.3, places=1.0,
        lr=1.2e-3, schedule="cosine", warmup=0.03, threads=threads, save_every=500, validate_every=5000,
    )  # fmt: skip


def codec(codebook: int, places: Places, threads: int = 0) -> tokenizer.Args:
    """A tokenizer with a codebook of its own, from the base."""
    begun = base(places, threads)
    return replace(begun, out=places.tokenizer(codebook), codebook=codebook, start=begun.out / "model", path=0.5,
                   steps=8000, lr=4e-4)  # fmt: skip


def model(codebook: int, size: str, places: Places, threads: int = 0) -> transformer.Args:
    """A transformer; a tenth of what it reads has the empty text, for guidance at sampling."""
    lr = {"0.3M": 3e-3, "1M": 2e-3, "4M": 1e-3}.get(size, 7e-4)
    return transformer.Args(
        data=places.data, texts=places.texts, tokenizer=places.tokenizer(codebook) / "model",
        out=places.runs / f"{codebook}-{size}", size=size, tokens=places.tokens(codebook), steps=6000, targets=1024,
        lr=lr, threads=threads, save_every=200, validate_every=500,
    )  # fmt: skip


@dataclass(frozen=True)
class Args:
    """Prepare the corpus of many actions and train models on it; run again to go on."""

    bandai: Path
    """A clone of the Bandai-Namco Research Motiondataset, or an archive of it."""
    actions: Path
    """The folder of the action sources, one folder each."""
    out: Path
    """The folder for data, runs and models."""
    deepmimic: Path | None = None
    """The folder of humanoid3d_*.txt."""
    codebooks: tuple[int, ...] = (4096,)
    sizes: tuple[str, ...] = ("1M",)
    threads: int = 0
    """CPU threads (0: torch's choice)."""


def prepare(args: Args, places: Places) -> None:
    """Pack, takes, clips, corpus and embeddings."""
    pack, read, cut = args.out / "bandai.pack", args.out / "takes.npz", args.out / "actions.npz"
    once(pack, partial(bandai.main, bandai.Args(args.bandai, pack)))
    once(read, partial(takes.main, takes.Args(args.actions, args.deepmimic, read)))
    once(cut, partial(actions.main, actions.Args(read, cut, args.out / "coverage.md")))
    once(places.data, partial(broad.main, broad.Args(pack, cut, places.data)))
    once(places.texts, partial(texts.main, texts.Args(places.data, places.texts, threads=args.threads)))


def main(args: Args) -> None:
    """Run the chain."""
    args.out.mkdir(parents=True, exist_ok=True)
    places = Places(args.out / "broad", args.out / "broad-minilm", args.out / "runs")
    prepare(args, places)
    begun = base(places, args.threads)
    once(begun.out / "model", partial(tokenizer.main, begun), again=True)
    codecs = [codec(codebook, places, args.threads) for codebook in args.codebooks]
    models = [model(codebook, size, places, args.threads) for codebook in args.codebooks for size in args.sizes]
    train_models(codecs, models)


if __name__ == "__main__":
    from training.command import run_command

    run_command(main, Args)
