"""Calls of the page: its endpoints, and the functions behind its buttons, with odd values and damaged files.

Models, endpoints and page are made once in a process, from the folder POOL_MODELS beside the inputs.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import traceback
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fuzz.checks import Nonsense, Refused, check_joints
from tests.fuzz.damage import NUMBERS, ODD

POOL_MODELS = "pool-models"
_STEPS = 300  # of one function of the page, which may yield its progress


@lru_cache
def _endpoints(models: Path) -> Any:
    from scamo.ui.api import Endpoints
    from tests.ui import make_pool

    return Endpoints(make_pool(models))


def _odd(fields: dict[str, Any], names: list[str], chance: random.Random) -> dict[str, Any]:
    changed = chance.sample(names, min(len(names), chance.choice([0, 1, 1, 2])))
    return fields | {name: chance.choice([*ODD, *NUMBERS, "y", "cm", "mixamo", 30]) for name in changed}


def generate(path: Path, chance: random.Random) -> None:
    """The endpoint /generate with odd values."""
    import gradio as gr

    fields: dict[str, Any] = {"prompt": "walk", "codebook": 256, "size": "0.3M", "seconds": 1.0, "seed": 3,
                              "temperature": 1.0}  # fmt: skip
    fields = _odd(fields, sorted(fields), chance)
    try:
        _, features, _, facts = asyncio.run(_endpoints(path.parent / POOL_MODELS).generate(**fields, video=False))
    except gr.Error as error:
        raise Refused(str(error.message)) from error
    made = np.load(features)
    shutil.rmtree(Path(features).parent, ignore_errors=True)
    if len(made) > 10 * 20 or not np.isfinite(made).all():
        raise Nonsense(f"{len(made)} frames, {facts}")


def reconstruct(path: Path, chance: random.Random) -> None:
    """The endpoint /reconstruct with a damaged file, or another codebook."""
    import gradio as gr

    fields = _odd({"codebook": 256}, ["codebook", "up", "source_fps", "source_unit", "joints"], chance)
    try:
        report, features, joints = _endpoints(path.parent / POOL_MODELS).reconstruct(str(path), **fields)
    except gr.Error as error:
        raise Refused(str(error.message)) from error
    check_joints(np.load(joints), report["fps"])
    shutil.rmtree(Path(features).parent, ignore_errors=True)


def export(path: Path, chance: random.Random) -> None:
    """The endpoint /export with a damaged file, and odd options."""
    import gradio as gr

    from scamo.io.read import read_motion

    names = ["format", "rig", "unit", "fps", "exact", "in_place", "loop", "up", "source_fps", "source_unit", "joints"]
    fields = _odd({"format": chance.choice(["bvh", "glb", "fbx", "vrma", "npz", "npy", "csv"])}, names, chance)
    try:
        files, _ = _endpoints(path.parent / POOL_MODELS).export(str(path), **fields)
    except gr.Error as error:
        raise Refused(str(error.message)) from error
    if fields["format"] in ("bvh", "glb", "npz", "npy") and not fields.get("loop"):
        written = read_motion(files[0]).motion  # what was written can be read again
        check_joints(written.joints, written.fps)
    shutil.rmtree(Path(files[0]).parent, ignore_errors=True)


class _Page:
    """The page in this process, and a visit in which every tab has made a motion."""

    def __init__(self, models: Path) -> None:
        from scamo import registry
        from scamo.ui.page import build

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registry, "BUNDLED", models)
            patch.delenv(registry.MODELS_VARIABLE, raising=False)
            self.demo = build([], device="cpu")
        self.functions = [one for one in self.demo.fns.values() if one.fn and one.inputs]
        self._made: dict[int, Any] = {}
        self._visit: Any = None

    def visit(self, has_made: bool) -> Any:
        """A visit without motions, or one that has made some."""
        from gradio.state_holder import SessionState

        if self._visit is None:
            self._visit = SessionState(self.demo)  # takes a while, so there is one, emptied before each call
            for one in self.functions:
                if one.name == "_generate":
                    asyncio.run(self.call(one, self.values(one), self._visit))
            self._made = dict(self._visit.state_data)
        self._visit.state_data = dict(self._made) if has_made else {}
        return self._visit

    def values(self, one: Any) -> list[Any]:
        """What the fields hold when a button is clicked: a prompt, a second, and otherwise what stands there."""
        values = []
        for component in one.inputs:
            label = getattr(component, "label", None) or ""
            if component.get_block_name() == "state":
                values.append(None)
            elif "Length" in label or "seconds" in label.lower():
                values.append(1.0)
            elif component.get_block_name() == "textbox":
                values.append("a person walks")
            elif component.get_block_name() == "html":
                values.append([[256, "0.3M"]])
            else:
                value = getattr(component, "value", None)
                values.append(None if callable(value) else value)
        return values

    async def call(self, one: Any, values: list[Any], state: Any, event: Any = None) -> None:
        """Call a function of the page as a click does, to its last result."""
        iterator = None
        for _ in range(_STEPS):
            found = await self.demo.process_api(one, values, state=state, iterator=iterator, event_data=event)
            iterator = found.get("iterator")
            if not found.get("is_generating"):
                return


@lru_cache
def _page(models: Path) -> _Page:
    return _Page(models)


def click(path: Path, chance: random.Random) -> None:
    """A function behind a button of the page, with odd values in its fields and a damaged file."""
    import gradio as gr

    page = _page(path.parent / POOL_MODELS)
    one = chance.choice(page.functions)
    values = page.values(one)
    for place, component in enumerate(one.inputs):
        if component.get_block_name() in ("file", "uploadbutton"):
            values[place] = {"path": str(path), "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}
    for _ in range(chance.choice([0, 1, 1, 2])):
        place = chance.randrange(len(values))
        values[place] = chance.choice([*ODD, *NUMBERS, "y", "cm", 30])
    option = chance.choice(["0", "1", "BVH", "GLB", "Recipe", "Tokens", "Continue", *ODD])
    fields = chance.choice(
        [{}, {"rig": "mixamo"}, {"fps": 30}, {chance.choice(["fps", "rig", "x"]): chance.choice(ODD)}]
    )
    event = chance.choice([None, gr.EventData(None, chance.choice([{"option": option, "fields": fields}, *ODD]))])
    state = page.visit(has_made=chance.random() < 0.7)
    try:
        asyncio.run(page.call(one, values, state, event))
    except gr.Error as error:
        raise Refused(str(error.message)) from error
    except Exception as error:
        places = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        if any("/scamo/" in place for place in places):
            raise
        raise Refused(f"Gradio itself: {error!r}") from error
