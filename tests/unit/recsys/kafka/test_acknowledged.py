"""One rule of acknowledgement: which errors cost the producer, and an end in bounded time."""

from __future__ import annotations

import asyncio
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
    """aiokafka's producer by its parts; `stop` waits for ever if it is `stuck`."""

    def __init__(self, *, stuck: bool) -> None:
        self.ended: list[str] = []
        self._stuck = stuck
        self.client = self._sender = self
        self._message_accumulator = self
        self.failed_with: BaseException | None = None

    async def stop(self) -> None:
        if self._stuck:
            await asyncio.Event().wait()
        self.ended.append("stop")

    async def close(self) -> None:
        self.ended.append("part")

    def fail_all(self, error: BaseException) -> None:
        self.failed_with = error


async def test_a_producer_that_ends_is_left_to_end() -> None:
    producer: Any = Producer(stuck=False)
    await close(producer)
    assert producer.ended == ["stop"]


async def test_a_producer_that_waits_for_ever_is_ended_by_its_parts() -> None:
    producer: Any = Producer(stuck=True)
    await close(producer, within_s=0.01)
    assert producer.ended == ["part", "part"]
    assert isinstance(producer.failed_with, ProducerClosed)
