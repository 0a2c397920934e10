"""The training package's rules, held by reading its source: imports go down, files and functions stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.test_house import imports

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "training"
FILES = sorted(PACKAGE.rglob("*.py"))
# From the ground up. A module may import modules of lower floors and those before it on its own floor; modules of one
# folder are held apart below.
FLOORS = (
    ("command_line", "json_files", "processes"),
    ("data",),
    ("configuration", "provenance", "run_folder", "journal", "loop", "estimate", "run"),
    ("tasks",),
    ("measure",),
    ("recipes", "publish", "sweep", "reproduce"),
)
ORDER = {name: number for number, name in enumerate(name for floor in FLOORS for name in floor)}
LONGEST_FILE, LONGEST_FUNCTION = 400, 80


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def room_of(module: str) -> str:
    return module.split(".")[1]


MODULES = {module_of(path): path for path in FILES if path.name != "__init__.py"}


def imported(path: Path) -> set[str]:
    """The training modules that a file imports, anywhere in it."""
    return {name for name in imports(path) if name in MODULES}


def test_every_module_has_its_floor() -> None:
    assert {room_of(module) for module in MODULES} == set(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    room = room_of(module)
    above = sorted(other for other in imported(MODULES[module]) if ORDER[room_of(other)] > ORDER[room])
    assert not above, f"{module} imports {above}, which stand above it"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {module: imported(path) for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for other in graph[module]:
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", sorted((ROOT / "scamo").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_knows_no_training(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] == "training"}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE
    functions = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    long = {n.name: n.end_lineno - n.lineno + 1 for n in functions if n.end_lineno}
    assert not {name: length for name, length in long.items() if length > LONGEST_FUNCTION}


@pytest.mark.parametrize("path", [p for p in FILES if "readers" not in p.parts], ids=module_of)
def test_text_files_have_an_encoding(path: Path) -> None:
    """Without one, Python reads and writes text by the system's code page."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        is_binary = any(isinstance(arg, ast.Constant) and "b" in str(arg.value) for arg in node.args)
        if node.func.attr in ("read_text", "write_text") or (node.func.attr == "open" and not is_binary):
            assert "encoding" in {word.arg for word in node.keywords}, f"{path.name}, line {node.lineno}"
