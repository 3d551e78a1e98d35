"""Statements and Moodle's log through ingest or HTTP, Kafka and a real worker: what every trap leaves in the state.

The input files are those of the adapters' tests (tests/data/xapi, tests/data/moodle). All are sent once and folded;
then once more, as an operator does who replays a log of any age.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from click.testing import CliRunner

from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.local_redis import LocalRedis
from infra.operator.topics import topic_partitions
from recsys.cli import recsys as command_line
from recsys.kafka.bounded import BoundedLog
from recsys.kafka.clients import bounded_consumer
from recsys.keys import KeySpace, Topology, partition_of
from recsys.online_store.redis.store import RedisStore
from recsys.record import Record, unpack
from recsys.settings import Settings, load_settings
from serving.http.app import create_app
from serving.service import Service, kafka_producer
from tests.doubles.commands import Recsys, wait_until

pytestmark = pytest.mark.timeout(400)

DATA = Path("tests/data")
PARTITIONS = 2
TOPOLOGY = Topology(PARTITIONS)
PLANTED = b"planted"
"""Personal data in the files begins so; the addresses of the requests are in 203.0.113.0/24."""

STATE = ("}:eng:", "}:done:", "}:trend")
"""Of the shards; the merged trending says when it was merged."""

C1 = "DemoX+C1"


@dataclass
class Landed:
    """What the files have left behind.

    Attributes:
        recsys: The command line.
        settings: The same, for what a test reads.
        shown: What the commands printed.
        acknowledged: Events of the first round.
        first: State after it, by key.
        again: State after the second round.
        unchanged: Records of the second round that changed nothing.
    """

    recsys: Recsys
    settings: Settings
    shown: list[str] = field(default_factory=list)
    acknowledged: int = 0
    first: Mapping[bytes, Any] = field(default_factory=dict)
    again: Mapping[bytes, Any] = field(default_factory=dict)
    unchanged: int = 0

    def ingest(self, *arguments: str) -> int:
        """Events of a command that Kafka acknowledged."""
        ended = CliRunner(env=self.recsys.env).invoke(command_line, ["ingest", *arguments, "--json"])
        assert ended.exit_code == 0, ended.output
        self.shown.append(ended.output)
        return int(json.loads(ended.stdout)["acknowledged"])

    def folded(self) -> int:
        return sum(self.recsys.counts(PARTITIONS).values())

    def record(self, user_id: str, course_id: str) -> Record | None:
        """The record of a learner and a course, as Redis holds it."""
        key = KeySpace().engagement(TOPOLOGY.shard(partition_of(user_id, PARTITIONS)), user_id)
        with redis.Redis.from_url(self.recsys.redis_url) as client:
            packed = client.hget(key, course_id)
        return None if packed is None else unpack(packed)

    def standing(self, user_id: str, course_id: str = C1) -> dict[str, bool]:
        """State → whether it holds."""
        record = self.record(user_id, course_id)
        return {} if record is None else {name: state.entered for name, state in record.states.items()}

    def done(self, user_id: str) -> set[str]:
        """Courses not to be recommended to a learner, for now or for ever."""
        key = KeySpace().done(TOPOLOGY.shard(partition_of(user_id, PARTITIONS)), user_id)
        with redis.Redis.from_url(self.recsys.redis_url) as client:
            return {course.decode() for course in client.hkeys(key)}


def plain(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def whole(folder: Path) -> tuple[Path, list[Path]]:
    """All statements in one file, and the exports of Moodle that cannot be one."""
    statements = folder / "statements.jsonl"
    statements.write_bytes(b"".join(plain(path) for path in sorted((DATA / "xapi").glob("*.jsonl*"))))
    return statements, sorted(path for path in (DATA / "moodle").iterdir() if path.name != "staff_list.csv")


def state(redis_url: str) -> dict[bytes, Any]:
    with redis.Redis.from_url(redis_url) as client:
        return dict(_values(client))


def _values(client: redis.Redis) -> Iterable[tuple[bytes, Any]]:
    for key in client.scan_iter():
        if any(part in key.decode() for part in STATE):
            kind = client.type(key)
            if kind == b"hash":
                yield key, client.hgetall(key)
            elif kind == b"zset":
                yield key, client.zrange(key, 0, -1, withscores=True)
            else:
                yield key, client.get(key)


def send(landed: Landed, folder: Path) -> int:
    statements, exports = whole(folder)
    sent = landed.ingest("xapi", str(statements), "--index", str(folder / "index.sqlite3"))
    staff = str(DATA / "moodle" / "staff_list.csv")
    return sent + sum(landed.ingest("moodle", str(export), "--staff", staff) for export in exports)


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landed]:
    """Every file sent twice, with one worker."""
    folder = tmp_path_factory.mktemp("landed")
    topics = topic_partitions(load_settings(), PARTITIONS)
    with EmbeddedKafka(topics) as kafka, LocalRedis() as store:
        settings = load_settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers,
            kafka_embedded=True,
            redis_url=store.url,
            models_dir=folder / "models",
            serving_state_dir=folder / "state",
        )
        recsys = Recsys(kafka.bootstrap_servers, store.url, folder, {"RECSYS_KAFKA_EMBEDDED": "true"})
        found = Landed(recsys, settings)
        recsys.run("topics", "--partitions", str(PARTITIONS))
        recsys.start_worker()
        try:
            found.acknowledged = send(found, folder)
            wait_until(lambda: found.folded() >= found.acknowledged, within_s=90, what="the first round folded")
            found.first = state(store.url)
            before = recsys.counts(PARTITIONS).get("unchanged", 0)
            again = send(found, folder)
            wait_until(
                lambda: found.folded() >= found.acknowledged + again, within_s=90, what="the second round folded"
            )
            found.again = state(store.url)
            found.unchanged = recsys.counts(PARTITIONS).get("unchanged", 0) - before
            yield found
        finally:
            recsys.stop_workers()


def test_the_same_files_again_change_nothing(landed: Landed) -> None:
    assert landed.first
    assert landed.again == landed.first
    assert landed.unchanged == landed.acknowledged
    assert landed.recsys.counts(PARTITIONS).get("refused", 0) == 0  # what an adapter sends is no dead letter


def test_a_doubled_enrolment_is_one(landed: Landed) -> None:
    assert landed.standing("201") == landed.standing("202") == {"enroll": True}
    twice, once = landed.record("201", C1), landed.record("202", C1)
    assert twice is not None
    assert once is not None
    assert len(twice.registers) == len(once.registers) == 1


@pytest.mark.parametrize(("blocks", "completed", "course"), [("203", "204", C1), ("320", "321", "6")])
def test_300_completed_parts_weigh_less_than_an_enrolment_and_a_completion(
    landed: Landed, blocks: str, completed: str, course: str
) -> None:
    rules = landed.settings.record_rules
    of_blocks, of_completed = landed.record(blocks, course), landed.record(completed, course)
    assert of_blocks is not None
    assert of_completed is not None
    assert len(of_blocks.flows) == 3  # days
    assert rules.engagement(of_blocks) < rules.engagement(of_completed)


def test_completed_of_a_video_or_a_problem_completes_no_course(landed: Landed) -> None:
    record = landed.record("205", C1)
    assert record is not None
    assert (record.registers, record.quarter, len(record.flows)) == ((), 0, 2)
    assert landed.done("205") == set()
    assert landed.standing("206") == {"complete": True}


def test_earned_at_each_regrade_is_progress_only(landed: Landed) -> None:
    record = landed.record("208", C1)
    assert record is not None
    assert (record.registers, record.quarter) == ((), 4)


def test_unenrolled_and_enrolled_again(landed: Landed) -> None:
    assert landed.standing("209") == {"enroll": True, "complete": False}
    assert landed.standing("210") == {"enroll": False}
    assert landed.standing("211") == {"enroll": True}
    assert landed.standing("310", "5") == {"enroll": True}
    assert landed.done("211") == {C1}


def test_voided_is_taken_back_and_what_came_later_stands(landed: Landed) -> None:
    assert landed.standing("213") == {"enroll": False}
    assert landed.standing("214") == {"enroll": True}
    assert landed.standing("215") == {"enroll": True}
    assert landed.standing("217") == {"complete": False}


def test_two_runs_are_one_course_that_is_done_once_enrolled_in_either(landed: Landed) -> None:
    assert landed.done("218") == {C1}
    assert landed.standing("218") == {"enroll": True}


def test_moodles_learner_is_the_related_user(landed: Landed) -> None:
    assert landed.standing("301", "5") == {"enroll": True, "complete": True}
    assert landed.record("2", "5") is None


def test_staff_of_a_course_leave_no_signal_in_it(landed: Landed) -> None:
    assert landed.record("350", "5") is None
    assert landed.record("350", "6") is not None


def test_a_course_key_of_130_characters_and_a_time_without_a_zone(landed: Landed) -> None:
    long_key = f"{'L' * 60}+{'C' * 66}"
    assert landed.standing("219", long_key) == {"enroll": True}
    record = landed.record("220", C1)
    assert record is not None
    assert record.touch_ms == 1_788_256_800_500


def renamed(line: bytes) -> dict[str, Any]:
    """A statement of other learners under another id."""
    sent: dict[str, Any] = json.loads(line)
    sent["id"] = f"h{sent['id'][1:]}"
    sent["actor"]["account"]["name"] = f"h{sent['actor']['account']['name']}"
    if sent["object"].get("objectType") == "StatementRef":
        sent["object"]["id"] = f"h{sent['object']['id'][1:]}"
    return sent


async def test_statements_over_http_reach_the_state_and_are_voided(landed: Landed) -> None:
    store = RedisStore.for_serving(landed.settings.redis, timeout_ms=2000)
    app = create_app(Service.assemble(landed.settings, store, kafka_producer(landed.settings)))
    statements = [renamed(line) for line in (DATA / "xapi" / "voided.jsonl").read_bytes().splitlines()]
    valid = [sent for sent in statements if "definition" not in sent["object"] or "voided" not in sent["verb"]["id"]]
    headers = {"x-experience-api-version": "1.0.3"}
    before = landed.folded()
    async with app.router.lifespan_context(app), client_of(app) as client:
        for sent in valid:
            answered = await client.post("/xapi/statements", json=sent, headers=headers)
            assert (answered.status_code, answered.json()) == (200, [sent["id"]]), answered.text
        personal = (DATA / "xapi" / "personal_data.jsonl").read_bytes().splitlines()
        for line in personal:
            answered = await client.post(
                "/xapi/statements", content=line, headers={**headers, "content-type": "application/json"}
            )
            assert answered.status_code in {200, 400}
            assert PLANTED not in answered.content.lower()
        shown = (await client.get("/metrics")).content
        assert PLANTED not in shown.lower()
    sent_events = 11 + 2  # of `voided.jsonl`, and of `personal_data.jsonl`
    wait_until(lambda: landed.folded() >= before + sent_events, within_s=60, what="the statements folded")
    assert landed.standing("h213") == {"enroll": False}
    assert landed.standing("h214") == {"enroll": True}
    assert landed.standing("h217") == {"complete": False}


def test_a_history_that_comes_in_one_burst_makes_nobody_a_bot(landed: Landed) -> None:
    with redis.Redis.from_url(landed.recsys.redis_url) as client:
        seen = {key: client.hgetall(key) for key in client.scan_iter("*}:bot:*")}
    assert len(seen) > 30
    assert [key for key, fields in seen.items() if b"state" in fields] == []


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api")


def test_no_personal_data_is_in_a_topic_a_dead_letter_a_log_or_redis(landed: Landed) -> None:
    read = 0
    for topic in (landed.settings.interactions_topic, landed.settings.dead_letter_topic):
        with bounded_consumer(landed.settings) as consumer:
            for record in BoundedLog(consumer, topic).records():
                read += 1
                assert_clean((record.key or b"") + (record.value or b""))
    assert read >= 2 * landed.acknowledged
    for worker in landed.recsys.workers:
        assert_clean(landed.recsys.log_of(worker).encode())
    assert_clean("".join(landed.shown).encode())
    assert_clean(repr(state(landed.recsys.redis_url)).encode())


def assert_clean(content: bytes) -> None:
    for personal in (PLANTED, b"@example.org", b"203.0.113."):
        assert personal not in content.lower()
