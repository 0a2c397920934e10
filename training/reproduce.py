"""Everything from the public dataset to a published model, step by step; finished steps are not repeated.

    bash training/reproduce.sh --source Bandai-Namco-Research-Motiondataset --out build --codebooks 1024 --sizes 4M
    bash training/reproduce.sh --tiny --out build/tiny

prepare -> captions -> tokenizer -> tokens -> transformer -> evaluator -> evaluate -> scaling -> publish. ``--tiny``
runs the same chain on motions made up here, with networks of a few thousand weights: it shows that every step works,
and learns nothing. ``--table quantisers`` trains and measures FSQ beside VQ instead of the models.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from scamo import checkpoint
from training import publish, recipes
from training.data import corpus, mixture
from training.data import text_embeddings as texts
from training.data import token_cache as tokens
from training.data.readers import bandai, bvh
from training.measure import evaluate
from training.measure import scaling_fit as scaling
from training.recipes import Places
from training.tasks import evaluator, tokenizer, transformer

PUBLIC = "https://github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset"


@dataclass(frozen=True)
class Args:
    """Rebuild bundled checkpoints from the public dataset, or run the whole chain on tiny made-up data."""

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
    """Of every training; 0 is the bundled models'."""
    repeats: int = 20
    """Repetitions of the generation table."""
    threads: int = 0
    """CPU threads (0: torch's choice)."""


def once(what: Path, step: Callable[[], object], again: bool = False) -> None:
    """Do a step whose result is not there yet, and say how long it took.

    again: also where it is there, for a training finds out itself that it is done, and refuses other settings.
    """
    name = what.parent.name if what.name == "model" else what.name
    kept = what.exists()
    start = time.perf_counter()
    if not kept or again:
        step()
    how = {"kept": True} if kept else {"seconds": round(time.perf_counter() - start, 1)}
    print(json.dumps({"step": name, **how}), flush=True)


# The bundled models.


def prepare_bandai(args: Args, places: Places) -> None:
    """Pack, corpus and caption embeddings."""
    pack = args.out / "bandai.pack"
    if not places.data.exists() and not pack.exists():
        if args.source is None:
            raise ValueError(f"Give --source: git clone {PUBLIC} (CC BY-NC 4.0), or an archive of it.")
        once(pack, partial(bandai.main, bandai.Args(args.source, pack)))
    once(places.data, lambda: corpus.main(corpus.Args(pack, places.data)))
    once(places.texts, lambda: texts.main(texts.Args(places.data, places.texts, threads=args.threads)))


def train_evaluator(settings: evaluator.Args) -> Path:
    """The evaluator's folder, trained if it is not there."""
    once(settings.out / "model", lambda: evaluator.main(settings), again=True)
    return settings.out / "model"


def train_models(codecs: list[tokenizer.Args], models: list[transformer.Args]) -> None:
    """Tokenizers, the tokens they make, and transformers."""
    for codec in codecs:
        once(codec.out / "model", partial(tokenizer.main, codec), again=True)
    for model in models:
        assert model.tokens is not None
        made = tokens.Args(model.data, model.tokenizer, model.tokens)
        once(model.tokens, partial(tokens.main, made))
        once(model.out / "model", partial(transformer.main, model), again=True)


def tables(args: Args, places: Places, judge: Path, codecs: list[Path], models: list[Path]) -> None:
    """Both tables of the models; of tiny ones by a handful of clips."""
    limit, sentences = (4, 1) if args.tiny else (0, 100)
    judged = evaluate.Judge(judge)
    results = args.out / ("quantisers" if args.table == "quantisers" else "results")
    _drop_unless_of(results / "tokenizers.json", codecs)
    _drop_unless_of(results / "generation.json", models)
    once(results / "tokenizers.json", lambda: evaluate.evaluate_tokenizers(
        evaluate.Tokenizers(places.data, places.texts, tuple(codecs), results, judged)))  # fmt: skip
    if models:
        once(results / "generation.json", lambda: evaluate.evaluate_generation(
            evaluate.Generation(places.data, places.texts, tuple(models), results, judged, repeats=args.repeats,
                                limit=limit, multimodality=sentences)))  # fmt: skip


def _drop_unless_of(table: Path, models: list[Path]) -> None:
    """A table of other models than are there now is made again."""
    wanted = sorted(map(checkpoint.fingerprint, models))
    if table.exists():
        rows = json.loads(table.read_text())["rows"]
        if sorted(row["checkpoint"] for row in rows if "checkpoint" in row) != wanted:
            table.unlink()


def reproduce(args: Args) -> None:
    """The bundled models that were asked for."""
    places = Places(args.out / "bandai", args.out / "bandai-minilm", args.out / "runs")
    prepare_bandai(args, places)
    codecs = [recipes.bundled_tokenizer(codebook, places, args.threads) for codebook in args.codebooks]
    models = [recipes.bundled_transformer(codebook, size, places, args.threads)
              for codebook in args.codebooks for size in args.sizes]  # fmt: skip
    if args.table == "quantisers":
        codecs, models = recipes.quantiser_comparison(places, args.codebooks, threads=args.threads), []
    codecs = [replace(codec, seed=args.seed) for codec in codecs]
    models = [replace(model, seed=args.seed) for model in models]
    if args.table == "models":
        base = replace(recipes.bundled_base(places, args.threads), seed=args.seed)
        once(base.out / "model", partial(tokenizer.main, base), again=True)
    train_models(codecs, models)
    judge = train_evaluator(recipes.bundled_evaluator(places, args.threads))
    tables(args, places, judge, [codec.out / "model" for codec in codecs], [model.out / "model" for model in models])
    for model in models:
        checkpoints = args.out / "checkpoints"
        once(checkpoints / model.out.name, partial(publish.bundle, model.out, checkpoints))


# The tiny chain.


def write_tiny_source(folder: Path, clips: int = 24) -> None:
    """BVH files of a made-up figure that walks, turns or swings its arms, with a sentence each; three are for tests."""
    from scamo.io.bvh import write_bvh
    from scamo.skeleton import forward_kinematics

    draw = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(clips):
        deed, turn, speed, lift = [("walks forward", 0.0, 1.0, 0.0), ("turns left while walking", 1.0, 0.8, 0.0),
                                   ("raises the left hand", 0.0, 0.0, 2.0)][number % 3]  # fmt: skip
        frames = int(draw.integers(50, 80))
        t = np.arange(frames) / 20
        phase = 2 * np.pi * t + draw.uniform(0, 6)
        local = np.zeros((frames, 22, 3))
        local[:, 0, 1] = turn * t
        for side, hip, knee, shoulder in ((1, 1, 4, 16), (-1, 2, 5, 17)):
            local[:, hip, 0] = -0.5 * speed * side * np.sin(phase)
            local[:, knee, 0] = speed * (0.5 + 0.4 * side * np.cos(phase))
            local[:, shoulder, 2] = -1.2 * side
        local[:, 16, 2] += lift * np.clip(t, 0, 1)
        steps = speed / 20 * np.stack([np.sin(local[:, 0, 1]), np.zeros(frames), np.cos(local[:, 0, 1])], axis=-1)
        angles = np.linalg.norm(local, axis=-1, keepdims=True)
        axes = np.divide(local, angles, out=np.zeros_like(local), where=angles > 0)
        quaternions = np.concatenate([np.cos(angles / 2), np.sin(angles / 2) * axes], axis=-1)
        joints = forward_kinematics(quaternions, np.cumsum(steps, axis=0))
        joints[..., 1] -= joints[..., 1].min()
        write_bvh(joints, folder / f"clip-{number:03d}.bvh")
        who = ("a person", "a man", "someone")[number // 3 % 3]
        (folder / f"clip-{number:03d}.txt").write_text(f"{who} {deed}\n")


def tiny(args: Args) -> None:
    """The whole chain on made-up data."""
    out = args.out
    places = Places(out / "data", out / "texts", out / "runs")
    once(out / "source", lambda: write_tiny_source(out / "source"))
    once(
        out / "bvh", lambda: bvh.main(bvh.Args(out / "source", out / "bvh", name="made-up motions", licence="CC0-1.0"))
    )
    once(places.data, lambda: mixture.main(mixture.Args((f"{out / 'bvh'}=1.5",), places.data)))
    once(places.texts, lambda: texts.main(texts.Args(places.data, places.texts, threads=args.threads)))
    small = {"width": 16, "steps": 30, "batch": 4, "window": 32, "threads": args.threads, "validate_every": 30}
    fsq = replace(tokenizer.Args(places.data, places.tokenizer(64), codebook=64), **small)  # type: ignore[arg-type]
    vq = replace(fsq, quantiser="vq", out=places.tokenizer(64, "vq"))
    models = [
        transformer.Args(places.data, places.texts, fsq.out / "model", places.runs / f"64-{size}-{steps}", size=size,
                         tokens=places.tokens(64), steps=steps, targets=100, threads=args.threads, validate_every=steps)
        for size, steps in (("0.3M", 6), ("0.3M", 24), ("1M", 6))
    ]  # fmt: skip
    train_models([fsq, vq], models)
    judge = train_evaluator(evaluator.Args(places.data, places.texts, places.runs / "evaluator", hidden=16, width=8,
                                           steps=20, batch=8, threads=args.threads))  # fmt: skip
    codecs = [fsq.out / "model", vq.out / "model"]
    tables(replace(args, repeats=2), places, judge, codecs, [model.out / "model" for model in models[1:]])
    results = out / "results"
    once(results / "scaling.json", lambda: scaling.main(scaling.Args((places.runs,), results)))
    once(out / "published", lambda: publish.main(publish.Args(models[1].out, out / "published")))
    print(json.dumps({"model": str(out / "published")}))


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
