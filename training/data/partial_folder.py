"""Folders that appear whole: they are filled as NAME.partial and then take their name.

A killed run leaves the partial folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def partial_of(folder: Path) -> Path:
    """Where a folder is filled until it is whole."""
    return folder.with_name(folder.name + ".partial")


def begin_anew(folder: Path) -> Path:
    """An empty partial folder, in place of one that a killed run left."""
    partial = partial_of(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def put_in_place(folder: Path) -> None:
    """Give the partial folder its name, in place of an older folder."""
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial_of(folder), folder)
