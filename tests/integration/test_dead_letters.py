"""Refused records on a real broker: listed, shown, replayed, and counted once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from kafka import KafkaProducer

from recsys.cli import recsys as command_line
from recsys.errors import ConfigurationError, ServiceUnavailable
from tests.doubles.commands import Recsys, wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

PARTITIONS = 3
AT_MS = 1_800_000_000_000


@pytest.fixture(autouse=True)
def _topics(recsys: Recsys) -> None:
    recsys.run("topics", "--partitions", str(PARTITIONS))


@pytest.fixture
def producer(kafka: str) -> Iterator[KafkaProducer]:
    client = KafkaProducer(bootstrap_servers=kafka, acks="all")
    yield client
    client.close(timeout=1)


def dlq(recsys: Recsys, *arguments: str) -> str:
    """`recsys dlq …` in this process, which spares a start of the interpreter each."""
    done = CliRunner(env=recsys.env).invoke(command_line, ["dlq", *arguments])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def event(event_id: str) -> bytes:
    fields = {
        "event_id": event_id,
        "user_id": "ada",
        "course_id": f"course-of-{event_id}",
        "type": "click",
        "timestamp": 1_700_000_000_000,
    }
    return json.dumps(fields).encode()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_letters_are_listed_shown_and_replayed_until_they_count_or_have_been_tried_enough(
    recsys: Recsys, producer: KafkaProducer
) -> None:
    topic = recsys.extra["RECSYS_INTERACTIONS_TOPIC"]
    worker = recsys.start_worker()
    own = [("trace", b"\xff\x00"), ("ce_source", b"app")]
    producer.send(topic, key=b"ada", value=b"\x1b[2J junk", headers=own)
    producer.send(topic, key=b"ada", value=None)
    producer.send(topic, key=b"ada", value=event("e1"))
    # As an older worker may have refused it: what is replayed now is a good event.
    producer.send(f"{topic}.dlq", key=b"ada", value=event("e2"), headers=[*own, ("dlq.reason", b"unknown_type")])
    producer.flush(10)
    wait_until(lambda: recsys.counts(PARTITIONS) == {"accepted": 1, "refused": 2}, within_s=150, what="three records")

    letters = lines(dlq(recsys, "list", "--json"))
    assert sorted(letter["reason"] for letter in letters) == ["empty", "not_json", "unknown_type"]
    assert dlq(recsys, "list").splitlines()[-1] == "3 dead letters: empty 1, not_json 1, unknown_type 1"
    assert lines(dlq(recsys, "list", "--json", "--until", "2020-01-01T00:00:00Z")) == []
    (junk,) = lines(dlq(recsys, "list", "--json", "--reason", "not_json", "--since", "2020-01-01T00:00:00Z"))
    place = ("--partition", str(junk["partition"]), "--offset", str(junk["offset"]))
    shown = json.loads(dlq(recsys, "show", *place, "--json"))
    assert (shown["key"], shown["value"]) == ("ada", "\x1b[2J junk")
    assert shown["headers"][0] == {"name": "trace", "value_base64": "/wA="}
    assert shown["errors"]["__streams.errors.topic"] == topic
    assert "\x1b" not in dlq(recsys, "show", *place)

    dry = dlq(recsys, "replay", "--reason", "unknown_type")
    assert dry == "1 would be replayed: unknown_type 1\nnothing was sent; --execute does it\n"
    for _ in range(2):  # the second time it changes nothing
        dlq(recsys, "replay", "--reason", "unknown_type", "--execute")
    wait_until(lambda: recsys.counts(PARTITIONS).get("unchanged") == 1, within_s=150, what="the replayed event, twice")
    assert recsys.counts(PARTITIONS) == {"accepted": 2, "unchanged": 1, "refused": 2}

    for attempt in (1, 2):
        done = json.loads(dlq(recsys, "replay", "--execute", "--reason", "not_json", "--max-replays", "2", "--json"))
        assert (done["executed"], done["replayed"]) == (True, {"not_json": 1})
        refused = 2 + attempt
        wait_until(lambda: recsys.counts(PARTITIONS)["refused"] == refused, within_s=150, what="refused again")  # noqa: B023
    again = lines(dlq(recsys, "list", "--json", "--reason", "not_json"))
    assert [letter["replay_count"] for letter in again] == [0, 1, 2]
    newest = again[-1]
    shown = json.loads(
        dlq(recsys, "show", "--partition", str(newest["partition"]), "--offset", str(newest["offset"]), "--json")
    )
    assert [header["name"] for header in shown["headers"]] == ["trace", "ce_source"]
    left = json.loads(
        dlq(recsys, "replay", "--execute", "--reason", "not_json", "--max-replays", "2", "--json", "--rate", "5")
    )
    assert left == {"executed": True, "replayed": {}, "left": {"refused_again": 2, "replayed_often": 1}}
    assert worker.poll() is None


def test_a_kafka_without_the_topic_is_one_clear_error(recsys: Recsys) -> None:
    recsys.extra["RECSYS_DEAD_LETTER_TOPIC"] = "no-such-topic"
    with pytest.raises(ConfigurationError, match="Kafka has no topic no-such-topic"):
        dlq(recsys, "list")
    recsys.kafka = "127.0.0.1:1"
    with pytest.raises(ServiceUnavailable, match=r"Kafka cannot be reached: 127\.0\.0\.1:1: connection refused"):
        dlq(recsys, "list")
