"""T12–T15 and T21: faults inside the worker, records that break it, and dead letters nobody takes."""

from __future__ import annotations

import signal
from collections import Counter

from kafka import KafkaAdminClient

from tests.doubles.topics import alter_topic
from tests.faults.cases.kills import EVENTS, START_S
from tests.faults.cases.outages import BACK_S
from tests.faults.faulty_worker import MARKER
from tests.faults.findings import Findings, case, conclude
from tests.faults.fleet import SERVICE_AWAY, Worker
from tests.faults.stage import Stage
from tests.faults.topic import as_dead_letter, read_topic

GIVES_UP_S = 90.0
MARKED_EVERY_S = 20.0
KILLERS = 2
GUARD_S = 180.0
"""Three starts and the wait for a dead worker's id, for each poison record."""


def start_faulty(stage: Stage, variant: str, *, workers: int = 3, named: bool = False) -> list[Worker]:
    """Starts workers of a variant and waits for progress."""
    started = [stage.fleet.add(worker_id=f"w{number}" if named else None, mutant=variant) for number in range(workers)]
    stage.wait_until(stage.fences_move({}), within_s=START_S, what="progress on every partition")
    return started


@case("T12", "an exception in the fold that passes by itself")
def transient_exception(stage: Stage) -> Findings:
    findings = Findings()
    stage.start_load(rate=stage.rate(), events=EVENTS)
    workers = start_faulty(stage, "fold-fails-now-and-then")
    stage.wait(max(10.0, 30.0 * stage.scale))
    findings.recovered(stage.recover(BACK_S), BACK_S)
    failed = sum(worker.said.count("fault: the fold raises") for worker in workers)
    findings.figures["fold_failures"] = failed
    findings.expect(failed > 0, "expected folds to fail, received none")
    return conclude(stage, findings)


@case("T13", "an exception in the fold that stays: dead letter")
def permanent_exception(stage: Stage) -> Findings:
    findings = Findings()
    stage.also_refused = lambda event: event.course_id == MARKER
    stage.start_load(rate=stage.rate(), events=EVENTS, marker=MARKER, marker_every=20_000)
    start_faulty(stage, "fold-fails-on-marker")
    stage.wait(max(10.0, 30.0 * stage.scale))
    findings.recovered(stage.recover(BACK_S), BACK_S)
    conclude(stage, findings)
    return _expect_reason(stage, findings, "fold_failed")


def _expect_reason(stage: Stage, findings: Findings, reason: str) -> Findings:
    """Marked records must have become dead letters of this reason."""
    letters = [as_dead_letter(one) for one in read_topic(stage.servers, stage.dead_letter_topic)]
    reasons = Counter(one.reason for one in letters if MARKER.encode() in (one.value or b""))
    findings.figures["dead_letters_of_marked"] = dict(reasons)
    findings.expect(set(reasons) == {reason}, f"expected dead letters of reason {reason!r}, received {dict(reasons)}")
    return findings


@case("T14", "agent or partition task cancelled mid-batch; a slow head, then a kill")
def cancelled(stage: Stage) -> Findings:
    findings = Findings()
    patience = stage.fleet.environment.get("RECSYS_WORKER_STALL_SECONDS", "60")
    stage.fleet.environment["RECSYS_WORKER_STALL_SECONDS"] = "10"  # what notices a cancelled partition task
    stage.start_load(rate=stage.rate(), events=EVENTS)
    workers = [
        *start_faulty(stage, "cancelled-task", workers=1),
        *start_faulty(stage, "cancelled-agent", workers=1),
    ]

    def each_cancelled() -> bool:
        return all("fault: cancelling" in worker.said for worker in workers)

    stage.wait_until(each_cancelled, within_s=120.0, what="a cancellation in each worker")
    for worker in workers:
        worker.stop()
    stage.fleet.environment["RECSYS_WORKER_STALL_SECONDS"] = patience
    slow = [stage.fleet.add(mutant="slow-head") for _ in range(2)]
    stage.wait_until(stage.fences_move(), within_s=START_S, what="progress with slow heads")
    for _ in range(stage.times(5, least=2)):
        stage.wait(stage.rng.uniform(2.0, 5.0))
        stage.rng.choice([worker for worker in slow if worker.running] or slow).kill()
    for worker in slow:
        worker.stop()
    for _ in range(2):
        stage.fleet.add()
    findings.recovered(stage.recover(BACK_S), BACK_S)
    said = "".join(worker.said for worker in workers)
    findings.figures["cancellations"] = said.count("fault: cancelling")
    return conclude(stage, findings)


@case("T15", "the dead-letter topic takes nothing, then is gone")
def no_dead_letters(stage: Stage) -> Findings:
    findings = Findings()
    stage.start_load(rate=stage.rate(), events=EVENTS)
    workers = [stage.fleet.add() for _ in range(3)]
    stage.wait_until(stage.fences_move({}), within_s=START_S, what="progress on every partition")
    admin = KafkaAdminClient(bootstrap_servers=stage.servers)
    try:
        _limit_message_bytes(admin, stage.dead_letter_topic, "1")
        _expect_standstill(stage, findings, workers, "a topic that takes nothing")
        _limit_message_bytes(admin, stage.dead_letter_topic, "1048588")
        findings.recovered(stage.recover(BACK_S), BACK_S)
        _lose_the_topic(stage, admin)
        _expect_standstill(stage, findings, workers, "no topic")
        admin.create_topics({stage.dead_letter_topic: {"num_partitions": 6, "replication_factor": 1}})
        findings.recovered(stage.recover(BACK_S), BACK_S)
    finally:
        admin.close()
    return conclude(stage, findings)


def _limit_message_bytes(admin: KafkaAdminClient, topic: str, limit: str) -> None:
    """Nothing fits into 1 byte. (More in-sync replicas than there are replicas would not do: Kafka takes the fewer.)"""
    alter_topic(admin, topic, {"max.message.bytes": limit})


def _expect_standstill(stage: Stage, findings: Findings, workers: list[Worker], cause: str) -> None:
    """The partitions stop before their first refused record, and a worker ends with a message that names the reason."""
    ends = [len(worker.exits) for worker in workers]
    try:
        stage.wait_until(
            lambda: any(SERVICE_AWAY in worker.exits[n:] for worker, n in zip(workers, ends, strict=True)),
            within_s=GIVES_UP_S,
            what=f"a worker that gives up on {cause}",
        )
    except TimeoutError as error:  # go on: the oracle says what became of the dead letters
        findings.problems.append(str(error))
        return
    before = stage.fences()
    stage.wait(8.0)
    after = stage.fences()
    moved = [p for p, fence in (after or {}).items() if before is None or fence != before[p]]
    findings.figures.setdefault("partitions_that_moved", []).append(len(moved))
    said = "".join(worker.said for worker in workers)
    findings.expect("dead letter" in said, "expected a message about dead letters, received none")


def _lose_the_topic(stage: Stage, admin: KafkaAdminClient) -> None:
    """Reads what is in the dead-letter topic, and deletes it while no worker runs."""
    for worker in stage.fleet.workers:
        worker.stop()
    records = read_topic(stage.servers, stage.dead_letter_topic)
    stage.kept_letters += [as_dead_letter(record) for record in records]
    admin.delete_topics([stage.dead_letter_topic])
    for worker in stage.fleet.workers:
        worker.wanted = True


@case("T21", "a poison record that kills the process: dead letter after 3 restarts")
def killing_record(stage: Stage) -> Findings:
    findings = Findings()
    stage.also_refused = lambda event: event.course_id == MARKER
    every = int(MARKED_EVERY_S * stage.rate())
    stage.start_load(rate=stage.rate(), events=EVENTS // 3, marker=MARKER, marker_every=every, markers=KILLERS)
    workers = [stage.fleet.add(worker_id=f"w{n}", mutant="fold-kills-on-marker") for n in range(2)]
    for worker in workers:
        worker.tolerated.add(-signal.SIGABRT)
    stage.wait_until(stage.fences_move({}), within_s=START_S, what="progress on every partition")

    def aborts() -> int:
        return sum(worker.exits.count(-signal.SIGABRT) for worker in workers)

    stage.wait_until(lambda: aborts() > 0, within_s=60.0, what="a worker that dies of a record")
    findings.recovered(stage.recover(GUARD_S, patience_s=2 * GUARD_S), GUARD_S)
    findings.figures["aborts"] = aborts()
    stage.finish_load()
    stage.drain(within_s=4 * GUARD_S)
    conclude(stage, findings)
    return _expect_reason(stage, findings, "crashed_worker")
