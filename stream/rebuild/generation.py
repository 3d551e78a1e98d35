"""The next generation: which spans of the log go into its shards, what is known of them, and filling it.

The shards in use are read here and never changed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recsys.errors import ServiceUnavailable, TopologyMismatch
from recsys.kafka.admin import log_bounds
from recsys.kafka.clients import aiokafka_options
from recsys.keys import COUNTS, Partition, Topology
from recsys.owner import LogIdentity, is_beyond
from recsys.process.clock import now_ms
from recsys.settings import Settings
from stream.engagement.fold import FoldRules
from stream.engagement.side_outputs import KafkaSideOutputs
from stream.rebuild.fold_log import BulkFold, Past, fold_log
from stream.rebuild.log_reader import LogReader
from stream.rebuild.previous import Previous
from stream.rebuild.spans import Span
from stream.rebuild.write_shard import ONE_AT_A_TIME, write_shard

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did.

    Attributes:
        generation: Of the new shards.
        partitions: They are folded by.
        records: Read from the log.
        counts: Records by outcome; accepted + duplicate + refused + rerouted = records.
        seconds: From the first read to the last key written.
        records_per_second: Over all of it.
        kept: Generation whose shards stay in Redis for workers of an earlier release; None where none does.
    """

    generation: int
    partitions: int
    records: int
    counts: Mapping[str, int]
    seconds: float
    records_per_second: float
    kept: int | None = None


async def of_this_log(settings: Settings, previous: Previous, identity: LogIdentity) -> Previous:
    """The shards in use, without their offsets where these are of another log."""
    if previous.owner is None:
        fences = {partition: await previous.fence(partition) for partition in previous.topology.every_partition()}
        bounds = await asyncio.to_thread(
            log_bounds, settings, settings.interactions_topic
        )  # workers may run: after them
        another = any(is_beyond(fence, bounds.get(partition)) for partition, fence in fences.items())
    else:
        another = previous.owner.log.differs_from(identity)
    if another:
        log.warning(
            "state_of_another_log", state_of=previous.owner, now=str(identity), effect="the topic is read whole"
        )
    return replace(previous, same_log=not another)


async def spans_of(settings: Settings, previous: Previous, partitions: int) -> list[Span]:
    """Up to each fence; where there is none, up to the end of the log.

    A fence before the log's start stays where it is: what retention deleted after it is for the workers to stop at and
    for an operator to pass. So is what follows a partition's stop.
    """
    bounds = await asyncio.to_thread(log_bounds, settings, settings.interactions_topic, committed=True)
    unknown = [str(partition) for partition in range(partitions) if bounds.get(partition) is None]
    if unknown:
        raise ServiceUnavailable(
            f"no broker answers for partition {', '.join(unknown)} of the topic: start it and repeat"
        )
    spans = []
    for partition in map(Partition, range(partitions)):
        log_start, log_end = bounds[partition] or (0, 0)
        fence = await previous.fence(partition)
        end = log_end if fence is None else min(fence + 1, log_end)  # a broker may have lost records that it had
        if fence is None and (await previous.guard(partition)).stop is not None:
            end = log_start
        spans.append(Span(partition, min(log_start, end), end, applied=fence is not None))
    return spans


async def copy_overrides(previous: Previous, topology: Topology) -> None:
    """Copies what holds of a partition to the new shards too: stops, operator overrides, quarantined records."""
    store, group = previous.store, previous.group
    for partition in previous.topology.every_partition():
        guard, shard = await previous.guard(partition), topology.shard(partition)
        await store.resume_partition(
            shard, group, refusals_until=guard.refusals_until, expired_until=guard.expired_until
        )
        if guard.stop is not None:
            await store.stop_partition(shard, group, guard.stop)
        for offset in guard.quarantined:
            await store.quarantine(shard, group, offset)


async def check_written(previous: Previous, topology: Topology, spans: list[Span]) -> None:
    """Looks whether the new shards still are there.

    Raises:
        TopologyMismatch: Another rebuild dropped one to write it itself.
    """
    for span in spans:
        if await previous.store.fence(topology.shard(span.partition), previous.group) != span.end - 1:
            raise TopologyMismatch(f"another rebuild dropped what this one wrote: {ONE_AT_A_TIME}")


async def fill(settings: Settings, previous: Previous, topology: Topology, spans: list[Span]) -> Rebuilt:
    """Folds the spans and writes the new shards; the old ones go on serving."""
    past = {span.partition: await _past(previous, topology, span) for span in spans}
    bulk = BulkFold(FoldRules.of(settings, topology), past=past)
    outputs = KafkaSideOutputs(
        aiokafka_options(settings),
        dead_letter_topic=settings.dead_letter_topic,
        interactions_topic=settings.interactions_topic,
    )
    started = time.monotonic()
    reader = LogReader(aiokafka_options(settings), settings.interactions_topic, spans)
    total = sum(span.end - span.start for span in spans)
    try:
        with _progress_bar(total) as bar:
            task = bar.add_task("records", total=total)
            await fold_log(reader, bulk, outputs, now_ms=now_ms, progress=lambda n: bar.update(task, completed=n))
            task = bar.add_task("shards", total=len(spans))
            if not await previous.is_in_use():  # else these are the shards in use by now
                raise TopologyMismatch(f"another rebuild has switched meanwhile: {ONE_AT_A_TIME}")
            counts = await _write(previous, topology, spans, bulk, past, written=lambda: bar.advance(task))
    finally:
        await outputs.close()
    seconds = time.monotonic() - started
    return Rebuilt(
        topology.generation,
        topology.partitions,
        bulk.records,
        counts,
        round(seconds, 3),
        round(bulk.records / seconds, 1),
    )


async def _write(
    previous: Previous,
    topology: Topology,
    spans: list[Span],
    bulk: BulkFold,
    past: Mapping[Partition, Past],
    *,
    written: Callable[[], None],
) -> dict[str, int]:
    """Writes the new shards and what is known of their partitions; returns records by outcome."""
    store, group = previous.store, previous.group
    grown = topology.partitions != previous.topology.partitions
    await store.drop_shards(topology.shards())  # what a rebuild before this one left half written
    counts: Counter[str] = Counter()
    for span in spans:
        shard = topology.shard(span.partition)
        contents = bulk.memory.contents(shard)
        counts.update(contents.counters[COUNTS])
        await write_shard(contents, store, shard, group=group, fence=span.end - 1)
        misplaced_until = span.end if grown and span.applied else past[span.partition].since
        await store.set_rebuilt_until(shard, group, misplaced_until)
        for offset in sorted(bulk.quarantined.get(span.partition, ())):
            await store.quarantine(shard, group, offset)
        written()
    return dict(counts)


async def _past(previous: Previous, topology: Topology, span: Span) -> Past:
    """What is known of how a partition was filled, and under which count it is read."""
    guard = await previous.guard(span.partition)
    quarantined = frozenset(guard.quarantined)
    if not span.applied:
        return Past(topology.partitions, guard.rebuilt_until, quarantined)
    return Past(previous.topology.partitions, guard.rebuilt_until, quarantined, previous.passed_types)


def _progress_bar(total: int) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal or total == 0)
