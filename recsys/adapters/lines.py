"""Any file or pipe as lines of bounded length, whatever is in it. Reads as it goes: memory does not grow with the file.

Gzip is told by its first bytes, also several files one after the other (`cat a.gz b.gz`), and so is UTF-16 by its
byte order mark. A line that is longer than the limit is passed without being held. A gzip file that is cut off or
damaged ends with a line that says so; what came before it is good.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol, cast

from recsys.adapters.outcomes import Outcome, Parse, Refused
from recsys.errors import RefusalReason

MAX_LINE_BYTES: Final = 1_000_000
"""As much as one event may have (`recsys.events.MAX_VALUE_BYTES`); Open edX cuts its own lines far below that."""

_GZIP: Final = b"\x1f\x8b"
_BUFFER_BYTES: Final = 1 << 20
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Source(Protocol):
    """What is read: an open binary file, or standard input's buffer."""

    def read1(self, size: int, /) -> bytes:
        """Up to so many bytes, as soon as there are any; none at the end."""
        ...


Progress = Callable[[int], None]
"""Called now and then with the bytes of the file that were read so far, still compressed where it is."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        number: Counted from 1, empty lines included.
        content: Without its line end, blanks and NUL bytes around it; empty where `problem` says why.
        problem: Why it cannot be read, or None.
    """

    number: int
    content: bytes
    problem: Refused | None = None


def unwatched(_bytes: int) -> None:
    """A `Progress` that nobody watches."""


def read_lines(source: Source, *, max_bytes: int = MAX_LINE_BYTES, progress: Progress = unwatched) -> Iterator[Line]:
    """The lines of a file or pipe that are not empty.

    Args:
        source: Read from where it stands, never sought.
        max_bytes: A longer line is not held.
        progress: Told about the bytes read.
    """
    number = 0
    try:
        stream = _opened(_Counted(source, progress))
        while content := stream.readline(max_bytes + 1):
            number += 1
            if len(content) > max_bytes and not content.endswith(b"\n"):
                size = len(content) + _pass_line(stream)
                yield Line(
                    number,
                    b"",
                    Refused(RefusalReason.TOO_LARGE, f"expected at most {max_bytes} bytes, received {size}"),
                )
            elif stripped := content.strip(b" \t\r\n\0\xef\xbb\xbf"):
                yield Line(number, stripped)
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeError) as error:
        yield Line(
            number + 1,
            b"",
            Refused(RefusalReason.NOT_JSON, f"the file is cut off or damaged here: {type(error).__name__}"),
        )


def outcomes(lines: Iterator[Line], parse: Parse) -> Iterator[tuple[int, Outcome]]:
    """What becomes of each line, with its number."""
    for line in lines:
        yield line.number, parse(line.content) if line.problem is None else line.problem


def _pass_line(stream: BinaryIO) -> int:
    passed = 0
    while part := stream.readline(_BUFFER_BYTES):
        passed += len(part.rstrip(b"\r\n"))
        if part.endswith(b"\n"):
            break
    return passed


class _Counted(io.RawIOBase):
    """Bytes as they come, counted."""

    def __init__(self, source: Source, progress: Progress) -> None:
        self._source, self._progress, self._read = source, progress, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # what RawIOBase is given is a buffer
        part = self._source.read1(len(view))  # what a pipe has now, not what it will have
        view[: len(part)] = part
        self._read += len(part)
        self._progress(self._read)
        return len(part)


def _opened(raw: io.RawIOBase) -> BinaryIO:
    buffered = io.BufferedReader(raw, _BUFFER_BYTES)
    first = buffered.peek(2)[:2]
    if first == _GZIP:
        unpacked = io.BufferedReader(gzip.GzipFile(fileobj=buffered), _BUFFER_BYTES)
        return _utf8(unpacked, unpacked.peek(2)[:2])
    return _utf8(buffered, first)


def _utf8(stream: io.BufferedReader[Any], first: bytes) -> BinaryIO:
    if first not in _UTF16:
        return cast("BinaryIO", stream)
    return cast("BinaryIO", io.BufferedReader(_FromUtf16(stream), _BUFFER_BYTES))


class _FromUtf16(io.RawIOBase):
    """UTF-16 with a byte order mark as UTF-8."""

    def __init__(self, stream: io.BufferedReader[Any]) -> None:
        self._stream, self._decoder, self._left = stream, codecs.getincrementaldecoder("utf-16")(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # what RawIOBase is given is a buffer
        while not self._left:
            part = self._stream.read1(_BUFFER_BYTES)
            self._left = self._decoder.decode(part, final=not part).encode("utf-8", "surrogatepass")
            if not part:
                break
        given, self._left = self._left[: len(view)], self._left[len(view) :]
        view[: len(given)] = given
        return len(given)
