"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name in the same folder that becomes `path` when the block ends well and vanishes otherwise.

    The folder is made if need be. OSErrors are said again with what to do about them.
    """
    temporary = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)  # fails here, before any work, where the folder refuses
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f'"{path}" could not be written: {reason}. Free disk space or choose another folder.') from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
