"""What the search calls, and what it takes for nonsense."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import page, seeds
from tests.fuzz.checks import Bare, Nonsense, Refused, check_joints
from tests.fuzz.damage import ODD, damage

_COMMANDS = ("export", "tokenize", "models", "render")


@dataclass(frozen=True)
class Target:
    """seeds: the whole files in a folder. call: given a damaged copy; raises ValueError, Nonsense or Bare."""

    name: str
    seeds: Callable[[Path], list[Path]]
    call: Callable[[Path, random.Random], None]
    weight: int = 1
    names_the_file: bool = True
    damage: bool = True


def _read(path: Path, chance: random.Random) -> None:
    from scamo.io.read import read_joints, read_motion

    options: dict[str, Any] = {}
    if chance.random() < 0.1:
        options = {chance.choice(["fps", "up", "unit", "joints"]): chance.choice([*ODD, "y", "cm", 30, 1e-9, 2**31])}
    try:
        if chance.random() < 0.3:
            found = read_joints(path, **options)
            check_joints(found.joints, found.fps)
            return
        motion = read_motion(path, **options).motion
    except ValueError as error:
        if not options:
            raise
        raise Refused(f"{path.name}: {error!r}") from error  # the option may be at fault
    check_joints(motion.joints, motion.fps)


def _read_recipe(path: Path, chance: random.Random) -> None:
    from scamo.io.recipe import Recipe, read_recipe

    recipe = read_recipe(path)
    if Recipe.from_dict(recipe.to_dict()) != recipe or len(recipe.file_stem.encode()) > 250:
        raise Nonsense(f"a recipe that cannot be kept: {recipe}")


def _read_body(path: Path, chance: random.Random) -> None:
    from scamo.body.smpl import load_body

    body = load_body(path)
    if not np.isfinite(body.template).all():
        raise Nonsense("a body with vertices that are not finite")


def _read_dataset(path: Path, chance: random.Random) -> None:
    from training.data.dataset import Dataset

    data = Dataset(path)
    statistics = data.statistics
    if not np.isfinite(statistics.mean).all() or not (statistics.std > 0).all() or not data.digest or not data.unit > 0:
        raise Nonsense("statistics that are not finite")
    for clip in data.clips:
        if data[clip].shape != (clip.frames, data.features.shape[1]) or not clip.frames:
            raise Nonsense(f"a clip with other frames than it has: {clip}")


def _read_models(path: Path, chance: random.Random) -> None:
    import torch

    from scamo import registry

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        registry.tokenizers([path])
        own = [card for card in registry.models([path]) if card.location.startswith(str(path))]
        for card in own:
            tokenizer, transformer = registry.load_networks(card)
            features = tokenizer.decode(np.zeros(3, dtype=np.int64))
            if not np.isfinite(features).all():
                raise Nonsense("a model that makes NaN")
            del transformer
    if not own:
        raise Refused("left out with a warning")


def _command(path: Path, chance: random.Random) -> None:
    """A command of `scamo` with a damaged file and odd options: its exit code, and what it prints."""
    from scamo.cli import main

    out, odd = (
        path.parent / "out",
        [str(value) for value in ODD if isinstance(value, (str, int, float)) and value is not True],
    )
    name = chance.choice(_COMMANDS)
    words = {
        "export": ["export", str(path), "--to", chance.choice(["bvh", "glb", "npz,npy", "fbx", *odd]), "--out",
                   str(out)],
        "tokenize": ["tokenize", str(path), "--out", str(out)],
        "models": ["models", str(path)],
        "render": ["render", str(path), "--out", str(out), "--up", "y", "--body", chance.choice(["smpl", "none"])],
    }[name]  # fmt: skip
    if name == "export" and chance.random() < 0.4:
        words += [chance.choice(["--fps", "--rig", "--unit", "--source-fps", "--up", "--joints"]), chance.choice(odd)]
    if chance.random() < 0.1:
        words.insert(chance.randrange(len(words)), chance.choice(odd))
    words = [
        word.replace("\0", "0").encode("utf-8", "replace").decode() for word in words
    ]  # the system allows no others
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = main(words)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
    shutil.rmtree(out, ignore_errors=True)
    text = said.getvalue()
    if code not in (0, 2) or "Traceback" in text:
        raise Bare(f"exit code {code}: {text[-300:]}")
    if code == 2:
        if not text.strip():
            raise Bare(f"exit code 2 without a word: {words}")
        raise Refused(text)


def _convert(path: Path, chance: random.Random) -> None:
    """A released tokenizer, turned into one of our folders and loaded."""
    import torch

    from scamo import registry
    from scamo.convert import convert_official

    out = path.parent / "converted"
    try:
        convert_official(tokenizer=path / "16.pth", mean=path / "mean.npy", std=path / "std.npy", out=out)
        with torch.inference_mode():
            features = registry.load_tokenizer(out).decode(np.zeros(3, dtype=np.int64))
    finally:
        shutil.rmtree(out, ignore_errors=True)
    if not np.isfinite(features).all():
        raise Nonsense("a tokenizer that makes NaN")


def _nothing(folder: Path) -> list[Path]:
    """A file that no call reads: what such a target is given is drawn."""
    path = folder / "values"
    path.touch()
    return [path]


def _pages_files(folder: Path) -> list[Path]:
    return [*seeds.motions(folder), *seeds.recipes(folder)]


TARGETS = {
    target.name: target
    for target in (
        Target("motions", seeds.motions, _read, 10),
        Target("recipes", seeds.recipes, _read_recipe, 3),
        Target("bodies", seeds.bodies, _read_body, 3),
        Target("datasets", seeds.datasets, _read_dataset, 2),
        Target("models", seeds.models, _read_models, 1, names_the_file=False),
        Target("official", seeds.official, _convert, 1, names_the_file=False),
        Target("generate", _nothing, page.generate, 1, names_the_file=False, damage=False),
        Target("reconstruct", seeds.motions, page.reconstruct, 1, names_the_file=False),
        Target("export", seeds.motions, page.export, 1, names_the_file=False),
        Target("page", _pages_files, page.click, 1, names_the_file=False),
        Target("commands", seeds.motions, _command, 1, names_the_file=False),
    )
}


def make_input(target: Target, source: Path, folder: Path, chance: random.Random, others: list[Path]) -> Path:
    """A damaged copy of a seed in a folder."""
    path = seeds.copied(source, folder / source.name)
    if not target.damage:
        return path
    if chance.random() < 0.02:
        return path  # whole files stay readable
    other = chance.choice(others)
    damage(path, chance, other.read_bytes() if other.is_file() else b"")
    return path
