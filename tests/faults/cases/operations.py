"""T16–T19 and T23: what operators do, clocks that are off, and two versions side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import NoError

from recsys.keys import Shard
from tests.faults.cases.kills import EVENTS, START_S, start
from tests.faults.cases.outages import BACK_S
from tests.faults.findings import Findings, case, conclude
from tests.faults.fleet import Worker
from tests.faults.stage import PARTITIONS, Stage
from tests.faults.topic import read_topic

REFUSED_TO_START = 4
HOUR_S = 3600
DELETED_IN = (0, 1)
GONE_S = 30.0
READ_ON_S = 3.0
"""A worker that owns a partition and takes it for none that is stopped would have read on by then."""
KNOWS_NO_FORMATS = "d1a576b"
OLD_VERSIONS = (KNOWS_NO_FORMATS, "31e9a26")
"""Releases whose state has another format, from which a migration starts (T23)."""

ENDS_UNABLE_TO_READ = {1, 70}
"""How workers of a release that knows no formats end when they meet a newer topology."""


@case("T16", "two workers of one instance id")
def same_id(stage: Stage) -> Findings:
    findings = Findings()
    start(stage)
    second = stage.fleet.add(worker_id="w1")
    second.wanted = False
    second.tolerated.add(REFUSED_TO_START)
    findings.figures["turned_away_after_s"] = round(
        stage.wait_until(lambda: bool(second.exits), within_s=60.0, what="the second w1 turned away"), 1
    )
    findings.expect(second.exits == [REFUSED_TO_START], f"expected status {REFUSED_TO_START}, received {second.exits}")
    findings.expect(
        "worker id 'w1' is held by another live worker" in second.said,
        f"expected a clear message, received {second.said[-300:]!r}",
    )
    findings.recovered(stage.recover(BACK_S), BACK_S)
    return conclude(stage, findings)


@case("T17", "the group's offsets are reset to either end, or deleted")
def offsets_gone(stage: Stage) -> Findings:
    findings = Findings()
    workers = start(stage, named=False)
    admin = KafkaAdminClient(bootstrap_servers=stage.servers)
    try:
        for spec in (OffsetSpec.LATEST, OffsetSpec.EARLIEST, None):
            stage.wait_until(stage.fleet.started, within_s=START_S, what="every worker in the group")
            for worker in workers:
                worker.stop()
            stage.wait(3)  # so that the latest offset is far beyond the fence
            stage.wait_until(lambda: _move_offsets(admin, stage, spec), within_s=GONE_S, what="a group without members")  # noqa: B023
            for worker in workers:
                worker.wanted = True
            findings.recovered(stage.recover(BACK_S), BACK_S)
    finally:
        admin.close()
    findings.figures["gaps_sought"] = sum(worker.said.count('"event": "gap"') for worker in workers)
    findings.expect(findings.figures["gaps_sought"] > 0, "expected gaps to be found, received none")
    return conclude(stage, findings)


def _move_offsets(admin: KafkaAdminClient, stage: Stage, spec: OffsetSpec | None) -> bool:
    """Moves the group's offsets, or deletes them (None); False while the broker still counts a member."""
    places = [TopicPartition(stage.topic, partition) for partition in range(PARTITIONS)]
    if spec is not None:
        answers = admin.reset_group_offsets(stage.group, dict.fromkeys(places, spec)).values()
        return all(answer["error"] is NoError for answer in answers)
    return bool(admin.delete_groups([stage.group])[stage.group] == "OK")


@case("T18", "retention deletes records that were never applied")
def retention(stage: Stage) -> Findings:
    findings = Findings()
    workers = start(stage, named=False)
    stage.wait(max(3.0, 10.0 * stage.scale))
    for worker in workers:
        worker.stop()
    stage.wait(max(3.0, 10.0 * stage.scale))
    stage.finish_load()
    before = stage.fences() or {}
    stage.kept = read_topic(stage.servers, stage.topic)
    admin = KafkaAdminClient(bootstrap_servers=stage.servers)
    try:
        for partition in DELETED_IN:
            applied = before[partition] or 0
            log_start = (applied + stage.log_ends[partition]) // 2
            admin.delete_records({TopicPartition(stage.topic, partition): log_start})
            stage.expired[partition] = range(applied + 1, log_start)
    finally:
        admin.close()
    findings.figures["deleted"] = sum(map(len, stage.expired.values()))
    workers = [stage.fleet.add() for _ in range(2)]
    _expect_stops(stage, findings, before)
    _expect_stops_outlive_their_owners(stage, findings, before, workers)
    for partition in DELETED_IN:
        command = [sys.executable, "-m", "recsys.cli", "resume", "--partition", str(partition)]
        done = subprocess.run(command, env=stage.environment(), capture_output=True, text=True, check=False)
        findings.expect(done.returncode == 0, f"expected `recsys resume` to end with 0, received: {done.stderr[-300:]}")
    findings.recovered(stage.drain(), BACK_S)
    findings.expect(not any(worker.exits for worker in workers), "expected the workers to stay up, received ends")
    return conclude(stage, findings)


def _expect_stops(stage: Stage, findings: Findings, before: Mapping[int, int | None]) -> None:
    """Without an operator override the two partitions stand still, and everybody can see why; the others go on."""
    others = [partition for partition in range(PARTITIONS) if partition not in DELETED_IN]

    def others_done() -> bool:
        fences = stage.fences() or {}
        return all((fences.get(partition) or -1) + 1 >= stage.log_ends[partition] for partition in others)

    def stopped() -> dict[int, str]:
        command = [sys.executable, "-m", "recsys.cli", "status", "--json"]
        done = subprocess.run(command, env=stage.environment(), capture_output=True, text=True, check=True)
        return {row["partition"]: row["stopped"] for row in json.loads(done.stdout)["partitions"] if row["stopped"]}

    stage.wait_until(others_done, within_s=60.0, what="the other partitions applied to their ends")
    stage.wait_until(lambda: set(stopped()) == set(DELETED_IN), within_s=30.0, what="two stopped partitions")
    findings.expect(
        all("retention deleted" in reason for reason in stopped().values()),
        f"expected `recsys status` to say that retention deleted records, received {stopped()}",
    )
    after = stage.fences() or {}
    passed = [partition for partition in DELETED_IN if after[partition] != before[partition]]
    findings.expect(not passed, f"expected fences before the gap to stand, received progress on {passed}")


def _expect_stops_outlive_their_owners(
    stage: Stage, findings: Findings, before: Mapping[int, int | None], workers: list[Worker]
) -> None:
    """The partitions change hands, and their next owner finds them stopped and leaves them so."""
    heir = stage.fleet.add()
    stage.wait_until(stage.fleet.started, within_s=START_S, what="a third worker")
    findings.ended([worker.stop() for worker in workers])
    workers[:] = [heir]
    stage.wait_until(lambda: heir.said.count("partition_stopped") >= len(DELETED_IN), within_s=START_S, what="an heir")
    stage.wait(READ_ON_S)
    _expect_stops(stage, findings, before)


@case("T19", "one worker's clock is an hour ahead, then an hour behind")
def wrong_clock(stage: Stage) -> Findings:
    findings = Findings()
    start(stage, 2, named=False)
    for shift in (HOUR_S, -HOUR_S):
        worker = stage.fleet.add(mutant="clock", environment={"FAULT_SHIFT_S": str(shift)})
        stage.wait_until(stage.fleet.started, within_s=START_S, what="the worker of another time")
        stage.wait(max(5.0, 20.0 * stage.scale))
        worker.stop()
    findings.recovered(stage.recover(BACK_S), BACK_S)
    return conclude(stage, findings)


@case("T23", "workers of earlier releases serve while `recsys rebuild` migrates; then today's take over")
def migration(stage: Stage) -> Findings:
    findings = Findings()
    refs = [stage.old_ref] if stage.old_ref else OLD_VERSIONS
    findings.figures["old"] = [ref[:12] for ref in refs]
    stage.old_workers = True
    stage.spell_keys_as("")  # the older of them knows no prefix
    stage.start_load(rate=stage.rate(), events=EVENTS)
    veterans = {ref: stage.fleet.add(environment=_environment_of(stage, ref)) for ref in refs}
    stage.wait_until(stage.fences_move({}), within_s=START_S, what="progress of the earlier releases")
    stage.wait(max(5.0, 15.0 * stage.scale))
    findings.figures["migrated"] = _rebuilt(stage, findings).get("records")
    unable = veterans.pop(KNOWS_NO_FORMATS, None)
    if unable is not None:
        unable.wanted = False
        unable.tolerated |= ENDS_UNABLE_TO_READ
        stage.wait_until(lambda: not unable.running, within_s=START_S, what="the end of a worker that knows no formats")
    if veterans:
        stage.wait_until(_old_fences_move(stage), within_s=START_S, what="an earlier release beside the new state")
    newcomers = [stage.fleet.add() for _ in refs]
    stage.wait_until(lambda: all(one.started for one in newcomers), within_s=START_S, what="today's workers")
    for worker in veterans.values():
        stage.wait(max(3.0, 5.0 * stage.scale))
        findings.ended([worker.stop()])
    findings.recovered(stage.recover(BACK_S), BACK_S)
    conclude(stage, findings)
    _rebuilt(stage, findings, "--drop-unused")
    left = sum(1 for _ in stage.client.scan_iter("{s[0-9]}:*", count=5000))
    findings.expect(left == 0, f"expected no key of the old state after --drop-unused, received {left}")
    return findings


def _environment_of(stage: Stage, ref: str) -> dict[str, str]:
    """Where a worker of another git ref finds its code; PYTHONSAFEPATH keeps the working folder off it."""
    path = stage.folder / ref
    path.mkdir()
    subprocess.run(["tar", "-x", "-C", str(path)], input=_git("archive", ref), check=True)
    return {"PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"}


def _rebuilt(stage: Stage, findings: Findings, *options: str) -> dict[str, object]:
    command = [sys.executable, "-m", "recsys.cli", "rebuild", "--json", *options]
    done = subprocess.run(command, env=stage.environment(), capture_output=True, text=True, check=False)
    findings.expect(done.returncode == 0, f"expected `recsys rebuild` to end with 0, received: {done.stderr[-300:]}")
    return json.loads(done.stdout) if done.returncode == 0 else {}


def _old_fences_move(stage: Stage) -> Callable[[], bool]:
    """A condition: the fences of generation 0, which nobody but the earlier releases writes, moved since now."""
    names = [stage.keys.fence(Shard(partition), stage.group) for partition in range(PARTITIONS)]
    before = stage.client.mget(names)
    return lambda: all(now != then for now, then in zip(stage.client.mget(names), before, strict=True))


def _git(*arguments: str) -> bytes:
    """At the top of the checkout: an archive from a folder that the old version had not is none."""
    top = Path(__file__).parents[3]
    return subprocess.run(["git", *arguments], capture_output=True, check=True, cwd=top).stdout
