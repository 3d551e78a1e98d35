"""The model pointer that a process read last, in a file of its own, for a start without Redis."""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from recsys.online_store import ModelPointer
from recsys.process.atomic import write_atomically

log = structlog.get_logger(__name__)


def remembered(file: Path) -> ModelPointer | None:
    """The pointer that this process read last; None where the file is not there, or cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=ModelPointer)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("remembered_pointer_not_read", file=str(file), error=str(error))
        return None


def remember(file: Path, pointer: ModelPointer) -> None:
    """Writes the pointer to the file; where that fails, a start without Redis goes by what is older."""
    try:
        write_atomically(file, msgspec.json.encode(pointer))
    except OSError as error:
        log.warning("pointer_not_remembered", file=str(file), error=str(error))
