"""JSON and JSON-lines files in UTF-8. What is written appears whole or not at all.

A JSON-lines file has one JSON value a line. A run that is killed may leave half a line at its end: `read_rows` refuses
such a file, `read_whole_rows` leaves that line out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scamo.atomic import replacing_file


def read_json(path: Path) -> Any:
    """The value in a JSON file. OSError where it cannot be read, ValueError where it is no JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write a value as JSON, with a line break at the end where it is indented for people."""
    write_text(path, json.dumps(value, indent=indent) + ("\n" if indent is not None else ""))


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, with the same line breaks on every system."""
    with replacing_file(path) as temporary:
        temporary.write_bytes(text.encode())


def row_line(row: Any) -> bytes:
    """One line of a JSON-lines file, its line break included."""
    return (json.dumps(row) + "\n").encode()


def parse_rows(content: bytes) -> list[Any]:
    """The rows of a JSON-lines file's content. ValueError where a line is no JSON."""
    return [json.loads(line) for line in content.split(b"\n") if line]


def read_rows(path: Path) -> list[Any]:
    """The rows of a JSON-lines file. OSError where it cannot be read, ValueError where a line is no JSON."""
    return parse_rows(path.read_bytes())


def read_whole_rows(path: Path) -> list[Any]:
    """The rows of a file that a killed run may have left: a last line without a line break is left out.

    An empty list where there is no file.
    """
    content = path.read_bytes() if path.exists() else b""
    return parse_rows(content[: content.rfind(b"\n") + 1])


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write a JSON-lines file."""
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        file.writelines(map(row_line, rows))
