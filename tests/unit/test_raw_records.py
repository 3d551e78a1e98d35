"""A record header's name may be any bytes; the records around it, and what is truly corrupt, stay as they are."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_UNCOMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream.raw_records import _KeptRecords, _RawRecords

RECORDS_AT = 61
"""Bytes of a batch's own header."""

Header = tuple[str, bytes | None]


def fetched(*headers: list[Header], compression: int = 0) -> bytes:
    """A batch of one record for each list of headers."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=100_000,
    )
    for offset, each in enumerate(headers):
        builder.append(offset, timestamp=7, key=b"k", value=b"v%d" % offset, headers=each)
    return bytes(builder.build())


def spoiled(buffer: bytes) -> bytes:
    """`SPOIL` in a header's name becomes bytes that are no text; nobody looks at the checksum here."""
    return buffer.replace(b"SPOIL", b"\xff\xfe\x00\xc3(")


def unpacked(buffer: bytes, fetch_offset: int = 0) -> list[Any]:
    records = _RawRecords(
        "tp",
        _KeptRecords(buffer),
        aborted_transactions=[],
        fetch_offset=fetch_offset,
        key_deserializer=None,
        value_deserializer=None,
        check_crcs=False,
        isolation_level=READ_UNCOMMITTED,
    )
    return list(records)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_header_name_that_is_no_text_ends_nothing(at: int) -> None:
    headers: list[list[Header]] = [[("good", b"1")] for _ in range(3)]
    headers[at] = [("good", b"1"), ("SPOIL", b"\xff")]
    buffer = spoiled(fetched(*headers)) + fetched([("next", None)])
    records = unpacked(buffer)
    assert [record.value for record in records] == [b"v0", b"v1", b"v2", b"v0"][: len(records)]
    assert [record.offset for record in records[:3]] == [0, 1, 2]
    assert list(records[at].headers) == [("good", b"1"), ("\\xff\\xfe\x00\\xc3(", b"\xff")]
    assert type(records[at].value) is bytes


def test_what_was_handed_on_before_is_not_handed_on_again() -> None:
    records = unpacked(spoiled(fetched([], [], [("SPOIL", b"")], [])), fetch_offset=1)
    assert [record.offset for record in records] == [1, 2, 3]


def test_a_batch_that_is_truly_corrupt_is_still_said_to_be() -> None:
    buffer = bytearray(fetched([("good", b"1")]))
    buffer[RECORDS_AT] = 0x7F  # the length of the first record
    with pytest.raises(CorruptRecordException):
        unpacked(bytes(buffer))
