"""Reading history back from a broker: everything counted, nothing twice, the catalogue at its newest state."""

from __future__ import annotations

import pytest
from kafka import KafkaProducer

from batch.history import from_topic
from batch.preparation import prepare
from infra.devtools.embedded import EmbeddedKafka
from recsys.catalog import Course, encode_course
from recsys.errors import ServiceUnavailable
from recsys.events import Interaction, encode
from recsys.handed_on import CONTROL_HEADER, HANDED_ON, HandedOn, encode_handed_on
from recsys.record import RecordRules
from recsys.settings import Settings


def test_every_record_is_an_event_or_a_refusal() -> None:
    with EmbeddedKafka({"interactions": 3, "courses": 1}) as broker:
        settings = Settings(kafka_bootstrap_servers=broker.bootstrap_servers, kafka_embedded=True)
        producer = KafkaProducer(
            bootstrap_servers=broker.bootstrap_servers, api_version=settings.kafka_api_version_tuple
        )
        events = [Interaction(f"e{i}", f"u{i % 7}", f"c{i % 5}", "click", 1_700_000_000_000 + i) for i in range(100)]
        for event in [*events, events[3], events[3]]:
            producer.send("interactions", encode(event), key=event.user_id.encode())
        for bad in (b"not json", b'{"event_id": "x"}'):
            producer.send("interactions", bad, key=b"u1")
        handed = encode_handed_on(HandedOn("u1", ("u2",)), RecordRules())
        producer.send("interactions", handed, key=b"u1", headers=[(CONTROL_HEADER, HANDED_ON)])
        for version in ("old", "new"):
            producer.send("courses", encode_course(Course(course_id="c1", title=version)), key=b"c1")
        producer.send("courses", encode_course(Course(course_id="c2", title="gone")), key=b"c2")
        producer.send("courses", None, key=b"c2")
        producer.send("courses", encode_course(Course(course_id="c3", title="quoted")), key=b'"c3"')
        producer.send("courses", None, key=b'"c3"')
        producer.send("courses", b'{"course_id": "c1"}', key=b"c1")
        producer.flush(timeout=10)
        producer.close()
        history = from_topic(settings)
    assert len(history.events) == 102
    assert set(history.events["event_id"]) == {event.event_id for event in events}
    account = prepare(history, at_ms=1_700_000_001_000).account
    assert (account.used, account.repeated, account.unjoined) == (60, 2, 40)  # courses c1, c2 and c3 are known
    assert sum(history.refused.values()) == 2
    assert sum(end - first for first, end in history.offsets.values()) == 105, "what merges hand on is passed over"
    assert {c.course_id: (c.title, c.retired) for c in history.courses} == {
        "c1": ("new", False),
        "c2": ("gone", True),
        "c3": ("quoted", True),
    }
    (remark,) = history.catalogue.remarks()
    assert remark.startswith(
        "catalogue: 1 of 7 records refused as no_title, the first at offset 6, key 'c1': expected "
    )
    assert remark.endswith("missing required field `title`")


@pytest.mark.parametrize("embedded", [False, True])
def test_a_broker_that_is_not_there_is_one_clear_error(embedded: bool) -> None:
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1", kafka_embedded=embedded)
    with pytest.raises(ServiceUnavailable, match=r"Kafka cannot be reached: 127\.0\.0\.1:1: connection refused"):
        from_topic(settings)
