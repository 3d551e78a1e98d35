"""`recsys topics` and `status` show what Kafka and Redis hold and whether they agree; `resume` overrides a stop."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

import click
from rich.table import Table

from infra.operator.status import SystemStatus, read_status
from infra.operator.topics import TopicReport, ensure_topics
from recsys.errors import ConfigurationError, ServiceUnavailable, TopologyMismatch
from recsys.kafka.admin import log_bounds, log_identity
from recsys.keys import KeySpace, Partition, Topology
from recsys.online_store import Stop
from recsys.online_store.redis.store import RedisStore
from recsys.owner import LogIdentity, StateOwner, check_deployment, check_owner
from recsys.settings import Settings, load_settings
from recsys.terminal_tables import print_table


@click.command("topics")
@click.option(
    "--partitions", type=click.IntRange(1, 1024), default=6, show_default=True, help="Partitions of `interactions`."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def topics(partitions: int, as_json: bool) -> None:
    """Create the Kafka topics that are missing, check those that are there.

    Also writes the partition count into Redis, where every reader of the state takes it from.
    """
    settings = load_settings()
    asyncio.run(_check_topology(settings, partitions))
    reports = ensure_topics(settings, partitions)
    asyncio.run(_check_topology(settings, partitions, log=log_identity(settings)))
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports]))
        return
    for report in reports:
        click.echo(f"{report.name}: {_partitions(report)}, {report.state}")


def _partitions(report: TopicReport) -> str:
    return "1 partition" if report.partitions == 1 else f"{report.partitions} partitions"


async def _check_topology(settings: Settings, partitions: int, *, log: LogIdentity | None = None) -> None:
    """Refuses if Redis already holds state of another partition count, deployment, group or log.

    Without a log, before any topic is made; then with the topic that is there, and the topology is written.
    """
    store = RedisStore.for_stream(settings.redis)
    held = None
    try:
        topology = Topology(partitions)
        own = StateOwner(settings.deployment, settings.consumer_group, log or LogIdentity(settings.interactions_topic))
        in_force = await (store.topology() if log is None else store.establish_topology(topology, own))
        held = await store.owner()
    finally:
        await store.close()
    key = KeySpace(settings.redis_key_prefix).topology
    if log is not None:
        check_owner(key, held, own)
    check_deployment(key, held, settings.deployment)
    if in_force is not None and in_force.partitions != partitions:
        raise TopologyMismatch(
            f"expected {partitions} partitions, received {in_force.partitions} in Redis: its state is sharded by them, "
            f"use --partitions {in_force.partitions}, or raise them with `recsys rebuild --partitions {partitions}`"
        )


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Fences, counters and lag of every partition; the model in use."""
    found = asyncio.run(read_status(load_settings()))
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        _print_status(found)


def _print_status(found: SystemStatus) -> None:
    names = sorted({name for row in found.partitions for name in row.counts})
    table = Table("partition", "fence", "log end", "lag", *names)
    for row in found.partitions:
        offsets = ("none" if row.fence is None else str(row.fence), _known(row.log_end), _known(row.lag))
        counted = (str(row.counts.get(name, 0)) for name in names)
        table.add_row(str(row.partition), *offsets, *counted)
    print_table(table)
    model = "no model published" if found.model is None else f"model {found.model}"
    if found.problem is not None:
        click.echo(found.problem)
    for row in found.partitions:
        if row.log_end is None:
            click.echo(f"partition {row.partition} has no broker that answers for it (docs/operations.md)")
        if row.stopped is not None:
            click.echo(f"partition {row.partition} is stopped {row.stopped} (docs/operations.md, then `recsys resume`)")
    click.echo(f"{model} · generation {found.generation} · lag {_known(found.lag)} records")


def _known(number: int | None) -> str:
    return "?" if number is None else str(number)


@click.command("resume")
@click.option("--partition", type=click.IntRange(0), required=True, help="The stopped partition (`recsys status`).")
@click.option(
    "--until",
    type=click.IntRange(0),
    help="Pass refused records up to this offset, or deleted ones up to it; default: all that there are now.",
)
def resume(partition: int, until: int | None) -> None:
    """Let a stopped partition go on.

    A worker stops a partition when most of its latest records are refused: first see to the producer, or to the
    deployment that changed the events. On resuming these records become dead letters. It also stops one whose next
    records Kafka's retention deleted before they were applied; on resuming these are counted as expired. While the
    partition is stopped nothing is acknowledged, and nothing more is lost as long as retention keeps its records.
    """
    settings = load_settings()
    bounds = log_bounds(settings, settings.interactions_topic)
    if partition not in bounds:
        raise ConfigurationError(f"expected a partition below {len(bounds)}, received {partition}")
    of_partition = bounds[partition]
    if of_partition is None:
        raise ServiceUnavailable(f"no broker answers for partition {partition}: bring its leader back first")
    log_start, log_end = of_partition
    stop = asyncio.run(_resume(settings, partition, log_start=log_start, log_end=log_end, until=until))
    passed = f"refusals before {log_end if until is None else until}"
    if stop.log_start is not None:
        passed = f"records before {log_start if until is None else until} that retention deleted"
    if stop.unreadable is not None:
        click.echo(
            f"partition {partition} goes on from offset {stop.offset} if Redis key {stop.unreadable!r} is mended, "
            "else it stops again"
        )
        return
    click.echo(f"partition {partition} goes on from offset {stop.offset}; {passed} are passed")


async def _resume(settings: Settings, partition: int, *, log_start: int, log_end: int, until: int | None) -> Stop:
    store, group = RedisStore.for_stream(settings.redis), settings.consumer_group
    try:
        shard = (await store.topology() or Topology(partition + 1)).shard(Partition(partition))
        stop = (await store.guard(shard, group)).stop
        if stop is None:
            raise ConfigurationError(
                f"partition {partition} is not stopped: nothing to resume (`recsys status` names stopped ones)"
            )
        if stop.unreadable is not None:
            await store.resume_partition(shard, group)
        elif stop.log_start is None:
            await store.resume_partition(shard, group, refusals_until=log_end if until is None else until)
        else:
            await store.resume_partition(shard, group, expired_until=log_start if until is None else until)
    finally:
        await store.close()
    return stop
