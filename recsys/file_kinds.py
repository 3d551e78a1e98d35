"""What a file really is, by its first bytes: a renamed workbook or archive is named instead of read as bad text."""

from __future__ import annotations

import codecs

LONGEST_SIGNATURE = 512
"""Bytes that `kind_of` wants to see."""

_PLAIN_CSV = "save it as CSV in UTF-8"
_UNPACK = "unpack it first"
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (.xlsx)", f"{_UNPACK}, or {_PLAIN_CSV}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls)", _PLAIN_CSV),
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV"),
    (b"%PDF-", "a PDF document", _PLAIN_CSV),
    (codecs.BOM_UTF32_LE, "text in UTF-32", _PLAIN_CSV),
    (codecs.BOM_UTF32_BE, "text in UTF-32", _PLAIN_CSV),
)
_PAGE = (b"<!doctype html", b"<html")
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def kind_of(beginning: bytes) -> str | None:
    """What a file is that is no delimited text, and what to do with it.

    Args:
        beginning: The first `LONGEST_SIGNATURE` bytes of the file, fewer where it is shorter.

    Returns:
        Such as "a gzip file (unpack it first)"; None for what may be text.
    """
    for signature, kind, remedy in _SIGNATURES:
        if beginning.startswith(signature):
            return f"{kind} ({remedy})"
    if beginning.lstrip().lower().startswith(_PAGE):
        return "an HTML page (the download was answered by a web page)"
    if b"\0" in beginning.partition(b"\n")[0] and not beginning.startswith(_UTF16_MARKS):
        return f"bytes with NUL among them, such as text in UTF-16 without a byte order mark ({_PLAIN_CSV})"
    return None
