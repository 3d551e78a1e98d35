"""The training process: one at a time in a folder, also where the one before lost its fine-tuner."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import ConfigurationError, FinetuningError
from recsys.process.tasks import CANCEL_AGAIN_S, cancelled
from recsys.settings import load_settings
from stream.finetuning import process
from stream.finetuning.gate import GateRules
from stream.finetuning.training_process import TrainerRules, TrainingProcess, only_trainer, serve
from tests.doubles.commands import wait_until


def test_the_gate_is_as_the_settings_say(tmp_path: Path) -> None:
    settings = load_settings(
        finetune_dir=tmp_path,
        finetune_gate_events=7,
        finetune_gate_moved=0.25,
        finetune_gate_agreement=0.5,
        finetune_rejections=3,
    )
    assert TrainerRules.of(settings).learning.gate == GateRules(events=7, moved=0.25, agreement=0.5, rejections=3)


def test_new_courses_have_rows_as_the_settings_say(tmp_path: Path) -> None:
    settings = load_settings(
        finetune_dir=tmp_path,
        finetune_new_courses=7,
        finetune_new_course_events=5,
        finetune_new_course_learners=3,
        finetune_new_course_days=2.5,
    )
    rules = TrainerRules.of(settings).learning.new_courses
    assert (rules.rows, rules.events, rules.learners, rules.days) == (7, 5, 3, 2.5)


@pytest.mark.parametrize("given", [{}, {"finetune_idle": True}, {"finetune_idle": False}], ids=str)
async def test_it_trains_in_idle_time_unless_it_is_asked_not_to(tmp_path: Path, given: dict[str, Any]) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    settings = load_settings(finetune_dir=tmp_path, **given)
    idle = given.get("finetune_idle", True)
    training = context.Process(target=serve, args=(theirs, settings), daemon=True)

    def has_chosen() -> bool:
        assert training.pid is not None
        if idle:  # TensorFlow is imported after that, and may take long in idle time
            return os.sched_getscheduler(training.pid) == os.SCHED_IDLE
        return "libtensorflow" in Path(f"/proc/{training.pid}/maps").read_text()

    training.start()
    try:
        wait_until(has_chosen, within_s=120, what="a training process that has chosen its scheduling")
        assert (os.sched_getscheduler(training.pid or 0) == os.SCHED_IDLE) is idle
    finally:
        training.kill()
        training.join()
        ours.close()
        theirs.close()


def test_where_there_is_no_idle_scheduling_the_fine_tuner_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "configure_logging", lambda *_, **__: None)
    monkeypatch.setattr(process, "load_settings", lambda: load_settings(finetune_dir=tmp_path, finetune_idle=True))
    monkeypatch.delattr(os, "SCHED_IDLE")
    with pytest.raises(ConfigurationError, match="RECSYS_FINETUNE_IDLE=true needs Linux"):
        process.run()


def test_where_there_is_no_idle_scheduling_the_default_is_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "configure_logging", lambda *_, **__: None)
    monkeypatch.setattr(process, "load_settings", lambda: load_settings(finetune_dir=tmp_path))
    monkeypatch.delattr(os, "SCHED_IDLE")
    lock = process.only_user(tmp_path)
    try:
        with pytest.raises(ConfigurationError, match="another fine-tuner"):  # it came as far as that
            process.run()
    finally:
        os.close(lock)


def test_a_second_training_process_waits_for_the_first(tmp_path: Path) -> None:
    entered = threading.Event()

    def second() -> None:
        with only_trainer(tmp_path):
            entered.set()

    with only_trainer(tmp_path):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not entered.wait(0.2)
    assert entered.wait(10)
    waiting.join()


class _Slow(TrainingProcess):
    """A training process whose answers come when they are let."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self.let, self.called = threading.Event(), threading.Event()

    def _asked(self, name: str, arguments: tuple[Any, ...]) -> Any:
        assert not self.called.is_set() or self.let.is_set()  # one call at a time
        self.called.set()
        assert self.let.wait(10)


async def test_a_call_that_is_given_up_keeps_the_pipe_until_it_is_answered() -> None:
    training = _Slow()
    first = asyncio.create_task(training.dropped())
    assert await asyncio.to_thread(training.called.wait, 10)
    ending = asyncio.create_task(cancelled([first]))  # more than once, as where the fine-tuner ends
    second = asyncio.create_task(training.dropped())
    done, _ = await asyncio.wait({first, second}, timeout=3 * CANCEL_AGAIN_S)
    assert not done
    training.let.set()
    async with asyncio.timeout(10):
        await second
        await ending
    assert first.cancelled()


async def test_a_training_process_that_ended_is_no_missing_model(tmp_path: Path) -> None:
    """Whoever waits for a model would wait for ever."""
    training = TrainingProcess(load_settings(finetune_dir=tmp_path))
    assert training.pid is not None
    os.kill(training.pid, signal.SIGKILL)
    with pytest.raises(FinetuningError, match="the training process ended"):
        await training.follow(tmp_path)
    await training.close()
