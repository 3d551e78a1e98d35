"""The watchdog ends a worker that has records to read and reads none, and nobody else."""

from __future__ import annotations

import pytest

from recsys.errors import ServiceUnavailable
from recsys.keys import Partition
from stream.transport.watchdog import Progress, Stalled, Watchdog

PARTITION = Partition(0)


class Scene:
    def __init__(self) -> None:
        self.now = 0.0
        self.positions: dict[Partition, Progress | None] = {PARTITION: (None, 0)}
        self.rebalancing = False
        self.reachable_by_others, self.probe_s = True, 0.0
        self.watchdog = Watchdog(
            lambda: self.positions,
            self.progress,
            self.reachable,
            lambda: self.rebalancing,
            lambda: self.now,
            60.0,
            180.0,
        )

    async def reachable(self, partitions: set[Partition]) -> set[Partition]:
        assert partitions == {PARTITION}
        self.now += self.probe_s
        return partitions if self.reachable_by_others else set()

    async def progress(self, partition: Partition) -> Progress:
        position = self.positions[partition]
        if position is None:
            raise ServiceUnavailable("expected an answer, received none")
        return position

    async def after(self, seconds: float, position: Progress | None = None) -> None:
        self.now += seconds
        self.positions[PARTITION] = position
        await self.watchdog.check()


@pytest.mark.parametrize("fence", [None, 4])
async def test_records_to_read_and_a_fence_that_stands_still_are_a_stall(fence: int | None) -> None:
    scene = Scene()
    await scene.after(0, (fence, 5))
    await scene.after(59, (fence, 7))
    with pytest.raises(Stalled, match="no progress on partition 0 for 61 s"):
        await scene.after(2, (fence, 9))


@pytest.mark.parametrize("position", [(None, 0), (9, 0)])
async def test_nothing_to_read_is_no_stall(position: Progress) -> None:
    scene = Scene()
    for _ in range(5):
        await scene.after(50, position)
    await scene.after(1, (position[0], 1))
    await scene.after(59, (position[0], 1))


async def test_progress_however_slow_is_no_stall() -> None:
    scene = Scene()
    for fence in range(10):
        await scene.after(50, (fence, 1000))


async def test_a_service_that_was_away_starts_the_wait_anew() -> None:
    scene = Scene()
    await scene.after(0, (4, 10))
    await scene.after(50, None)
    await scene.after(20, (4, 10))
    await scene.after(59, (4, 10))


async def test_a_partition_given_up_is_forgotten() -> None:
    scene = Scene()
    await scene.after(0, (4, 10))
    scene.positions.clear()
    scene.now += 50
    await scene.watchdog.check()
    await scene.after(50, (4, 10))


async def test_a_rebalance_that_never_ends_is_a_stall() -> None:
    scene = Scene()
    for _ in range(2):  # the second one is counted anew
        scene.rebalancing = True
        await scene.after(0, (4, 0))
        await scene.after(180, (4, 0))
        scene.rebalancing = False
        await scene.after(10, (4, 0))
    scene.rebalancing = True
    await scene.after(0, (4, 0))
    with pytest.raises(Stalled, match=r"rebalance still running after 181 s \(limit 180 s\)"):
        await scene.after(181, (4, 0))


SILENT = (4, None)


async def test_a_consumer_without_an_answer_where_others_get_one_is_a_stall() -> None:
    scene = Scene()
    await scene.after(0, SILENT)
    await scene.after(60, SILENT)
    with pytest.raises(Stalled, match="no answer from Kafka about partition 0 for 61 s at offset 4"):
        await scene.after(1, SILENT)


async def test_silence_and_standing_still_in_turn_are_a_stall() -> None:
    scene = Scene()
    for position in (SILENT, (4, 10), SILENT):
        await scene.after(30, position)
    with pytest.raises(Stalled, match="no progress on partition 0 for 61 s"):
        await scene.after(1, (4, 10))


async def test_a_kafka_that_answers_nobody_is_no_stall() -> None:
    scene = Scene()
    scene.reachable_by_others = False
    for _ in range(5):
        await scene.after(50, SILENT)


@pytest.mark.parametrize("between", [None, (4, 0), (5, 10), (5, None)])
async def test_redis_away_nothing_to_read_and_progress_end_a_silence(between: Progress | None) -> None:
    scene = Scene()
    await scene.after(0, SILENT)
    await scene.after(50, between)
    fence = between[0] if between else 4
    await scene.after(20, (fence, None))
    await scene.after(39, (fence, None))


async def test_who_is_answered_when_others_are_has_time_to_be_so_too() -> None:
    """A broker that comes back may answer another client first."""
    scene = Scene()
    await scene.after(0, SILENT)
    scene.reachable_by_others = False
    await scene.after(100, SILENT)
    scene.reachable_by_others = True
    await scene.after(50, SILENT)
    await scene.after(59, SILENT)


async def test_silence_about_one_partition_hides_no_other_that_stands_still() -> None:
    scene = Scene()
    scene.reachable_by_others = False
    scene.positions[Partition(1)] = (4, 10)
    await scene.after(0, SILENT)
    with pytest.raises(Stalled, match="progress on partition 1"):
        await scene.after(61, SILENT)


async def test_the_time_that_a_broker_probe_takes_counts_for_no_partition() -> None:
    scene = Scene()
    scene.reachable_by_others, scene.probe_s = False, 50.0
    scene.positions[Partition(1)] = (4, 10)
    await scene.after(0, (4, 0))
    await scene.after(30, SILENT)
    await scene.after(-30, (4, 0))  # 50 s after the first look
    with pytest.raises(Stalled, match="no progress on partition 1 for 61 s"):
        await scene.after(11, (4, 0))


async def test_during_a_rebalance_nobody_has_to_get_on() -> None:
    scene = Scene()
    await scene.after(0, (4, 10))
    scene.rebalancing = True
    for _ in range(3):
        await scene.after(55, (4, 10))
    scene.rebalancing = False
    await scene.after(10, (4, 10))
    await scene.after(60, (4, 10))
    with pytest.raises(Stalled, match="progress"):
        await scene.after(1, (4, 10))
