"""Files that leave the page, and files that come back to it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path


def workspace() -> Path:
    """A new folder for the files of one click. Old ones go: Gradio serves copies, which have their own time to live."""
    for old in Path(tempfile.gettempdir()).glob("scamo-page-*"):
        with contextlib.suppress(OSError):  # another click may be first
            if time.time() - old.stat().st_mtime > 3600:
                shutil.rmtree(old)
    return Path(tempfile.mkdtemp(prefix="scamo-page-"))
