"""The house's one rule, held by reading every import: imports go down, and each heavy package has one room."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the ground up; a room may import rooms of lower floors, and those that stand on its own floor before it.
FLOORS = (
    ("atomic", "checkpoint", "rotation", "skeleton", "text", "flops"),
    ("motion",),
    ("tokenizer", "transformer", "metrics"),
    ("body", "render", "fast_step", "pipeline", "registry", "io"),
    ("cli", "__main__", "ui"),
)
ORDER = {room: number for number, room in enumerate(room for floor in FLOORS for room in floor)}
ALONE = {"tokenizer", "transformer", "text", "metrics"}  # rooms that know nothing of one another
HOMES = {
    "gradio": ("ui",),
    "transformers": ("text",),
    "pyrender": ("render",),
    "smplx": ("body",),
    "matplotlib": ("render",),
    "pygltflib": ("io",),
}


def imports(path: Path, top_level: bool = False) -> set[str]:
    """Modules that a file imports, dotted; with ``top_level`` only those that are imported when it is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if not top_level else (n for n in tree.body if not isinstance(n, ast.If))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "scamo").parts[0].removesuffix(".py")


FILES = [path for path in sorted((ROOT / "scamo").rglob("*.py")) if room_of(path) != "__init__"]


def test_every_room_has_its_floor() -> None:
    assert {room_of(path) for path in FILES} <= set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("scamo.")} & set(ORDER)
    above = sorted(other for other in used - {room} if ORDER[other] >= ORDER[room])
    assert not above, f"{room} imports {above}, which stand above it"
    if room in ALONE:
        assert not used & (ALONE - {room})
    if room == "render":
        assert not used & {"tokenizer", "transformer", "pipeline", "registry", "text"}, "drawing knows no model"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_packages_have_one_room(path: Path) -> None:
    packages = {name.split(".")[0] for name in imports(path)}
    assert "training" not in packages
    for package, homes in HOMES.items():
        assert package not in packages or room_of(path) in homes, f"{package} belongs in {homes}"


def test_import_scamo_is_quick_because_it_loads_nothing_heavy() -> None:
    heavy = ["torch", "gradio", "transformers", "matplotlib", "pyrender", "smplx", "scipy"]
    code = f"import sys, scamo; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
