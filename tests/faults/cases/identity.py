"""T30–T32: the topic is another one, the state is another's, Redis may delete it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

from kafka import KafkaAdminClient

from infra.devtools.local_kafka import LocalKafka
from infra.operator.topics import ensure_topics
from recsys.settings import load_settings
from tests.faults.cases.kills import EVENTS, START_S, start
from tests.faults.cases.outages import BACK_S
from tests.faults.findings import Findings, case, conclude
from tests.faults.fleet import Worker
from tests.faults.stage import PARTITIONS, Stage

BAD_SETTING, REFUSED = 2, 4
ENDED_S = 60.0
FOREIGN = ("trending", "topology", "model:current", "model:previous")


@case("T30", "the topic is deleted and made anew under its name; another cluster's topic")
def another_topic(stage: Stage) -> Findings:
    findings = Findings()
    workers = start(stage, 2, named=False)
    stage.finish_load()
    stage.drain()
    first = _topic_id(stage, stage.servers)
    for worker in workers:
        worker.wanted = False
        worker.tolerated |= {BAD_SETTING, REFUSED}
    _make_anew(stage)
    took = stage.wait_until(lambda: all(one.exits for one in workers), within_s=ENDED_S, what="the end of every worker")
    findings.figures["noticed_s"] = round(took, 1)
    second = _topic_id(stage, stage.servers)
    _expect_refusal(stage, findings, {}, first, second)
    status = json.loads(_recsys(stage, findings, "status", "--json"))
    findings.expect(
        status["lag"] is None and first in status["problem"] and second in status["problem"],
        f"expected no lag and both ids of the topic, received {status['lag']} and {status['problem']}",
    )
    with LocalKafka() as other:
        other.start()
        _make_topics(stage, other.bootstrap_servers)
        elsewhere = _topic_id(stage, other.bootstrap_servers)
        _expect_refusal(stage, findings, {"KAFKA_BOOTSTRAP_SERVERS": other.bootstrap_servers}, first, elsewhere)
    stage.log_ends = {}
    stage.start_load(rate=stage.rate(), events=EVENTS)
    stage.finish_load()
    _recsys(stage, findings, "rebuild", "--grace", "1")  # of the whole load: what is misrouted in it, it sends again
    for _ in range(2):
        stage.fleet.add()
    return conclude(stage, findings)


@case("T31", "a second group, another deployment and another application on the same Redis")
def several_owners(stage: Stage) -> Findings:
    findings = Findings()
    stage.client.mset(dict.fromkeys(FOREIGN, b"another application's"))
    workers = start(stage, 2, named=False)
    _expect_refusal(stage, findings, {"RECSYS_CONSUMER_GROUP": "second"}, "'second'", repr(stage.group))
    _expect_refusal(stage, findings, {"RECSYS_DEPLOYMENT": "staging"}, "'staging'", "RECSYS_DEPLOYMENT")
    findings.expect(not any(worker.exits for worker in workers), "expected the owner's workers to stay up")
    findings.recovered(stage.recover(BACK_S), BACK_S)
    concluded = conclude(stage, findings)
    left = stage.client.mget(FOREIGN)
    findings.expect(set(left) == {b"another application's"}, f"expected its keys left alone, received {left}")
    return concluded


@case("T32", "a Redis that may delete keys to make room")
def evicting_redis(stage: Stage) -> Findings:
    findings = Findings()
    workers = start(stage, 2, named=False)
    for worker in workers:
        worker.tolerated.add(BAD_SETTING)
        worker.wanted = False
    stage.client.config_set("maxmemory-policy", "allkeys-lru")
    stage.wait_until(lambda: all(one.exits for one in workers), within_s=ENDED_S, what="the end of every worker")
    _expect_refusal(stage, findings, {}, "allkeys-lru", "noeviction", status=BAD_SETTING)
    told = stage.fleet.add(environment={"RECSYS_REDIS_ALLOW_EVICTION": "true"})
    stage.wait_until(stage.fences_move(), within_s=START_S, what="progress of a worker that accepts it")
    findings.expect("redis_evicts" in told.said, "expected a worker that accepts it to say so")
    stage.client.config_set("maxmemory-policy", "noeviction")
    for worker in workers:
        worker.wanted = True
    findings.recovered(stage.recover(BACK_S), BACK_S)
    return conclude(stage, findings)


def _make_anew(stage: Stage) -> None:
    """Deletes the topics of records and of dead letters, and makes them again."""
    admin = KafkaAdminClient(bootstrap_servers=stage.servers)
    try:
        admin.delete_topics([stage.topic, stage.dead_letter_topic])
        stage.wait_until(
            lambda: not {stage.topic, stage.dead_letter_topic} & set(admin.list_topics()),
            within_s=ENDED_S,
            what="topics that are gone",
        )
    finally:
        admin.close()
    _make_topics(stage, stage.servers)


def _make_topics(stage: Stage, servers: str) -> None:
    settings = load_settings(
        kafka_bootstrap_servers=servers,
        interactions_topic=stage.topic,
        dead_letter_topic=stage.dead_letter_topic,
        courses_topic=f"courses-{stage.run}",
        exposures_topic=f"exposures-{stage.run}",
    )
    ensure_topics(settings, PARTITIONS)


def _topic_id(stage: Stage, servers: str) -> str:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        return str(admin.describe_topics([stage.topic])[0]["topic_id"])
    finally:
        admin.close()


def _expect_refusal(
    stage: Stage, findings: Findings, environment: Mapping[str, str], *named: str, status: int = REFUSED
) -> None:
    """A worker that starts now ends with one line that names what is told."""
    refused: Worker = stage.fleet.add(environment=environment)
    refused.wanted = False
    refused.tolerated.add(status)
    stage.wait_until(lambda: bool(refused.exits), within_s=ENDED_S, what="the end of a worker that starts now")
    last_line = refused.said.strip().splitlines()[-1]
    findings.expect(
        refused.exits == [status] and all(part in last_line for part in named),
        f"expected status {status} and a line with {named}, received {refused.exits}: {last_line}",
    )


def _recsys(stage: Stage, findings: Findings, *arguments: str) -> str:
    command = [sys.executable, "-m", "recsys.cli", *arguments]
    done = subprocess.run(command, env=stage.environment(), capture_output=True, text=True, check=False)
    findings.expect(done.returncode == 0, f"expected `recsys {arguments[0]}` to end with 0: {done.stderr[-300:]}")
    return done.stdout
