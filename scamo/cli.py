"""The command `scamo`: app, generate, compare, tokenize, export, render, convert, models.

Each command is a dataclass of `scamo.cli_options` and a thin function on it. The library is imported when a command
runs, so that `scamo --help` is instant.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

import tyro

from scamo.cli_options import (
    App,
    Compare,
    Computing,
    Convert,
    Export,
    Figure,
    Generate,
    Models,
    Reading,
    Render,
    Tokenize,
)  # fmt: skip
from scamo.command import for_each_file, run_command
from scamo.options import GenerationOptions

if TYPE_CHECKING:
    from scamo.motion import Motion
    from scamo.pipeline import Generation, MotionPipeline
    from scamo.registry import ModelCard
    from scamo.text import TextEncoder

PICTURE_SUFFIXES = (".mp4", ".webm", ".gif", ".webp", ".png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, 2 for a mistake of the user, 130 for Ctrl-C."""
    return run_command(
        lambda command: _RUN[type(command)](command), COMMANDS, argv=argv,
        name=lambda command: f"scamo {type(command).__name__.lower()}", prog="scamo",
        description="Text to human motion.", config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )  # fmt: skip


def _app(args: App) -> None:
    from scamo.device import find_device

    # Before torch is imported: its idle threads would spin on the cores that draw and encode.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    print("ScaMo is starting; its address appears in some seconds.", flush=True)
    find_device(args.device)  # a wrong name is refused before the page's libraries are imported
    from scamo.ui import build, launch

    launch(build(_flat(args.models), device=args.device, dtype=_dtype(args.dtype), body_model=args.body_model))


def _generate(args: Generate) -> None:
    from scamo.registry import find_model
    from scamo.render import render_motion

    drawing = _drawing(args.figure)  # refused before anything is computed
    (pipeline,) = _pipelines([find_model(args.model, codebook=args.codebook, size=args.size)], args.computing)
    generation = _run(pipeline, args.prompt, args.options, pipeline.card.name)
    _save(generation, args.out)
    _print_notes([generation])
    render_motion(generation.motion, args.out / "motion.mp4", caption=args.prompt, **drawing)
    print(args.out / "motion.mp4")
    print(f"{_facts(generation)}; seed {generation.options.seed}")


def _compare(args: Compare) -> None:
    from scamo.registry import find_model
    from scamo.render import render_motion

    drawing = _drawing(args.figure)
    cards = [find_model(model) for model in _flat(args.model)]
    if args.codebook or args.size or not cards:
        for codebook in _flat(args.codebook) or [None]:
            cards += [find_model(codebook=codebook, size=size) for size in _flat(args.size) or [None]]
    generations, options = [], args.options
    folders = _folder_names(cards)
    for folder, pipeline in zip(folders, _pipelines(cards, args.computing), strict=True):
        generation = _run(pipeline, args.prompt, options, folder)
        options = replace(options, seed=generation.options.seed)  # the seed of the first, also where it was drawn
        generations.append(generation)
        _save(generation, args.out / folder)
        print(f"{folder}: {_facts(generation)}")
    size_px = (max(480, min(1920, 320 * len(generations))), 480)
    motions = [one.motion for one in generations]
    labels = [folder.replace("-", " · ", 1) for folder in folders]
    render_motion(motions, args.out / "compare.mp4", caption=args.prompt, labels=labels, size=size_px, **drawing)
    print(args.out / "compare.mp4")
    _print_notes(generations)
    print(f"seed {options.seed}")


def _tokenize(args: Tokenize) -> None:
    import numpy as np

    from scamo.atomic import write_npy
    from scamo.motion import Motion
    from scamo.numpy_files import load_npy
    from scamo.registry import load_tokenizer

    tokenizer = load_tokenizer(args.model, codebook=args.codebook, device=args.device)

    def tokens_in(source: Path) -> Any:
        array = load_npy(source) if source.suffix == ".npy" else np.zeros(0)
        return array if array.ndim == 1 and array.dtype.kind in "iu" else None

    def convert(source: Path, target: Path) -> None:
        tokens = tokens_in(source)
        if tokens is None:
            write_npy(target, tokenizer.encode(_load(source, args.reading).features))
        else:
            write_npy(target, Motion(tokenizer.decode(tokens), tokenizer.config.fps).features)

    def name(source: Path) -> str:
        return f"{source.stem}-{'tokens' if tokens_in(source) is None else 'features'}.npy"

    for_each_file(args.input, args.out, name, convert, (".npy",))


def _load(source: Path, reading: Reading) -> Motion:
    from scamo.io.read import load_motion
    from scamo.io.read_options import read_joint_map

    names = read_joint_map(reading.joints.read_bytes()) if reading.joints else None
    return load_motion(source, joints=names, up=reading.up, fps=reading.fps, unit=reading.unit)


def _export(args: Export) -> None:
    from scamo.io.write import export

    formats = [name for names in _flat(args.to) for name in names.split(",") if name]

    def convert(source: Path, target: Path) -> None:
        motion = _load(source, args.reading.as_reading())
        export(motion, formats, target.parent, target.name, **args.writing.given())

    for_each_file(args.input, args.out, lambda source: source.stem, convert)


def _render(args: Render) -> None:
    from scamo.render import render_motion

    drawing = _drawing(args.figure)

    def draw(source: Path, target: Path) -> None:
        render_motion(_load(source, args.reading), target, caption=args.caption, **drawing)

    for_each_file(args.input, args.out, lambda source: f"{source.stem}.mp4", draw, PICTURE_SUFFIXES)


def _drawing(figure: Figure) -> dict[str, Any]:
    """The options of the figure for `scamo.render`; a licensed file is read once."""
    if figure.body != "smpl":
        return {"body": figure.body, "person": figure.person}
    from scamo.body.smpl import WHERE, load_body
    from scamo.body.smpl_files import given_file

    file = given_file(figure.body_model)
    if file is None:
        raise ValueError(f"the smpl body needs your licensed file; give it with --body-model. {WHERE}")
    return {"body": load_body(file)}


def _convert(args: Convert) -> None:
    from scamo.convert import convert_official

    convert_official(**vars(args))
    print(args.out)


def _models(args: Models) -> None:
    from scamo.registry import models
    from scamo.text import encoder_label

    cards = models(args.folder)
    if args.json:
        import dataclasses

        facts = [{**dataclasses.asdict(card), "codebook": card.codebook, "size": card.size} for card in cards]
        print(json.dumps(facts, indent=2, default=str))
        return
    head = ("name", "codebook", "size", "on disk", "memory", "licence", "text encoder", "from")
    rows = [
        (
            card.name, str(card.codebook), card.size, _bytes(card.disk_bytes), _bytes(card.memory_bytes),
            card.licence, encoder_label(card.text_encoder), card.source if card.source == "bundled" else card.location,
        )
        for card in cards
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _command(kind: type, name: str) -> Any:
    return Annotated[kind, tyro.conf.subcommand(name)]


_RUN: dict[type, Any] = {
    App: _app, Generate: _generate, Compare: _compare, Tokenize: _tokenize, Export: _export, Render: _render,
    Convert: _convert, Models: _models,
}  # fmt: skip
COMMANDS = Union[tuple(_command(kind, kind.__name__.lower()) for kind in _RUN)]  # type: ignore[valid-type]  # noqa: UP007


def _pipelines(cards: Sequence[ModelCard], computing: Computing) -> Iterator[MotionPipeline]:
    """The models one after the other; those that read text alike share one encoder."""
    from scamo.device import find_device
    from scamo.pipeline import MotionPipeline
    from scamo.text import encoder_beside

    dtype, text_dtype, device = _dtype(computing.dtype), _dtype(computing.text_dtype), find_device(computing.device)
    encoders: dict[str, TextEncoder] = {}
    for card in cards:
        name = card.text_encoder
        if name is not None and name not in encoders:
            encoders[name] = encoder_beside(name, device, text_dtype, computing.text_cache)
        yield MotionPipeline.from_pretrained(
            card, device=computing.device, dtype=dtype, text_encoder=encoders.get(name or ""),
            release_text_encoder=bool(computing.text_cache or computing.text_dtype),
        )  # fmt: skip


def _dtype(name: str | None) -> Any:
    import torch

    return None if name is None else getattr(torch, name)


def _folder_names(cards: Sequence[ModelCard]) -> list[str]:
    """A name for each model that tells it from the others: codebook and size, then its own name, then a number."""
    names: list[str] = []
    for card in cards:
        short = f"{card.codebook}-{card.size}"
        own = "".join(letter if letter.isalnum() or letter in ".-_" else "-" for letter in card.name)
        place = Path(card.location).parent.name or "model"
        longer = [short, *([f"{short}-{own}"] if own != short else []), f"{short}-{place}"]
        longer += [f"{short}-{number}" for number in range(2, len(cards) + 2)]
        names.append(next(name for name in longer if name not in names))
    return names


def _run(pipeline: MotionPipeline, prompt: str, options: GenerationOptions, label: str) -> Generation:
    from tqdm import tqdm

    with tqdm(desc=label, unit=" tokens", leave=False, disable=None) as bar:  # none where stderr is no terminal
        return pipeline.generate(prompt, options, on_token=lambda count: bar.update(count - bar.n) and None)


def _save(generation: Generation, folder: Path) -> None:
    from scamo.atomic import write_npy

    for name, array in (("features.npy", generation.motion.features), ("joints.npy", generation.motion.joints)):
        write_npy(folder / name, array)
        print(folder / name)


def _print_notes(generations: Sequence[Generation]) -> None:
    for text in dict.fromkeys(note for generation in generations for note in generation.notes):
        print(text, file=sys.stderr)


def _facts(generation: Generation) -> str:
    place, length = generation.place, f"{generation.motion.seconds:.1f} s of motion in {generation.elapsed:.1f} s"
    why = f" ({place.why})" if place.why else ""
    return f"{len(generation.tokens)} tokens, {length} on {place}{why}"


def _flat(values: tuple[tuple[Any, ...], ...]) -> list[Any]:
    return [value for part in values for value in part]


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
