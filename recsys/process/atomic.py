"""Writing a small file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(file: Path, *content: bytes) -> None:
    """Replaces a file in one step: temporary file beside it, fsync, rename, fsync of the folder.

    A crash at any instant leaves the old content or the new one. Blocks; call it in a thread from an event loop.

    Args:
        file: The file; its folder is made when it is missing.
        content: All of it, in as many pieces as there are.

    Raises:
        OSError: It cannot be written; the old content stays.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as handle:
            handle.writelines(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
