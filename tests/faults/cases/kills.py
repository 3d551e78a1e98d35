"""T1–T4: workers that are killed, stopped, added, taken away, and that wake up as a second owner."""

from __future__ import annotations

import signal

from tests.faults.findings import Findings, case, conclude
from tests.faults.fleet import STOP_S, Worker
from tests.faults.stage import Stage

EVENTS = 300_000
RECOVERY_S = 30.0
START_S = 90.0
START_TAKES_S = 6.0


def start(stage: Stage, workers: int = 3, *, named: bool = True, mutant: str | None = None) -> list[Worker]:
    """Starts the base load and so many workers, and returns when all partitions move."""
    stage.start_load(rate=stage.rate(), events=EVENTS)
    started = [stage.fleet.add(worker_id=f"w{number}" if named else None, mutant=mutant) for number in range(workers)]
    stage.wait_until(stage.fences_move({}), within_s=START_S, what="progress on every partition")
    return started


@case("T1", "kill -9 a random worker every few seconds")
def kills(stage: Stage) -> Findings:
    findings = Findings()
    workers = start(stage)
    killed = stage.times(30, least=5)
    for _ in range(killed):
        stage.wait(stage.rng.uniform(1.0, 5.0))
        stage.rng.choice([worker for worker in workers if worker.running] or workers).kill()
    findings.recovered(stage.recover(RECOVERY_S), RECOVERY_S)
    findings.figures["kills"] = killed
    return conclude(stage, findings)


@case("T2", "rolling SIGTERM of all workers")
def rolling_stops(stage: Stage) -> Findings:
    findings = Findings()
    workers = start(stage)
    slowest = 0.0
    for _ in range(stage.times(3, least=1)):
        for worker in workers:
            status, seconds = worker.stop()
            slowest = max(slowest, seconds)
            findings.expect(
                status == 0 and seconds <= STOP_S,
                f"expected {worker.name} to end with 0 within {STOP_S:g} s, received {status} after {seconds:.1f} s",
            )
            worker.wanted = True
            stage.wait_until(stage.fleet.started, within_s=START_S, what="the next worker")
    findings.figures["slowest_stop_s"] = round(slowest, 1)
    _stop_while_one_starts(stage, findings, workers)
    findings.recovered(stage.recover(RECOVERY_S), RECOVERY_S)
    return conclude(stage, findings)


def _stop_while_one_starts(stage: Stage, findings: Findings, workers: list[Worker]) -> None:
    """SIGTERM to all while one waits for its predecessor's id, or to be let into the group."""
    workers[0].kill()
    stage.wait(START_TAKES_S)
    ends = stage.fleet.stop()
    findings.figures["stops_while_one_starts"] = [(status, round(seconds, 1)) for status, seconds in ends]
    ended = {0, -signal.SIGTERM}  # a process that is still importing has nothing to end in order
    findings.expect(
        all(status in ended and seconds <= STOP_S for status, seconds in ends),
        f"expected each to end within {STOP_S:g} s while one starts, received {ends}",
    )
    for worker in workers:
        worker.tolerated.add(-signal.SIGKILL)
        worker.wanted = True


@case("T3", "workers 1 → 4 → 2 → 6 under load")
def scaling(stage: Stage) -> Findings:
    findings = Findings()
    workers = start(stage, 1, named=False)
    for wanted in (4, 2, 6):
        while len(workers) > wanted:
            status, seconds = workers.pop(0).stop()
            findings.expect(
                status == 0 and seconds <= STOP_S, f"expected a stop with 0, received {status} after {seconds:.1f} s"
            )
        while len(workers) < wanted:
            workers.append(stage.fleet.add())
        stage.wait_until(stage.fleet.started, within_s=START_S, what=f"{wanted} workers")
        moved = stage.wait_until(stage.fences_move(), within_s=START_S, what=f"progress with {wanted} workers")
        stage.wait(max(3.0, 15.0 * stage.scale))
        findings.figures[f"progress_s_with_{wanted}"] = round(moved, 1)
    findings.recovered(stage.recover(RECOVERY_S), RECOVERY_S)
    return conclude(stage, findings)


@case("T4", "SIGSTOP past the session time-out, then SIGCONT")
def sleepers(stage: Stage) -> Findings:
    findings = Findings()
    workers = start(stage, named=False)
    for number in range(stage.times(3, least=1)):
        sleeper = workers[number % len(workers)]
        before = stage.fences() or {}
        sleeper.send(signal.SIGSTOP)
        stage.wait(stage.session_timeout_s + 1)
        moved = stage.fences_move(before)
        taken = stage.wait_until(moved, within_s=60.0, what="somebody else to take the partitions over")
        findings.figures["taken_over_s"] = round(stage.session_timeout_s + 1 + taken, 1)
        sleeper.send(signal.SIGCONT)
        findings.recovered(stage.recover(RECOVERY_S), RECOVERY_S)
    return conclude(stage, findings)
