"""T28 and T29: a Redis that answers what no retry mends, and one that refuses for a while."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from redis.exceptions import RedisError

from recsys.keys import KeySpace, Partition, Topology, partition_of
from tests.faults.cases.kills import start
from tests.faults.cases.outages import APPEND_ONLY_FOLDER, BACK_S
from tests.faults.findings import Findings, case, conclude
from tests.faults.fleet import Worker
from tests.faults.serving import publish_model
from tests.faults.stage import PARTITIONS, Stage

KEYS = KeySpace()

TOPOLOGY = Topology(PARTITIONS)
REFUSED_TO_START = 4
TOLD_S = 30.0
READ_ONLY_S = 10.0
LOADING_S = 8.0
BYTES_A_COMMAND = 80
"""About what a command takes of the append-only file."""

SLEEP_US = 60
"""What the shortest sleep of a process takes."""


@case("T28", "keys of a wrong type; model:current and topology corrupt or newer")
def unreadable_keys(stage: Stage) -> Findings:
    findings = Findings()
    publish_model(stage)
    workers = start(stage)
    spoilt = _spoil(stage)
    _expect_isolated(stage, findings, spoilt)
    _expect_the_model_stays(stage, workers)
    for value, problem in ((b"junk", "holds no topology"), (b'{"format":9}', "was written by a newer release")):
        stage.client.set(KEYS.topology, value)
        _expect_topology_named(stage, findings, workers, problem)
        moved = stage.wait_until(_moved(stage, spoilt), within_s=TOLD_S, what="progress under the topology they have")
        findings.figures["progress_without_topology_s"] = round(moved, 1)
    status, said = _recsys(stage, "rebuild")
    findings.expect(
        status == REFUSED_TO_START and "newer release" in said,
        f"expected a rebuild to leave a newer topology alone, received {status}: {said}",
    )
    findings.expect(not any(worker.exits for worker in workers), "expected the workers to stay up, received ends")
    stage.client.set(KEYS.topology, b"junk")
    status, said = _recsys(stage, "rebuild", "--grace", "3")
    findings.expect(status == 0, f"expected `recsys rebuild` to heal, received {status}: {said}")
    findings.recovered(stage.recover(BACK_S), BACK_S)
    _, said = _recsys(stage, "status", "--json")
    findings.expect("run `recsys rebuild`" not in said, f"expected a status without complaints, received {said}")
    return conclude(stage, findings)


def _spoil(stage: Stage) -> dict[Partition, str]:
    """Another application writes over a key in three partitions; returns which."""
    learner = next(f"u{n}" for n in range(100) if partition_of(f"u{n}", PARTITIONS) == PARTITIONS - 1)
    last = Partition(PARTITIONS - 1)
    spoilt = {
        Partition(0): KEYS.trend(TOPOLOGY.shard(Partition(0))),
        Partition(2): KEYS.dirty(TOPOLOGY.shard(Partition(2))),
        last: KEYS.engagement(TOPOLOGY.shard(last), learner),
    }
    for key in spoilt.values():
        pipeline = stage.client.pipeline(transaction=True)
        pipeline.delete(key)
        pipeline.rpush(key, "another application's")
        pipeline.execute()
    return spoilt


def _expect_isolated(stage: Stage, findings: Findings, spoilt: Mapping[Partition, str]) -> None:
    """The three are stopped and named by `recsys status`; the others go on."""

    def stopped() -> dict[int, str]:
        _, said = _recsys(stage, "status", "--json")
        return {row["partition"]: row["stopped"] for row in json.loads(said)["partitions"] if row["stopped"]}

    took = stage.wait_until(lambda: set(stopped()) == set(spoilt), within_s=TOLD_S, what="three stopped partitions")
    findings.figures["isolated_s"] = round(took, 1)
    for partition, reason in stopped().items():
        findings.expect(
            repr(spoilt[Partition(partition)]) in reason and "run `recsys rebuild`" in reason,
            f"expected the key and the remedy of partition {partition}, received {reason}",
        )
    stage.wait_until(_moved(stage, spoilt), within_s=TOLD_S, what="progress of the other partitions")


def _expect_the_model_stays(stage: Stage, workers: list[Worker]) -> None:
    """A pointer that cannot be read is named by every worker; then it is put right again."""
    pointer: Any = stage.client.get(KEYS.model_current)
    stage.client.set(KEYS.model_current, b"junk")

    def named() -> bool:
        return all("pointer_unreadable" in worker.said and KEYS.model_current in worker.said for worker in workers)

    stage.wait_until(named, within_s=TOLD_S, what="a model pointer that cannot be read, named by every worker")
    stage.client.set(KEYS.model_current, pointer)


def _expect_topology_named(stage: Stage, findings: Findings, workers: list[Worker], problem: str) -> None:
    """Running workers say so and go on; one that starts ends with one line."""
    stage.wait_until(
        lambda: all(problem in worker.said for worker in workers),
        within_s=TOLD_S,
        what=f"a topology that {problem}, named by every worker",
    )
    late = stage.fleet.add()
    late.wanted = False
    late.tolerated.add(REFUSED_TO_START)
    stage.wait_until(lambda: bool(late.exits), within_s=TOLD_S, what="the end of a worker that starts now")
    last_line = late.said.strip().splitlines()[-1]
    findings.expect(
        late.exits == [REFUSED_TO_START] and f"Redis key {KEYS.topology!r} {problem}" in last_line,
        f"expected status {REFUSED_TO_START} and a line that names the key, received {late.exits}: {last_line}",
    )


def _moved(stage: Stage, spoilt: Mapping[Partition, str]) -> Any:
    """A condition: the fence of every partition that is not spoilt moved since now, whatever `topology` says."""
    names = [KEYS.fence(TOPOLOGY.shard(p), stage.group) for p in TOPOLOGY.every_partition() if p not in spoilt]

    def read() -> list[Any]:
        fences: Any = stage.client.mget(names)
        return list(fences)

    before = read()
    return lambda: all(now != then for now, then in zip(read(), before, strict=True))


def _recsys(stage: Stage, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "recsys.cli", *arguments]
    done = subprocess.run(command, env=stage.environment(), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr.strip()[-500:]


@case("T29", "Redis READONLY for 10 s and back, SCRIPT FLUSH, CLIENT KILL, LOADING")
def refusing_redis(stage: Stage) -> Findings:
    findings = Findings()
    workers = start(stage)
    before = _read_only(stage)
    findings.expect(before[0] == before[1], f"expected fences to stand while Redis is read-only, received {before}")
    findings.recovered(stage.recover(BACK_S), BACK_S)
    flushed = stage.times(60, least=10)
    for _ in range(flushed):
        stage.client.script_flush()
        stage.wait(0.2)
    killed = 0
    for _ in range(stage.times(60, least=10)):
        killed += int(stage.client.client_kill_filter(_type="normal", skipme=True))
        stage.wait(0.2)
    findings.recovered(stage.recover(BACK_S), BACK_S)
    findings.figures |= {"script_flushes": flushed, "connections_killed": killed, "loading_s": _reload(stage)}
    findings.recovered(stage.recover(BACK_S), BACK_S)
    findings.expect(killed > 0, "expected connections to be killed, received none")
    findings.expect("READONLY" in "".join(worker.said for worker in workers), "expected the workers to say READONLY")
    findings.expect(not any(worker.exits for worker in workers), "expected the workers to stay up, received ends")
    stage.client.script_flush()
    return conclude(stage, findings)


def _read_only(stage: Stage) -> tuple[Any, Any]:
    """Redis is read-only for 10 s, as in a fail-over; returns the fences soon after it began and at its end."""
    stage.client.replicaof("127.0.0.1", "1")
    stage.wait(1.0)
    before = stage.fences()
    stage.wait(READ_ONLY_S - 1.0)
    after = stage.fences()
    stage.client.replicaof("NO", "ONE")
    return before, after


def _reload(stage: Stage) -> float:
    """Restarts Redis so that it reads its file for some seconds and answers LOADING; returns for how long."""
    size = sum(file.stat().st_size for file in (stage.redis.directory / APPEND_ONLY_FOLDER).iterdir())
    delay_us = LOADING_S * 1e6 * BYTES_A_COMMAND / size
    # Redis sleeps so many µs after each command that it loads; a negative number is one shortest sleep in so many.
    stage.redis.options["key-load-delay"] = str(round(delay_us) if delay_us > SLEEP_US else -round(SLEEP_US / delay_us))
    stage.redis.kill()
    stage.redis.start()
    took = stage.wait_until(lambda: _answers(stage), within_s=120.0, what="a Redis that has loaded its file")
    stage.redis.options.clear()
    return round(took, 1)


def _answers(stage: Stage) -> bool:
    try:
        return bool(stage.client.exists(KEYS.topology))
    except (RedisError, OSError):
        return False
