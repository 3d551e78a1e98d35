"""What is known of a fetch: when it was made, and from which offset on it looked.

A broker that is asked for records from an offset on returns what is there. So between the offset of the request and the
first record there is none in the log, whoever moved the reading position before or since: a hole (transaction markers,
compaction, aborted records) is known and not guessed. aiokafka knows both offsets where it hands out what it fetched,
so they are taken there.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from aiokafka.consumer import fetcher
from faust.types.tuples import TP

from recsys.kafka.records import Fetch, Record

NOTHING = range(0)


class Fetched(list[Record]):
    """The records of one partition that a fetch returned, and the fetch."""

    fetch: Fetch


class Epochs:
    """How often each partition was sought or taken away; used from the app's thread and the consumer's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epochs: Counter[TP] = Counter()
        self._owned_since: dict[TP, int] = {}

    def of(self, tp: TP) -> int:
        """How often the partition's position was moved by this worker, or the partition taken away, so far."""
        return self._epochs[tp]

    def owned_since(self, tp: TP) -> int:
        """The epoch that began when the partition was last taken away; chunks of earlier ones are read again."""
        return self._owned_since.get(tp, 0)

    def sought(self, tp: TP) -> None:
        """Its position was moved."""
        with self._lock:
            self._epochs[tp] += 1

    def revoked(self, tps: Iterable[TP]) -> None:
        """They are taken away."""
        with self._lock:
            for tp in tps:
                self._epochs[tp] += 1
                self._owned_since[tp] = self._epochs[tp]

    def stamp(self, fetched: Mapping[TP, Any]) -> None:
        """Notes the present epoch on what a fetch returned, a `Fetched` a partition."""
        for tp, records in fetched.items():
            records.fetch = records.fetch._replace(epoch=self.of(tp))


_looked_at: WeakKeyDictionary[Any, dict[Any, range]] = WeakKeyDictionary()
"""Assignment → partition → the last offsets that were looked at and hold no record."""


def empty_stretch(consumer: Any, tp: TP) -> range:
    """The offsets that an aiokafka consumer looked at last and found no record in; empty if it knows of none."""
    return _looked_at.get(consumer._subscription.subscription.assignment, {}).get(tp, NOTHING)  # noqa: SLF001


class _FetchResult(fetcher.FetchResult):  # type: ignore[misc]  # aiokafka has no type information
    """aiokafka's buffer of one partition's records, which tells where it looked."""

    def getall(self, max_records: int | None = None) -> list[Record]:
        unpacked = self._partition_records
        begun_at = None if unpacked is None else unpacked.next_fetch_offset
        records: list[Record] = super().getall(max_records)
        if begun_at is None or (not records and unpacked.next_fetch_offset == begun_at):
            return records
        looked_at = _looked_at.setdefault(self._assignment, {})
        before = looked_at.get(self._topic_partition, NOTHING)
        looked_from = before.start if before and before.stop == begun_at else begun_at  # a marker ended the last one
        empty_from = records[-1].offset + 1 if records else looked_from
        looked_at[self._topic_partition] = range(empty_from, unpacked.next_fetch_offset)
        if not records:
            return records
        fetched = Fetched(records)
        fetched.fetch = Fetch(0, looked_from)
        return fetched


def patch_aiokafka_fetch_results() -> None:
    """Makes every aiokafka consumer of this process return `Fetched` lists."""
    fetcher.FetchResult = _FetchResult
