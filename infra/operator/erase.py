"""`recsys erase` has the workers forget a learner, and writes the receipt.

What erases is an event in the topic, not this command: so it holds through every rebuild, replay and restart, and is
applied in the same step as the fence. This is the composition root: it makes clients, sends, waits and prints.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Protocol
from uuid import uuid4

import click

from infra.operator.dead_letters import Selection, dead_letter_topic
from infra.operator.erasure import (
    EraseEvent,
    KeptLetter,
    KeptTopic,
    Receipt,
    kept_bundles,
    kept_letters,
    kept_topic,
)
from recsys.errors import ConfigurationError, ServiceUnavailable
from recsys.events import Interaction, encode, from_mapping
from recsys.kafka.admin import log_identity, topic_configuration
from recsys.kafka.bulk_producer import DELIVERY_TIMEOUT_MS, connect
from recsys.kafka.clients import admin_client, answering
from recsys.keys import KeySpace, Partition, Shard, Topology, partition_of
from recsys.online_store.redis.holdings import Holdings
from recsys.online_store.redis.store import RedisStore
from recsys.owner import StateOwner, check_owner
from recsys.process.clock import now_ms
from recsys.settings import Settings, load_settings

POLL_S = 0.05
SOURCE = "recsys-erase"


class ErasableState(Protocol):
    """What is used of the online store."""

    async def topology(self) -> Topology | None:
        """The shards in use."""
        ...

    async def fence(self, shard: Shard, group: str) -> int | None:
        """The last applied offset."""
        ...

    async def holdings(self, shard: Shard, user_id: str) -> Holdings:
        """What is held of a learner."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """What Kafka says of its topics, by name; empty where it does not."""

    configurations: dict[str, dict[str, str]]
    topics: tuple[KeptTopic, ...]


@click.command("erase")
@click.option("--user", "user_id", required=True, help="The learner's id.")
@click.option("--dry-run", is_flag=True, help="Say what there is and what would be erased; change nothing.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds that the workers have to apply it.",
)
def command(user_id: str, dry_run: bool, wait_s: float) -> None:
    """Erase a learner: no event of theirs up to now counts, also when the topic is read again.

    Prints a receipt as JSON.

    Deleted in one step, when the workers apply the event that this command sends: the records of the learner with their
    part of trending, the courses not to recommend, what the bot rules remember, the cached list. A register of the time
    stays, so that no replay and no rebuild brings anything back; what the learner does later starts afresh.
    Kafka keeps the learner's records until their retention ends: the receipt says when, and names every dead letter and
    every model bundle that holds something of the learner.

    The status is 3 where the workers did not apply it in time; they do so when they go on.
    """
    settings = load_settings()
    receipt = asyncio.run(_erase(settings, user_id, dry_run=dry_run, wait_s=wait_s))
    click.echo(json.dumps(asdict(receipt), indent=2, ensure_ascii=False))
    if receipt.executed and not receipt.folded:
        raise ServiceUnavailable(
            f"the erase event is in the topic, and no worker applied it within {wait_s:g} s: it holds once they go on "
            "(`recsys status`)"
        )
    if receipt.left is None:
        return
    if receipt.left.erased_until_ms == receipt.held.erased_until_ms:
        raise ConfigurationError(
            "the erase event was refused and erased nothing: this machine's clock is minutes ahead of the broker's, or "
            "workers of an earlier release read the topic (`recsys dlq list`)"
        )
    if receipt.left.anything:
        click.echo(
            "the learner has acted since: what `left` shows is newer than the erasure; repeat it for that", err=True
        )


async def _erase(settings: Settings, user_id: str, *, dry_run: bool, wait_s: float) -> Receipt:
    event = _erase_event(user_id, now_ms())
    store = RedisStore.for_stream(settings.redis)
    try:
        topology = await _own_topology(settings, store)
        receipt = await _before(settings, store, topology.shard_of(user_id), event)
        if dry_run:
            return receipt
        sent = await asyncio.to_thread(_send, settings, event, partition_of(user_id, topology.partitions))
        receipt = replace(receipt, executed=True, event=sent)
        if not await applied(store, settings.consumer_group, user_id, sent.offset, within_s=wait_s):
            return replace(receipt, at_ms=now_ms())
        now_in_use = await store.topology() or topology
        left = await store.holdings(now_in_use.shard_of(user_id), user_id)
        return replace(receipt, folded=True, left=left, at_ms=now_ms())
    finally:
        await store.close()


def _erase_event(user_id: str, at_ms: int) -> Interaction:
    fields = {"event_id": f"erase-{uuid4()}", "user_id": user_id, "course_id": "", "type": "erase"}
    return from_mapping({**fields, "timestamp": at_ms, "source": SOURCE}, arrival_ms=at_ms)


async def _before(settings: Settings, store: RedisStore, shard: Shard, event: Interaction) -> Receipt:
    """What there is of the learner, as a receipt of nothing done.

    Raises:
        ConfigurationError: The learner was merged into another one, who is to be erased instead.
    """
    user_id = event.user_id
    held = await store.holdings(shard, user_id)
    if held.merged_into is not None:
        raise ConfigurationError(
            f"learner {user_id!r} was merged into {held.merged_into!r}, who has all their records: erase that one"
        )
    in_use = [
        None if pointer is None else pointer.version for pointer in (await store.model(), await store.previous_model())
    ]
    kept = await asyncio.to_thread(_kept, settings, event.timestamp)
    return Receipt(
        user_id=user_id,
        executed=False,
        at_ms=event.timestamp,
        event=None,
        folded=False,
        held=held,
        left=None,
        topics=kept.topics,
        dead_letters=tuple(await asyncio.to_thread(_letters, settings, user_id, kept)),
        bundles=tuple(kept_bundles(settings.models_dir, user_id, current=in_use[0], previous=in_use[1])),
        cached_seconds=max(settings.serving_cache_seconds, settings.serving_done_seconds),
    )


async def _own_topology(settings: Settings, store: RedisStore) -> Topology:
    """The shards in use, if they are this deployment's, this group's and this topic's."""
    topology = await store.topology()
    if topology is None:
        raise ConfigurationError("Redis holds no topology: run `recsys topics`, then `recsys stream`")
    identity = await asyncio.to_thread(log_identity, settings)
    own = StateOwner(settings.deployment, settings.consumer_group, identity)
    check_owner(KeySpace(settings.redis_key_prefix).topology, await store.owner(), own)
    return topology


async def applied(store: ErasableState, group: str, user_id: str, offset: int, *, within_s: float) -> bool:
    """Whether the learner's shard is folded up to an offset in time, under whatever topology is in use by then."""
    deadline = time.monotonic() + within_s
    while True:
        topology = await store.topology()
        if topology is not None:
            fence = await store.fence(topology.shard_of(user_id), group)
            if fence is not None and fence >= offset:
                return True
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_S)


def _kept(settings: Settings, newest_ms: int) -> _Kept:
    names: tuple[str, ...] = (settings.interactions_topic, settings.dead_letter_topic, settings.exposures_topic)
    configurations: dict[str, dict[str, str]] = {name: {} for name in names}
    if not settings.kafka_embedded:
        with admin_client(settings) as client:
            there = set(client.list_topics())
            configurations = {name: topic_configuration(client, name) if name in there else {} for name in names}
            names = tuple(name for name in names if name in there)
    return _Kept(configurations, tuple(kept_topic(name, configurations[name], newest_ms=newest_ms) for name in names))


def _letters(settings: Settings, user_id: str, kept: _Kept) -> list[KeptLetter]:
    with dead_letter_topic(settings) as topic:
        return list(kept_letters(topic.letters(Selection()), user_id, kept.configurations[settings.dead_letter_topic]))


def _send(settings: Settings, event: Interaction, partition: Partition) -> EraseEvent:
    """Sends the event into the learner's partition; returns where it lies, acknowledged by all replicas."""
    topic = settings.interactions_topic
    producer = connect(settings, topic)
    try:
        with answering(settings):
            sending = producer.send(topic, key=event.user_id.encode(), value=encode(event), partition=partition)
            producer.flush(timeout=DELIVERY_TIMEOUT_MS / 1000)
            placed = sending.get(timeout=DELIVERY_TIMEOUT_MS / 1000)
    finally:
        producer.close(timeout=1)
    return EraseEvent(topic, placed.partition, placed.offset, event.event_id, event.timestamp)
