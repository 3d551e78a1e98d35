"""T5–T9 and T24: Kafka and Redis go away, lose their last second, come back older, empty or full."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.faults.cases.kills import RECOVERY_S, start
from tests.faults.findings import Findings, case, conclude
from tests.faults.serving import Api, publish_model
from tests.faults.stage import FULL_RATE, Stage
from tests.faults.topic import committed_offsets

HEAL_S = 120.0
BACK_S = 60.0
"""`TESTS.md` names no figure but for T1 to T5: a worker that gave up meanwhile has to start."""
COMMIT_S = 5.0
"""After so long every offset that was acknowledged before Redis went is committed to Kafka."""

REBUILD_FACTOR = 10.0
APPEND_ONLY_FOLDER = "appendonlydir"


@case("T5", "the broker is killed and stays down for a minute")
def broker_down(stage: Stage) -> Findings:
    findings = Findings()
    start(stage)
    stage.kafka.kill()
    stage.wait(stage.down_s())
    before = stage.fences()
    stage.kafka.start()
    resumed = stage.wait_until(stage.fences_move(before), within_s=120.0, what="progress after the broker's return")
    findings.recovered(resumed, RECOVERY_S)
    findings.figures["down_s"] = stage.down_s()
    findings.figures["lag_below_2_s_after_s"] = round(resumed + stage.recover(RECOVERY_S), 1)
    return conclude(stage, findings)


@case("T6", "Redis is down for a minute; the API answers")
def redis_down(stage: Stage) -> Findings:
    findings = Findings()
    publish_model(stage)
    start(stage)
    with Api(stage) as api:
        stage.wait(3)
        stage.redis.kill()
        api.forget()
        stage.wait(COMMIT_S)
        acknowledged = committed_offsets(stage.servers, stage.topic, stage.group)
        stage.wait(stage.down_s() - COMMIT_S)
        findings.problems += api.problems()
        findings.figures["api"] = {**{str(k): v for k, v in api.statuses.items()}, **api.sources}
        findings.figures["api_slowest_ms"] = round(api.slowest_s * 1000)
        since = committed_offsets(stage.servers, stage.topic, stage.group)
        findings.expect(since == acknowledged, f"expected nothing acknowledged, received {acknowledged}, then {since}")
        stage.start_redis()
        findings.recovered(stage.recover(BACK_S), BACK_S)
        api.forget()
        stage.wait(2)
        findings.problems += api.problems()
        findings.expect(bool(api.sources["cached"]), f"expected cached lists again, received {dict(api.sources)}")
    return conclude(stage, findings)


@case("T7", "Redis kill -9 under its append-only file, which loses its last second")
def redis_killed(stage: Stage) -> Findings:
    findings = Findings()
    start(stage)
    cut_off, forgot = 0, 0
    for _ in range(stage.times(5, least=2)):
        stage.wait(stage.rng.uniform(2.0, 5.0))
        cut, before = power_cut(stage)
        stage.start_redis()
        cut_off += cut
        forgot += max(0, before - stage.applied())  # workers are already at it
        findings.recovered(stage.recover(BACK_S), BACK_S)
    findings.figures |= {"bytes_cut_off": cut_off, "records_redis_forgot": forgot}
    findings.expect(cut_off > 0, "expected a Redis that lost what its disk had not got, received none that did")
    return conclude(stage, findings)


def power_cut(stage: Stage) -> tuple[int, int]:
    """Kills Redis and cuts off what its disk need not have; returns how many bytes, and the records applied before.

    A killed process loses nothing that it has written; a machine without power loses what was not synced, which is up
    to a second's worth (`appendfsync everysec`), and may cut through a command.
    """
    log = _append_only_file(stage)
    synced = log.stat().st_size
    stage.wait(1.0)
    applied = stage.applied()
    stage.redis.kill()
    if _append_only_file(stage) != log:  # Redis has just begun a new one
        return 0, applied
    written = log.stat().st_size
    keep = stage.rng.randint(synced, (synced + written) // 2)
    os.truncate(log, keep)
    return written - keep, applied


def _append_only_file(stage: Stage) -> Path:
    """The one that Redis writes to: the last of its files, numbered from 1."""
    files = (stage.redis.directory / APPEND_ONLY_FOLDER).glob("*.incr.aof")
    return max(files, key=lambda file: int(file.name.split(".")[-3]))


@case("T8", "an old snapshot of Redis is restored, under load and idle")
def old_snapshot(stage: Stage) -> Findings:
    findings = Findings()
    start(stage)
    stage.wait(3)
    kept = stage.folder / "snapshot"
    shutil.copytree(stage.redis.directory / APPEND_ONLY_FOLDER, kept)
    stage.wait(max(5.0, 20.0 * stage.scale))
    findings.figures["records_taken_back"] = _restore(stage, kept)
    findings.recovered(stage.recover(BACK_S), BACK_S)
    stage.finish_load()
    stage.drain()
    findings.figures["records_taken_back_idle"] = _restore(stage, kept)
    findings.figures["healed_idle_s"] = round(stage.drain(within_s=HEAL_S), 1)
    return conclude(stage, findings)


def _restore(stage: Stage, kept: Path) -> int:
    """Kills Redis, puts the old files back, starts it; returns how many records it forgot."""
    before = stage.applied()
    stage.redis.kill()
    shutil.rmtree(stage.redis.directory / APPEND_ONLY_FOLDER)
    shutil.copytree(kept, stage.redis.directory / APPEND_ONLY_FOLDER)
    stage.start_redis()
    return before - stage.applied()


@case("T9", "FLUSHALL, under load and idle, then a rebuild")
def flushed(stage: Stage) -> Findings:
    findings = Findings()
    start(stage)
    stage.wait(max(5.0, 20.0 * stage.scale))
    stage.client.flushall()
    findings.recovered(stage.recover(BACK_S), BACK_S)
    stage.finish_load()
    stage.drain()
    stage.client.flushall()
    findings.figures["healed_idle_s"] = round(stage.drain(within_s=HEAL_S), 1)
    command = [sys.executable, "-m", "recsys.cli", "rebuild", "--json"]
    done = subprocess.run(command, env=stage.environment(), capture_output=True, text=True, check=False)
    findings.expect(done.returncode == 0, f"expected `recsys rebuild` to end with 0, received: {done.stderr[-300:]}")
    if done.returncode == 0:
        report = json.loads(done.stdout)
        findings.figures |= {"rebuild": report, "rebuild_x_live": round(report["records_per_second"] / FULL_RATE, 1)}
        findings.expect(
            report["records_per_second"] >= REBUILD_FACTOR * FULL_RATE,
            f"expected {REBUILD_FACTOR * FULL_RATE:g} records/s rebuilt, received {report['records_per_second']:.0f}",
        )
        stage.wait(3)  # workers see the new generation within a second, and start themselves anew
    return conclude(stage, findings)


@case("T24", "Redis is full")
def redis_full(stage: Stage) -> Findings:
    findings = Findings()
    publish_model(stage)
    workers = start(stage)
    with Api(stage) as api:
        stage.wait(3)
        stage.client.config_set("maxmemory", 1_000_000)
        stage.wait(2)  # what was under way
        before = stage.fences()
        api.forget()
        stage.wait(stage.down_s())
        findings.expect(stage.fences() == before, f"expected fences to stand at {before}, received {stage.fences()}")
        findings.problems += api.problems()
        findings.figures["api"] = {**{str(k): v for k, v in api.statuses.items()}, **api.sources}
        said = "".join(worker.said for worker in workers)
        findings.expect("OOM" in said or "maxmemory" in said, "expected the workers to say that Redis is full")
        stage.client.config_set("maxmemory", 0)
        findings.recovered(stage.recover(BACK_S), BACK_S)
        findings.problems += api.problems()
    evicted = stage.client.info("stats")["evicted_keys"]
    findings.expect(evicted == 0, f"expected nothing evicted, received {evicted} keys")
    findings.figures["exits"] = sorted(status for worker in workers for status in worker.exits)
    return conclude(stage, findings)
