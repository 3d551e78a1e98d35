"""The demo's services and processes: the embedded default, and the project's own commands as children."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.local_redis import LocalRedis
from infra.devtools.processes import Child, tail
from infra.operator.topics import topic_partitions
from recsys.errors import RecsysError
from recsys.settings import Settings, load_settings

_COMMAND_SECONDS = 600.0


class DemoFailed(RecsysError):
    """A step of the demo did not do what it should; the message ends with the step's last log lines."""


class DemoStack:
    """An embedded broker, a Redis and whatever commands run on them; nothing is left after the `with`.

    Args:
        directory: Where models, reports and logs go.
        partitions: Of the interactions topic.
    """

    def __init__(self, directory: Path, partitions: int) -> None:
        self.directory = directory
        self._partitions = partitions
        self._stack = ExitStack()
        self.settings: Settings = load_settings()
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            broker = starting.enter_context(EmbeddedKafka(topic_partitions(self.settings, self._partitions)))
            redis = starting.enter_context(LocalRedis(self.directory / "redis"))
            self.settings = load_settings(
                kafka_bootstrap_servers=broker.bootstrap_servers,
                kafka_embedded=True,
                redis_url=redis.url,
            )
            self._stack = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            child.stop()
        self._stack.close()

    def run(self, *arguments: str) -> str:
        """Runs a `recsys` command to its end and returns what it printed.

        Raises:
            DemoFailed: It ended with another status than 0.
        """
        log = self.log(arguments[0])
        with log.open("wb") as errors:
            done = subprocess.run(  # noqa: S603 - our own command line
                self._command(arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment(),
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        if done.returncode != 0:
            raise DemoFailed(f"`recsys {arguments[0]}` ended with exit status {done.returncode}:\n{tail(log)}")
        return done.stdout.decode()

    def start(self, *arguments: str, settings: Mapping[str, str] = MappingProxyType({})) -> Child:
        """Starts a `recsys` command that stays, until the `with` ends.

        Args:
            arguments: Of `recsys`.
            settings: Further ones of its environment.
        """
        child = Child(
            f"recsys {arguments[0]}",
            self._command(arguments),
            log=self.log(arguments[0]),
            environment={**self._environment(), **settings},
        )
        self._children.append(child)
        return child

    def start_api(self) -> str:
        """Starts the API and returns its URL when it answers."""
        child = self.start("serve", "--port", "0")
        announced = re.compile(r"http://127\.0\.0\.1:\d+")
        child.wait_until(lambda: announced.search(child.log.read_text()) is not None, seconds=60)
        found = announced.search(child.log.read_text())
        return found[0] if found else ""

    def check(self) -> None:
        """Raises `DemoFailed` if a command that should stay has ended."""
        for child in self._children:
            if child.exit_code is not None:
                raise DemoFailed(f"{child.name} ended with exit status {child.exit_code}:\n{tail(child.log)}")

    def log(self, name: str) -> Path:
        """Where the standard error of a command goes."""
        return self.directory / f"{name}.log"

    @staticmethod
    def _command(arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "recsys.cli", *arguments]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "REDIS_URL": self.settings.redis_url,
            "RECSYS_KAFKA_EMBEDDED": "true",
            "RECSYS_MODELS_DIR": str(self.directory / "models"),
            "RECSYS_REPORTS_DIR": str(self.directory / "reports"),
            "RECSYS_FINETUNE_DIR": str(self.directory / "finetune"),
            "RECSYS_SERVING_STATE_DIR": str(self.directory / "serving"),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.directory),  # what a child leaves behind goes with the rest
        }
