"""The training process gives way to others, and it is said where they leave it too little processor time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import pytest
from structlog.testing import capture_logs

from recsys.process.tasks import cancelled
from stream.finetuning.processor_time import (
    AGAIN_S,
    STARVED,
    WATCHED_S,
    ProcessorTime,
    Starvation,
    give_way,
    gives_way,
    processor_time,
    watch_training,
)
from tests.doubles.commands import wait_until


class Watched:
    """A training process that is looked at every `WATCHED_S`, on a clock of this test."""

    def __init__(self) -> None:
        self.at_s, self.time = 1000.0, ProcessorTime(50.0, 7.0)
        self.starvation = Starvation(self.time, self.at_s)

    def look(
        self, ran: float, waited: float, *, behind: bool = True, idle: bool = True, after_s: float = WATCHED_S
    ) -> list[Any]:
        """What is said after such shares of the time watched."""
        self.at_s += after_s
        self.time = ProcessorTime(self.time.ran + ran * after_s, self.time.waited + waited * after_s)
        with capture_logs() as said:
            self.starvation.look(self.time, self.at_s, behind=behind, idle=idle)
        return [line["event"] for line in said]


def test_a_training_process_that_others_keep_from_the_processor_is_told_of() -> None:
    watched = Watched()
    watched.at_s += WATCHED_S
    with capture_logs() as said:
        watched.starvation.look(ProcessorTime(50 + 12, 7 + WATCHED_S - 12), watched.at_s, behind=True, idle=True)
    (line,) = said
    assert (line["event"], line["log_level"]) == ("training_starved", "warning")
    assert "4.0% of the processor time" in line["why"]
    assert line["remedy"] == "give the fine-tuner a core, or set RECSYS_FINETUNE_IDLE=false"


def test_without_idle_training_only_a_core_helps() -> None:
    starvation = Starvation(ProcessorTime(0, 0), 0)
    with capture_logs() as said:
        starvation.look(ProcessorTime(10, WATCHED_S), WATCHED_S, behind=True, idle=False)
    assert [line["remedy"] for line in said] == ["give the fine-tuner a core"]


@pytest.mark.parametrize(
    ("ran", "waited", "behind"),
    [
        pytest.param(0.97, 0.02, True, id="a backlog, worked off with all the processor time that can be used"),
        pytest.param(1.8, 0.3, True, id="the same, with several threads"),
        pytest.param(STARVED, 1 - STARVED, True, id="a backlog, with half of it"),
        pytest.param(0.05, 0.1, True, id="blocks that came just now, or files that are slow"),
        pytest.param(0.1, 0.9, False, id="no block waits for long"),
        pytest.param(0.0, 0.0, True, id="no model is published, or the kernel counts nothing"),
        pytest.param(-0.5, -0.5, True, id="the process ended"),
    ],
)
def test_a_backlog_alone_is_not(ran: float, waited: float, *, behind: bool) -> None:
    watched = Watched()
    assert [watched.look(ran, waited, behind=behind) for _ in range(100)] == [[]] * 100


def test_it_is_said_once_an_hour_and_when_it_has_caught_up() -> None:
    watched = Watched()
    looks = int(AGAIN_S / WATCHED_S)
    assert watched.look(0.1, 0.9) == ["training_starved"]
    assert [watched.look(0.1, 0.9) for _ in range(looks - 1)] == [[]] * (looks - 1)
    assert watched.look(0.1, 0.9) == ["training_starved"]
    assert watched.look(0.99, 0.01) == []  # it gets its time, and is behind still
    assert watched.look(0.5, 0.0, behind=False) == ["training_caught_up"]
    assert watched.look(0.5, 0.0, behind=False) == []
    assert watched.look(0.1, 0.9) == []  # within the hour
    assert watched.look(0.5, 0.0, behind=False) == []  # nothing was said of it


SPIN = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
SPIN_IN_IDLE_TIME = f"from stream.finetuning.processor_time import give_way\ngive_way(None)\n{SPIN}"


@contextmanager
def spinning(code: str, core: int) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", code, str(core)])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_the_kernel_counts_what_a_process_in_idle_time_waits_for() -> None:
    core = min(os.sched_getaffinity(0))
    with ExitStack() as stack:
        other = stack.enter_context(spinning(SPIN, core))
        idle = stack.enter_context(spinning(SPIN_IN_IDLE_TIME, core))
        wait_until(lambda: gives_way(idle), within_s=120, what="a process in idle time")
        before = processor_time(idle)
        wait_until(lambda: processor_time(idle).waited > before.waited + 1, within_s=120, what="a second of waiting")
        now = processor_time(idle)
        assert 0 <= now.ran - before.ran < STARVED * (now.waited - before.waited)
        assert not gives_way(other)
    assert processor_time(idle) == ProcessorTime(0, 0)  # it ended
    assert not gives_way(idle)


async def test_a_process_that_gets_too_little_is_noticed_while_it_is_watched() -> None:
    core = min(os.sched_getaffinity(0))
    with ExitStack() as stack, capture_logs() as said:
        stack.enter_context(spinning(SPIN, core))
        idle = stack.enter_context(spinning(SPIN_IN_IDLE_TIME, core))
        watching = asyncio.create_task(watch_training(idle, lambda: True, every_s=1))
        await asyncio.to_thread(wait_until, lambda: bool(said), within_s=120, what="a warning")
        await cancelled([watching])
    assert {line["event"] for line in said} == {"training_starved"}


def test_a_system_that_refuses_idle_scheduling_is_done_without_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    give_way(None)
    give_way(idle=False)
    with pytest.raises(PermissionError):
        give_way(idle=True)
