"""T10 and T11: a bad network between worker, Kafka and Redis, and replies that are lost after the commit."""

from __future__ import annotations

import hashlib

from recsys.online_store.redis.commit_script import COMMIT
from tests.doubles.mutant_worker import COMMIT_WITHOUT_FENCE
from tests.faults.cases.kills import EVENTS, START_S
from tests.faults.findings import Findings, case, conclude
from tests.faults.proxy import Proxy, Weather
from tests.faults.stage import Stage

SILENCE_S = 10.0
RETURN_S = 120.0
"""A request that a reset or the silence swallowed is waited for: 40 s (`broker_request_timeout`), some in a row."""
LOST_REPLIES = 1000
LOSSES_WITHIN_S = 240.0


@case("T10", "a proxy on each side: latency, resets, slicing, 10 s of silence")
def bad_network(stage: Stage) -> Findings:
    findings = Findings()
    listener = stage.kafka.proxied_listener
    assert listener is not None
    with (
        Proxy(stage.redis.port, seed=stage.seed) as to_redis,
        Proxy(listener, port=stage.kafka.proxied_port, seed=stage.seed + 1) as to_kafka,
    ):
        stage.fleet.environment |= {
            "REDIS_URL": f"redis://127.0.0.1:{to_redis.port}/0",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{to_kafka.port}",
        }
        stage.start_load(rate=stage.rate(), events=EVENTS)
        for _ in range(3):
            stage.fleet.add()
        stage.wait_until(stage.fences_move({}), within_s=START_S, what="progress on every partition")
        lasts_s = max(8.0, 30.0 * stage.scale)
        for name, weather, seconds in (
            ("latency", Weather(latency_s=0.05), lasts_s),
            ("slicing", Weather(slice_bytes=16), lasts_s),
            ("resets", Weather(reset_rate=0.02), lasts_s),
            ("silence", Weather(silent=True), SILENCE_S),
        ):
            to_redis.weather = to_kafka.weather = weather
            before = stage.applied()
            stage.wait(seconds)
            findings.figures[f"records_in_{name}"] = stage.applied() - before
            to_redis.weather = to_kafka.weather = Weather()
            findings.recovered(stage.recover(RETURN_S), RETURN_S)
        findings.figures["resets"] = to_redis.resets + to_kafka.resets
        findings.expect(to_kafka.connections > 0, "expected the workers to reach Kafka through the proxy")
        stage.finish_load()
        stage.drain()
        stage.wait_until(stage.fleet.started, within_s=RETURN_S, what="every worker in the group")
        to_redis.weather = to_kafka.weather = Weather(silent=True)
        ends = stage.fleet.stop()
        findings.figures["slowest_stop_in_silence_s"] = round(max(seconds for _, seconds in ends), 1)
        findings.ended(ends)
        to_redis.weather = to_kafka.weather = Weather()
        return conclude(stage, findings)


@case("T11", "the reply to a commit is lost, 1000 times")
def lost_replies(stage: Stage) -> Findings:
    findings = Findings()
    wanted = stage.times(LOST_REPLIES, least=200)
    with Proxy(stage.redis.port, seed=stage.seed) as proxy:
        # Small fetches make many commits; every worker waits out its own retries.
        stage.fleet.environment |= {
            "REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0",
            "RECSYS_WORKER_MAX_POLL_RECORDS": "100",
        }
        stage.start_load(rate=stage.rate() / 2, events=EVENTS // 3)
        for _ in range(3):
            stage.fleet.add()
        stage.wait_until(stage.fences_move({}), within_s=START_S, what="progress on every partition")
        script = COMMIT if stage.mutant is None else COMMIT_WITHOUT_FENCE
        commit = hashlib.sha1(script.encode()).hexdigest()  # noqa: S324 - what EVALSHA calls it
        proxy.weather = Weather(cut_after=commit.encode(), cuts_left=wanted)
        took = stage.wait_until(lambda: proxy.cuts >= wanted, within_s=LOSSES_WITHIN_S, what=f"{wanted} lost replies")
        proxy.weather = Weather()
        findings.recovered(stage.recover(RETURN_S), RETURN_S)
        findings.figures |= {"lost_replies": proxy.cuts, "seconds": round(took, 1)}
        return conclude(stage, findings)
