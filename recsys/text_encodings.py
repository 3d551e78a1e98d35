"""The encoding of a text file: the first of some that the whole file can be decoded by, or why there is none."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from recsys.errors import InputError
from recsys.file_kinds import LONGEST_SIGNATURE, kind_of

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF8_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH_BYTE = re.compile(rb"[\x80-\xff]")
_WINDOWS_BYTE = re.compile(rb"[\x80-\x84\x86-\x9f]")
_CHUNK_BYTES = 1 << 20


def encoding_of(path: Path, encodings: Sequence[str]) -> str:
    """The first encoding that the whole file can be decoded by.

    Raises:
        InputError: None fits, or the file is UTF-8 with some damaged bytes, which another encoding would hide.
    """
    with path.open("rb") as file:
        beginning = file.read(LONGEST_SIGNATURE)
    kind = kind_of(beginning)
    if kind is not None:
        raise InputError(f"{path}: expected delimited text, received {kind}")
    if beginning[:2] in _UTF16_MARKS:
        return "utf-16"
    first, *others = (_failure(path, encoding) for encoding in encodings)
    if first is None:
        return "utf-8-sig" if encodings[0] == "utf-8" else encodings[0]
    fallback = next((name for name, failed in zip(encodings[1:], others, strict=True) if failed is None), None)
    if fallback == "latin-1" and _has_windows_bytes(path):
        fallback = None if _failure(path, "cp1252") else "cp1252"
    if fallback is None or _is_damaged_utf8(path):
        raise InputError(f"{path}: expected a readable csv file, received {first}")
    return fallback


def _has_windows_bytes(path: Path) -> bool:
    """Whether there are bytes that Latin-1 has for control characters and Windows-1252 for dashes and quotation marks.

    0x85 alone proves nothing: in Latin-1 it is a line break of old systems (U+0085).
    """
    with path.open("rb") as file:
        return any(_WINDOWS_BYTE.search(block) for block in _blocks(file))


def _failure(path: Path, encoding: str) -> str | None:
    """What is wrong with the first line that cannot be decoded; None where all can."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with path.open("rb") as file:
        for block in _blocks(file):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                line += block.count(b"\n", 0, error.start)
                return f"{encoding!r} cannot decode byte 0x{error.object[error.start]:02x} (line {line})"
            line += block.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return f"{encoding!r} cannot decode the end of the file (line {line})"
    return None


def _is_damaged_utf8(path: Path) -> bool:
    """Whether most of the bytes beyond ASCII are whole UTF-8 sequences."""
    whole = stray = 0
    with path.open("rb") as file:
        for line in file:
            rest, found = _UTF8_SEQUENCE.subn(b"", line)
            whole += found
            stray += len(_HIGH_BYTE.findall(rest))
    return whole > stray


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_CHUNK_BYTES):
        yield block
