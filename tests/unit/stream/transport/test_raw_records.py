"""A record header's name may be any bytes; the records around it, and what is truly corrupt, stay as they are."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream.transport.raw_records import _KeptRecords, _RawRecords

RECORDS_AT = 61
"""Bytes of a batch's own header."""

ATTRIBUTES_AT = 21
CONTROL = 0x20

Header = tuple[str, bytes | None]


def fetched(*headers: list[Header], compression: int = 0, base: int = 0, transaction_of: int = -1) -> bytes:
    """A batch of one record for each list of headers, from offset `base` on."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=int(transaction_of >= 0),
        producer_id=transaction_of,
        producer_epoch=-1 if transaction_of < 0 else 0,
        base_sequence=-1,
        batch_size=100_000,
    )
    for offset, each in enumerate(headers):
        builder.append(offset, timestamp=7, key=b"k", value=b"v%d" % offset, headers=each)
    return struct.pack(">q", base) + bytes(builder.build())[8:]


def abort_marker(base: int, producer: int) -> bytes:
    """The control batch that ends an aborted transaction."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=1,
        producer_id=producer,
        producer_epoch=0,
        base_sequence=-1,
        batch_size=1000,
    )
    builder.append(0, timestamp=7, key=b"\0\0\0\0", value=b"\0\0\0\0\0\0", headers=[])
    batch = bytearray(builder.build())
    attributes = struct.unpack_from(">h", batch, ATTRIBUTES_AT)[0] | CONTROL
    struct.pack_into(">h", batch, ATTRIBUTES_AT, attributes)
    return struct.pack(">q", base) + bytes(batch)[8:]


def spoiled(buffer: bytes) -> bytes:
    """`SPOIL` in a header's name becomes bytes that are no text; nobody looks at the checksum here."""
    return buffer.replace(b"SPOIL", b"\xff\xfe\x00\xc3(")


def unpacked(buffer: bytes, fetch_offset: int = 0, aborted: Sequence[tuple[int, int]] | None = None) -> list[Any]:
    """All records; those of `aborted` transactions (producer, first offset) left out if they are given."""
    records = _RawRecords(
        "tp",
        _KeptRecords(buffer),
        aborted_transactions=aborted,
        fetch_offset=fetch_offset,
        key_deserializer=None,
        value_deserializer=None,
        check_crcs=False,
        isolation_level=READ_UNCOMMITTED if aborted is None else READ_COMMITTED,
    )
    return list(records)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_header_name_that_is_no_text_ends_nothing(at: int) -> None:
    headers: list[list[Header]] = [[("good", b"1")] for _ in range(3)]
    headers[at] = [("good", b"1"), ("SPOIL", b"\xff")]
    buffer = spoiled(fetched(*headers)) + fetched([("next", None)], base=3)
    records = unpacked(buffer)
    assert [record.value for record in records] == [b"v0", b"v1", b"v2", b"v0"]
    assert [record.offset for record in records] == [0, 1, 2, 3]
    assert list(records[at].headers) == [("good", b"1"), ("\\xff\\xfe\x00\\xc3(", b"\xff")]
    assert type(records[at].value) is bytes


def test_what_was_handed_on_before_is_not_handed_on_again() -> None:
    records = unpacked(spoiled(fetched([], [], [("SPOIL", b"")], [])), fetch_offset=1)
    assert [record.offset for record in records] == [1, 2, 3]


def test_batches_before_one_that_is_unpacked_again_are_handed_on_once() -> None:
    batches = [fetched([], [], []), fetched([], [], [], base=3), spoiled(fetched([], [("SPOIL", b"")], base=6))]
    assert [record.offset for record in unpacked(b"".join(batches))] == list(range(8))
    assert [record.offset for record in unpacked(b"".join([*batches[1:], fetched([], base=8)]), 4)] == list(range(4, 9))


def test_aborted_transactions_stay_aborted_when_their_fetch_is_unpacked_again() -> None:
    """The second spans the broken batch, so that it is known as aborted only if the first pass is forgotten."""
    batches = [
        fetched([], transaction_of=5),
        abort_marker(1, 5),
        fetched([], base=2, transaction_of=5),
        spoiled(fetched([], [("SPOIL", b"")], base=3)),
        fetched([], base=5, transaction_of=5),
        abort_marker(6, 5),
        fetched([], base=7, transaction_of=5),
    ]
    assert [record.offset for record in unpacked(b"".join(batches), aborted=[(5, 0), (5, 2)])] == [3, 4, 7]


def test_a_batch_that_is_truly_corrupt_is_still_said_to_be() -> None:
    buffer = bytearray(fetched([("good", b"1")]))
    buffer[RECORDS_AT] = 0x7F  # the length of the first record
    with pytest.raises(CorruptRecordException):
        unpacked(bytes(buffer))
