"""`recsys rebuild`: fills the next generation, switches to it, and drops what is not in use."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import click
import msgspec
import structlog

from recsys.errors import ConfigurationError, TopologyMismatch
from recsys.kafka.admin import check_interactions_topic, grow_topic, topic_partitions
from recsys.keys import KeySpace, Topology
from recsys.owner import StateOwner, check_deployment
from recsys.process.logs import configure_logging
from recsys.settings import Settings, load_settings
from stream.engagement.commands import stream_store
from stream.rebuild.generation import Rebuilt, check_written, copy_overrides, fill, of_this_log, spans_of
from stream.rebuild.previous import Previous

log = structlog.get_logger(__name__)


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
        previous = await of_this_log(settings, previous, identity)
        old = previous.topology
        if partitions is not None:
            there = await asyncio.to_thread(grow_topic, settings, partitions)
        topology = Topology(there, old.generation + 1)
        spans = await spans_of(settings, previous, topology.partitions)
        done = await fill(settings, previous, topology, spans)
        await copy_overrides(previous, topology)
        await check_written(previous, topology, spans)
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
