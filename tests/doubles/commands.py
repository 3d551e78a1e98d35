"""`recsys` as its user runs it: subprocesses with an environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import redis
from click.testing import CliRunner

from recsys.cli import recsys as command_line
from recsys.keys import KeySpace, Partition, Topology
from recsys.settings import Settings, load_settings

MUTANTS = ["-m", "tests.doubles.mutant_worker"]
"""As a module: a script's own folder comes first on its path, and `tests/doubles/stream.py` would be `stream`."""
IN_PROCESS = frozenset({"topics", "status", "engagement", "erase", "dlq"})
"""Commands that end at once and leave nothing behind: a process each would cost more than what they do."""


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]
"""The fixture `run`: arguments of the command line → how it ended."""


@dataclass
class Recsys:
    """The command line against one Kafka and one Redis.

    Attributes:
        kafka: Bootstrap servers.
        redis_url: An empty database.
        folder: For logs.
        extra: More environment variables.
    """

    kafka: str
    redis_url: str
    folder: Path
    extra: dict[str, str] = field(default_factory=dict)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "REDIS_URL": self.redis_url,
            "PYTHONPATH": os.getcwd(),  # noqa: PTH109 - as a string
            **self.extra,
        }

    def run(self, *arguments: str, status: int = 0) -> str:
        """Runs a command to its end; returns its stdout. What only reads or makes topics runs in this process."""
        if arguments[0] in IN_PROCESS and not status:
            answer = CliRunner(env=self.env).invoke(command_line, arguments, catch_exceptions=False)
            assert answer.exit_code == 0, f"recsys {' '.join(arguments)}: {answer.exit_code}\n{answer.output}"
            return answer.stdout
        done = subprocess.run(
            [sys.executable, "-m", "recsys.cli", *arguments], env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, f"recsys {' '.join(arguments)}: {done.returncode}\n{done.stderr}"
        return done.stdout

    def start_worker(self, *options: str, mutant: str | None = None) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "recsys.cli"] if mutant is None else [sys.executable, *MUTANTS, mutant]
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        with log:
            worker = subprocess.Popen([*program, "stream", *options], env=self.env, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def start_ready_worker(self, *options: str, within_s: float = 60) -> subprocess.Popen[bytes]:
        """A worker that says that it started."""
        worker = self.start_worker(*options)
        wait_until(lambda: "worker_started" in self.log_of(worker), within_s=within_s, what="a worker")
        return worker

    def settings(self, **changes: Any) -> Settings:
        """What the commands read from their environment, for this process; its folders lie in `folder`."""
        return load_settings(
            **{
                "kafka_bootstrap_servers": self.kafka,
                "redis_url": self.redis_url,
                "interactions_topic": self.extra["RECSYS_INTERACTIONS_TOPIC"],
                "courses_topic": self.extra["RECSYS_COURSES_TOPIC"],
                "consumer_group": self.extra["RECSYS_CONSUMER_GROUP"],
                "models_dir": self.folder / "models",
                "serving_state_dir": self.folder / "serving",
                **changes,
            }
        )

    def log_of(self, worker: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"worker-{self.workers.index(worker)}.log").read_text()

    def stop_workers(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def counts(self, partitions: int) -> dict[str, int]:
        """The shards' totals by outcome."""
        totals: dict[str, int] = {}
        with redis.Redis.from_url(self.redis_url) as client:
            for partition in range(partitions):
                for name, value in client.hgetall(
                    KeySpace().counts(Topology(partitions).shard(Partition(partition)))
                ).items():
                    totals[name.decode()] = totals.get(name.decode(), 0) + int(value)
        return totals

    def scores(self, at_ms: int) -> dict[tuple[str, str], float]:
        """Every engagement score the store holds."""
        lines = map(json.loads, self.run("engagement", "--json", "--at", str(at_ms)).splitlines())
        return {(line["user_id"], line["course_id"]): line["score"] for line in lines}


def wait_until(reached: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Polls to a deadline."""
    deadline = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline, f"expected {what} within {within_s} s"
        time.sleep(0.05)
