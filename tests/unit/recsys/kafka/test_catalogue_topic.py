"""The catalogue's topic is read from its begin, followed, and read again after whatever went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from structlog.testing import capture_logs

from infra.devtools.embedded import EmbeddedKafka
from recsys.kafka.catalogue_topic import CatalogueTopic, Records

TOPIC = "courses"
WAIT_S = 60


class Reader:
    """What was taken, and how often that was told."""

    def __init__(self, broker: EmbeddedKafka) -> None:
        self.taken: list[tuple[bytes | None, bytes | None]] = []
        self.told: list[int] = []
        self.fails = False
        options = {"bootstrap_servers": broker.bootstrap_servers}
        self.topic = CatalogueTopic(options, TOPIC, take=self._take, tell=self._tell, again_s=0.2)

    def _take(self, records: Records) -> None:
        self.taken += [(key, value) for key, value, _ in records]

    async def _tell(self) -> None:
        self.told.append(len(self.taken))
        if self.fails:
            self.fails = False
            raise RuntimeError("no place for it")

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not reached():  # noqa: ASYNC110 - a log line tells nobody
                await asyncio.sleep(0.02)


@asynccontextmanager
async def following(reader: Reader) -> AsyncIterator[None]:
    task = asyncio.create_task(reader.topic.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def send(broker: EmbeddedKafka, *records: tuple[bytes, bytes | None]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all")
    await producer.start()
    for key, value in records:
        await producer.send_and_wait(TOPIC, value, key, partition=0)
    await producer.stop()


async def test_it_is_read_from_its_begin_and_followed() -> None:
    with EmbeddedKafka({TOPIC: 2}) as broker:
        reader = Reader(broker)
        first = [(f"c{n}".encode(), b"{}") for n in range(50)]
        await send(broker, *first)
        async with following(reader):
            await reader.until(lambda: reader.told[-1:] == [50])
            await send(broker, (b"c1", None))
            await reader.until(lambda: reader.told[-1:] == [51])
        assert reader.taken == [*first, (b"c1", None)]


async def test_a_topic_that_is_not_there_is_said_once_and_read_when_it_is() -> None:
    with EmbeddedKafka({"another": 1}) as broker, capture_logs() as logs:
        reader = Reader(broker)
        async with following(reader):
            await reader.until(lambda: bool(logs))
            await asyncio.sleep(0.5)
            broker.create_topic(TOPIC, 1)
            await send(broker, (b"c1", b"{}"))
            await reader.until(lambda: reader.told == [1])
        assert [line["event"] for line in logs] == ["catalogue_not_followed"]


async def test_whatever_goes_wrong_it_is_read_again() -> None:
    with EmbeddedKafka({TOPIC: 1}) as broker, capture_logs() as logs:
        reader = Reader(broker)
        reader.fails = True
        async with following(reader):
            await send(broker, (b"c1", b"{}"))
            await reader.until(lambda: reader.told == [1])
            await reader.until(lambda: reader.told == [1, 2])
            await send(broker, (b"c2", b"{}"))
            await reader.until(lambda: reader.told == [1, 2, 3])
        assert reader.taken == [(b"c1", b"{}"), (b"c1", b"{}"), (b"c2", b"{}")]
        assert [line["event"] for line in logs] == ["catalogue_not_followed"]
