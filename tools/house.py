"""The rooms of the house, their floors, and the imports between them, read from the source with ast.

`tests/test_house.py` holds the rules with it, and `tools/draw_house.py` draws the picture.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("scamo", "training", "benchmarks")
WHOLE = ("body", "io", "render", "ui")  # packages of scamo that are one room each

# From the ground up. A room imports rooms of lower floors, and those that stand before it on its own floor.
FLOORS = (
    ("rotation", "atomic", "numpy_files", "options", "version", "flops", "command", "device"),
    ("skeleton", "checkpoint", "configs"),
    ("motion", "stream", "tuned_text", "prompt_notes", "embeddings", "timeline"),
    ("tokenizer", "transformer", "text", "metrics"),
    ("body",),
    ("render",),
    ("io",),
    ("fast_step", "engine", "convert", "placement", "registry", "pipeline"),
    ("ui", "cli_options", "cli"),
)
ENTRIES = ("__init__", "__main__")  # the public face and `python -m scamo`: they only point at rooms


def python_files(*folders: str) -> list[Path]:
    """All Python files of some folders of the repository, sorted."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    """The dotted name of a file: scamo/render/stick.py is scamo.render.stick, scamo/render/__init__.py scamo.render."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def import_nodes(path: Path) -> Iterator[tuple[str, list[ast.alias], bool]]:
    """Every import of a file, also inside functions: module, names, and whether it is a `from` import.

    Relative imports come with their full module name.
    """
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, [alias], False
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])]), node.names, True


@cache
def modules() -> Mapping[str, Path]:
    """All modules of the packages, by dotted name."""
    return {module_name(path): path for path in python_files(*PACKAGES)}


def imported_modules(path: Path) -> set[str]:
    """Modules of this repository that a file imports, dotted.

    `from scamo import motion` imports scamo.motion; `from scamo import load` imports scamo.
    """
    found: set[str] = set()
    for name, aliases, is_from in import_nodes(path):
        for alias in aliases:
            within = f"{name}.{alias.name}" if is_from else name
            found.add(within if within in modules() else name)
    return found & set(modules()) - {module_name(path)}


def imported_packages(path: Path) -> set[str]:
    """Names of the top-level packages that a file imports."""
    return {name.split(".")[0] for name, _, _ in import_nodes(path)}


def room(module: str) -> str:
    """The room of a module: a file of scamo, one of its packages, or the package training or benchmarks as a whole."""
    parts = module.split(".")
    if parts[0] != "scamo":
        return parts[0]
    return parts[1] if len(parts) > 1 else "__init__"


@cache
def room_imports() -> Mapping[str, frozenset[str]]:
    """Which rooms each room imports; the entries are left out."""
    found: dict[str, set[str]] = {}
    for name, path in modules().items():
        own = room(name)
        if own not in ENTRIES:
            used = {room(other) for other in imported_modules(path)} - {own, *ENTRIES}
            found.setdefault(own, set()).update(used)
    found["app.py"] = {room(name) for name in imported_modules(ROOT / "app.py")} - set(ENTRIES)
    return {name: frozenset(used) for name, used in found.items()}


def cycle(graph: Mapping[str, frozenset[str]]) -> list[str]:
    """The nodes of one cycle, in order; empty where there is none."""
    finished: set[str] = set()

    def visit(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in finished:
            return []
        for other in sorted(graph.get(node, ())):
            found = visit(other, [*way, node])
            if found:
                return found
        finished.add(node)
        return []

    return next((found for node in sorted(graph) if (found := visit(node, []))), [])


def longest_chain(graph: Mapping[str, frozenset[str]]) -> list[str]:
    """The longest way down a graph without cycles, from the top."""

    @cache
    def below(node: str) -> tuple[str, ...]:
        return (node, *max((below(other) for other in sorted(graph.get(node, ()))), key=len, default=()))

    return list(max((below(node) for node in sorted(graph)), key=len, default=()))
