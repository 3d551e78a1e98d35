"""Whether a folder can be written: asked before the work whose result goes there."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from recsys.errors import ConfigurationError


def require_writable(folder: Path, what: str) -> None:
    """Makes the folder if it is not there, writes a file in it, and takes both away again.

    Args:
        folder: The folder.
        what: The setting or option that names it, for the message.

    Raises:
        ConfigurationError: It cannot be written; says why.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable-"):
            pass
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder} ({what}): {error.strerror}") from None
    finally:
        for each in missing:
            with contextlib.suppress(OSError):  # not made, or somebody else's by now
                each.rmdir()
