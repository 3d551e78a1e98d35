"""Standard output as a command needs it: any text fits any encoding, and a reader that has left ends it quietly.

Python raises where text does not fit the terminal's encoding, and where `recsys … | head` closes the pipe; and an
`except OSError` around a client takes that for its service's fault. So the descriptor is wrapped once, at the start.
"""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from recsys.errors import RecsysError

PIPE_CLOSED_STATUS: Final = 128 + signal.SIGPIPE
"""What a shell shows for a program that ended because nobody reads its output any more."""

ESCAPES: Final = "recsys-escapes"
_DESCRIPTOR: Final = 1


class OutputFailed(RecsysError):
    """Standard output takes no more, such as a file on a full disk."""

    exit_status = 2


def prepare_standard_output() -> None:
    """Replaces `sys.stdout`, unless somebody else has done so, as a test does."""
    codecs.register_error(ESCAPES, _escaped)
    original = sys.stdout
    if original is None:  # closed by who started the process
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8", errors=ESCAPES)  # noqa: SIM115 - until the process ends
        return
    if original is not sys.__stdout__ or not isinstance(original, io.TextIOWrapper):
        return
    original.flush()
    default = original.errors in {"strict", "surrogateescape"}  # Python's own: the second under a C locale
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(_DESCRIPTOR, "w", closefd=False)),
        encoding=original.encoding,
        errors=ESCAPES if default else original.errors,
        line_buffering=original.line_buffering,
        write_through=original.write_through,
    )


def flush_standard_output() -> None:
    """Writes what is left, while an error can still be told.

    Raises:
        OutputFailed: It cannot be written.
        SystemExit: Nobody reads it any more.
    """
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


class _Descriptor(io.FileIO):
    def write(self, data: Any, /) -> int:
        """As the parent, but with errors that nobody takes for those of a client of Kafka or Redis."""
        try:
            return super().write(data) or 0
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, _DESCRIPTOR)  # what is still buffered goes there, so that the end of the process is quiet
            os.close(nowhere)
            if isinstance(error, BrokenPipeError):
                raise SystemExit(PIPE_CLOSED_STATUS) from None
            raise OutputFailed(f"cannot write to standard output: {error.strerror}") from None


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""What does not fit the encoding as `\uXXXX`: readable for a person, and still JSON where it was JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2] for at in range(0, len(units), 2))
    return "".join(f"\\u{pair.hex()}" for pair in pairs), error.end
