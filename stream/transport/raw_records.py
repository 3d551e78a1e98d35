"""aiokafka's records as its decoder makes them, and a consumer that outlives a header whose name is not UTF-8.

Two things are wrong for us in aiokafka 0.14.0:

- It copies every record into a `ConsumerRecord`, which takes a tenth of a worker's CPU time and adds nothing we read.
- It raises `UnicodeDecodeError` or `CorruptRecordException`, depending on the decoder, while it unpacks a batch in
  which a header's name is not UTF-8. Kafka's protocol says that header names are text, and no broker checks it;
  so one such record ends every consumer of the topic, before anybody could make a dead letter of it. The batch is
  unpacked once more by the library's Python decoder, over a buffer whose text is read with `backslashreplace`.

`patch_aiokafka_raw_records` patches aiokafka for the whole process: every consumer of it is affected. There is no
upstream issue about either that we know of. The patch can go once aiokafka takes header names of any bytes, and hands
out records without copying them. `tests/unit/stream/transport/test_upstream.py` pins what it relies on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


class _Text(bytes):
    """Bytes that always decode: what is not UTF-8 becomes a backslash escape in the text."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


class _LenientBuffer(bytearray):
    """A buffer whose slices always decode.

    The Python decoder reads a header's name as `buffer[start:end].decode("utf-8")`. It reads keys and values as slices
    too, and makes `bytes` of them, which drops the subclass.
    """

    def __getitem__(self, key: Any) -> Any:
        piece = super().__getitem__(key)
        return _Text(piece) if isinstance(key, slice) else piece


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka has no type information
    """A batch whose header names may be any bytes.

    Decompressing replaces the buffer, and happens for uncompressed batches too: so this is the place to wrap it.
    """

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBuffer(self._buffer)


class _LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # as above
    """The batches of a fetch, each a `_LenientBatch`."""

    def next_batch(self) -> _LenientBatch:
        batch = self._next_slice
        self._cache_next()
        return _LenientBatch(batch)


class _KeptRecords:
    """The batches of a fetch by the compiled decoder, with the buffer kept, so that they can be unpacked once more.

    Args:
        buffer: As it came from the broker.
    """

    def __init__(self, buffer: bytes) -> None:
        self.buffer = buffer
        records = MemoryRecords(buffer)
        self.has_next, self.next_batch, self.size_in_bytes = records.has_next, records.next_batch, records.size_in_bytes


class _RawRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # as above
    """aiokafka's iterator over the records of a fetch, which passes the decoder's own records on.

    The parent filters by what it reads on the way (aborted transactions, offsets before the position), and moves
    `next_fetch_offset` as it goes. Both are state, so unpacking a second time has to set them back first.
    """

    _records: Any
    _aborted_transactions: list[Any]
    _aborted_producers: set[int]

    def __init__(self, tp: object, records: Any, aborted_transactions: Any, *settings: Any, **named: Any) -> None:
        super().__init__(tp, records, aborted_transactions, *settings, **named)
        self._aborted_at_first = list(self._aborted_transactions)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._records_iterator)  # the parent's `__next__` does nothing else, at a fourth of the whole cost

    def _consumer_record(self, tp: object, record: Any) -> Any:
        return record  # the parent copies it here

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except (UnicodeDecodeError, CorruptRecordException):
            passed_on_until = self.next_fetch_offset
            self._records = _LenientRecords(self._records.buffer)
            self._aborted_transactions, self._aborted_producers = self._aborted_at_first, set()
            # This begins again at the first batch of the fetch, so `next_fetch_offset` moves back and what was passed
            # on before the bad header comes a second time.
            for record in super()._unpack_records():
                if record.offset >= passed_on_until:
                    yield record


def patch_aiokafka_raw_records() -> None:
    """Patches aiokafka for the whole process: its consumers return records as the decoder makes them.

    Both classes are made by name in aiokafka's `fetcher` module, which offers no other way in.
    """
    fetcher.PartitionRecords = _RawRecords
    fetcher.MemoryRecords = _KeptRecords
