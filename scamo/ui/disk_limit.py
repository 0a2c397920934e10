"""How much disk the files of the page may take: uploads, and the copies from which Gradio serves what was made."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from pathlib import Path

MAX_DISK = 2 << 30  # bytes
_LEAST_AGE = 600  # seconds; what is younger may be in use
_BETWEEN = 10  # seconds from one look at the folder to the next


class DiskLimit:
    """Keeps a folder below `most` bytes: the files that were not changed for longest go first.

    No file younger than `least_age` seconds is removed; where only such are left, there is no room.
    """

    def __init__(
        self, folder: Path, most: int = MAX_DISK, least_age: float = _LEAST_AGE, between: float = _BETWEEN
    ) -> None:
        self._folder, self._most, self._least_age, self._between = folder, most, least_age, between
        self._looked = -float("inf")
        self._is_free = True
        self._lock = threading.Lock()

    async def has_room(self) -> bool:
        """Whether more may be stored, after old files are removed. Looks in a thread, at most every few seconds."""
        return await asyncio.to_thread(self.make_room)

    def make_room(self) -> bool:
        """The same at once."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked >= self._between:
                self._is_free = self._remove_old()
                self._looked = time.monotonic()
            return self._is_free

    def _remove_old(self) -> bool:
        files = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                with contextlib.suppress(OSError):  # removed by somebody else
                    path = os.path.join(folder, name)
                    state = os.lstat(path)
                    files.append((state.st_mtime, state.st_size, path))
        used = sum(size for _, size, _ in files)
        for changed, size, path in sorted(files):
            if used < self._most or time.time() - changed < self._least_age:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
                used -= size
        return used < self._most
