"""What aiokafka unpacks of a fetch, handed on as it is, and never ended by a record header whose name is not text.

Kafka's protocol makes header names text and no broker checks it; aiokafka raises while it unpacks the batch, before
anybody could make a dead letter of the record. Such a batch is unpacked again by the library's Python decoder over a
buffer whose text is read with `backslashreplace`. Pinned by `tests/unit/test_upstream.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


class _Text(bytes):
    """Bytes that always decode."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


class _LenientBuffer(bytearray):
    """A buffer whose slices always decode."""

    def __getitem__(self, key: Any) -> Any:
        piece = super().__getitem__(key)
        return _Text(piece) if isinstance(key, slice) else piece


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka has no type information
    """A batch whose header names may be any bytes."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBuffer(self._buffer)


class _LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # as above
    """A fetch whose batches are lenient."""

    def next_batch(self) -> _LenientBatch:
        batch = self._next_slice
        self._cache_next()
        return _LenientBatch(batch)


class _KeptRecords:
    """A fetch that can be unpacked once more.

    Args:
        buffer: As it came from the broker.
    """

    def __init__(self, buffer: bytes) -> None:
        self.buffer = buffer
        records = MemoryRecords(buffer)
        self.has_next, self.next_batch, self.size_in_bytes = records.has_next, records.next_batch, records.size_in_bytes


class _RawRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # as above
    """Hands on the decoder's own records instead of copying each into a `ConsumerRecord` (a tenth of all CPU time)."""

    _records: Any
    _aborted_transactions: list[Any]
    _aborted_producers: set[int]

    def __init__(self, tp: object, records: Any, aborted_transactions: Any, *settings: Any, **named: Any) -> None:
        super().__init__(tp, records, aborted_transactions, *settings, **named)
        self._aborted_at_first = list(self._aborted_transactions)

    def _consumer_record(self, tp: object, record: Any) -> Any:
        return record

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except (UnicodeDecodeError, CorruptRecordException):
            handed_on_until = self.next_fetch_offset
            self._records = _LenientRecords(self._records.buffer)
            self._aborted_transactions, self._aborted_producers = self._aborted_at_first, set()
            for record in super()._unpack_records():  # from the first batch on, which moves `next_fetch_offset` back
                if record.offset >= handed_on_until:
                    yield record


def patch_aiokafka_raw_records() -> None:
    """Makes every aiokafka consumer of this process return raw records."""
    fetcher.PartitionRecords = _RawRecords
    fetcher.MemoryRecords = _KeptRecords
