"""Child processes that a service or the demo runs: a log file each, no survivors.

A child dies with the thread that started it (Linux), so a killed test run leaves nothing behind; start children
from the main thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from recsys.errors import ServiceUnavailable

POLL_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 12


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tail(path: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log file, for an error message; a remark if there is nothing in it."""
    with contextlib.suppress(OSError):
        text = path.read_text(errors="replace").strip().splitlines()[-lines:]
        if text:
            return "\n".join(text)
    return f"(nothing in {path})"


def _dies_with_parent() -> Callable[[], None] | None:
    """What the child runs between fork and exec; None where the kernel has no such signal."""
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None, use_errno=True), os.getpid()

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between the fork and the line above
            os._exit(1)

    return ask_kernel


class Child:
    """One child process whose output goes to a file.

    Args:
        name: What people call it, used in messages.
        command: Program and arguments.
        log: File that collects standard output and error; opened for appending.
        environment: Complete environment of the child; None passes this process's.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the callers' own commands, no shell
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end the children in order
                preexec_fn=_dies_with_parent(),  # noqa: PLW1509 - one system call, no locks taken
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.poll()

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Polls until the child is ready.

        Raises:
            ServiceUnavailable: The child ended, or was not ready in time; the message ends with its last log lines.
        """
        deadline = time.monotonic() + seconds
        while True:
            if self.exit_code is not None:
                raise ServiceUnavailable(
                    f"{self.name} ended with exit status {self.exit_code} before it was ready:\n{tail(self.log)}"
                )
            if ready():
                return
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"{self.name} did not answer within {seconds:g} s:\n{tail(self.log)}")
            time.sleep(POLL_SECONDS)

    def stop(self, *, seconds: float = 15.0) -> int:
        """SIGTERM, then SIGKILL after `seconds`; returns the exit code. Harmless on one that has ended."""
        if self.exit_code is None:
            self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL, at once; returns the exit code."""
        self._process.kill()
        return self._process.wait()


class LocalService(ABC):
    """A server of this machine that keeps its address and its files over `stop`, `kill` and `start`.

    Subclasses say how to start it. Use as a context manager: the files go with the last exit, unless `directory`
    was given.

    Args:
        directory: Where its files go; None makes a temporary folder that is removed at the end.
    """

    name = "service"

    def __init__(self, directory: Path | None = None) -> None:
        self._own_directory = (
            tempfile.TemporaryDirectory(prefix=f"recsys-{self.name}-", ignore_cleanup_errors=True)
            if directory is None
            else None
        )
        self.directory = Path(self._own_directory.name) if self._own_directory else Path(directory or ".")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / f"{self.name}.log"
        self._child: Child | None = None

    @abstractmethod
    def _launch(self) -> Child:
        """Starts the child and returns when it answers."""

    @property
    def pid(self) -> int | None:
        """Process id; None while it is down."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Starts it and returns when it answers; nothing to do if it runs.

        Raises:
            ServiceUnavailable: It cannot be started here; the message ends with its last log lines.
        """
        if self._child is None:
            self._child = self._launch()

    def stop(self) -> None:
        """Ends it in order (SIGTERM); its files stay."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """Ends it as a power cut would (SIGKILL); its files stay."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        """Stops it if it runs, and starts it on the same address and files."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends it for good and removes the files that are its own."""
        self.stop()
        if self._own_directory is not None:
            self._own_directory.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
