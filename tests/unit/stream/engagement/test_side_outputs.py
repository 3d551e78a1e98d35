"""Dead letters that Kafka does not take are given up in time, and the next try begins anew."""

from __future__ import annotations

import asyncio
from typing import Any

from recsys.errors import InvalidEvent, RefusalReason, ServiceUnavailable
from recsys.keys import Partition
from stream.engagement.fold import Refused
from stream.engagement.side_outputs import KafkaSideOutputs
from tests.doubles.stream import FakeRecord

LETTER = Refused(FakeRecord(7, b"junk"), InvalidEvent(RefusalReason.NOT_JSON, "expected JSON, received junk"))


class Broker:
    """Makes producers, as aiokafka's class does; those made while it is `deaf` never get an acknowledgement."""

    def __init__(self) -> None:
        self.deaf = True
        self.made: list[Producer] = []

    def __call__(self, **_: Any) -> Producer:
        self.made.append(Producer(deaf=self.deaf))
        return self.made[-1]


class Producer:
    def __init__(self, *, deaf: bool) -> None:
        self.deaf, self.stopped = deaf, False
        self.sent: list[str] = []

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        self.stopped = True

    async def send(self, topic: str, **_: Any) -> asyncio.Future[None]:
        self.sent.append(topic)
        acknowledgement: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.deaf:
            acknowledgement.set_result(None)
        return acknowledgement


async def test_a_broker_that_never_acknowledges_is_given_up_and_tried_anew() -> None:
    broker = Broker()
    outputs = KafkaSideOutputs(
        {"bootstrap_servers": "k:1"},
        dead_letter_topic="dlq",
        interactions_topic="events",
        make_producer=broker,
        acknowledged_within_s=0.02,
    )
    sends = (outputs.send([LETTER], [], partition=Partition(partition), now_ms=5) for partition in (0, 1))
    assert [type(end) for end in await asyncio.gather(*sends, return_exceptions=True)] == [ServiceUnavailable] * 2
    await asyncio.sleep(0)
    assert [producer.stopped for producer in broker.made] == [True]
    broker.deaf = False
    await outputs.send([LETTER], [], partition=Partition(0), now_ms=5)
    assert [producer.sent for producer in broker.made] == [["dlq", "dlq"], ["dlq"]]
    await outputs.close()
    assert broker.made[1].stopped
