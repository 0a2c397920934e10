"""What the search calls, and what it takes for nonsense."""

from __future__ import annotations

import asyncio
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

from tests.fuzz import seeds
from tests.fuzz.damage import NUMBERS, ODD, damage

POOL_MODELS = "pool-models"  # beside the inputs: what the endpoints compute with
_COMMANDS = ("export", "tokenize", "models", "render")


class Nonsense(Exception):
    """Something was accepted that is no motion, recipe or model."""


class Bare(Exception):
    """Something was refused in a way that tells nobody what is wrong."""


class Refused(ValueError):
    """Refused in words: what a command printed, or the page showed."""


@dataclass(frozen=True)
class Target:
    """seeds: the whole files in a folder. call: given a damaged copy; raises ValueError, Nonsense or Bare."""

    name: str
    seeds: Callable[[Path], list[Path]]
    call: Callable[[Path, random.Random], None]
    weight: int = 1
    names_the_file: bool = True
    damage: bool = True


def check_joints(joints: np.ndarray, fps: float) -> None:
    """Nonsense where no body can have these joints."""
    if not len(joints) or not np.isfinite(joints).all() or np.abs(joints).max() > 1e6:
        raise Nonsense(f"joints {joints.shape} up to {np.abs(joints).max() if joints.size else 0:g} m")
    if np.ptp(joints.reshape(-1, 3), axis=0).max() < 1e-6:
        raise Nonsense("all joints are in one point")
    if not 0.5 <= fps <= 10_000 or len(joints) / fps > 3600:
        raise Nonsense(f"{len(joints)} frames at {fps} a second")


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


_POOL: list[Any] = []


def _pool(folder: Path) -> Any:
    if not _POOL:
        from tests.ui import make_pool

        _POOL.append(make_pool(folder))
    return _POOL[0]


def _generate(path: Path, chance: random.Random) -> None:
    """The endpoint /generate with odd values."""
    import gradio as gr

    from scamo.ui.api import Endpoints

    fields: dict[str, Any] = {"prompt": "walk", "codebook": 256, "size": "0.3M", "seconds": 1.0, "seed": 3,
                              "temperature": 1.0, "video": False}  # fmt: skip
    for name in chance.sample(sorted(set(fields) - {"video"}), chance.choice([1, 1, 2])):
        fields[name] = chance.choice([*ODD, *NUMBERS])
    try:
        _, features, _, facts = asyncio.run(Endpoints(_pool(path)).generate(**fields))
    except gr.Error as error:
        raise Refused(str(error.message)) from error
    made = np.load(features)
    shutil.rmtree(Path(features).parent, ignore_errors=True)
    if len(made) > 10 * 20 or not np.isfinite(made).all():
        raise Nonsense(f"{len(made)} frames, {facts}")


def _reconstruct(path: Path, chance: random.Random) -> None:
    """The endpoint /reconstruct with a damaged file, or another codebook."""
    import gradio as gr

    from scamo.ui.api import Endpoints

    codebook = chance.choice([256, 256, 256, chance.choice(ODD)])
    try:
        report, features, joints = Endpoints(_pool(path.parent / POOL_MODELS)).reconstruct(str(path), codebook)
    except gr.Error as error:
        raise Refused(str(error.message)) from error
    check_joints(np.load(joints), report["fps"])
    shutil.rmtree(Path(features).parent, ignore_errors=True)


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


def _pool_models(folder: Path) -> list[Path]:
    models = seeds.models(folder)[0]
    return [models]


TARGETS = {
    target.name: target
    for target in (
        Target("motions", seeds.motions, _read, 10),
        Target("recipes", seeds.recipes, _read_recipe, 3),
        Target("bodies", seeds.bodies, _read_body, 3),
        Target("datasets", seeds.datasets, _read_dataset, 2),
        Target("models", seeds.models, _read_models, 1, names_the_file=False),
        Target("generate", _pool_models, _generate, 1, names_the_file=False, damage=False),
        Target("reconstruct", seeds.motions, _reconstruct, 1, names_the_file=False),
        Target("commands", seeds.motions, _command, 1, names_the_file=False),
    )
}


def make_input(target: Target, source: Path, folder: Path, chance: random.Random, others: list[Path]) -> Path:
    """A damaged copy of a seed in a folder."""
    if not target.damage:
        return source
    path = seeds.copied(source, folder / source.name)
    if chance.random() < 0.02:
        return path  # whole files stay readable
    other = chance.choice(others)
    damage(path, chance, other.read_bytes() if other.is_file() else b"")
    return path
