"""Any file as bounded lines: what operators really pipe in."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from typing import Any

import pytest

from recsys.adapters.lines import MAX_LINE_BYTES, Line, outcomes, read_lines
from recsys.adapters.outcomes import Skipped
from recsys.errors import RefusalReason


def lines(content: bytes, **options: Any) -> list[Line]:
    return list(read_lines(io.BytesIO(content), **options))


def contents(content: bytes) -> list[bytes]:
    return [line.content for line in lines(content)]


def test_lines_have_their_number_and_empty_ones_are_none() -> None:
    found = lines(b"a\n\n  \r\nb\r\nc")
    assert [(line.number, line.content) for line in found] == [(1, b"a"), (4, b"b"), (5, b"c")]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(gzip.compress(b"a\nb\n"), id="gzip"),
        pytest.param(gzip.compress(b"a\n") + gzip.compress(b"b\n"), id="two gzip files, one after the other"),
        pytest.param("a\nb\n".encode("utf-16"), id="UTF-16"),
        pytest.param(gzip.compress("a\nb\n".encode("utf-16")), id="UTF-16 in gzip"),
        pytest.param(b"\xef\xbb\xbfa\nb\n", id="byte order mark"),
        pytest.param(b"\0\0\0\0a\nb\n", id="NUL bytes of a rotation that truncates"),
    ],
)
def test_forms_are_told_by_their_bytes(content: bytes) -> None:
    assert contents(content) == [b"a", b"b"]


def test_a_long_line_is_refused_and_not_held() -> None:
    long = b"x" * (10 * MAX_LINE_BYTES)
    first, second, third = lines(b"a\n" + long + b"\nb\n")
    assert (first.content, third.content, third.number) == (b"a", b"b", 3)
    assert second.problem is not None
    assert second.problem.reason == RefusalReason.TOO_LARGE
    assert str(len(long)) in second.problem.example
    assert second.content == b""


def test_a_line_of_just_the_limit_is_a_line() -> None:
    assert [line.problem for line in lines(b"x" * 9 + b"\n" + b"y" * 10 + b"\nz", max_bytes=10)] == [None] * 3


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_damaged_gzip_file_ends_with_a_refusal(damage: str) -> None:
    whole = gzip.compress(b"".join(b"line %d\n" % number for number in range(200_000)))
    content = whole[: len(whole) // 2]
    if damage == "overwritten":
        content += b"\xff" * (len(whole) - len(content))
    found = lines(content)
    assert len(found) > 1000
    assert found[0].content == b"line 0"
    assert found[-1].problem is not None
    assert "damaged" in found[-1].problem.example
    assert all(line.problem is None for line in found[:-1])


@pytest.mark.parametrize("first", [pytest.param(b"\x1f\x8b", id="cut"), pytest.param(b"\x1f\x8bno gzip", id="damaged")])
def test_a_gzip_file_damaged_in_its_header_is_refused(first: bytes) -> None:
    (line,) = lines(first)
    assert line.problem is not None
    assert "cut off or damaged" in line.problem.example


def test_bytes_are_taken_as_they_come_and_told() -> None:
    told: list[int] = []
    content = b"a\n" * 1_500_000
    assert sum(1 for _ in read_lines(io.BytesIO(content), progress=told.append)) == 1_500_000
    assert told == sorted(told)
    assert told[0] < len(content) == told[-1]


@pytest.mark.timeout(20)
def test_a_line_of_a_pipe_is_read_before_the_pipe_ends() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as source, open(writing, "wb", buffering=0) as pipe:  # noqa: PTH123 - descriptors
        pipe.write(b"first\nsec")
        found = read_lines(source)
        assert next(found).content == b"first"
        pipe.write(b"ond\n")
        assert next(found).content == b"second"


def test_a_line_that_cannot_be_read_never_reaches_the_adapter() -> None:
    parsed: list[bytes] = []

    def parse(line: bytes) -> Skipped:
        parsed.append(line)
        return Skipped("x")

    def given() -> Iterator[Line]:
        return read_lines(io.BytesIO(b"a\n" + b"b" * 20 + b"\nc\n"), max_bytes=10)

    kinds = [type(outcome).__name__ for _, outcome in outcomes(given(), parse)]
    assert kinds == ["Skipped", "Refused", "Skipped"]
    assert parsed == [b"a", b"c"]
