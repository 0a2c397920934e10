"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# torch and safetensors tell of a full disk by errors of their own.
_SHORT = "unexpected pos"  # torch closes a file that has fewer bytes than it wrote
_UNWRITTEN = re.compile(
    f"failed writing|write failed|iostream error|no space left|file too large|quota exceeded|{_SHORT}", re.I
)


class UnwrittenError(OSError):
    """A file could not be written; the message is one sentence with a remedy."""


class ForeignFilesError(ValueError):
    """A folder that is to be replaced holds other files, or is a file."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error is that of a disk, a quota or a file that can take no more."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextlib.contextmanager
def explaining(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise what goes wrong while `path` is written as UnwrittenError, an OSError of the same number."""
    try:
        yield
    except UnwrittenError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not _UNWRITTEN.search(str(error)):
            raise
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        reason = "not all of it was stored" if _SHORT in reason else reason
        advice = "Free disk space or choose another folder."
        said = UnwrittenError(f'"{path}" could not be written: {reason}. {advice}')
        said.errno = error.errno if isinstance(error, OSError) else errno.ENOSPC
        raise said from error


@contextlib.contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file in the same folder; it becomes `path` when the block ends well and is removed otherwise.

    The folder is created if needed. An OSError is raised again with a remedy in its message.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        with explaining(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch(exist_ok=False)  # fails here, before any work, if the folder cannot be written to
            yield temporary
            os.replace(temporary, path)
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
    with explaining(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        staging = workshop / "new"
        staging.mkdir()
    try:
        with explaining(target):
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


def write_npz(path: str | os.PathLike[str], **arrays: Any) -> Path:
    """Write arrays by name as a compressed .npz file at exactly this path, whole or not at all, and return the path."""
    import numpy as np

    path = Path(path)
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def write_npy(path: str | os.PathLike[str], array: NDArray[Any]) -> Path:
    """Write an array as a .npy file at exactly this path, whole or not at all, and return the path."""
    import numpy as np

    path = Path(path)
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    return path
