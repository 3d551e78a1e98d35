"""How a worker gives up, and what it lets go of when partitions change hands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from recsys.errors import ServiceUnavailable
from recsys.keys import Topology
from recsys.online_store.memory import MemoryStore
from recsys.settings import load_settings
from stream.commit import ShardWriter
from stream.watchdog import Stalled
from stream.worker import EngagementWorker, end_process


class Died(BaseException):
    """Instead of the process's end."""


def die(error: BaseException) -> NoReturn:
    raise Died from error


class Writers:
    """Two partitions' writers; says which were ended."""

    def __init__(self, failure: Exception | None) -> None:
        self.ended: list[int] = []
        self._failure = failure

    def writer(self, partition: int) -> ShardWriter:
        async def end() -> None:
            self.ended.append(partition)
            if self._failure is not None:
                raise self._failure

        return cast("ShardWriter", SimpleNamespace(end=end))


def worker_with(failure: Exception | None = None) -> tuple[EngagementWorker, Writers]:
    worker = EngagementWorker(load_settings(), MemoryStore(), topology=Topology(2), worker_id=None, die=die)
    writers = Writers(failure)
    worker._writers = {partition: writers.writer(partition) for partition in range(2)}
    return worker, writers


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (ServiceUnavailable("Redis is away"), [0, 1]),
        (Stalled("a record may be why"), []),
        (RuntimeError("a record may be why"), []),
    ],
)
async def test_a_successor_is_careful_unless_a_service_was_given_up_on(error: Exception, ended: list[int]) -> None:
    worker, writers = worker_with()

    async def work() -> None:
        raise error

    with pytest.raises(Died):
        await worker._or_die(work)
    assert sorted(writers.ended) == ended


@pytest.mark.parametrize("failure", [ServiceUnavailable("still away"), RuntimeError("a bug")])
async def test_a_writer_that_cannot_end_keeps_no_process_alive(failure: Exception) -> None:
    worker, writers = worker_with(failure)
    with pytest.raises(Died):
        await worker._give_up(ServiceUnavailable("Redis is away"))
    assert sorted(writers.ended) == [0, 1]


async def test_a_rebalance_lets_go_of_every_partition() -> None:
    worker, writers = worker_with()
    unused: Any = None
    await worker._let_go(unused, set())
    assert (sorted(writers.ended), worker._writers) == ([0, 1], {})


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
