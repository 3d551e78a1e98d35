"""An erased learner is gone, and stays gone: through older events that come again, dead letters and a rebuild."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.local_redis import LocalRedis
from infra.operator.topics import topic_partitions
from recsys.keys import partition_of
from recsys.settings import load_settings
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.traffic import Traffic

pytestmark = pytest.mark.timeout(300)

PARTITIONS = 3
DAY_MS = 86_400_000
WITHIN_S = 150


@pytest.fixture
def recsys(tmp_path: Path) -> Iterator[Recsys]:
    """The command line on the embedded broker, which knows no retention, and a Redis."""
    with EmbeddedKafka(topic_partitions(load_settings(), PARTITIONS)) as kafka, LocalRedis() as store:
        commands = Recsys(kafka.bootstrap_servers, store.url, tmp_path, {"RECSYS_KAFKA_EMBEDDED": "true"})
        commands.run("topics", "--partitions", str(PARTITIONS))
        yield commands
        commands.stop_workers()


def event(user: str, course: str, kind: str, at_ms: int) -> bytes:
    fields = {"event_id": f"{user}-{course}-{kind}", "user_id": user, "course_id": course, "type": kind}
    return json.dumps({**fields, "timestamp": at_ms}).encode()


def applied(recsys: Recsys, records: int) -> bool:
    status = json.loads(recsys.run("status", "--json"))
    return bool(status["lag"] == 0 and sum(row["log_end"] for row in status["partitions"]) >= records)


def learners(recsys: Recsys) -> set[str]:
    return {user for user, _ in recsys.scores(time.time_ns() // 1_000_000)}


def test_an_erased_learner_is_gone_and_stays_gone(recsys: Recsys) -> None:
    recsys.start_worker()
    now_ms = time.time_ns() // 1_000_000
    traffic = Traffic(recsys.kafka, "interactions", partitioner="murmur2")
    history = [
        (user, event(user, course, kind, now_ms - 3 * DAY_MS))
        for user in ("ada", "bob")
        for course, kind in (("c1", "click"), ("c2", "enroll"), ("c3", "dismiss"))
    ]
    sent = 0

    def send(*records: tuple[str, bytes]) -> None:
        nonlocal sent
        for user, value in records:
            traffic.send(user.encode(), value)
        traffic.flush()
        sent += len(records)

    send(*history, ("ada", b'{"user_id": "ada", "course_id": "c4", "type": "an unheard-of one"}'))
    wait_until(lambda: applied(recsys, sent), within_s=WITHIN_S, what="the history applied")
    assert learners(recsys) == {"ada", "bob"}

    would = json.loads(recsys.run("erase", "--user", "ada", "--dry-run"))
    assert (would["executed"], would["event"], would["left"]) == (False, None, None)
    assert (would["held"]["records"], would["held"]["done"], would["held"]["waiting"]) == (3, 2, True)
    assert [letter["reason"] for letter in would["dead_letters"]] == ["unknown_type"]
    assert learners(recsys) == {"ada", "bob"}

    receipt = json.loads(recsys.run("erase", "--user", "ada"))
    sent += 1
    assert receipt["folded"]
    assert receipt["event"]["partition"] == partition_of("ada", PARTITIONS)
    assert receipt["left"] == {
        "records": 0,
        "done": 0,
        "bot_features": False,
        "cached_list": False,
        "waiting": False,
        "erased_until_ms": receipt["event"]["timestamp"],
        "merged_into": None,
    }
    assert [topic["topic"] for topic in receipt["topics"]] == ["interactions", "interactions.dlq", "exposures"]
    assert learners(recsys) == {"bob"}

    send(*history)
    wait_until(lambda: applied(recsys, sent), within_s=WITHIN_S, what="the same history applied again")
    assert learners(recsys) == {"bob"}
    replayed = json.loads(recsys.run("dlq", "replay", "--execute", "--json"))
    assert replayed == {"executed": True, "replayed": {}, "left": {"of_an_erased_learner": 1}}

    send(("ada", event("ada", "c9", "enroll", time.time_ns() // 1_000_000)))
    wait_until(lambda: applied(recsys, sent), within_s=WITHIN_S, what="what she did later applied")
    recsys.run("rebuild", "--grace", "1")
    assert set(recsys.scores(now_ms)) == {("ada", "c9"), ("bob", "c1"), ("bob", "c2"), ("bob", "c3")}


def test_an_erasure_that_no_worker_applies_says_so_and_holds_once_one_does(recsys: Recsys) -> None:
    recsys.run("erase", "--user", "ada", "--wait", "0", status=3)
    recsys.start_worker()

    def erased() -> Any:
        return json.loads(recsys.run("erase", "--user", "ada", "--dry-run"))["held"]["erased_until_ms"]

    wait_until(lambda: erased() is not None, within_s=WITHIN_S, what="the erasure applied")
