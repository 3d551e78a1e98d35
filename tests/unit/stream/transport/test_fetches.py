"""A fetch tells from which offset it read, whoever moves positions: aiokafka's own buffer, our own batches."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.consumer.subscription_state import Assignment
from faust.types.tuples import TP

from recsys.kafka.records import Fetch
from stream.transport.fetches import NO_OFFSETS, Epochs, Fetched, _FetchResult, skipped_offsets

PLACE, PARTITION, OTHER = TopicPartition("t", 0), TP("t", 0), TP("t", 1)


class Batch:
    """Records at some offsets of `start` up to `stop`; of an aborted transaction or a marker if it says so."""

    def __init__(self, start: int, stop: int, offsets: Iterable[int], *, control: bool = False) -> None:
        self.base_offset, self.next_offset, self._offsets = start, stop, list(offsets)
        self.producer_id, self.is_control_batch, self.is_transactional = None, control, False

    def __iter__(self) -> Any:
        return iter(SimpleNamespace(offset=offset) for offset in self._offsets)


class Consumer:
    """aiokafka's assignment without a broker."""

    def __init__(self) -> None:
        self.assign()

    def assign(self) -> None:
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=Assignment([PLACE])))

    @property
    def assignment(self) -> Assignment:
        return self._subscription.subscription.assignment

    def seek(self, offset: int) -> None:
        self.assignment.state_value(PLACE).seek(offset)

    def result(self, at: int, *batches: Batch) -> _FetchResult:
        """What a fetch from `at` brought."""
        left = list(batches)
        unpacked = PartitionRecords(
            PLACE,
            SimpleNamespace(has_next=lambda: bool(left), next_batch=lambda: left.pop(0)),
            [],
            at,
            key_deserializer=None,
            value_deserializer=None,
            check_crcs=False,
            isolation_level=READ_COMMITTED,
        )
        unpacked._consumer_record = lambda _, record: record
        return _FetchResult(PLACE, assignment=self.assignment, partition_records=unpacked, backoff=0)


@pytest.fixture
async def consumer() -> Consumer:
    made = Consumer()
    made.seek(10)
    return made


def taken(result: _FetchResult, limit: int | None = None) -> tuple[int, list[int]]:
    records = result.getall(limit)
    assert isinstance(records, Fetched)
    return records.fetch.begun_at, [record.offset for record in records]


async def test_a_fetch_looked_from_the_offset_it_asked_for(consumer: Consumer) -> None:
    assert taken(consumer.result(10, Batch(8, 15, [8, 9, 13, 14]))) == (10, [13, 14])
    assert skipped_offsets(consumer, PARTITION) == NO_OFFSETS


async def test_what_is_taken_in_parts_goes_on_after_the_part_before(consumer: Consumer) -> None:
    result = consumer.result(10, Batch(10, 14, [10, 12, 13]), Batch(14, 15, [], control=True), Batch(15, 20, [17]))
    assert taken(result, 2) == (10, [10, 12])
    assert taken(result, 1) == (13, [13])
    assert taken(result) == (14, [17])
    assert skipped_offsets(consumer, PARTITION) == range(18, 20)


async def test_offset_gaps_that_meet_are_one(consumer: Consumer) -> None:
    assert taken(consumer.result(10, Batch(10, 12, [10, 11]), Batch(12, 13, [], control=True))) == (10, [10, 11])
    assert skipped_offsets(consumer, PARTITION) == range(12, 13)
    assert consumer.result(13, Batch(13, 16, [])).getall() == []
    assert skipped_offsets(consumer, PARTITION) == range(12, 16)
    consumer.seek(40)
    assert consumer.result(40, Batch(40, 41, [], control=True)).getall() == []
    assert skipped_offsets(consumer, PARTITION) == range(40, 41)
    assert skipped_offsets(consumer, OTHER) == NO_OFFSETS


async def test_a_fetch_goes_on_from_an_offset_gap_that_it_meets(consumer: Consumer) -> None:
    assert taken(consumer.result(10, Batch(10, 12, [10, 11]), Batch(12, 13, [], control=True))) == (10, [10, 11])
    assert taken(consumer.result(13, Batch(13, 15, [13, 14]))) == (12, [13, 14])
    consumer.seek(20)
    assert consumer.result(20, Batch(20, 30, [])).getall() == []
    assert consumer.result(30, Batch(30, 40, [])).getall() == []
    assert taken(consumer.result(40, Batch(40, 41, [40]))) == (20, [40])
    assert taken(consumer.result(41, Batch(41, 43, [42]))) == (41, [42])


async def test_what_was_fetched_before_a_seek_is_not_handed_out_and_proves_nothing(consumer: Consumer) -> None:
    stale = consumer.result(10, Batch(10, 30, []))
    consumer.seek(5)
    assert consumer.result(5, Batch(5, 8, [])).getall() == []
    assert stale.getall() == []
    assert skipped_offsets(consumer, PARTITION) == range(5, 8)


async def test_a_batch_that_cannot_be_unpacked_proves_nothing(consumer: Consumer) -> None:
    class Broken(Batch):
        def __iter__(self) -> Any:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        consumer.result(10, Batch(10, 20, []), Broken(20, 30, [])).getall()
    assert skipped_offsets(consumer, PARTITION) == NO_OFFSETS


async def test_a_new_assignment_knows_of_nothing(consumer: Consumer) -> None:
    assert consumer.result(10, Batch(10, 20, [])).getall() == []
    assert skipped_offsets(consumer, PARTITION) == range(10, 20)
    consumer.assign()
    assert skipped_offsets(consumer, PARTITION) == NO_OFFSETS


def test_epochs_count_seeks_and_revocations_and_are_stamped_on_what_comes_back() -> None:
    epochs, fetched = Epochs(), Fetched()
    fetched.fetch = Fetch(0, 5)
    epochs.sought(PARTITION)
    epochs.revoked([PARTITION, OTHER])
    epochs.sought(PARTITION)
    epochs.stamp({PARTITION: fetched})
    assert fetched.fetch == Fetch(3, 5)
    assert (epochs.owned_since(PARTITION), epochs.owned_since(OTHER), epochs.of(OTHER)) == (2, 1, 1)
