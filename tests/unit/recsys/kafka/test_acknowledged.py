"""One rule of acknowledgement: which errors cost the producer, and an end in bounded time."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    RecordTooLargeError,
)
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.structs import TopicPartition

from recsys.kafka.acknowledged import close, must_be_replaced


@pytest.mark.parametrize(
    ("error", "replaced"),
    [
        (OutOfOrderSequenceNumber(), True),
        (ProducerFenced(), True),
        (MessageSizeTooLargeError(), False),
        (RecordTooLargeError(), False),
        (KafkaConnectionError(), False),
        (KafkaTimeoutError(), True),
        (OSError(), False),
    ],
)
def test_a_producer_is_replaced_for_what_does_not_heal(error: Exception, replaced: bool) -> None:
    assert must_be_replaced(error) is replaced


class Producer:
    """aiokafka's producer by its parts; `stop` waits for ever if it is `stuck`, and so do its parts if they are."""

    def __init__(self, *, stuck: bool, stuck_parts: bool = False) -> None:
        self.ended: list[str] = []
        self._stuck, self._stuck_parts = stuck, stuck_parts
        self.client = self._sender = self
        self._message_accumulator = MessageAccumulator(None, 16_384, 0, 1000)

    async def send(self) -> asyncio.Future[Any]:
        """A record that waits to be sent."""
        return await self._message_accumulator.add_message(TopicPartition("t", 0), b"k", b"v", 1.0)  # type: ignore[no-any-return]

    async def stop(self) -> None:
        if self._stuck:
            await asyncio.Event().wait()
        self.ended.append("stop")

    async def close(self) -> None:
        self.ended.append("part")
        if self._stuck_parts:
            await asyncio.Event().wait()


async def test_a_producer_that_ends_is_left_to_end() -> None:
    producer: Any = Producer(stuck=False)
    await close(producer)
    assert producer.ended == ["stop"]


@pytest.mark.parametrize("stuck_parts", [False, True])
async def test_a_producer_that_waits_for_ever_is_ended_by_its_parts(stuck_parts: bool) -> None:
    producer = Producer(stuck=True, stuck_parts=stuck_parts)
    sent = await producer.send()
    async with asyncio.timeout(30):
        await close(producer, within_s=0.01)
    assert producer.ended == ["part", "part"]
    with pytest.raises(ProducerClosed):
        await sent


async def test_records_that_nobody_waits_for_any_more_are_not_reported_as_a_fault() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context["message"]))
    producer = Producer(stuck=True)
    await producer.send()
    (await producer.send()).cancel()
    await close(producer, within_s=0.01)
    del producer
    await asyncio.sleep(0)  # the event loop lets go of what was cancelled
    gc.collect()
    assert reported == []
