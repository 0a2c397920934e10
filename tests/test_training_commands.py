"""The commands that docs/training.md, docs/actions.md and docstrings of modules show: each is read as it is written."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
import tyro

pytest.importorskip("accelerate")

from training.command_line import FLAT

ROOT = Path(__file__).parents[1]
PATTERN = re.compile(r"^ *(?:python -m (training\.[\w.]+)|bash training/(reproduce)\.sh)(.*)$", re.M)


def commands() -> list[tuple[str, str]]:
    """Module and arguments of every command that is shown whole."""
    texts = [(ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("training.md", "actions.md")]
    for path in sorted((ROOT / "training").rglob("*.py")):
        texts.append(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
    found = set()
    for text in texts:
        for module, script, rest in PATTERN.findall(re.sub(r"\\\n *", " ", text)):
            if "..." not in rest and "[" not in rest:
                found.add((module or f"training.{script}", rest.replace("$seed", "1").strip()))
    return sorted(found)


def test_there_are_commands() -> None:
    modules = {module for module, _ in commands()}
    assert len(modules) >= 15 and {"training.sweep", "training.reproduce", "training.measure.evaluate"} <= modules


@pytest.mark.parametrize(("module", "words"), commands(), ids=lambda value: value[:60])
def test_a_command_is_read_as_it_is_shown(module: str, words: str) -> None:
    imported = importlib.import_module(module)
    assert imported.__file__
    started = re.search(r"run_command\(main, (\w+)", Path(imported.__file__).read_text(encoding="utf-8"))
    assert started, f"{module} is no command"
    config = getattr(imported, started[1])
    assert tyro.cli(config, args=shlex.split(words, comments=True), config=FLAT)
