"""A shard's writer: gaps are read again, offset gaps passed, a moved fence changes nothing, services come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from recsys.errors import RefusalReason, ServiceUnavailable, TopologyMismatch
from recsys.keys import Partition, Shard
from recsys.online_store import Effects, ShardState
from recsys.online_store.memory import MemoryStore
from recsys.online_store.operations import Read
from stream.engagement import commit as commit_module
from stream.engagement import patient_fold
from stream.engagement.commit import Applied, ShardWriter, WriterRules
from stream.engagement.fold import decode_records, fold
from stream.engagement.metrics import PartitionMetrics
from tests.doubles.stream import ARRIVAL, RULES, FakeLog, FakeOutputs, FakeRecord, chunk, event

GROUP = "g"
SHARD = Shard(0)
PARTITION = Partition(0)


class Clock:
    """Every look at it takes 10 ms."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


def writer(store: Any, log: FakeLog | None = None, outputs: FakeOutputs | None = None, **options: Any) -> ShardWriter:
    return ShardWriter(
        PARTITION,
        GROUP,
        store=store,
        outputs=outputs or FakeOutputs(),
        rules=WriterRules(RULES, **{"retry_s": 0.2, "longest_pause_s": 0.01, **options}),
        kafka=log or FakeLog(),
        metrics=PartitionMetrics(PARTITION),
        clock=Clock(),
        now_ms=lambda: 5,
    )


async def total(store: MemoryStore) -> int:
    return sum((await store.counts(SHARD)).values())


async def test_a_chunk_moves_the_fence_to_its_last_record() -> None:
    store = MemoryStore()
    applied = await writer(store).apply(chunk(event(0), event(1)))
    assert (applied.counts, applied.users) == ({"accepted": 2}, 1)
    assert await store.fence(SHARD, GROUP) == 1


async def test_a_redelivered_chunk_changes_nothing() -> None:
    store = MemoryStore()
    first, second = writer(store), writer(store)
    await first.apply(chunk(event(0), event(1)))
    assert await second.apply(chunk(event(0), event(1))) == Applied()
    assert (await second.apply(chunk(event(1), event(2)))).counts == {"accepted": 1}
    assert await total(store) == 3


async def test_of_two_owners_the_late_one_finds_the_fence_moved_and_continues_after_it() -> None:
    store = MemoryStore()
    zombie, owner = writer(store), writer(store)
    await zombie.apply(chunk(event(0)))
    await owner.apply(chunk(event(1), event(2)))
    assert (await zombie.apply(chunk(event(1), event(2), event(3)))).counts == {"accepted": 1}
    assert await total(store) == 4


class LostReplies(MemoryStore):
    """Applies each commit and then loses the reply, `losses` times."""

    losses = 3

    async def commit(self, *arguments: Any) -> bool:
        applied = await super().commit(*arguments)
        if applied and self.losses:
            self.losses -= 1
            raise ServiceUnavailable("expected a reply, received none")
        return applied


async def test_a_reply_lost_after_the_commit_does_not_double_it() -> None:
    store = LostReplies()
    shard = writer(store)
    for n in range(5):
        await shard.apply(chunk(event(2 * n), event(2 * n + 1)))
    assert await store.counts(SHARD) == {"accepted": 10}
    assert await store.fence(SHARD, GROUP) == 9


async def test_a_gap_is_sought_and_later_chunks_are_left_alone_until_it_is_read() -> None:
    store, log = MemoryStore(), FakeLog()
    shard = writer(store, log)
    await shard.apply(chunk(event(0)))
    assert (await shard.apply(chunk(event(5)))).left_alone
    assert (await shard.apply(chunk(event(6)))).left_alone
    assert log.seeks == [1]
    await shard.apply(chunk(event(1), event(2), event(3), event(4), event(5), epoch=1))
    assert await store.fence(SHARD, GROUP) == 5
    assert await total(store) == 6


async def test_what_a_fetch_under_way_at_the_seek_brings_is_applied_if_it_was_sought() -> None:
    """A partition read to its end always has a fetch under way; nothing else may ever come after it."""
    store, log = MemoryStore(), FakeLog()
    shard = writer(store, log)
    await shard.apply(chunk(event(0)))
    assert (await shard.apply(chunk(event(3)))).left_alone
    assert log.seeks == [1]
    assert (await shard.apply(chunk(event(1), event(2), event(3), epoch=0))).counts == {"accepted": 3}


async def test_a_fresh_store_is_filled_from_the_start_of_the_log() -> None:
    log = FakeLog(start=100)
    shard = writer(MemoryStore(), log)
    assert (await shard.apply(chunk(event(400)))).left_alone
    assert log.seeks == [100]
    assert (await shard.apply(chunk(event(100), event(101), epoch=1))).counts == {"accepted": 2}


async def test_an_offset_gap_is_passed_by_the_fetch_that_read_from_its_beginning() -> None:
    log = FakeLog()
    shard = writer(MemoryStore(), log)
    await shard.apply(chunk(event(0)))
    assert (await shard.apply(chunk(event(5), begun_at=1))).counts == {"accepted": 1}
    assert (await shard.apply(chunk(event(9), begun_at=3))).counts == {"accepted": 1}
    assert log.seeks == []


async def test_a_fetch_that_read_from_beyond_the_fences_next_offset_proves_no_offset_gap() -> None:
    log = FakeLog()
    shard = writer(MemoryStore(), log)
    await shard.apply(chunk(event(0)))
    for epoch in range(20):  # each time somebody else moved the position after our own seek
        assert (await shard.apply(chunk(event(5), epoch=epoch, begun_at=2))).left_alone
    assert log.seeks == [1] * 20


async def test_what_a_fetch_read_over_is_known_though_retention_deleted_it_since() -> None:
    log = FakeLog()
    shard = writer(MemoryStore(), log)
    await shard.apply(chunk(event(0)))
    log.start = 5
    assert (await shard.apply(chunk(event(5), begun_at=1))).counts == {"accepted": 1}
    log.start = 9
    assert (await shard.apply(chunk(event(9), begun_at=7))).left_alone
    assert shard.stopped()


async def test_what_was_fetched_before_retention_deleted_it_is_not_counted_as_expired() -> None:
    store, log = MemoryStore(), FakeLog()
    shard = writer(store, log)
    await shard.apply(chunk(event(0)))
    log.start = 50
    await store.resume_partition(SHARD, GROUP, expired_until=50)
    again = writer(store, log)
    fetched = chunk(*(event(n) for n in range(20, 60)), begun_at=20)
    assert (await again.apply(fetched)).counts == {"accepted": 40, "expired": 19}


async def test_records_deleted_by_retention_stop_the_partition_until_an_operator_override() -> None:
    store, log = MemoryStore(), FakeLog()
    await writer(store, log).apply(chunk(event(0)))
    log.start = 50
    shard = writer(store, log)
    assert (await shard.apply(chunk(event(53)))).left_alone
    assert shard.stopped()
    stop = (await store.guard(SHARD, GROUP)).stop
    assert stop is not None
    assert (stop.offset, stop.log_start) == (1, 50)
    assert "retention deleted 49 records" in stop.reason
    assert (await writer(store, log).apply(chunk(event(50)))).left_alone  # a restart changes nothing
    assert (await total(store), log.seeks) == (1, [])
    # The operator override, and a reread from the first record that is still there.
    await store.resume_partition(SHARD, GROUP, expired_until=50)
    await shard.check_idle()
    assert log.seeks == [50]
    assert (await shard.apply(chunk(event(50), epoch=1))).counts == {"accepted": 1, "expired": 49}
    assert await store.counts(SHARD) == {"accepted": 2, "expired": 49}
    # It holds for these records, and for a writer that begins later, but not for the next ones.
    log.start = 60
    assert (await shard.apply(chunk(event(60), epoch=1))).left_alone
    assert shard.stopped()


async def test_an_override_that_records_may_be_passed_outlives_the_worker_it_was_given_to() -> None:
    store, log = MemoryStore(), FakeLog()
    await writer(store, log).apply(chunk(event(0)))
    log.start = 50
    await store.resume_partition(SHARD, GROUP, expired_until=50)
    told = writer(store, log)
    assert (await told.apply(chunk(event(53)))).left_alone  # records 50 to 52 are still there
    assert log.seeks == [50]
    assert (await told.apply(chunk(event(50), epoch=1))).counts == {"accepted": 1, "expired": 49}


async def test_a_fence_beyond_the_end_of_the_log_is_refused() -> None:
    store = MemoryStore()
    await writer(store).apply(chunk(*(event(n) for n in range(10))))
    with pytest.raises(TopologyMismatch, match="its log ends at 3"):
        await writer(store, FakeLog(end=3)).apply(chunk(event(0), event(1)))


async def test_dead_letters_are_acknowledged_before_the_fence_passes_them() -> None:
    store, outputs = MemoryStore(), FakeOutputs(failures=10**6)
    shard = writer(store, outputs=outputs)
    with pytest.raises(ServiceUnavailable):
        await shard.apply(chunk(event(0), FakeRecord(1, b"junk")))
    assert (await store.fence(SHARD, GROUP), await total(store)) == (None, 0)
    outputs.failures = 2
    assert (await shard.apply(chunk(event(0), FakeRecord(1, b"junk")))).counts == {"accepted": 1, "refused": 1}
    assert [refusal.record.offset for refusal in outputs.refused] == [1]
    assert await store.fence(SHARD, GROUP) == 1


class AwayStore(MemoryStore):
    """Does not answer `away` times."""

    away = 0

    async def read_shard(self, partition: int, group: str, reads: Sequence[Read]) -> ShardState:
        if self.away:
            self.away -= 1
            raise ServiceUnavailable("no answer from Redis")
        return await super().read_shard(Shard(partition), group, reads)


@pytest.mark.parametrize(("away", "survives"), [(1, True), (10**6, False)])
async def test_a_service_may_be_away_for_a_bounded_time(away: int, survives: bool) -> None:
    store = AwayStore()
    store.away = away
    shard = writer(store)
    if not survives:
        with pytest.raises(ServiceUnavailable):
            await shard.apply(chunk(event(0)))
        store.away = 0
    assert (await shard.apply(chunk(event(0)))).counts == {"accepted": 1}


async def test_an_event_the_fold_fails_on_becomes_a_dead_letter_and_the_rest_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing_fold(batch: Any, *arguments: Any) -> Effects:
        if any(interaction.course_id == "cursed" for interaction in batch.events):
            raise RuntimeError("no fold for this one")
        return fold(batch, *arguments)

    monkeypatch.setattr(patient_fold, "fold", failing_fold)
    monkeypatch.setattr(patient_fold, "FOLD_PAUSES_S", (0.0,) * 4)
    store, outputs = MemoryStore(), FakeOutputs()
    records: Sequence[FakeRecord] = [event(0), event(1, course="cursed"), event(2, "v"), event(3, at=ARRIVAL - 1000)]
    applied = await writer(store, outputs=outputs).apply(chunk(*records))
    assert applied.counts == {"accepted": 2, "unchanged": 1, "refused": 1}
    assert [(r.record.offset, r.error.reason) for r in outputs.refused] == [(1, RefusalReason.FOLD_FAILED)]
    assert await store.fence(SHARD, GROUP) == 3


@pytest.mark.parametrize("failures", range(1, 5))
async def test_an_exception_that_passes_makes_no_dead_letter(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    left = iter([True] * failures)

    def passing(*arguments: Any) -> Effects:
        if next(left, False):
            raise MemoryError("expected memory, received none for a moment")
        return fold(*arguments)

    monkeypatch.setattr(patient_fold, "fold", passing)
    monkeypatch.setattr(patient_fold, "FOLD_PAUSES_S", (0.0,) * 4)
    store, outputs = MemoryStore(), FakeOutputs()
    await writer(store, outputs=outputs).apply(chunk(event(0), event(1)))
    assert (await store.counts(SHARD), outputs.refused) == ({"accepted": 2}, [])


class Dies(Exception):
    """Stands for the end of the process."""


async def start_worker(store: MemoryStore, outputs: FakeOutputs, records: Sequence[FakeRecord]) -> bool:
    """A new process reads from the fence on; returns whether it got through."""
    fence = await store.fence(SHARD, GROUP)
    due = [record for record in records if fence is None or record.offset > fence]
    try:
        await writer(store, outputs=outputs).apply(chunk(*due))
    except Dies:
        return False
    return True


async def test_a_record_that_ends_the_process_is_a_dead_letter_after_three_restarts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killing(records: Sequence[FakeRecord], *arguments: Any) -> Any:
        if any(record.value == b"poison" for record in records):
            raise Dies
        return decode_records(records, *arguments)

    monkeypatch.setattr(commit_module, "decode_records", killing)
    store, outputs = MemoryStore(), FakeOutputs()
    records = [event(0), event(1), FakeRecord(2, b"poison"), event(3)]
    survived = [await start_worker(store, outputs, records) for _ in range(4)]
    assert survived == [False, False, False, True]
    assert await store.counts(SHARD) == {"accepted": 3, "refused": 1}
    assert [(r.record.offset, r.error.reason) for r in outputs.refused] == [(2, RefusalReason.CRASHED_WORKER)]
    assert (await store.guard(SHARD, GROUP)).quarantined == (2,)


async def test_workers_that_die_elsewhere_quarantine_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three kills in a row before the first commit: the records are gone through one by one, and all count."""
    store, outputs = MemoryStore(), FakeOutputs()
    records = [event(n) for n in range(5)]
    bounds = FakeLog.bounds

    async def dying(*_: object) -> Any:
        raise Dies

    monkeypatch.setattr(FakeLog, "bounds", dying)
    assert [await start_worker(store, outputs, records) for _ in range(5)] == [False] * 5
    monkeypatch.setattr(FakeLog, "bounds", bounds)
    assert await start_worker(store, outputs, records)
    assert await store.counts(SHARD) == {"accepted": 5}


async def test_a_store_that_comes_and_goes_quarantines_no_record_in_isolation_mode() -> None:
    store = LostReplies()
    await writer(store).check_idle()  # a worker began here and was killed
    outputs = FakeOutputs(failures=4)
    shard = writer(store, outputs=outputs, retry_s=10.0)
    await shard.apply(chunk(FakeRecord(0, b"junk"), event(1), event(2)))
    assert await store.counts(SHARD) == {"accepted": 2, "refused": 1}
    assert [refusal.error.reason for refusal in outputs.refused] == [RefusalReason.NOT_JSON]


async def test_after_an_orderly_end_nobody_enters_isolation_mode() -> None:
    store = MemoryStore()
    for _ in range(4):
        idle = writer(store)
        await idle.check_idle()
        await idle.end()
    shard = writer(store)
    await shard.apply(chunk(event(0), event(1)))
    assert (await store.guard(SHARD, GROUP)).attempted is None


async def test_an_old_owner_stops_in_the_middle_of_a_chunk_and_does_not_begin_again() -> None:
    store, log = MemoryStore(), FakeLog()
    await writer(store).check_idle()  # began and died, so that the next one goes record by record
    old = writer(store, log)
    commit = store.commit

    async def revoked_meanwhile(*arguments: Any) -> bool:
        log.revoked_at = 1
        return await commit(*arguments)

    store.commit = revoked_meanwhile  # type: ignore[method-assign,assignment]
    assert (await old.apply(chunk(event(0), event(1), event(2)))).left_alone
    assert await store.fence(SHARD, GROUP) == 0
    late = writer(store, log)
    assert (await late.apply(chunk(event(1), event(2)))).left_alone
    assert (await store.guard(SHARD, GROUP)).starts == 2
    assert (await late.apply(chunk(event(1), event(2), epoch=1))).counts == {"accepted": 2}


async def test_a_service_that_is_away_again_and_again_quarantines_no_record() -> None:
    store = MemoryStore()
    await writer(store).check_idle()  # began and died, so that the next one goes record by record
    for _ in range(4):
        shard = writer(store, outputs=FakeOutputs(failures=1_000))
        with pytest.raises(ServiceUnavailable):
            await shard.apply(chunk(FakeRecord(0, b"junk")))
        await shard.end()  # as a worker does before it gives up
    outputs = FakeOutputs()
    await writer(store, outputs=outputs).apply(chunk(FakeRecord(0, b"junk")))
    assert [refusal.error.reason for refusal in outputs.refused] == [RefusalReason.NOT_JSON]


async def test_a_fence_that_another_owner_moved_is_no_reason_to_stop_for_expired_records() -> None:
    store, log = MemoryStore(), FakeLog()
    old = writer(store, log)
    await old.apply(chunk(event(0)))
    await writer(store, log).apply(chunk(*(event(n) for n in range(1, 60))))
    log.start = 50
    assert (await old.apply(chunk(event(60)))).left_alone
    assert not old.stopped()
    assert (await old.apply(chunk(event(60)))).counts == {"accepted": 1}


async def test_a_writer_that_ended_applies_nothing_and_ends_after_the_step_under_way() -> None:
    store, release = MemoryStore(), asyncio.Event()
    shard, commit = writer(store), store.commit

    async def slow(*arguments: Any) -> bool:
        await release.wait()
        return await commit(*arguments)

    store.commit = slow  # type: ignore[method-assign,assignment]
    under_way = asyncio.create_task(shard.apply(chunk(event(0))))
    await asyncio.sleep(0.01)
    end = asyncio.create_task(shard.end())
    await asyncio.sleep(0.01)
    assert not end.done()
    release.set()
    await end
    assert (await under_way).counts == {"accepted": 1}
    assert (await shard.apply(chunk(event(1)))).left_alone
    assert await store.fence(SHARD, GROUP) == 0


async def test_what_was_shown_of_a_partition_is_not_shown_by_a_worker_that_lost_it() -> None:
    def shown(name: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"partition": "0"})

    shard = writer(MemoryStore())
    await shard.apply(chunk(event(0)))
    assert (shown("recsys_fence_offset"), shown("recsys_partition_stopped")) == (0.0, 0.0)
    await shard.end()
    assert (shown("recsys_fence_offset"), shown("recsys_partition_stopped")) == (None, None)


async def test_a_flood_of_refusals_stops_the_partition_before_it_is_drained() -> None:
    store, outputs, log = MemoryStore(), FakeOutputs(), FakeLog()
    shard = writer(store, log, outputs, stop_records=100)
    await shard.apply(chunk(*(event(n) for n in range(100))))
    flood = [FakeRecord(n, b"junk") for n in range(100, 400)]
    assert not (await shard.apply(chunk(*flood[:50]))).left_alone
    assert (await shard.apply(chunk(*flood[50:300]))).left_alone
    assert shard.stopped()
    assert len(outputs.refused) == 50
    guard = await store.guard(SHARD, GROUP)
    assert guard.stop is not None
    assert guard.stop.offset == 150
    # A restart changes nothing, and nothing more is sent.
    again = writer(store, log, outputs, stop_records=100)
    assert (await again.apply(chunk(*flood[50:]))).left_alone
    # The operator override: this flood is passed, the next one is not.
    await store.resume_partition(SHARD, GROUP, refusals_until=400)
    await again.check_idle()
    assert log.seeks[-1] == 150
    assert (await again.apply(chunk(*flood[50:], epoch=9))).counts == {"refused": 250}
    assert (await again.apply(chunk(*(FakeRecord(n, b"junk") for n in range(400, 520)), epoch=9))).left_alone


async def test_a_store_that_lost_its_state_is_filled_again_though_nothing_new_arrives() -> None:
    store, log = MemoryStore(), FakeLog(end=3)
    shard = writer(store, log)
    await shard.apply(chunk(event(0), event(1), event(2)))
    await store.drop_shards([SHARD])
    log.next_offset = 3
    await shard.check_idle()
    assert log.seeks == []  # one check may fall between a fetch and its arrival
    await shard.check_idle()
    assert log.seeks == [0]
    await shard.apply(chunk(event(0), event(1), event(2), epoch=1, begun_at=0))
    assert await store.counts(SHARD) == {"accepted": 3}
    log.next_offset = 3
    for _ in range(3):
        await shard.check_idle()
    assert log.seeks == [0]


async def test_an_offset_gap_at_the_end_of_a_log_is_passed_before_retention_hides_it() -> None:
    """A transaction's marker, say: else its deletion looks like a record's."""
    store, log = MemoryStore(), FakeLog(end=5)
    shard = writer(store, log)
    await shard.apply(chunk(event(0)))
    log.skipped, log.next_offset = range(1, 5), 5
    await shard.check_idle()
    assert (await store.fence(SHARD, GROUP), await store.counts(SHARD), log.seeks) == (4, {"accepted": 1}, [])
    log.start = log.end = 5
    assert (await shard.apply(chunk(event(5), begun_at=5))).counts == {"accepted": 1}


async def test_a_position_ahead_proves_nothing_by_itself() -> None:
    store, log = MemoryStore(), FakeLog(end=5)
    shard = writer(store, log)
    await shard.apply(chunk(event(0)))
    for log.skipped in (range(2, 5), range(0)):
        log.next_offset = 5
        await shard.check_idle()
        assert await store.fence(SHARD, GROUP) == 0
    assert log.seeks == [1]


async def test_a_log_without_records_after_a_gap_of_retentions_is_not_read_again_and_again() -> None:
    store, log = MemoryStore(), FakeLog(end=5)
    shard = writer(store, log)
    await shard.apply(chunk(event(0)))
    log.start, log.skipped, log.next_offset = 3, range(3, 5), 5
    for _ in range(5):
        await shard.check_idle()
    assert (await store.fence(SHARD, GROUP), log.seeks) == (0, [])


async def test_a_writer_that_ended_checks_nothing() -> None:
    store, log = MemoryStore(), FakeLog(skipped=range(5), next_offset=5)
    shard = writer(store, log)
    await shard.end()
    await shard.check_idle()
    assert (await store.fence(SHARD, GROUP), (await store.guard(SHARD, GROUP)).starts) == (None, 0)


class SlowLog(FakeLog):
    """One that is asked for its bounds and does not answer yet."""

    def __init__(self, **shown: Any) -> None:
        super().__init__(**shown)
        self.asked, self.answers, self.fails = asyncio.Event(), asyncio.Event(), False

    async def bounds(self) -> tuple[int, int]:
        shown = await super().bounds()
        self.asked.set()
        await self.answers.wait()
        if self.fails:
            raise ServiceUnavailable("expected an answer, received none")
        return shown


async def test_an_end_waits_for_no_idle_check_that_waits_for_kafka() -> None:
    """Else a worker that ends in order leaves a count of its start behind."""
    store, log = MemoryStore(), SlowLog()
    shard = writer(store, log)
    log.answers.set()
    await shard.apply(chunk(event(0)))
    log.answers.clear()
    log.asked.clear()
    for log.fails in (False, True):
        log.skipped, log.next_offset = range(1, 5), 5
        check = asyncio.create_task(shard.check_idle())
        await asyncio.wait_for(log.asked.wait(), 10)
        await asyncio.wait_for(shard.end(), 10)
        log.answers.set()
        assert not await check
    assert ((await store.guard(SHARD, GROUP)).starts, await store.fence(SHARD, GROUP)) == (0, 0)


@pytest.mark.parametrize("back", [False, True])
async def test_a_fence_that_moves_while_an_idle_check_waits_for_kafka_passes_no_record(back: bool) -> None:
    """What was observed, an offset gap, stays true; whether it follows the fence is asked for afterwards."""
    store, log = MemoryStore(), SlowLog(skipped=range(3, 5), next_offset=5)
    shard = writer(store, log)
    log.answers.set()
    await shard.apply(chunk(event(0), event(1), event(2)))
    log.answers.clear()
    log.asked.clear()
    check = asyncio.create_task(shard.check_idle())
    await asyncio.wait_for(log.asked.wait(), 10)
    if back:
        await store.drop_shards([SHARD])
    else:
        await shard.apply(chunk(event(5), begun_at=3))
    log.answers.set()
    assert await check
    assert (await store.fence(SHARD, GROUP), log.seeks) == (None if back else 5, [])


async def test_a_beginning_whose_answer_nobody_waited_for_ends_in_order() -> None:
    store = MemoryStore()
    shard, begin, began = writer(store), store.begin, asyncio.Event()

    async def begins(*arguments: Any) -> Any:
        await begin(*arguments)
        began.set()
        await asyncio.Event().wait()

    store.begin = begins  # type: ignore[method-assign,assignment]
    check = asyncio.create_task(shard.check_idle())
    await asyncio.wait_for(began.wait(), 10)
    check.cancel()
    await asyncio.gather(check, return_exceptions=True)
    assert (await store.guard(SHARD, GROUP)).starts == 1
    await shard.end()
    assert (await store.guard(SHARD, GROUP)).starts == 0


async def test_an_idle_check_of_a_stopped_partition_says_that_it_took_place() -> None:
    store = MemoryStore()
    shard = writer(store, stop_records=10)
    assert (await shard.apply(chunk(*(FakeRecord(n, b"junk") for n in range(20))))).left_alone
    assert shard.stopped()
    assert await shard.check_idle()
