"""The C allocator of long-lived processes."""

from __future__ import annotations

import ctypes

M_ARENA_MAX = -8
"""glibc's `malloc.h`; the environment variable `MALLOC_ARENA_MAX` sets the same before a process starts."""


def use_one_arena() -> bool:
    """Keeps glibc to one heap; to be called before threads start. Returns whether there was a glibc to tell.

    By default each thread allocates from an arena of its own. What one thread allocates and another frees, as the
    threads of a client and the event loop do, leaves fragments that no arena reuses: memory in use stays
    the same and resident memory creeps up by megabytes an hour (`make soak`). Arenas save waiting for locks, of which
    there is little under the interpreter's own.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(M_ARENA_MAX, 1))
