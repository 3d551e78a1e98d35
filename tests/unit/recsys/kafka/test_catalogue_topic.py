"""The catalogue's topic is read from its begin, followed, and read again after whatever went wrong."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

from aiokafka import AIOKafkaProducer, TopicPartition
from structlog.testing import capture_logs

from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.processes import free_port
from recsys.errors import ServiceUnavailable
from recsys.kafka.catalogue_topic import CatalogueTopic, Records
from recsys.process.tasks import cancelled

TOPIC = "courses"
WAIT_S = 60


class Reader:
    """What was taken, and how often that was told."""

    def __init__(self, broker: EmbeddedKafka) -> None:
        self.taken: list[tuple[bytes | None, bytes | None]] = []
        self.told: list[int] = []
        self.fails: Exception | None = None
        options = {"bootstrap_servers": broker.bootstrap_servers}
        self.topic = CatalogueTopic(options, TOPIC, take=self._take, tell=self._tell, again_s=0.2, pause_s=0.1)

    def _take(self, records: Records) -> None:
        self.taken += [(key, value) for key, value, _ in records]

    async def _tell(self) -> None:
        self.told.append(len(self.taken))
        error, self.fails = self.fails, None
        if error is not None:
            raise error

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
        await cancelled([task])


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
        reader.fails = RuntimeError("no place for it")
        async with following(reader):
            await send(broker, (b"c1", b"{}"))
            await reader.until(lambda: reader.told == [1])
            await reader.until(lambda: reader.told == [1, 2])
            await send(broker, (b"c2", b"{}"))
            await reader.until(lambda: reader.told == [1, 2, 3])
        assert reader.taken == [(b"c1", b"{}"), (b"c1", b"{}"), (b"c2", b"{}")]
        assert [line["event"] for line in logs] == ["catalogue_not_followed"]


async def test_what_goes_wrong_again_after_it_went_well_is_said_again() -> None:
    with EmbeddedKafka({TOPIC: 1}) as broker, capture_logs() as logs:
        reader = Reader(broker)
        reader.fails = ServiceUnavailable("away")
        async with following(reader):
            await send(broker, (b"c1", b"{}"))
            await reader.until(lambda: reader.told == [1, 2])
            reader.fails = ServiceUnavailable("away")
            await send(broker, (b"c2", b"{}"))
            await reader.until(lambda: reader.told == [1, 2, 3, 5])
        assert [line["error"] for line in logs] == ["away", "away"]


async def test_tries_that_find_no_kafka_leave_nothing_open() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # what earlier tests of this process left is not of these tries
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    options = {"bootstrap_servers": f"127.0.0.1:{free_port()}"}
    tries = 0

    class Counted(CatalogueTopic):
        async def _read(self) -> None:
            nonlocal tries
            tries += 1
            await super()._read()

    async def tell() -> None:
        raise AssertionError

    topic = Counted(options, TOPIC, take=lambda _: None, tell=tell, again_s=0.01)
    with capture_logs() as logs:
        task = asyncio.create_task(topic.run())
        async with asyncio.timeout(WAIT_S):
            while tries < 4:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        await cancelled([task])
    gc.collect()
    assert complaints == []
    assert [line["event"] for line in logs] == ["catalogue_not_followed"]


async def test_a_catalogue_that_is_edited_all_the_time_is_told_of_now_and_then() -> None:
    """Each record is the last of its partition when it is read; what came in a pause is told of after it."""

    class Edited:
        reads = 0

        async def getmany(self, **_: int) -> dict[TopicPartition, list[SimpleNamespace]]:
            self.reads += 1
            await asyncio.sleep(0 if self.reads <= 50 else 0.01)
            record = SimpleNamespace(key=b"c1", value=b"{}", offset=self.reads)
            return {TopicPartition(TOPIC, 0): [record]} if self.reads <= 50 else {}

        def highwater(self, _: TopicPartition) -> int:
            return self.reads + 1

    taken, told = 0, list[int]()

    def take(records: Records) -> None:
        nonlocal taken
        taken += len(records)

    async def tell() -> None:
        told.append(taken)

    topic = CatalogueTopic({}, TOPIC, take=take, tell=tell, pause_s=0.3)
    begun = time.monotonic()
    task = asyncio.create_task(topic._follow(Edited()))
    async with asyncio.timeout(WAIT_S):
        while told[-1:] != [50]:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    await cancelled([task])
    assert (told[0], told[-1]) == (1, 50)
    assert len(told) <= 2 + (time.monotonic() - begun) / 0.3
