"""The behaviours of Faust that the design defends against. When one of these fails, an upgrade changed it: look there.

What holds against each is said beside it. In-process: a stream over a channel, messages that count their
acknowledgements, a consumer without a broker.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from faust.app import base
from faust.events import Event
from faust.tables import recovery
from faust.transport.consumer import Consumer
from faust.types.tuples import TP, Message
from mode.utils.futures import maybe_async

PARTITION = TP("interactions", 0)
LONG_ENOUGH_S = 5.0


@pytest.fixture
async def app(tmp_path: Any) -> faust.App:
    """Made inside the test's event loop: outside one, Faust makes a loop of its own and leaves it open."""
    made = faust.App("pins", broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False, datadir=str(tmp_path))
    made.consumer = cast(
        "Any", SimpleNamespace(_unacked_messages=set())
    )  # its own would start a thread and a loop for aiokafka
    made.flow_control.resume()
    return made


def event(app: faust.App, offset: int) -> Event:
    generation = app.consumer_generation_id
    message = Message(*PARTITION, offset, 0.0, 0, None, None, b"", None, tp=PARTITION, generation_id=generation)
    message.incref()
    return Event(app, None, offset, None, message)


async def fed(app: faust.App, events: int) -> tuple[Any, list[Message]]:
    """A stream of a channel with so many events in it, and their messages."""
    stream: Any = app.channel().stream()
    made = [event(app, offset) for offset in range(events)]
    for each in made:
        await maybe_async(stream.channel.queue.put(each))
    return stream, [each.message for each in made]


@asynccontextmanager
async def running(work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_exception_in_the_loop_body_acknowledges_its_event(app: faust.App) -> None:
    """So nothing leaves the loop body, and the fence finds a skipped record as a gap."""
    stream, messages = await fed(app, 3)

    async def agent() -> None:
        async for value in stream:
            if value == 1:
                raise RuntimeError("the body fails")

    with pytest.raises(RuntimeError):
        await asyncio.wait_for(agent(), LONG_ENOUGH_S)
    await stream.stop()
    assert [message.acked for message in messages] == [True, True, False]


async def test_a_cancelled_task_acknowledges_the_event_it_was_at(app: faust.App) -> None:
    """So work under way is never only in the agent's task: a chunk is acknowledged after its commit."""
    stream, messages = await fed(app, 2)
    begun = asyncio.Event()

    async def agent() -> None:
        async for _ in stream:
            begun.set()
            await asyncio.Event().wait()

    async with running(agent()) as task:
        await asyncio.wait_for(begun.wait(), LONG_ENOUGH_S)
        assert not messages[0].acked
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [message.acked for message in messages] == [True, False]


async def test_take_acknowledges_its_whole_batch_on_an_exception(app: faust.App) -> None:
    """So batches are made by the transport (one event a chunk), not by `take`."""
    stream, messages = await fed(app, 3)

    async def agent() -> None:
        async for _ in stream.take(3, within=1.0):
            raise RuntimeError("the batch fails")

    with pytest.raises(RuntimeError):
        await asyncio.wait_for(agent(), LONG_ENOUGH_S)
    await stream.stop()
    assert all(message.acked for message in messages)


async def test_with_noack_nothing_is_acknowledged_until_told_and_then_that_event_alone(app: faust.App) -> None:
    """What the worker relies on: `noack().events()`, and `event.ack()` from another task, in any order."""
    stream, messages = await fed(app, 3)
    seen: list[Any] = []

    async def agent() -> None:
        async for each in stream.noack().events():
            seen.append(each)
            if len(seen) == 3:
                raise RuntimeError("the body fails")

    with pytest.raises(RuntimeError):
        await asyncio.wait_for(agent(), LONG_ENOUGH_S)
    await stream.stop()
    assert [message.acked for message in messages] == [False, False, False]
    seen[1].ack()
    assert [message.acked for message in messages] == [False, True, False]
    seen[1].ack()  # a second time does nothing
    seen[0].ack()
    assert [message.acked for message in messages] == [True, True, False]


class NoBroker(Consumer):
    """Faust's own account of offsets, without a client underneath."""

    async def _commit(self, offsets: Any) -> bool:
        return True


NoBroker.__abstractmethods__ = frozenset()


def consumer(app: faust.App) -> Any:
    async def nothing(*_: Any) -> None: ...

    of_no_broker: Any = NoBroker  # its methods that need a broker are never called
    return of_no_broker(app.transport, nothing, nothing, nothing)


async def test_the_committed_offset_waits_for_a_gap_only_if_something_was_committed_before(app: faust.App) -> None:
    """The skip: what was delivered first and never acknowledged is passed. So the fence, not the committed offset."""
    one = consumer(app)
    one._acked[PARTITION] = [5, 6]
    assert one._new_offset(PARTITION) == 7  # 0 to 4 were never acknowledged
    one._committed_offset[PARTITION] = 3
    one._acked[PARTITION] = [5, 6]
    assert one._new_offset(PARTITION) is None
    one._acked[PARTITION] = [4, 5, 7]
    assert one._new_offset(PARTITION) == 6


async def test_the_offsets_between_two_chunks_are_recorded_as_gaps_that_are_committed(app: faust.App) -> None:
    """One message a chunk carries its last offset alone: those before it must not hold the commit back."""
    one = consumer(app)
    one._committed_offset[PARTITION] = 10
    await one._add_gap(PARTITION, 10, 19)
    one._acked[PARTITION] = [19]
    assert one._new_offset(PARTITION) == 20


async def test_commits_of_revoked_partitions_are_dropped(app: faust.App, monkeypatch: pytest.MonkeyPatch) -> None:
    """So up to one commit interval is delivered again after every rebalance; the fence lets it change nothing."""
    one = consumer(app)
    monkeypatch.setattr(one, "assignment", set)
    assert not await one._commit_offsets({PARTITION: 5})
    assert one._committed_offset[PARTITION] is None


def test_fausts_own_seek_comes_after_on_partitions_assigned() -> None:
    """A seek made there is overwritten by the recovery service: so the worker seeks lazily, at the first gap."""
    assigned = inspect.getsource(base.App._on_partitions_assigned)
    assert "on_partitions_assigned.send" in assigned
    assert "perform_seek" not in assigned
    assert "perform_seek" in inspect.getsource(recovery.Recovery)
