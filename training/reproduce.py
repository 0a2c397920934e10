"""Everything from the public dataset to a published model, step by step. Finished steps are not repeated.

    bash training/reproduce.sh --source Bandai-Namco-Research-Motiondataset --out build --codebooks 1024 --sizes 4M
    bash training/reproduce.sh --tiny --out build/tiny

prepare -> captions -> tokenizer -> tokens -> transformer -> evaluator -> evaluate -> scaling -> publish. ``--tiny``
runs the same chain on made-up motions, with networks of a few thousand weights: it shows that every step works, and
learns nothing of use. ``--table quantisers`` trains and measures FSQ beside VQ instead of the models.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from scamo import checkpoint
from training import publish, recipes
from training.configuration import Run, with_settings
from training.data import corpus, mixture, text_embeddings, token_cache
from training.data.made_up_motions import write_source
from training.data.readers import bandai, bvh
from training.json_files import read_json
from training.measure import scaling_fit
from training.measure.generation import GenerationTable, evaluate_generation
from training.measure.protocol import EvaluatorFiles
from training.measure.tokenizers import TokenizerTable, evaluate_tokenizers
from training.recipes import Places
from training.tasks import evaluator, tokenizer, transformer
from training.tasks.evaluator import EvaluatorTraining
from training.tasks.tokenizer import TokenizerTraining
from training.tasks.transformer import TransformerTraining

PUBLIC = "https://github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset"


@dataclass(frozen=True)
class Args:
    """Make the models of the Bandai-Namco clips alone, or run the whole chain on tiny made-up data."""

    out: Path
    """The folder for data, runs, tables and models."""
    source: Path | None = None
    """A clone of the Bandai-Namco Research Motiondataset, or an archive of it."""
    tiny: bool = False
    """Made-up motions and tiny networks, minutes on a CPU."""
    codebooks: tuple[int, ...] = (1024,)
    sizes: tuple[str, ...] = ("4M",)
    table: Literal["models", "quantisers"] = "models"
    seed: int = 0
    """Of every training."""
    repeats: int = 20
    """Repetitions of the generation table."""
    threads: int = 0
    """CPU threads (0: torch's choice)."""


def once(what: Path, step: Callable[[], object], again: bool = False) -> None:
    """Do a step whose result ``what`` is not there yet, and print how long it took.

    again: do it also where the result is there; a training finds out by itself that it is done, and refuses other
    settings.
    """
    name = what.parent.name if what.name == "model" else what.name
    kept = what.exists()
    start = time.perf_counter()
    if not kept or again:
        step()
    how = {"kept": True} if kept else {"seconds": round(time.perf_counter() - start, 1)}
    print(json.dumps({"step": name, **how}), flush=True)


def prepare_bandai(args: Args, places: Places) -> None:
    """Make pack, corpus and caption embeddings. ValueError where there is no source to make them of."""
    pack = args.out / "bandai.pack"
    if not places.data.exists() and not pack.exists():
        if args.source is None:
            raise ValueError(f"Give --source: git clone {PUBLIC} (CC BY-NC 4.0), or an archive of it.")
        once(pack, partial(bandai.main, bandai.Args(args.source, pack)))
    once(places.data, lambda: corpus.main(corpus.Args(pack, places.data)))
    embed = text_embeddings.Args(places.data, places.texts, threads=args.threads)
    once(places.texts, lambda: text_embeddings.main(embed))


def train_evaluator(training: EvaluatorTraining) -> Path:
    """The evaluator's folder, trained if it is not there."""
    folder = training.run.out / "model"
    once(folder, lambda: evaluator.main(training), again=True)
    return folder


def train_models(codecs: list[TokenizerTraining], models: list[TransformerTraining]) -> None:
    """Train tokenizers, make their tokens, and train transformers."""
    for codec in codecs:
        once(codec.run.out / "model", partial(tokenizer.main, codec), again=True)
    for model in models:
        assert model.tokens is not None
        tokens = token_cache.Args(model.data, model.tokenizer, model.tokens)
        once(model.tokens, partial(token_cache.main, tokens))
        once(model.run.out / "model", partial(transformer.main, model), again=True)


def tables(args: Args, places: Places, evaluator_folder: Path, codecs: list[Path], models: list[Path]) -> None:
    """Write the tables of tokenizers and of models; those of tiny ones are measured on a handful of clips."""
    limit, sentences = (4, 1) if args.tiny else (0, 100)
    files = EvaluatorFiles(evaluator_folder)
    results = args.out / ("quantisers" if args.table == "quantisers" else "results")
    _drop_unless_of(results / "tokenizers.json", codecs)
    _drop_unless_of(results / "generation.json", models)
    of_codecs = TokenizerTable(places.data, places.texts, tuple(codecs), results, files)
    once(results / "tokenizers.json", partial(evaluate_tokenizers, of_codecs))
    if models:
        of_models = GenerationTable(places.data, places.texts, tuple(models), results, files, repeats=args.repeats,
                                    limit=limit, multimodality=sentences)  # fmt: skip
        once(results / "generation.json", partial(evaluate_generation, of_models))


def _drop_unless_of(table: Path, models: list[Path]) -> None:
    """Remove a table of other models than those that are there now, so that it is made again."""
    wanted = sorted(map(checkpoint.fingerprint, models))
    if table.exists():
        rows = read_json(table)["rows"]
        if sorted(row["checkpoint"] for row in rows if "checkpoint" in row) != wanted:
            table.unlink()


def model_folders(trainings: Sequence[TokenizerTraining | TransformerTraining]) -> list[Path]:
    """Where trainings write their models."""
    return [training.run.out / "model" for training in trainings]


def reproduce(args: Args) -> None:
    """Make the models of the Bandai-Namco clips that were asked for."""
    places = Places(args.out / "bandai", args.out / "bandai-minilm", args.out / "runs")
    prepare_bandai(args, places)
    codecs = [recipes.bandai_tokenizer(codebook, places, args.threads) for codebook in args.codebooks]
    models = [recipes.bandai_transformer(codebook, size, places, args.threads)
              for codebook in args.codebooks for size in args.sizes]  # fmt: skip
    if args.table == "quantisers":
        codecs, models = recipes.quantiser_comparison(places, args.codebooks, threads=args.threads), []
    codecs = [with_settings(codec, seed=args.seed) for codec in codecs]
    models = [with_settings(model, seed=args.seed) for model in models]
    if args.table == "models":
        base = with_settings(recipes.base_tokenizer(places, args.threads), seed=args.seed)
        once(base.run.out / "model", partial(tokenizer.main, base), again=True)
    train_models(codecs, models)
    evaluator_folder = train_evaluator(recipes.evaluator(places, args.threads))
    tables(args, places, evaluator_folder, model_folders(codecs), model_folders(models))
    for model in models:
        checkpoints, run = args.out / "checkpoints", model.run.out
        once(checkpoints / run.name, partial(publish.bundle, run, checkpoints))


def tiny(args: Args) -> None:
    """Run the whole chain on made-up data."""
    out = args.out
    places = Places(out / "data", out / "texts", out / "runs")
    once(out / "source", lambda: write_source(out / "source"))
    read = bvh.Args(out / "source", out / "bvh", name="made-up motions", licence="CC0-1.0")
    once(out / "bvh", lambda: bvh.main(read))
    once(places.data, lambda: mixture.main(mixture.Args((f"{out / 'bvh'}=1.5",), places.data)))
    embed = text_embeddings.Args(places.data, places.texts, threads=args.threads)
    once(places.texts, lambda: text_embeddings.main(embed))
    fsq, vq, models = tiny_trainings(places, args.threads)
    train_models([fsq, vq], models)
    evaluator_training = recipes.evaluator(places, args.threads)
    evaluator_folder = train_evaluator(with_settings(evaluator_training, hidden=16, width=8, steps=20, batch=8))
    tables(replace(args, repeats=2), places, evaluator_folder, model_folders([fsq, vq]), model_folders(models[1:]))
    results = out / "results"
    once(results / "scaling.json", lambda: scaling_fit.main(scaling_fit.Args((places.runs,), results)))
    once(out / "published", lambda: publish.main(publish.Args(models[1].run.out, out / "published")))
    print(json.dumps({"model": str(out / "published")}))


def tiny_trainings(
    places: Places, threads: int
) -> tuple[TokenizerTraining, TokenizerTraining, list[TransformerTraining]]:
    """An FSQ tokenizer, the VQ baseline, and three transformers of two sizes and two budgets."""
    run = Run(places.tokenizer(64), threads=threads, validate_every=30)
    fsq = with_settings(TokenizerTraining(places.data, run, codebook=64), width=16, steps=30, batch=4, window=32)
    vq = with_settings(fsq, quantiser="vq", out=places.tokenizer(64, "vq"))
    models = [
        with_settings(
            TransformerTraining(places.data, places.texts, run.out / "model", Run(places.runs / f"64-{size}-{steps}")),
            size=size, tokens=places.tokens(64), steps=steps, targets=100, threads=threads, validate_every=steps,
        )
        for size, steps in (("0.3M", 6), ("0.3M", 24), ("1M", 6))
    ]  # fmt: skip
    return fsq, vq, models


def main(args: Args) -> None:
    """Run the chain."""
    args.out.mkdir(parents=True, exist_ok=True)
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    (tiny if args.tiny else reproduce)(args)


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
