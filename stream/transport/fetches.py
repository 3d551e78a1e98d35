"""What is known of a fetch: when it was made, and from which offset on it read.

A broker that is asked for records from an offset on returns the records that are there. So between the offset of the
request and the first record of the answer the log holds none, whoever moved the position before or since: an offset
gap (transaction markers, compaction, aborted records) is known and not guessed. aiokafka knows both offsets at the
moment it returns what it fetched, and tells neither, so they are taken there.

`patch_aiokafka_fetch_results` patches aiokafka for the whole process: every consumer of it is affected. Upstream:
aio-libs/aiokafka#911 (a consumer cannot tell how far it has read where a log ends in a transaction marker) and #71
(offset gaps of compacted topics). The patch can go once aiokafka returns with the records the offset that a fetch began
at and the offset that follows it. `tests/unit/stream/transport/test_upstream.py` pins what it relies on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from aiokafka.consumer import fetcher
from faust.types.tuples import TP

from recsys.kafka.records import Fetch, Record

NO_OFFSETS = range(0)


class Fetched(list[Record]):
    """The records of one partition that a fetch returned, and the fetch."""

    fetch: Fetch


class Epochs:
    """Counts how often each partition was sought or revoked."""

    def __init__(self) -> None:
        self._epochs: Counter[TP] = Counter()
        self._owned_since: dict[TP, int] = {}

    def of(self, tp: TP) -> int:
        """How often this worker moved the partition's position, or lost the partition, so far."""
        return self._epochs[tp]

    def owned_since(self, tp: TP) -> int:
        """The epoch that began when the partition was last revoked; chunks of earlier epochs are read again."""
        return self._owned_since.get(tp, 0)

    def sought(self, tp: TP) -> None:
        """The partition's position was moved."""
        self._epochs[tp] += 1

    def revoked(self, tps: Iterable[TP]) -> None:
        """The partitions were revoked."""
        for tp in tps:
            self._epochs[tp] += 1
            self._owned_since[tp] = self._epochs[tp]

    def stamp(self, fetched: Mapping[TP, Any]) -> None:
        """Writes the present epoch on what a fetch returned, a `Fetched` for each partition."""
        for tp, records in fetched.items():
            records.fetch = records.fetch._replace(epoch=self.of(tp))


_skipped: WeakKeyDictionary[Any, dict[Any, range]] = WeakKeyDictionary()
"""aiokafka's assignment → partition → the last offsets that were read over and hold no record.

Weak, and keyed by the assignment: aiokafka makes a new one at every rebalance, and what was known under the old one
ends with it.
"""


def skipped_offsets(consumer: Any, tp: TP) -> range:
    """The offsets that an aiokafka consumer read over last and found no record in; empty if it knows of none."""
    return _skipped.get(consumer._subscription.subscription.assignment, {}).get(tp, NO_OFFSETS)  # noqa: SLF001 - not told


class _FetchResult(fetcher.FetchResult):  # type: ignore[misc]  # aiokafka has no type information
    """aiokafka's buffer of one partition's records, which also tells the offsets it read from and to."""

    def getall(self, max_records: int | None = None) -> list[Record]:
        unpacked = self._partition_records
        # The parent moves `next_fetch_offset` behind all that it read, records and offset gaps alike, and drops
        # `_partition_records` when it is through: so the offset before and the object are kept here.
        begun_at = None if unpacked is None else unpacked.next_fetch_offset
        records: list[Record] = super().getall(max_records)
        if begun_at is None or (not records and unpacked.next_fetch_offset == begun_at):
            return records  # nothing was read: a buffer that is empty, or older than the last seek
        skipped = _skipped.setdefault(self._assignment, {})
        before = skipped.get(self._topic_partition, NO_OFFSETS)
        # Where the fetch before ended in an offset gap that this one goes on from, the two are one gap.
        read_from = before.start if before and before.stop == begun_at else begun_at
        skipped_from = records[-1].offset + 1 if records else read_from
        skipped[self._topic_partition] = range(skipped_from, unpacked.next_fetch_offset)
        if not records:
            return records
        fetched = Fetched(records)
        fetched.fetch = Fetch(0, read_from)
        return fetched


def patch_aiokafka_fetch_results() -> None:
    """Patches aiokafka for the whole process: its consumers return `Fetched` lists.

    `Fetcher` makes its buffers by the name `FetchResult` in its own module, and offers no other way in.
    """
    fetcher.FetchResult = _FetchResult
