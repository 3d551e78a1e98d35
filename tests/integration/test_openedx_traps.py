"""What learning platforms really send, through the real worker: the logs of tests/data/openedx, one worker for all.

Each log has learners of its own, so all are sent by `recsys ingest`, folded by one worker, and then looked at. What the
store holds must also be what `recsys.record` makes of the same events, without Kafka, worker or Redis.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Consumer, TopicPartition

from benchmarks.openedx_replay import Replay
from benchmarks.openedx_state import PARTITIONS
from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.local_redis import LocalRedis
from infra.devtools.openedx_log import DEFAULT_END_MS
from infra.devtools.openedx_site import Site, SiteCourse
from infra.operator.topics import topic_partitions
from recsys.adapters import Mapped
from recsys.adapters.completions import Completions
from recsys.adapters.inputs import read_staff
from recsys.adapters.lines import outcomes, read_lines
from recsys.adapters.openedx import OpenEdxRules
from recsys.adapters.openedx_tracking import parse_line
from recsys.keys import KeySpace, Topology
from recsys.process.clock import now_ms
from recsys.record import EMPTY, Record, RecordRules, join, record_of
from recsys.settings import load_settings

DATA = Path("tests/data/openedx")
LOGS = sorted(DATA.glob("*.log"))
BLOCKS = {"DemoX+C1": 300}
COURSES = 15
AT_MS = 1_764_000_000_000  # 2025-11-24, after every event of the logs
PLANTED = (b"planted", b"Planted", b"203.0.113.77")

Pair = tuple[str, str]


class Seen:
    """What is there after all logs were folded.

    Attributes:
        scores: (Learner, course) → engagement at `AT_MS`.
        summaries: Log → its summary.
        counts: Records by outcome.
    """

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self.summaries = send_all(replay)
        self.sent = sum(summary["acknowledged"] for summary in self.summaries.values())
        self.counts = replay.settled(self.sent)
        lines = map(json.loads, replay.command("engagement", "--json", "--at", str(AT_MS)).splitlines())
        self.scores: dict[Pair, float] = {(line["user_id"], line["course_id"]): line["score"] for line in lines}

    def recommended(self, user: str) -> list[str]:
        """All courses that the API may answer with, the best first."""
        answer = self._replay.answer(user, courses=COURSES)
        assert len(answer["recommendations"]) >= COURSES - 3
        return [course["course_id"] for course in answer["recommendations"]]

    def bot_state(self, user: str) -> str:
        """What the bot detector thinks of a learner."""
        shard = Topology(PARTITIONS).shard_of(user)
        with redis.Redis.from_url(self._replay.settings.redis_url) as client:
            features = client.hgetall(KeySpace().bot(shard, user))
        assert features
        return str(features.get(b"state", b"human").decode())

    def everything(self) -> bytes:
        """All bytes of every topic, of Redis and of the processes' logs."""
        settings = self._replay.settings
        return b"".join(
            [
                *(records(settings.kafka_bootstrap_servers, topic) for topic in topic_partitions(settings, PARTITIONS)),
                json.dumps(self.summaries).encode(),
                repr(self._replay.state()).encode(),
                *(log.read_bytes() for log in self._replay.folder.glob("*.log")),
            ]
        )

    def state(self) -> dict[str, Any]:
        return self._replay.state()

    def send_again(self) -> dict[str, int]:
        """The same logs once more; the records by outcome."""
        send_all(self._replay)
        return self._replay.settled(2 * self.sent)


def send_all(replay: Replay) -> dict[str, dict[str, Any]]:
    (replay.folder / "blocks.json").write_text(json.dumps(BLOCKS))
    options = ["--staff", str(DATA / "staff.csv"), "--blocks", str(replay.folder / "blocks.json"), "--grades", "--json"]
    return {log.stem: json.loads(replay.command("ingest", "openedx-logs", str(log), *options)) for log in LOGS}


def records(servers: str, topic: str) -> bytes:
    """Keys, values and headers of a topic's records."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "none"})
    found = b""
    try:
        for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            start, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, start)])
            for record in consumer.consume(end - start, timeout=10) if end > start else []:
                found += repr((record.key(), record.value(), record.headers())).encode()
    finally:
        consumer.close()
    return found


def site() -> Site:
    """The courses of the logs, and some that nobody touched."""
    ids = [*(f"DemoX+C{n}" for n in range(1, 6)), *(f"DemoX+N{n}" for n in range(COURSES - 5))]
    return Site(tuple(SiteCourse(course, course, "all", (f"course-v1:{course}+R",), 10, ()) for course in ids), 1, 5)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("openedx")
    with EmbeddedKafka(topic_partitions(load_settings(), PARTITIONS)) as kafka, LocalRedis() as store:
        settings = load_settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers,
            kafka_embedded=True,
            redis_url=store.url,
            models_dir=folder / "models",
        )
        replay = Replay(settings, folder, site(), events=1, end_ms=DEFAULT_END_MS)
        replay.env["RECSYS_EXCLUDE_SEEN"] = "false"  # so that only the courses that a learner is done with are left out
        replay.command("topics", "--partitions", str(PARTITIONS))
        replay.publish_drawn_model()
        with replay.worker("worker"):
            yield Seen(replay)


def expected() -> dict[Pair, Record]:
    """The records of the logs' events, joined here."""
    rules, found = RecordRules(), dict[Pair, Record]()
    for log in LOGS:
        decided = OpenEdxRules(
            now_ms, staff=read_staff(DATA / "staff.csv"), completions=Completions(BLOCKS), grades=True
        )
        content = read_lines(io.BytesIO(log.read_bytes()))
        for _, outcome in outcomes(content, lambda line: parse_line(line, decided)):  # noqa: B023 - read at once
            if isinstance(outcome, Mapped):
                pair = (outcome.event.user_id, outcome.event.course_id)
                found[pair] = join(found.get(pair, EMPTY), record_of(outcome.event, rules))
    return found


def test_the_worker_holds_what_the_records_of_the_events_say(seen: Seen) -> None:
    rules = RecordRules()
    scores = {pair: rules.decay.score(rules.engagement(record), AT_MS) for pair, record in expected().items()}
    assert seen.scores == pytest.approx(scores, rel=1e-9, abs=1e-12)
    assert set(seen.counts) <= {"accepted", "unchanged"}
    assert sum(seen.counts.values()) == seen.sent


def test_a_doubled_enrolment_counts_once(seen: Seen) -> None:
    assert seen.scores["101", "DemoX+C1"] == pytest.approx(seen.scores["102", "DemoX+C1"], rel=1e-6)


def test_300_completed_blocks_weigh_less_than_an_enrolment_and_a_completion(seen: Seen) -> None:
    assert 0 < seen.scores["103", "DemoX+C1"] < seen.scores["104", "DemoX+C1"]


def test_two_runs_are_one_recommendation_and_none_once_enrolled_in_either(seen: Seen) -> None:
    assert seen.recommended("106").count("DemoX+C1") == 1
    for enrolled in ("105", "107"):
        assert not [course for course in seen.recommended(enrolled) if "C1" in course]


def test_an_unenrolled_course_comes_back_unless_enrolled_again(seen: Seen) -> None:
    assert "DemoX+C1" not in seen.recommended("108")
    assert "DemoX+C1" in seen.recommended("109")  # unenrolled more than 30 days ago
    assert seen.scores["108", "DemoX+C1"] > 0 > seen.scores["109", "DemoX+C1"]


def test_an_instructor_who_enrols_a_learner_is_not_enrolled(seen: Seen) -> None:
    assert {pair for pair in seen.scores if pair[0] in {"110", "111", "9001"}} == {
        ("110", "DemoX+C1"),
        ("111", "DemoX+C2"),
    }


def test_a_line_without_a_learner_is_nobodys(seen: Seen) -> None:
    assert {user for user, _ in seen.scores} & {"", "None", "0"} == set()
    assert seen.summaries["blank_user"]["skipped"] == [{"name": "play_video", "why": "no learner", "lines": 3}]


def test_an_event_that_is_a_string_is_read(seen: Seen) -> None:
    assert {("113", "DemoX+C3"), ("114", "DemoX+C3")} <= seen.scores.keys()


def test_regrades_count_by_the_quarter_once(seen: Seen) -> None:
    rules = RecordRules()
    record = expected()["115", "DemoX+C1"]
    assert record.quarter == 2
    assert seen.scores["115", "DemoX+C1"] == pytest.approx(rules.decay.score(rules.engagement(record), AT_MS))


def test_staff_leave_no_signal_in_their_courses(seen: Seen) -> None:
    found = {pair for pair in seen.scores if pair[0] in {"9002", "9003", "9004", "116"}}
    assert found == {("9002", "DemoX+C2"), ("116", "DemoX+C1"), ("116", "DemoX+C2")}


def test_a_course_key_of_130_characters_is_kept_whole(seen: Seen) -> None:
    (course,) = (course for user, course in seen.scores if user == "117")
    assert len(f"course-v1:{course}+{'R' * 23}") == 130


def test_a_time_without_a_zone_is_utc(seen: Seen) -> None:
    assert len({seen.scores[user, "DemoX+C1"] for user in ("118", "119", "120")}) == 1


def test_a_backfill_makes_nobody_a_bot(seen: Seen) -> None:
    assert seen.bot_state("121") == "human"
    assert seen.bot_state("103") == "human"


def test_what_the_platform_took_back_is_recommended_again(seen: Seen) -> None:
    for user in ("125", "126"):
        assert seen.scores[user, "DemoX+C1"] == 0.0
        assert "DemoX+C1" in seen.recommended(user)


def test_no_personal_data_is_in_a_topic_a_store_or_a_log(seen: Seen) -> None:
    everything = seen.everything()
    assert b"DemoX+C1" in everything
    assert b"worker_started" in everything
    assert [planted for planted in PLANTED if planted in everything] == []


def test_all_of_it_again_changes_no_byte(seen: Seen) -> None:
    before = seen.state()
    assert len(before) > 40
    counts = seen.send_again()
    assert seen.state() == before
    assert counts["accepted"] == seen.counts["accepted"]
    assert counts["unchanged"] == seen.sent + seen.counts.get("unchanged", 0)
