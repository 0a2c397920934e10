"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ForeignFilesError(ValueError):
    """A folder that is to be replaced holds other files, or is a file."""


@contextlib.contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file in the same folder; it becomes `path` when the block ends well and is removed otherwise.

    The folder is created if needed. An OSError is raised again with a remedy in its message.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)  # fails here, before any work, if the folder cannot be written to
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f'"{path}" could not be written: {reason}. Free disk space or choose another folder.') from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def replacing_folder(
    folder: str | os.PathLike[str], expected: Collection[str] = (), suffixes: Collection[str] = ()
) -> Iterator[Path]:
    """A new, empty folder beside `folder`; it takes its place when the block ends well and is removed otherwise.

    The older folder is deleted. So it is refused first if it holds anything but files with the `expected` names or
    with one of the `suffixes` (".safetensors"). Raises ForeignFilesError, a ValueError, which names such a file.
    """
    target = Path(folder).absolute()
    _refuse_foreign(target, expected, suffixes)
    target.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        staging = workshop / "new"
        staging.mkdir()
        yield staging
        old = workshop / "old"
        if target.exists():
            target.rename(old)
        try:
            staging.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _refuse_foreign(target: Path, expected: Collection[str], suffixes: Collection[str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ForeignFilesError(f"{target} is a file; give a folder.")
    foreign = [path.name for path in target.iterdir() if path.name not in expected and path.suffix not in suffixes]
    if foreign:
        raise ForeignFilesError(f"{target} holds {min(foreign)!r}, which was not written here; give a new folder.")


def write_npy(path: str | os.PathLike[str], array: NDArray[Any]) -> Path:
    """Write an array as a .npy file at exactly this path, whole or not at all, and return the path."""
    path = Path(path)
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    return path
