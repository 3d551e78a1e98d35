"""How a worker gives up, and what it lets go of when partitions change hands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from recsys.errors import ServiceUnavailable
from recsys.keys import Topology
from recsys.online_store.memory import MemoryStore
from recsys.settings import load_settings
from stream.engagement import writers as writers_module
from stream.engagement.commit import ShardWriter
from stream.engagement.shutdown import end_process
from stream.engagement.worker import EngagementWorker
from stream.transport.watchdog import Stalled
from tests.doubles.stream_room import chunk, event


class Died(BaseException):
    """Instead of the process's end."""


def die(error: BaseException) -> NoReturn:
    raise Died from error


class Writers:
    """Two partitions' writers; says which were ended."""

    def __init__(self, end: Callable[[], Awaitable[None]]) -> None:
        self.ended: list[int] = []
        self._end = end

    def writer(self, partition: int) -> ShardWriter:
        async def end() -> None:
            self.ended.append(partition)
            await self._end()

        return cast("ShardWriter", SimpleNamespace(end=end))


async def ends() -> None:
    pass


def worker_with(end: Callable[[], Awaitable[None]] = ends) -> tuple[EngagementWorker, Writers]:
    worker = EngagementWorker(load_settings(), MemoryStore(), topology=Topology(2), worker_id=None, die=die)
    writers = Writers(end)
    worker._writers._writers = {partition: writers.writer(partition) for partition in range(2)}
    return worker, writers


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (ServiceUnavailable("Redis is away"), [0, 1]),
        (Stalled("a record may be why"), []),
        (RuntimeError("a record may be why"), []),
    ],
)
async def test_a_successor_is_careful_unless_a_service_was_given_up_on(
    error: Exception, ended: list[int], beside: bool
) -> None:
    worker, writers = worker_with()

    async def work(*_: object) -> NoReturn:
        raise error

    cast("Any", worker._writers.of(0)).apply = work
    with pytest.raises(Died):
        await (worker._or_die(work) if beside else worker._apply(SimpleNamespace(value=chunk(event(0)))))
    assert sorted(writers.ended) == ended


async def test_a_task_whose_awaited_work_was_cancelled_does_not_end_unnoticed() -> None:
    """What ran in another thread is cancelled with it."""
    worker, _ = worker_with()

    async def work() -> NoReturn:
        raise asyncio.CancelledError

    with pytest.raises(Died):
        await worker._or_die(work)
    told = asyncio.create_task(worker._or_die(for_ever))
    await asyncio.sleep(0)
    told.cancel()
    await asyncio.gather(told, return_exceptions=True)
    assert told.cancelled()


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise RuntimeError("a bug")


async def is_away() -> None:
    raise ServiceUnavailable("still away")


@pytest.mark.parametrize("end", [is_away, fails, for_ever])
async def test_a_writer_that_cannot_end_keeps_no_process_alive(
    monkeypatch: pytest.MonkeyPatch, end: Callable[[], Awaitable[None]]
) -> None:
    monkeypatch.setattr(writers_module, "RELEASE_S", 0.01)
    worker, writers = worker_with(end)
    with pytest.raises(Died):
        await asyncio.wait_for(worker._give_up(ServiceUnavailable("Redis is away")), 10)
    assert sorted(writers.ended) == [0, 1]


@pytest.mark.parametrize("signal", ["on_partitions_revoked", "on_partitions_assigned"])
async def test_a_rebalance_lets_go_of_every_partition(signal: str) -> None:
    worker, writers = worker_with()
    await getattr(worker._app, signal).send(set())
    assert (sorted(writers.ended), worker._writers._writers) == ([0, 1], {})


async def test_what_looks_after_partitions_knows_of_a_rebalance() -> None:
    worker, _ = worker_with()
    for worker._app.rebalancing in (True, False):
        assert worker._upkeep.rebalancing() is worker._app.rebalancing


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
