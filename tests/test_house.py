"""The rules of the house, held by reading every file: imports go down, rooms stay small, names stay their own."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import house

ROOT = house.ROOT
ORDER = {room: number for number, room in enumerate(room for floor in house.FLOORS for room in floor)}
APART = {"tokenizer", "transformer", "text", "metrics"}  # rooms that know nothing of each other
# Packages that are slow to import or hard to install, and the rooms that may import them.
HOMES = {
    "gradio": ("ui",),
    "gradio_client": ("ui",),
    "starlette": ("ui",),
    "pandas": ("ui",),
    "transformers": ("text",),
    "pyrender": ("render",),
    "matplotlib": ("render",),
    "imageio_ffmpeg": ("render",),
    "smplx": ("body",),
    "pygltflib": ("io",),
}
LIMITED = ("scamo", "training", "benchmarks", "tools", "examples")
MOST_LINES, MOST_FUNCTION_LINES, MOST_FLOORS = 400, 80, 9
# Words of an earlier dialect. A module, class or function is called by what it is or does.
DIALECT = (
    "making", "guard", "say", "cells", "studio", "zero", "programs", "edit", "lab", "texts", "pack", "rebuilt",
    "abilities", "sources", "unrest", "restraint", "fall", "front", "judge", "echo", "bout",
)  # fmt: skip
# Private names of other libraries that have no public one: data of Gradio's events, identity of torch's storages.
NO_PUBLIC_NAME = ("_data", "_cdata")

SCAMO = [path for path in house.python_files("scamo") if house.room(house.module_name(path)) not in house.ENTRIES]
UI = [path for path in SCAMO if path.is_relative_to(ROOT / "scamo/ui")]
# Of training/data/readers, the commands; what they share is no reader.
READERS = {
    house.module_name(path)
    for path in house.python_files("training/data/readers")
    if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in house.tree(path).body)
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def rooms_used(path: Path) -> set[str]:
    own = house.room(house.module_name(path))
    return {house.room(name) for name in house.imported_modules(path)} - {own}


def test_every_room_has_a_floor() -> None:
    assert {house.room(house.module_name(path)) for path in SCAMO} <= set(ORDER)


@pytest.mark.parametrize("path", SCAMO, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    own, used = house.room(house.module_name(path)), rooms_used(path)
    assert not used & {"training", "benchmarks"}, "the library knows nothing of training and benchmarks"
    assert "__init__" not in used, "the public face stands above all rooms; import the room itself"
    above = sorted(other for other in used if ORDER.get(other, len(ORDER)) >= ORDER[own])
    assert not above, f"{own} imports {above}, which stand above it"
    assert own not in APART or not used & APART, f"{own} imports {sorted(used & APART)}, which it should not know"


@pytest.mark.parametrize("path", SCAMO, ids=name_of)
def test_heavy_packages_have_one_room(path: Path) -> None:
    packages, own = house.imported_packages(path), house.room(house.module_name(path))
    wrong = sorted(package for package, homes in HOMES.items() if package in packages and own not in homes)
    assert not wrong, f"{wrong} belong in {[HOMES[package] for package in wrong]}"


@pytest.mark.parametrize("path", UI, ids=name_of)
def test_tabs_know_components_and_never_each_other(path: Path) -> None:
    tabs = sorted(name for name in house.imported_modules(path) if name.startswith("scamo.ui.tabs"))
    is_top = name_of(path) in ("scamo/ui/page.py", "scamo/ui/__init__.py")
    assert is_top or not tabs, f"only the page imports tabs; move what is shared below them: {tabs}"


def test_training_goes_up_from_data_over_tasks_to_measure() -> None:
    floors = ("training.data", "training.tasks", "training.measure")
    for path in house.python_files("training/data", "training/tasks"):
        own = next(number for number, floor in enumerate(floors) if house.module_name(path).startswith(floor))
        used = house.imported_modules(path)
        above = sorted(name for name in used if name.startswith(floors[own + 1 :]))
        assert not above, f"{name_of(path)} imports {above}"
        others = sorted(used & READERS) if house.module_name(path) in READERS else []
        assert not others, f"{name_of(path)} imports another reader: {others}"


@pytest.mark.parametrize("package", house.PACKAGES)
def test_no_files_import_each_other_in_a_circle(package: str) -> None:
    graph = {
        name: frozenset(house.imported_modules(path))
        for name, path in house.modules().items()
        if name.split(".")[0] == package and name != "scamo"  # the face imports every room, lazily
    }
    assert not house.cycle(graph), " -> ".join(house.cycle(graph))


def test_the_house_has_nine_floors_at_most() -> None:
    graph = house.room_imports()
    assert not house.cycle(graph), " -> ".join(house.cycle(graph))
    chain = house.longest_chain(graph)
    assert len(chain) <= MOST_FLOORS, " -> ".join(chain)


def test_the_reading_of_imports_sees_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "ROOT", tmp_path)
    folder = tmp_path / "scamo" / "render"
    folder.mkdir(parents=True)
    path = folder / "stick.py"
    path.write_text(
        "from . import scene as s\nfrom .stage import Frame\nfrom scamo import motion, load\n"
        "def f():\n    import scamo.io.bvh\n",
        encoding="utf-8",
    )
    known = ("scamo", "scamo.motion", "scamo.io.bvh", "scamo.render", "scamo.render.scene", "scamo.render.stage")
    monkeypatch.setattr(house, "modules", lambda: dict.fromkeys(known, path))
    assert house.imported_modules(path) == {*known} - {"scamo.render"}
    graph = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("d"), "d": frozenset()}
    assert house.longest_chain(graph) == ["a", "b", "c", "d"] and house.cycle(graph) == []
    assert house.cycle({**graph, "d": frozenset("b")}) == ["b", "c", "d", "b"]


@pytest.mark.parametrize("folder", LIMITED)
def test_files_and_functions_are_short(folder: str) -> None:
    long = []
    for path in house.python_files(folder):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        long += [f"{name_of(path)} has {lines} lines"] if lines > MOST_LINES else []
        for node in ast.walk(house.tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or 0) - node.lineno + 1
                long += [f"{name_of(path)}: {node.name} has {lines} lines"] if lines > MOST_FUNCTION_LINES else []
    assert not long, "\n".join(long)


def private_names_of_others(path: Path) -> Iterator[str]:
    """Private names that a file takes from other modules: imported, or read from a module or a foreign object."""
    for name, aliases, is_from in house.import_nodes(path):
        if name.split(".")[0] in house.PACKAGES:
            yield from (f"{name}.{alias.name}" for alias in aliases if is_from and is_private(alias.name))
    own = {
        getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "attr", None)
        for node in ast.walk(house.tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        or (isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store))
    }
    for node in ast.walk(house.tree(path)):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def is_private(name: str) -> bool:
    return (
        name.startswith("_")
        and not name.endswith("__")
        and name not in ("_replace", "_asdict", "_fields", *NO_PUBLIC_NAME)
    )


@pytest.mark.parametrize("folder", ["scamo", "training", "benchmarks", "examples"])
def test_private_names_stay_in_their_file(folder: str) -> None:
    found = [f"{name_of(path)}: {use}" for path in house.python_files(folder) for use in private_names_of_others(path)]
    assert not found, "\n".join(found)


def text_files_without_encoding(path: Path) -> Iterator[str]:
    """Calls that read or write text in the encoding of whatever machine they run on."""
    for node in ast.walk(house.tree(path)):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if method and name in ("read_text", "write_text"):
            given = len(node.args) > (name == "write_text")
        elif name == "open":
            modes = [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
            modes += node.args[:1] if method else node.args[1:2]
            mode = modes[0].value if modes and isinstance(modes[0], ast.Constant) else None
            no_mode = bool(modes) and not (isinstance(mode, str) and set(mode) <= set("rwaxbt+"))
            given = no_mode or "b" in (mode or "")  # an archive's or a picture's open takes a name first
        else:
            given = True
        if not given:
            yield f"{name_of(path)}:{node.lineno}: {ast.unparse(node)[:80]}"


def test_text_is_read_and_written_in_a_named_encoding() -> None:
    found = [use for path in house.python_files("scamo", "training") for use in text_files_without_encoding(path)]
    assert not found, "\n".join(found)


def test_nothing_is_called_by_a_word_of_the_old_dialect() -> None:
    found = []
    for path in house.python_files(*LIMITED):
        names = {path.stem} | {
            node.name
            for node in ast.walk(house.tree(path))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }
        found += [f"{name_of(path)}: {name}" for name in sorted(names) if name.lower() in DIALECT]
    assert not found, "\n".join(found)


def test_only_the_public_face_and_motions_reach_up_by_name() -> None:
    """`motion.save("walk.bvh")` is promised to users, so scamo.motion finds scamo.io when it is called."""
    found = {
        name_of(path)
        for path in house.python_files(*house.PACKAGES)
        for node in ast.walk(house.tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
    }
    assert found <= {"scamo/__init__.py", "scamo/motion.py"}


@pytest.mark.parametrize("page", ["architecture.md", "contributing.md"])
def test_the_documentation_names_files_that_are_there(page: str) -> None:
    words = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:scamo|training|tests|tools|benchmarks|docs)/[\w./]*\w", words))
    missing = sorted(name for name in named if not (ROOT / name).exists() and "NAME" not in name)
    assert not missing and len(named) > 20, f"docs/{page} names {missing}"


def test_import_scamo_is_quick_because_it_loads_nothing_heavy() -> None:
    heavy = ["torch", "gradio", "transformers", "matplotlib", "pyrender", "smplx", "scipy"]
    code = f"import sys, scamo; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
