"""T27: Redis refuses commands, a commit is applied in part."""

from __future__ import annotations

import json
import subprocess
import sys

from recsys.keys import KeySpace, Shard
from tests.faults.cases.kills import start
from tests.faults.cases.outages import BACK_S
from tests.faults.faulty_worker import COMMIT_IN_PART, FAIL_IN_PART_AT
from tests.faults.findings import Findings, case, conclude
from tests.faults.stage import Stage

KEYS = KeySpace()

WRITES = ("zadd", "hset", "sadd", "hdel", "zrem", "srem", "unlink", "set")
"""Small runs take the first: one that a commit uses after it has written records, so that a mutant does harm."""
REFUSED_S = 2.0
STOPPED_S = 60.0
DAMAGED = 0
"""The partition whose commit fails in part; all others have to go on."""


@case("T27", "Redis refuses one command inside each script; a commit is applied in part")
def commits_in_part(stage: Stage) -> Findings:
    findings = Findings()
    start(stage, named=False, mutant=stage.mutant or COMMIT_IN_PART)
    stage.client.set(FAIL_IN_PART_AT, KEYS.tag(Shard(DAMAGED)))
    _expect_stop(stage, findings, "applied in part")
    stage.client.delete(FAIL_IN_PART_AT)
    _recsys(stage, findings, "resume", "--partition", str(DAMAGED))  # resuming is no cure
    _expect_stop(stage, findings, "applied in part")
    _recsys(stage, findings, "rebuild", "--grace", "2")
    findings.recovered(stage.recover(BACK_S), BACK_S)
    for command in WRITES[: stage.times(len(WRITES), least=2)]:
        stage.client.execute_command("ACL", "SETUSER", "default", f"-{command}")  # type: ignore[no-untyped-call]
        stage.wait(REFUSED_S)
        stage.client.execute_command("ACL", "SETUSER", "default", f"+{command}")  # type: ignore[no-untyped-call]
        for partition in _stopped(stage):
            _recsys(stage, findings, "resume", "--partition", str(partition))
        findings.recovered(stage.recover(BACK_S), BACK_S)
    return conclude(stage, findings)


def _stopped(stage: Stage) -> dict[int, str]:
    command = [sys.executable, "-m", "recsys.cli", "status", "--json"]
    done = subprocess.run(command, env=stage.environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        return {}
    return {row["partition"]: row["stopped"] for row in json.loads(done.stdout)["partitions"] if row["stopped"]}


def _expect_stop(stage: Stage, findings: Findings, reason: str) -> None:
    """The damaged partition is stopped, everybody can see why, and no other is."""

    def told() -> bool:
        return any(reason in worker.said for worker in stage.fleet.workers)

    stage.wait_until(told, within_s=STOPPED_S, what=f"a stop that names {reason!r}")
    stopped = set(_stopped(stage))
    findings.expect(stopped <= {DAMAGED}, f"expected no other partition to be stopped, received {stopped}")


def _recsys(stage: Stage, findings: Findings, *arguments: str) -> None:
    command = [sys.executable, "-m", "recsys.cli", *arguments]
    done = subprocess.run(command, env=stage.environment(), capture_output=True, text=True, check=False)
    findings.expect(done.returncode == 0, f"expected `recsys {arguments[0]}` to end with 0: {done.stderr[-300:]}")
