"""The training process: a `Trainer` behind a pipe. The only module of the stream package that leads to TensorFlow."""

from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, cast

from recsys.catalog import Course
from recsys.errors import FinetuningError, RecsysError
from recsys.process.native_logs import import_tensorflow
from recsys.record import RecordRules
from recsys.settings import Settings
from stream.finetuning.answers import Learned, Proposal, Standing
from stream.finetuning.blocks import Block
from stream.finetuning.gate import GateRules
from stream.finetuning.new_courses import NewCourseRules
from stream.finetuning.processor_time import give_way
from stream.finetuning.rules import LearningRules
from stream.finetuning.trainer import Trainer

RATES = 0.01, 0.01, 0.001
"""Of course biases, course rows and ranker weights."""

L2, CLIP, BOUND = 1e-4, 1.0, 2.0
END_S = 10.0
LOCK_FILE = "training.lock"


@dataclass(frozen=True, slots=True)
class TrainerRules:
    """What the training process is told at its start; see `Trainer`."""

    folder: Path
    models_dir: Path
    learning: LearningRules
    records: RecordRules
    checkpoint_blocks: int

    @classmethod
    def of(cls, settings: Settings) -> TrainerRules:
        """The rules that the settings name."""
        gate = GateRules(
            events=settings.finetune_gate_events,
            moved=settings.finetune_gate_moved,
            agreement=settings.finetune_gate_agreement,
            rejections=settings.finetune_rejections,
        )
        new_courses = NewCourseRules(
            rows=settings.finetune_new_courses,
            events=settings.finetune_new_course_events,
            learners=settings.finetune_new_course_learners,
            days=settings.finetune_new_course_days,
        )
        return cls(
            settings.finetune_dir.absolute(),
            settings.models_dir.absolute(),
            LearningRules(learners=settings.finetune_max_learners, new_courses=new_courses, gate=gate),
            settings.record_rules,
            settings.finetune_checkpoint_blocks,
        )


def make_trainer(rules: TrainerRules) -> Trainer:
    """A trainer with TensorFlow's training step, whose numbers are the same in every run."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - as TensorFlow, of the batch layer's packages

    from recsys.model.increment_training import (  # noqa: PLC0415 - TensorFlow takes seconds, here and nowhere else
        Examples,
        IncrementTraining,
        OptimizerState,
        deterministic_tensorflow,
    )

    deterministic_tensorflow()
    threadpool_limits(1)  # a matrix product adds up in another order with another count of threads
    training = IncrementTraining(rates=RATES, l2=L2, clip=CLIP, bound=BOUND)
    return Trainer(
        rules.folder,
        rules.models_dir,
        rules.learning,
        rules.records,
        checkpoint_blocks=rules.checkpoint_blocks,
        step=lambda state, columns: training.step(state, Examples(*columns)),
        start=OptimizerState.at,
    )


def serve(pipe: Connection, settings: Settings) -> None:
    """The process: answers one call after the other until the pipe closes."""
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)  # the other process ends this one, by closing the pipe
    give_way(settings.finetune_idle)
    import_tensorflow(quiet=settings.log_level.lower() != "debug")
    with only_trainer(settings.finetune_dir):
        trainer = make_trainer(TrainerRules.of(settings))
        with suppress(EOFError, OSError):  # the other process ended
            while True:
                name, arguments = pipe.recv()
                try:
                    answer: Any = getattr(trainer, name)(*arguments)
                except RecsysError as error:
                    answer = error
                pipe.send(answer)


@contextmanager
def only_trainer(folder: Path) -> Iterator[None]:
    """Waits until no other training process uses the folder.

    One whose fine-tuner was killed still ends the call in work, and may write a checkpoint in it.
    """
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class TrainingProcess:
    """The trainer, from the event loop's side. One call at a time; none of them blocks the loop.

    Args:
        settings: All settings.
    """

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=serve, args=(theirs, settings), name="training", daemon=True
        )
        self._process.start()
        theirs.close()  # else the end of that process would not be seen here
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int:
        """Its process id."""
        return cast("int", self._process.pid)  # it was started

    async def follow(self, published: Path) -> Standing:
        """See `Trainer.follow`."""
        found: Standing = await self._call("follow", published)
        return found

    async def offer(self, changes: Sequence[tuple[str, Course | None]]) -> None:
        """See `Trainer.offer`."""
        await self._call("offer", changes)

    async def learn(self, block: Block) -> Learned:
        """See `Trainer.learn`."""
        found: Learned = await self._call("learn", block)
        return found

    async def propose(self, at_ms: int) -> Proposal:
        """See `Trainer.propose`."""
        found: Proposal = await self._call("propose", at_ms)
        return found

    async def dropped(self) -> None:
        """See `Trainer.dropped`."""
        await self._call("dropped")

    async def _call(self, name: str, *arguments: Any) -> Any:
        """Raises what the trainer raised, and `FinetuningError` where the process ended."""
        async with self._turn:
            asked = asyncio.ensure_future(asyncio.to_thread(self._asked, name, arguments))
            try:
                answer = await asyncio.shield(asked)
            except asyncio.CancelledError:
                await _ended(asked, END_S)  # the pipe is in use by its thread until then
                raise
        if isinstance(answer, RecsysError):
            raise answer
        return answer

    def _asked(self, name: str, arguments: tuple[Any, ...]) -> Any:
        try:
            self._pipe.send((name, arguments))
            return self._pipe.recv()
        except (EOFError, OSError):
            raise FinetuningError(
                f"the training process ended (exit status {self._process.exitcode}); a restart goes on where it was"
            ) from None

    async def close(self) -> None:
        """Ends the process after the call in work; what it has learned since the checkpoint is learned again."""
        async with self._turn:
            self._pipe.close()
        await asyncio.to_thread(self._process.join, END_S)
        if self._process.is_alive():
            self._process.kill()


async def _ended(asked: asyncio.Future[Any], within_s: float) -> None:
    """Waits a bounded time for a call, whoever cancels meanwhile: `recsys.process.tasks.cancelled` does, repeatedly."""
    clock = asyncio.get_running_loop().time
    until = clock() + within_s
    while not asked.done() and (left := until - clock()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait({asked}, timeout=left)
