"""The command `scamo`: generate, compare, tokenize, export, render, convert, models.

Every command is a thin call into the library, imported when it runs, so that `scamo --help` is instant. What a user got
wrong ends as one line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from scamo.pipeline import Generation, Generator

MOTION_SUFFIXES = (".npy", ".npz", ".bvh")
PICTURE_SUFFIXES = (".mp4", ".webm", ".gif", ".webp", ".png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, 2 for a mistake of the user, 130 for Ctrl-C."""
    args = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"scamo {args.command}: {message}", file=sys.stderr)
            args.run(args)
    except (ValueError, OSError, ImportError) as error:
        print(f"scamo {args.command}: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"scamo {args.command}: stopped", file=sys.stderr)
        return 130
    return 0


def _generate(args: argparse.Namespace) -> None:
    from scamo.render import render_motion

    generator = _load(args, args.model, args.codebook, args.size)
    generation = _run(generator, args, generator.card.name)
    _save(generation, args.out)
    render_motion(generation.motion, args.out / "motion.mp4", fps=generation.motion.fps, caption=args.prompt)
    _told(args.out / "motion.mp4")
    print(f"{_facts(generation)}; seed {generation.sampling.seed}")


def _compare(args: argparse.Namespace) -> None:
    from scamo.render import render_motion

    cells: list[tuple[str | None, int | None, str | None]] = [(model, None, None) for model in args.model]
    if args.codebook or args.size or not cells:
        cells += [(None, codebook, size) for codebook in args.codebook or [None] for size in args.size or [None]]
    generations, seed = [], args.seed
    for model, codebook, size in cells:
        generator = _load(args, model, codebook, size)
        label = f"{generator.card.codebook}-{generator.card.size}"
        generation = _run(generator, args, label, seed)
        seed = generation.sampling.seed  # one seed for all, also when it was drawn by the first
        generations.append(generation)
        _save(generation, args.out / label)
        print(f"{label}: {_facts(generation)}")
    labels = [f"{one.card.codebook} · {one.card.size}" for one in generations]
    size_px = (max(480, min(1920, 320 * len(generations))), 480)
    motions = [one.motion for one in generations]
    render_motion(
        motions, args.out / "compare.mp4", fps=motions[0].fps, caption=args.prompt, labels=labels, size=size_px
    )
    _told(args.out / "compare.mp4")
    print(f"seed {seed}")


def _tokenize(args: argparse.Namespace) -> None:
    import numpy as np

    from scamo import registry
    from scamo.io import read
    from scamo.motion import Motion

    tokenizer = registry.load_tokenizer(args.model, codebook=args.codebook, device=args.device)

    def convert(source: Path, target: Path) -> None:
        tokens = _tokens(source)
        if tokens is None:
            motion = read.load_motion(source)
            _write_npy(target, tokenizer.encode(motion.features))
        else:
            _write_npy(target, Motion(tokenizer.decode(tokens)).features)

    def name(source: Path) -> str:
        return f"{source.stem}-{'tokens' if _tokens(source) is None else 'features'}.npy"

    def _tokens(source: Path) -> Any:
        if source.suffix != ".npy":
            return None
        array = np.load(source, mmap_mode="r", allow_pickle=False)
        return array if array.ndim == 1 and np.issubdtype(array.dtype, np.integer) else None

    _each(args.input, args.out, name, convert, (".npy",))


def _export(args: argparse.Namespace) -> None:
    from scamo.io import read
    from scamo.io import write as export

    formats = [name for names in args.to for name in names.split(",") if name]

    def convert(source: Path, target: Path) -> None:
        motion = read.load_motion(source)
        export.export(motion, formats, target.parent, target.name, in_place=args.in_place, loop=args.loop)

    _each(args.input, args.out, lambda source: source.stem, convert, ())


def _render(args: argparse.Namespace) -> None:
    from scamo.body.smpl import WHERE, load_body
    from scamo.io import read
    from scamo.render import render_motion

    if args.body == "smpl" and args.body_model is None:
        raise ValueError(f"the smpl body needs your licensed file; give it with --body-model. {WHERE}")
    body = load_body(args.body_model) if args.body == "smpl" else args.body  # read once for all files

    def draw(source: Path, target: Path) -> None:
        motion = read.load_motion(source)
        render_motion(motion, target, body=body, fps=motion.fps, caption=args.caption)

    _each(args.input, args.out, lambda source: f"{source.stem}.mp4", draw, PICTURE_SUFFIXES)


def _convert(args: argparse.Namespace) -> None:
    from scamo import registry

    registry.convert_official(
        tokenizer=args.tokenizer,
        transformer=args.transformer,
        mean=args.mean,
        std=args.std,
        out=args.out,
        levels=args.levels,
        heads=args.heads,
        dtype=args.dtype,
        text_encoder=args.text_encoder,
    )
    _told(args.out)


def _models(args: argparse.Namespace) -> None:
    from scamo import registry

    cards = registry.models(args.folder)
    if args.json:
        import dataclasses

        facts = [{**dataclasses.asdict(card), "codebook": card.codebook, "size": card.size} for card in cards]
        print(json.dumps(facts, indent=2, default=str))
        return
    head = ("name", "codebook", "size", "on disk", "memory", "licence", "text encoder", "from")
    rows = [
        (
            card.name, str(card.codebook), card.size, _bytes(card.disk_bytes), _bytes(card.memory_bytes),
            card.licence, card.text_encoder or "unknown", card.source if card.source == "bundled" else card.location,
        )
        for card in cards
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _load(args: argparse.Namespace, model: str | None, codebook: int | None, size: str | None) -> Generator:
    from scamo import registry

    generator = registry.load(model, codebook=codebook, size=size, device=args.device, dtype=_dtype(args.dtype))
    if args.text_dtype or args.text_cache:
        from scamo.pipeline import Generator
        from scamo.text import load_text_encoder

        card = generator.card
        encoder = load_text_encoder(card.text_encoder or "", dtype=_dtype(args.text_dtype), cache_dir=args.text_cache)
        return Generator(generator.tokenizer, generator.transformer, card, encoder, release_text_encoder=True)
    return generator


def _dtype(name: str | None) -> Any:
    if name is None:
        return None
    import torch

    return getattr(torch, name)


def _run(generator: Generator, args: argparse.Namespace, label: str, seed: int | None = None) -> Generation:
    from tqdm import tqdm

    with tqdm(desc=label, unit=" tokens", leave=False, disable=None) as bar:  # none where stderr is no terminal
        return generator.generate(
            args.prompt,
            seconds=args.seconds,
            seed=args.seed if seed is None else seed,
            temperature=args.temperature,
            top_k=args.top_k,
            top_p=args.top_p,
            on_token=lambda count: bar.update(count - bar.n) and None,
        )


def _save(generation: Generation, folder: Path) -> None:
    _write_npy(folder / "features.npy", generation.motion.features)
    _write_npy(folder / "joints.npy", generation.motion.joints)
    for name in ("features.npy", "joints.npy"):
        _told(folder / name)


def _facts(generation: Generation) -> str:
    return f"{len(generation.tokens)} tokens, {generation.motion.seconds:.1f} s of motion in {generation.seconds:.1f} s"


def _write_npy(path: Path, array: Any) -> None:
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def _each(
    source: Path,
    out: Path,
    name: Callable[[Path], str],
    work: Callable[[Path, Path], None],
    file_suffixes: Sequence[str],
) -> None:
    """Call work(file, target) for a file, or for every motion file below a folder.

    `out` is the target itself where one file goes to a name with one of `file_suffixes`; else it is a folder, in which
    the source's subfolders are repeated. A bad file is told and the others go on; then the command fails.
    """
    if source.is_file():
        target = out if out.suffix.lower() in file_suffixes else out / name(source)
        work(source, target)
        _told(out)
        return
    if not source.exists():
        raise ValueError(f"there is no {source}; give a motion file ({', '.join(MOTION_SUFFIXES)}) or a folder of them")
    from tqdm import tqdm

    files = list(_motion_files(source))
    if not files:
        raise ValueError(f"{source} holds no motion; give a folder with {', '.join(MOTION_SUFFIXES)} files")
    bad = 0
    taken: set[Path] = set()
    for file in tqdm(files, unit="file", disable=None):
        target = out / file.relative_to(source).parent / name(file)
        if target in taken:  # walk.npy and walk.bvh must not end in the same walk.mp4
            target = target.with_name(f"{target.stem}-{file.suffix[1:]}{target.suffix}")
        taken.add(target)
        try:
            work(file, target)
        except (ValueError, OSError) as error:
            bad += 1
            tqdm.write(f"{file}: {_one_line(error)}", file=sys.stderr)
    _told(out)
    if bad:
        raise ValueError(f"{bad} of {len(files)} files could not be used (named above); the others are done")


def _motion_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in MOTION_SUFFIXES and path.is_file())


def _told(path: Path) -> None:
    print(path)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


class _Parser(argparse.ArgumentParser):
    """Mistakes in one line, as all others."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="scamo", description="Text to human motion.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.set_defaults(run=run)
        return one

    one = command("generate", _generate, "Make a motion of a prompt: features.npy, joints.npy, motion.mp4.")
    one.add_argument("--codebook", type=int, help="256, 1024, 4096 ...: see scamo models")
    one.add_argument("--size", help="0.3M, 1M, 4M ...: see scamo models")
    one.add_argument("--model", help="a model of your own: a folder, or owner/name on the hub")
    _sampling(one)

    one = command("compare", _compare, "One prompt, several models: every cell's files, and one video of all.")
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    one.add_argument("--codebook", type=int, **several, help="one or more codebooks")
    one.add_argument("--size", **several, help="one or more sizes; every codebook is made at every size")
    one.add_argument("--model", **several, help="models of your own: folders, or owner/name on the hub")
    _sampling(one)

    one = command("tokenize", _tokenize, "Features become tokens, and tokens become features; a file or a folder.")
    one.add_argument("input", type=Path, help="features or tokens (.npy), joints, .npz, .bvh, or a folder")
    one.add_argument("--codebook", type=int, help="which bundled tokenizer")
    one.add_argument("--model", help="a tokenizer of your own: its folder")
    one.add_argument("--device", default="cpu")
    one.add_argument("--out", type=Path, required=True, help="a .npy file, or a folder")

    one = command("export", _export, "Write motions in other formats; a file or a folder of any size.")
    one.add_argument("input", type=Path, help="features or joints (.npy), .npz, .bvh, or a folder")
    one.add_argument("--to", nargs="+", action="extend", required=True, metavar="FORMAT", help="bvh, glb, npz ...")
    one.add_argument("--in-place", action="store_true", help="the pelvis stays above one spot, for game engines")
    one.add_argument("--loop", action="store_true", help="cut and blend it, so that it repeats without a seam")
    one.add_argument("--out", type=Path, required=True, help="a folder")

    one = command("render", _render, "Draw motions as videos; a file or a folder of any size.")
    one.add_argument("input", type=Path, help="features or joints (.npy), .npz, .bvh, or a folder")
    one.add_argument("--body", choices=("stick", "mannequin", "smpl"), default="stick")
    one.add_argument("--body-model", type=Path, help="your licensed SMPL file or folder, for --body smpl")
    one.add_argument("--caption")
    one.add_argument("--out", type=Path, required=True, help="a .mp4, .webm, .gif, .webp or .png, or a folder")

    one = command("convert", _convert, "Bring released .pth files into a folder that scamo loads.")
    one.add_argument("--tokenizer", type=Path, required=True, help="e.g. 65536_FSQ.pth")
    one.add_argument("--transformer", type=Path, help="e.g. ScaMo_net_3B.pth; without it only the tokenizer is written")
    one.add_argument("--mean", type=Path, help="mean.npy of the training data")
    one.add_argument("--std", type=Path, help="std.npy of the training data")
    one.add_argument("--levels", type=int, nargs="+", help="the codebook's levels, where they cannot be read off")
    one.add_argument("--heads", type=int, help="attention heads, where the size has no name")
    one.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="storage type of the transformer")
    one.add_argument("--text-encoder", help="what it was trained with, where its width does not tell")
    one.add_argument("--out", type=Path, required=True)

    one = command("models", _models, "List what can be loaded, with size, memory and licence; loads nothing.")
    one.add_argument("folder", type=Path, nargs="*", help="folders of your own models")
    one.add_argument("--json", action="store_true")
    return parser


def _sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", help='what happens, e.g. "a person walks forward"')
    parser.add_argument("--seconds", type=float, help="length; without it the model decides")
    parser.add_argument("--seed", type=int, help="the same seed gives the same motion; without it a fresh one is drawn")
    parser.add_argument("--temperature", type=float, help="0: always the likeliest token; 1: as the model says")
    parser.add_argument("--top-k", type=int, help="choose among the k likeliest tokens only")
    parser.add_argument("--top-p", type=float, help="choose among the likeliest tokens that hold this probability")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16", "int8"), help="the transformer's type")
    parser.add_argument("--text-dtype", choices=("float32", "bfloat16"), help="bfloat16 halves a Flan-T5's memory")
    parser.add_argument("--text-cache", type=Path, help="keep embeddings in this folder: a prompt is encoded once")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results (default: out)")
