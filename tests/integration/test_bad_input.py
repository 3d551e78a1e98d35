"""Every row of the bad-input table through a real worker: its outcome, the next good event, the same live process."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from infra.operator.dead_letters import Selection, dead_letter_topic
from recsys.dead_letters import DeadLetter
from recsys.keys import partition_of
from recsys.settings import load_settings
from tests.bad_input import ACCEPTED, CLAMPED, LEARNER, OWN_KEY, REROUTED, UNCHANGED, Row, rows
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.traffic import Traffic, a_worker_on

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

PARTITIONS = 2
BURST = 20_000


@pytest.fixture
def traffic(kafka: str, recsys: Recsys) -> Traffic:
    return Traffic(kafka, recsys.extra["RECSYS_INTERACTIONS_TOPIC"])


def event(user: str, event_id: str, course: str) -> bytes:
    fields = {"event_id": event_id, "user_id": user, "course_id": course, "type": "click"}
    return json.dumps({**fields, "timestamp": int(time.time() * 1000) - 1000}).encode()


def learners(target: int) -> Iterator[str]:
    """Learners whose partition this is."""
    return (user for n in itertools.count() if partition_of(user := f"marker-{n}", PARTITIONS) == target)


def place_of(row: Row) -> tuple[str, int]:
    """The row's learner, and the partition it is sent to."""
    user = LEARNER if row.fields is None else str(row.fields["user_id"])
    target = partition_of(user, PARTITIONS)
    return user, 1 - target if row.outcome == REROUTED else target


def letters(recsys: Recsys) -> dict[str, DeadLetter]:
    """Dead letters by the row they are of."""
    settings = load_settings(
        kafka_bootstrap_servers=recsys.kafka, dead_letter_topic=recsys.extra["RECSYS_DEAD_LETTER_TOPIC"]
    )
    with dead_letter_topic(settings) as topic:
        found = list(topic.letters(Selection()))
    return {row_of(letter): letter for letter in found}


def row_of(letter: DeadLetter) -> str:
    return next((value or b"").decode() for name, value in letter.headers if name == "row")


def test_every_row_has_its_outcome_and_the_next_good_event_is_applied(recsys: Recsys, traffic: Traffic) -> None:
    table = rows(int(time.time() * 1000))
    markers: dict[str, Row] = {}
    free = {partition: learners(partition) for partition in range(PARTITIONS)}
    with a_worker_on(recsys, PARTITIONS):
        for row in table:
            user, partition = place_of(row)
            key = user.encode() if row.key == OWN_KEY else row.key
            headers = [*row.headers, ("row", row.name.encode())]
            traffic.send(key, row.value, headers, partition=partition, codec=row.codec)
            traffic.flush(row.codec)
            assert traffic.refused == [], f"{row.name}: the broker refused it"
            marker = next(free[partition])
            markers[marker] = row
            traffic.send(marker.encode(), event(marker, "m", "marker"), partition=partition)
            traffic.flush()
        expected = expected_counts(table)
        wait_until(
            lambda: sum(recsys.counts(PARTITIONS).values()) >= expected.total(), within_s=150, what="all records"
        )
        served = {user for user, course in recsys.scores(int(time.time() * 1000)) if course == "marker"}
        assert [row.name for user, row in markers.items() if user not in served] == []
        dead = letters(recsys)
        refused = {row.name: row.outcome for row in table if row.refused}
        assert {name: letter.reason for name, letter in dead.items()} == refused
        assert recsys.counts(PARTITIONS) == dict(expected)
        for row in table:
            if row.refused and not dead[row.name].incomplete:
                assert dead[row.name].value == row.value, row.name
        assert {name for name, letter in dead.items() if letter.incomplete} == {
            row.name for row in table if row.refused and len(row.value or b"") > 990_000
        }


def expected_counts(table: list[Row]) -> Counter[str]:
    """Records by outcome, a good event behind each row."""
    counts = Counter({"accepted": len(table)})
    for row in table:
        counts["refused"] += row.refused
        counts["accepted"] += row.outcome in {ACCEPTED, CLAMPED, REROUTED}
        counts["unchanged"] += row.outcome == UNCHANGED
        counts["rerouted"] += row.outcome == REROUTED
    return counts


def test_one_learner_with_ten_thousand_events_a_second_counts_and_others_are_served(
    recsys: Recsys, traffic: Traffic
) -> None:
    target = partition_of(LEARNER, PARTITIONS)
    others = list(itertools.islice(learners(target), 20))
    with a_worker_on(recsys, PARTITIONS):
        for n in range(BURST):
            traffic.send(LEARNER.encode(), event(LEARNER, f"e{n}", f"c{n % 50}"), partition=target)
            if n % (BURST // len(others)) == 0:
                user = others[n // (BURST // len(others))]
                traffic.send(user.encode(), event(user, "m", "marker"), partition=target)
        traffic.flush()
        total = BURST + len(others)
        wait_until(lambda: sum(recsys.counts(PARTITIONS).values()) >= total, within_s=150, what="the burst")
        assert recsys.counts(PARTITIONS).keys() <= {"accepted", "unchanged"}
        assert sum(recsys.counts(PARTITIONS).values()) == total
        scores = recsys.scores(int(time.time() * 1000))
        assert {user for user, course in scores if course == "marker"} == set(others)
        assert len({course for user, course in scores if user == LEARNER}) == 50


def test_a_value_the_topic_does_not_take_is_refused_at_the_producer(recsys: Recsys, traffic: Traffic) -> None:
    recsys.run("topics", "--partitions", str(PARTITIONS))
    traffic.send(b"u", b"x" * 2_000_000)
    traffic.flush()
    assert [error.name() for error in traffic.refused] == ["MSG_SIZE_TOO_LARGE"]
