"""A refusal goes to the dead-letter topic in the shared format, on the wire as `recsys dlq` reads it."""

from __future__ import annotations

from typing import Any

from recsys.dead_letters import decode
from recsys.errors import InvalidEvent, RefusalReason
from recsys.keys import Partition
from stream.engagement.fold import Refused
from stream.engagement.side_outputs import KafkaSideOutputs
from tests.doubles.stream import FakeRecord


class RecordingProducer:
    """Acknowledges all and remembers it."""

    def __init__(self, **_: Any) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, topic: str, **record: Any) -> Any:
        self.sent.append((topic, record))

        async def acknowledged() -> None: ...

        return acknowledged()


async def test_a_refused_record_becomes_a_dead_letter_of_the_shared_format() -> None:
    producer = RecordingProducer()
    outputs = KafkaSideOutputs(
        {"bootstrap_servers": "nowhere:1"},
        dead_letter_topic="i.dlq",
        interactions_topic="i",
        make_producer=lambda **_: producer,
    )
    record = FakeRecord(41, b"\xff{", key=b"\x00k", headers=[("a", b"\xff")])

    await outputs.send(
        [Refused(record, InvalidEvent(RefusalReason.NOT_JSON, "junk"))], [], partition=Partition(3), now_ms=77
    )

    ((topic, sent),) = producer.sent
    letter = decode(FakeRecord(0, **sent), partition=3)
    assert (topic, letter.key, letter.value, letter.headers) == ("i.dlq", b"\x00k", b"\xff{", (("a", b"\xff"),))
    assert letter.reason == "not_json"
    assert (letter.errors["__streams.errors.topic"], letter.errors["__streams.errors.offset"]) == ("i", "41")
    assert letter.errors["dlq.failed_at"] == "77"
