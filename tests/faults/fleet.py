"""The workers of a case, and the supervisor that starts them again, as systemd or compose would."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.devtools.processes import Child

FAULTY = Path(__file__).with_name("faulty_worker.py")
RESTART_AFTER_S = 0.5
POLL_S = 0.02
STOP_S = 15.0
"""Every worker ends with 0 within this long of SIGTERM, whatever is away or silent."""

KILLED_AFTER_S = 20.0
SERVICE_AWAY = 3
"""The exit status of a worker that a service left alone for too long: it is started again."""


STOPPED_UNSTARTED = -signal.SIGTERM
"""A process that was stopped before Python could handle signals; T2 looks at the ends of those that could."""


@dataclass(slots=True)
class Worker:
    """One worker under supervision.

    Attributes:
        name: Names its log.
        command: What is started, and started again.
        environment: Complete environment.
        child: The process now; None between two.
        wanted: Whether it is started again when it ends.
        exits: Status of each process that ended: negative for a signal.
        ended_by: The signal the driver sent last, to tell its own kills from other ends.
        tolerated: Exit statuses that are no failure of the case.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    child: Child | None = None
    wanted: bool = True
    exits: list[int] = field(default_factory=list)
    tolerated: set[int] = field(default_factory=lambda: {0, SERVICE_AWAY, STOPPED_UNSTARTED})
    _ended_at: float = 0.0
    _said_before: int = 0

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.exit_code is None

    @property
    def said(self) -> str:
        """All it wrote."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def started(self) -> bool:
        """Whether the process that runs now has joined the group."""
        return self.running and "worker_started" in self.said[self._said_before :]

    def start(self) -> None:
        self._said_before = len(self.said)
        self.child = Child(self.name, self.command, log=self.log, environment=self.environment)

    def send(self, number: signal.Signals) -> None:
        if self.child is not None and self.child.exit_code is None:
            os.kill(self.child.pid, number)

    def kill(self) -> None:
        """SIGKILL; the supervisor starts it again."""
        self.tolerated.add(-signal.SIGKILL)
        if self.child is not None:
            self.child.kill()
        self.supervise()

    def stop(self) -> tuple[int, float]:
        """SIGTERM; returns exit status and seconds. It is not started again."""
        self.wanted = False
        self.send(signal.SIGTERM)
        return self.wait()

    def wait(self) -> tuple[int, float]:
        """Waits for a worker that was told to end, and kills it in the end; returns exit status and seconds."""
        began = time.monotonic()
        while self.running and time.monotonic() - began < KILLED_AFTER_S:
            time.sleep(POLL_S)
        return self.ended(), time.monotonic() - began

    def ended(self) -> int:
        """The exit status of a worker that was told to end; it is killed if it has not."""
        status = self.child.kill() if self.child else 0
        self.supervise()
        return status

    def supervise(self) -> None:
        """Notes an end, and starts it again if it is wanted."""
        if self.child is not None and self.child.exit_code is not None:
            self.exits.append(self.child.exit_code)
            self.child, self._ended_at = None, time.monotonic()
        if self.child is None and self.wanted and time.monotonic() - self._ended_at > RESTART_AFTER_S:
            self.start()


class Fleet:
    """All workers of a case.

    Args:
        environment: Of every worker.
        folder: For logs.
        mutant: What every worker lacks that is not told otherwise; None for the real worker.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path, *, mutant: str | None = None) -> None:
        self.environment, self._folder, self._mutant = dict(environment), folder, mutant
        self.workers: list[Worker] = []

    def add(
        self,
        *options: str,
        worker_id: str | None = None,
        mutant: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Worker:
        """Starts a worker: `recsys stream`, or the same with a safeguard or more taken out or a fault put in."""
        mutant = mutant or self._mutant
        program = ["-m", "recsys.cli"] if mutant is None else [str(FAULTY), mutant]
        identity = () if worker_id is None else ("--worker-id", worker_id)
        name = f"worker-{len(self.workers)}"
        worker = Worker(
            name,
            [sys.executable, *program, "stream", *identity, *options],
            {**self.environment, **(environment or {})},
            self._folder / f"{name}.log",
        )
        worker.start()
        self.workers.append(worker)
        return worker

    def supervise(self) -> None:
        """Restarts whom the supervisor must; to be called often."""
        for worker in self.workers:
            worker.supervise()

    def started(self) -> bool:
        """Whether every wanted worker has joined the group."""
        return all(worker.started for worker in self.workers if worker.wanted)

    def stop(self) -> list[tuple[int, float]]:
        """SIGTERM to all at once; exit status and seconds of each that ran."""
        began = time.monotonic()
        running = [worker for worker in self.workers if worker.running]
        for worker in self.workers:
            worker.wanted = False
            worker.send(signal.SIGCONT)
            worker.send(signal.SIGTERM)
        took: dict[str, float] = {}
        while len(took) < len(running):
            now = time.monotonic() - began
            took |= {
                worker.name: now
                for worker in running
                if worker.name not in took and (not worker.running or now > KILLED_AFTER_S)
            }
            time.sleep(POLL_S)
        ends = [(worker.ended(), took[worker.name]) for worker in running]
        self.supervise()
        return ends

    def unexpected(self) -> list[str]:
        """A line for every exit status that the case did not expect."""
        return [
            f"{worker.name} ended with {status}, see {worker.log}"
            for worker in self.workers
            for status in worker.exits
            if status not in worker.tolerated
        ]
