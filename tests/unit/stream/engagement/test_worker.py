"""How a worker gives up, and what it lets go of when partitions change hands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import pytest

from recsys.errors import ServiceUnavailable
from recsys.keys import Partition, Topology
from recsys.online_store.memory import MemoryStore
from recsys.owner import LogIdentity, StateOwner
from recsys.settings import load_settings
from stream.engagement.shutdown import end_process
from stream.engagement.worker import EngagementWorker
from stream.transport.watchdog import Stalled

TOPOLOGY = Topology(2)
PARTITIONS = [Partition(0), Partition(1)]


class Died(BaseException):
    """Instead of the process's end."""


def die(error: BaseException) -> NoReturn:
    raise Died from error


class Store(MemoryStore):
    """A writer's end may fail or hang; counts the ends asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.ends, self.ending = 0, succeeds

    async def end(self, *arguments: Any) -> None:
        self.ends += 1
        await self.ending()
        await super().end(*arguments)


async def succeeds() -> None:
    return


async def fails() -> None:
    raise RuntimeError("a bug")


async def is_away() -> None:
    raise ServiceUnavailable("still away")


async def for_ever() -> None:
    await asyncio.Event().wait()


async def worker_of(store: Store) -> EngagementWorker:
    """One whose writers of both partitions have begun."""
    settings = load_settings()
    worker = EngagementWorker(
        settings,
        store,
        topology=TOPOLOGY,
        owner=StateOwner("recsys", settings.consumer_group, LogIdentity("interactions")),
        worker_id=None,
        die=die,
        release_s=0.05,
    )
    for partition in PARTITIONS:
        await worker._partitions.of(partition)._writer._begin()
    return worker


async def starts(store: Store) -> list[int]:
    """Writers that Redis counts as begun and not ended, by partition."""
    group = load_settings().consumer_group
    return [(await store.guard(TOPOLOGY.shard(partition), group)).starts for partition in PARTITIONS]


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("error", "left"),
    [
        (ServiceUnavailable("Redis is away"), [0, 0]),
        (Stalled("a record may be why"), [1, 1]),
        (RuntimeError("a record may be why"), [1, 1]),
    ],
)
async def test_a_successor_enters_isolation_mode_unless_a_service_was_given_up_on(
    error: Exception, left: list[int], beside: bool
) -> None:
    store = Store()
    worker = await worker_of(store)

    async def work() -> NoReturn:
        raise error

    with pytest.raises(Died):
        await (worker._or_die(work) if beside else worker._give_up(error))
    assert await starts(store) == left


async def test_a_task_whose_awaited_work_was_cancelled_does_not_end_unnoticed() -> None:
    """What ran in another thread is cancelled with it."""
    worker = await worker_of(Store())

    async def work() -> NoReturn:
        raise asyncio.CancelledError

    with pytest.raises(Died):
        await worker._or_die(work)
    told = asyncio.create_task(worker._or_die(for_ever))
    await asyncio.sleep(0)
    told.cancel()
    await asyncio.gather(told, return_exceptions=True)
    assert told.cancelled()


@pytest.mark.parametrize("ending", [is_away, fails, for_ever])
async def test_a_partition_that_cannot_end_keeps_no_process_alive(ending: Callable[[], Awaitable[None]]) -> None:
    store = Store()
    worker = await worker_of(store)
    store.ending = ending  # type: ignore[assignment]
    with pytest.raises(Died):
        await asyncio.wait_for(worker._give_up(ServiceUnavailable("Redis is away")), 10)
    assert store.ends == len(PARTITIONS)


@pytest.mark.parametrize("signal", ["on_partitions_revoked", "on_partitions_assigned"])
async def test_a_rebalance_drops_every_partition(signal: str) -> None:
    store = Store()
    worker = await worker_of(store)
    before = [worker._partitions.of(partition) for partition in PARTITIONS]
    await getattr(worker._app, signal).send(set())
    assert await starts(store) == [0, 0]
    assert not {*before} & {worker._partitions.of(partition) for partition in PARTITIONS}


async def test_what_checks_partitions_knows_of_a_rebalance() -> None:
    worker = await worker_of(Store())
    for worker._app.rebalancing in (True, False):
        assert worker._checks.rebalancing() is worker._app.rebalancing


def test_what_nobody_expected_leaves_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    for error in (ServiceUnavailable("Redis is away"), RuntimeError("a bug")):
        try:
            raise error  # noqa: TRY301
        except Exception as raised:  # noqa: BLE001 - as the worker does
            end_process(raised)
    said = capsys.readouterr().err
    assert ended == [3, 70]
    assert said.startswith("recsys: Redis is away\nTraceback")
    assert "test_what_nobody_expected" in said
    assert said.endswith("RuntimeError: a bug\nrecsys: a bug\n")
