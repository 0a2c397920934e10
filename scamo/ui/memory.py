"""How the page's process keeps its memory flat: what was freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3  # of mallopt in glibc's malloc.h
_ARENAS = 2
_LARGE = 1 << 20  # bytes


def return_freed_memory() -> None:
    """Let glibc serve all threads from two heaps, and give large blocks back when they are freed.

    Otherwise each of the page's many threads gets a heap of its own, and each grows to the most that was ever computed
    in it. Where the C library is another, nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return
    mallopt(_ARENA_MAX, _ARENAS)
    mallopt(_MMAP_THRESHOLD, _LARGE)
