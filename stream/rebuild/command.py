"""`recsys rebuild`: which spans are folded, where to, and the switch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import click
import msgspec
import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recsys.errors import ConfigurationError, ServiceUnavailable, TopologyMismatch
from recsys.kafka.admin import check_interactions_topic, grow_topic, log_bounds, topic_partitions
from recsys.kafka.clients import aiokafka_options
from recsys.keys import COUNTS, KeySpace, Partition, Topology
from recsys.owner import LogIdentity, StateOwner, check_deployment, is_beyond
from recsys.process.clock import now_ms
from recsys.process.logs import configure_logging
from recsys.settings import Settings, load_settings
from stream.engagement.commands import stream_store
from stream.engagement.fold import FoldRules
from stream.engagement.side_outputs import KafkaSideOutputs
from stream.rebuild.fold_log import ONE_AT_A_TIME, BulkFold, Past, fold_log, write_shard
from stream.rebuild.log_reader import LogReader
from stream.rebuild.previous import Previous
from stream.rebuild.spans import Span

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


@click.command("rebuild")
@click.option(
    "--partitions", type=click.IntRange(1, 1024), help="Raise the topic to so many partitions; default: as it is."
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=15.0,
    show_default=True,
    help="Seconds before the old shards are dropped.",
)
@click.option("--keep-old", is_flag=True, help="Leave the old shards in Redis.")
@click.option("--drop-unused", is_flag=True, help="Fold nothing: drop the shards of every generation not in use.")
@click.option("--take-over", is_flag=True, help="Replace state that another deployment owns (RECSYS_DEPLOYMENT).")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def rebuild(
    *, partitions: int | None, grace: float, keep_old: bool, drop_unused: bool, take_over: bool, as_json: bool
) -> None:
    """Fold the whole topic into new shards while the old ones serve, then switch.

    For a Redis that lost its state, after a change of half-life or weights, to raise the partition count, and for state
    of an earlier release. Workers and API may run meanwhile: they notice the switch within seconds, and the workers go
    on after what was rebuilt. Those of an earlier release go on with the old shards, which therefore stay: replace
    these processes, then drop the shards with --drop-unused.
    Of a topic that was made anew, or of another cluster's, everything is read: the state is that topic's from then on.
    """
    settings = load_settings()
    configure_logging(settings)
    if drop_unused:
        dropped = asyncio.run(_drop_unused(settings))
        told = ", ".join(map(str, dropped)) or "none: every generation in Redis is in use"
        click.echo(msgspec.json.encode({"dropped": dropped}) if as_json else f"dropped generations: {told}")
        return
    done = asyncio.run(_rebuild(settings, partitions, None if keep_old else grace, take_over=take_over))
    if as_json:
        click.echo(msgspec.json.encode(done))
        return
    click.echo(
        f"{done.records} records in {done.seconds:.1f} s ({done.records_per_second:.0f} records/s) into generation "
        f"{done.generation} of {done.partitions} shards: {', '.join(f'{name} {n}' for name, n in done.counts.items())}"
    )
    if done.kept is not None:
        click.echo(
            f"generation {done.kept} stays for workers and API of the earlier release; replace them, then "
            "`recsys rebuild --drop-unused`"
        )


async def _rebuild(settings: Settings, partitions: int | None, grace_s: float | None, *, take_over: bool) -> Rebuilt:
    store = stream_store(settings)
    try:
        identity = await asyncio.to_thread(check_interactions_topic, settings)
        own = StateOwner(settings.deployment, settings.consumer_group, identity)
        there = await asyncio.to_thread(topic_partitions, settings)
        previous = await Previous.find(store, settings.consumer_group, there)
        if not take_over:
            check_deployment(KeySpace(settings.redis_key_prefix).topology, previous.owner, own.deployment)
        previous = await _of_this_log(settings, previous, identity)
        old = previous.topology
        if partitions is not None:
            there = await asyncio.to_thread(grow_topic, settings, partitions)
        topology = Topology(there, old.generation + 1)
        spans = await _spans(settings, previous, topology.partitions)
        done = await _fill(settings, previous, topology, spans)
        await _copy_overrides(previous, topology)
        await _check_written(previous, topology, spans)
        if not await store.switch_topology(previous.written, topology, own):
            raise TopologyMismatch("the topology changed during the rebuild: another one ran; nothing was switched")
        log.info("switched", topology=topology)
        if old.state_format != topology.state_format:
            done = replace(done, kept=old.generation)
        elif grace_s is not None:
            await asyncio.sleep(grace_s)  # workers and API poll every second; none reads the old shards after that
            await store.drop_shards(old.shards())
    finally:
        await store.close()
    return done


async def _drop_unused(settings: Settings) -> list[int]:
    """Drops the shards of all generations that are there and not in use; returns them.

    Raises:
        ConfigurationError: No topology says which is in use.
        UnreadableState: The topology is an earlier or a newer release's, or is none.
    """
    store = stream_store(settings)
    try:
        topology = await store.topology()
        if topology is None:
            raise ConfigurationError(
                "Redis holds no topology that says which generation is in use: nothing was dropped"
            )
        dropped = [each for each in await store.generations() if each != topology.generation]
        for generation in dropped:
            await store.drop_shards(replace(topology, generation=generation).shards())
    finally:
        await store.close()
    return dropped


async def _of_this_log(settings: Settings, previous: Previous, identity: LogIdentity) -> Previous:
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


async def _spans(settings: Settings, previous: Previous, partitions: int) -> list[Span]:
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


async def _copy_overrides(previous: Previous, topology: Topology) -> None:
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


async def _check_written(previous: Previous, topology: Topology, spans: list[Span]) -> None:
    """Looks whether the new shards still are there.

    Raises:
        TopologyMismatch: Another rebuild dropped one to write it itself.
    """
    for span in spans:
        if await previous.store.fence(topology.shard(span.partition), previous.group) != span.end - 1:
            raise TopologyMismatch(f"another rebuild dropped what this one wrote: {ONE_AT_A_TIME}")


async def _fill(settings: Settings, previous: Previous, topology: Topology, spans: list[Span]) -> Rebuilt:
    """Folds the spans and writes the new shards; the old ones go on serving."""
    store, group = previous.store, previous.group
    past = {span.partition: await _past(previous, topology, span) for span in spans}
    grown = topology.partitions != previous.topology.partitions
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
            await store.drop_shards(topology.shards())  # what a rebuild before this one left half written
            counts: dict[str, int] = {}
            for span in spans:
                shard = topology.shard(span.partition)
                contents = bulk.memory.contents(shard)
                for name, records in contents.counters[COUNTS].items():
                    counts[name] = counts.get(name, 0) + records
                await write_shard(contents, store, shard, group=group, fence=span.end - 1)
                misplaced_until = span.end if grown and span.applied else past[span.partition].since
                await store.set_rebuilt_until(shard, group, misplaced_until)
                for offset in sorted(bulk.quarantined.get(span.partition, ())):
                    await store.quarantine(shard, group, offset)
                bar.advance(task)
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
