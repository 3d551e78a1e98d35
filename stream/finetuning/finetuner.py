"""The fine-tuner: fetches with Faust, hands blocks to the training process, publishes what passed.

No exception reaches Faust. What cannot be gone on from ends the process with `os._exit`; the next start continues from
the checkpoint. Events are acknowledged as they are read: the group's committed offsets only show how far the reading
is, and nothing is read from them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn, cast

import structlog
from faust.types.tuples import TP

from recsys.errors import BundleError
from recsys.kafka.catalogue_topic import CatalogueTopic
from recsys.kafka.clients import aiokafka_options
from recsys.kafka.records import Chunk
from recsys.online_store import ModelPointer, OnlineStore
from recsys.process.clock import now_ms
from recsys.process.tasks import cancelled
from recsys.settings import Settings
from stream.engagement.quietly import quietly
from stream.engagement.shutdown import STOP_S, end_process, within
from stream.finetuning import metrics
from stream.finetuning.answers import Standing
from stream.finetuning.blocks import Blocks, Ready
from stream.finetuning.catalogue import CatalogueChanges
from stream.finetuning.gate import AGREEMENT_AT_10, Outcome
from stream.finetuning.new_courses import NewCourseRules
from stream.finetuning.processor_time import gives_way, watch_training
from stream.finetuning.publication import publish_proposal
from stream.finetuning.training_process import TrainingProcess
from stream.transport.app import ConsumerLog, create_app, start_app

MOST_WAITING = 64
"""Whole blocks that wait for the training process; then nothing more is taken from Faust, which fetches no more."""

_POLL_S = 0.05

log = structlog.get_logger(__name__)


class Finetuner:
    """One fine-tuner. It needs all partitions of the topic: start one.

    Args:
        settings: All settings.
        store: The online store, for the model pointer.
        die: Ends the process on an unrecoverable error.
        watch: Watches the training process, given its id and whether it is behind.
    """

    def __init__(
        self,
        settings: Settings,
        store: OnlineStore,
        *,
        die: Callable[[BaseException], NoReturn] = end_process,
        watch: Callable[[int, Callable[[], bool]], Awaitable[None]] = watch_training,
    ) -> None:
        self._settings, self._store, self._die, self._watch = settings, store, die, watch
        self._training = TrainingProcess(settings)
        self._app = create_app(settings, None, self._deliver, name="finetuning", group=settings.finetune_group)
        cast("Any", self._app.on_partitions_assigned).connect(self._assigned)
        changes = CatalogueChanges(self._training.offer, most=NewCourseRules().offered)
        self._courses = CatalogueTopic(
            aiokafka_options(settings), settings.courses_topic, take=changes.add, tell=changes.tell
        )
        self._epochs: dict[int, int] = {}
        self._blocks = Blocks(settings.finetune_block_offsets, {})
        self._ready = Ready()
        self._pointer: ModelPointer | None = None
        self._arrived, self._room = asyncio.Event(), asyncio.Event()
        self._seeking = asyncio.Lock()
        self._told = ""
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set; what was learned since the checkpoint is learned again after it.

        Raises:
            RecsysError: The start fails: a service, or the checkpoint.
        """
        works = [
            asyncio.create_task(self._or_die(self._work), name="work"),
            asyncio.create_task(self._or_die(self._courses.run), name="courses"),
            asyncio.create_task(self._or_die(self._watch_training), name="watch"),
            asyncio.create_task(stop.wait()),
        ]
        await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        self._stopping = True
        self._room.set()
        await cancelled(works)
        if self._app.started:
            await within(STOP_S, self._app.stop())
        await self._training.close()
        log.info("finetuner_stopped")

    async def _work(self) -> None:
        standing = await self._first_model()
        self._blocks = Blocks(self._settings.finetune_block_offsets, standing.positions)
        self._ready = Ready(standing.repeated)
        idle = gives_way(self._training.pid)
        log.info("finetuner_started", published=standing.published, grows_from=standing.parent, in_idle_time=idle)
        await start_app(self._app)
        await self._learn()

    async def _watch_training(self) -> None:
        await self._watch(self._training.pid, lambda: not self._app.started or len(self._ready) >= MOST_WAITING)

    async def _first_model(self) -> Standing:
        """Waits for a model that can be fine-tuned."""
        while True:
            try:
                standing = await self._follow()
            except BundleError as error:
                standing, reason = None, str(error)
            else:
                reason = "no model is published"
            if standing is not None:
                return standing
            if reason != self._told:
                log.warning("waiting_for_a_model", reason=reason)
                self._told = reason
            await asyncio.sleep(self._settings.model_poll_seconds)

    async def _follow(self) -> Standing | None:
        """Looks at the pointer; the standing where it moved, else None."""
        pointer = await self._store.model()
        if pointer is None or pointer == self._pointer:
            return None
        standing = await self._training.follow(self._folder(pointer))
        self._pointer = pointer
        metrics.FROZEN.set(standing.frozen)
        return standing

    def _folder(self, pointer: ModelPointer) -> Path:
        own = self._settings.models_dir.absolute() / Path(pointer.version).name
        return own if own.is_dir() else Path(pointer.path)

    async def _learn(self) -> None:
        judge_at = time.monotonic() + self._settings.finetune_gate_seconds
        follow_at = 0.0
        while True:
            if (now := time.monotonic()) >= follow_at:
                await quietly(self._follow_publications)
                await quietly(self._seek_assigned)
                follow_at = now + self._settings.model_poll_seconds
            if now >= judge_at:
                await quietly(self._judge)
                judge_at = time.monotonic() + self._settings.finetune_gate_seconds
            block = self._ready.take()
            metrics.WAITING.set(len(self._ready))
            if len(self._ready) <= MOST_WAITING:
                self._room.set()
            if block is None:
                self._room.set()  # what has to be learned first may be behind what waits: read on until it is there
                await self._more_arrived()
                continue
            with metrics.BLOCK_SECONDS.time():
                learned = await self._training.learn(block)
            for outcome, count in learned.counts.items():
                metrics.RECORDS.labels(outcome).inc(count)
            if learned.ndcg is not None:
                for model, value in zip(("increment", "published"), learned.ndcg, strict=True):
                    metrics.NDCG.labels(model).set(value)

    async def _more_arrived(self) -> None:
        self._arrived.clear()
        await within(_POLL_S, self._arrived.wait())

    async def _follow_publications(self) -> None:
        try:
            standing = await self._follow()
        except BundleError as error:  # a baseline, or a bundle that does not load
            if str(error) != self._told:
                log.warning("model_not_followed", error=str(error))
                self._told = str(error)
            return
        if standing is not None:
            log.info("followed", published=standing.published, grows_from=standing.parent)

    async def _judge(self) -> None:
        """Judges the increment, and publishes it or takes the published one back."""
        proposal = await self._training.propose(now_ms())
        outcome = proposal.verdict.outcome
        agreement = proposal.verdict.figures.get(AGREEMENT_AT_10)
        log.info("judged", outcome=outcome, reason=proposal.verdict.reason, agreement=agreement)
        metrics.show_verdict(proposal.verdict)
        if outcome in {Outcome.PASSED, Outcome.ROLL_BACK}:
            moved = await publish_proposal(
                self._store,
                self._training,
                proposal,
                replacing=self._pointer,
                at_ms=now_ms(),
                keep=self._settings.models_retained,
                lists_behind=self._settings.finetune_lists_behind,
            )
            self._pointer = moved or self._pointer
            outcome = outcome if moved else Outcome.DROPPED
        metrics.PROPOSALS.labels(outcome).inc()

    async def _assigned(self, _app: object, partitions: Iterable[TP], **_signal: object) -> None:
        """A consumer begins where the group committed last, which says nothing here: it has to be moved."""
        for tp in partitions:
            self._epochs.pop(tp.partition, None)

    async def _seek_assigned(self) -> None:
        """Moves the consumer in partitions of which nothing comes, because the group committed all there is."""
        if not self._app.rebalancing:
            for tp in self._app.consumer.assignment():
                await self._seek_once(tp.partition)

    async def _deliver(self, event: Any) -> None:
        try:
            await self._take(event)
        except Exception as error:  # noqa: BLE001 - Faust would acknowledge it and go on
            self._die(error)

    async def _take(self, event: Any) -> None:
        chunk: Chunk = event.value
        event.ack()
        if self._stopping:
            return
        partition = int(chunk.partition)
        await self._seek_once(partition)
        if chunk.fetch.epoch < self._epochs.get(partition, 0):
            return  # fetched before the seek
        if chunk.fetch.begun_at > self._blocks.position(partition):
            self._epochs.pop(partition, None)  # something between was not delivered: read from there again
            await self._seek_once(partition)
            return
        self._ready.add(self._blocks.add(partition, chunk.records))
        self._arrived.set()
        if len(self._ready) > MOST_WAITING and not self._stopping:
            self._room.clear()
            await self._room.wait()

    async def _seek_once(self, partition: int) -> None:
        async with self._seeking:
            if partition not in self._epochs:
                await self._seek(partition)

    async def _seek(self, partition: int) -> None:
        log_of = ConsumerLog(self._app, TP(self._settings.interactions_topic, partition))
        first, _ = await log_of.bounds()
        wanted = self._blocks.position(partition)
        if first > wanted and wanted:
            log.warning("events_expired", partition=partition, unlearned=first - wanted)
        self._blocks.move(partition, first)
        self._epochs[partition] = await log_of.seek(self._blocks.position(partition))

    async def _or_die(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a task that ends is a fine-tuner half dead
            self._die(error)
