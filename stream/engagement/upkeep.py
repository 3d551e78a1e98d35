"""What a worker does beside applying chunks: it follows the topology, checks idle partitions, merges trending, watches.

Each task runs for ever. A service that does not answer postpones a turn; a worker that makes no progress ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog
from faust.types.tuples import TP

from recsys.errors import ListenerMismatch, ServiceUnavailable, UnreadableState, UntrustedCertificate
from recsys.kafka.admin import check_interactions_topic
from recsys.kafka.clients import aiokafka_options
from recsys.keys import KeySpace, Partition, Topology
from recsys.online_store import Control, Lists, ShardStore
from recsys.online_store.durability import check_eviction
from recsys.owner import LogIdentity, StateOwner, check_owner
from recsys.settings import Settings
from stream.engagement import metrics
from stream.engagement.course_activity import ActivityMerge
from stream.engagement.partitions import OwnedPartitions
from stream.engagement.quietly import quietly
from stream.engagement.trending import merge_trending
from stream.transport.broker_probe import reachable_partitions
from stream.transport.watchdog import Progress, Watchdog

log = structlog.get_logger(__name__)

TOPOLOGY_EVERY_S = 1.0
IDLE_CHECK_EVERY_S = 1.0
TRENDING_EVERY_S = 2.0
LONGEST_PAUSE_S = 20.0
"""Between two merges, however long the last one waited for Redis, and while a worker catches up."""

DURABILITY_EVERY_S = 5.0
REBALANCE_S = 180.0
"""More than join, request and session time-outs together: Faust gave up on a rebalance without saying so."""

TRENDING_OWNER = 0


class UpkeepStore(Control, Lists, ShardStore, Protocol):
    """What these tasks use of the online store."""


def no_catalogue() -> Container[str] | None:
    """No catalogue: every course is taken as known."""
    return None


def pause_after(took_s: float, every_s: float) -> float:
    """Seconds until the next merge: where merging takes long, as while a worker catches up, a tenth of the time."""
    return max(every_s, min(9 * took_s, LONGEST_PAUSE_S))


@dataclass(frozen=True)
class Upkeep:
    """The tasks beside the agent.

    Attributes:
        settings: All settings.
        store: The online store.
        topology: The shards this worker writes.
        partitions: What it holds for each partition.
        owned: The partitions this worker owns right now.
        rebalancing: Whether partitions are changing hands; `owned` still names those that were revoked then.
        now_ms: Wall clock, ms since 1970 UTC.
        catalogue: The courses that are known right now; None while no model is.
        idle_check_every_s: Seconds between idle checks.
        topology_every_s: Seconds between reads of the topology in Redis.
        trending_every_s: Seconds between merges of trending.
        durability_every_s: Seconds between questions to Redis whether it deletes keys.
        catching_up: Whether more waits in a partition than fits into a commit: then merges are rare, as lists are.
        longest_pause_s: Seconds between two merges, or the start and the first, while it catches up.
        check_topic: Blocking; which log the topic is now; raises where it lost a property that is relied upon.
        owner: Whose the state is; None where nobody looks at that.
        switched: Set once the topology is another one: this worker has to end.
    """

    settings: Settings
    store: UpkeepStore
    topology: Topology
    partitions: OwnedPartitions
    owned: Callable[[], Iterable[Partition]]
    rebalancing: Callable[[], bool]
    now_ms: Callable[[], int]
    catalogue: Callable[[], Container[str] | None] = no_catalogue
    idle_check_every_s: float = IDLE_CHECK_EVERY_S
    topology_every_s: float = TOPOLOGY_EVERY_S
    trending_every_s: float = TRENDING_EVERY_S
    durability_every_s: float = DURABILITY_EVERY_S
    catching_up: Callable[[], bool] = bool
    longest_pause_s: float = LONGEST_PAUSE_S
    check_topic: Callable[[Settings], LogIdentity] = check_interactions_topic
    owner: StateOwner | None = None
    switched: asyncio.Event = field(default_factory=asyncio.Event)
    _missing: list[str] = field(default_factory=list)
    _missing_activity: list[str] = field(default_factory=list)
    _evicted: dict[str, int] = field(default_factory=dict)
    _rewritten: dict[str, str] = field(default_factory=dict)

    async def follow_topology(self) -> None:
        """Notices that `recsys rebuild` switched or that the state became another's; writes a lost topology again.

        A value that cannot be read changes nothing: the worker goes on with the topology it has, and says so once.

        Raises:
            ForeignState: The state is another deployment's, group's or log's now.
        """
        unreadable = ""
        while not self.switched.is_set():
            await asyncio.sleep(self.topology_every_s)
            try:
                await self._check_topology()
            except ServiceUnavailable as error:
                log.warning("postponed", error=str(error))
                continue
            except UnreadableState as error:
                if unreadable != str(error):
                    log.error("topology_unreadable", error=str(error), working_on=self.topology)  # noqa: TRY400 - all said
                unreadable = str(error)
                continue
            if unreadable:
                log.info("topology_readable_again", topology=self.topology)
                unreadable = ""

    async def _check_topology(self) -> None:
        if await self.store.establish_topology(self.topology, self.owner) != self.topology:
            log.info("topology_switched", before=self.topology)
            self.switched.set()
        elif self.owner is not None:
            check_owner(self._topology_key, await self.store.owner(), self.owner)

    @property
    def _topology_key(self) -> str:
        return KeySpace(self.settings.redis_key_prefix).topology

    async def check_idle_partitions(self) -> None:
        """Checks partitions on which no chunk is in work; one that waits for its answer delays no other.

        Heals a fence that went back, passes offset gaps at the end of a log, and notices that an operator resumed a
        stopped partition.
        """
        try:
            while True:
                await asyncio.sleep(self.idle_check_every_s)
                if self.rebalancing():
                    continue
                owned = [self.partitions.of(number) for number in set(self.owned())]
                for partition in owned:
                    partition.start_idle_check()
                metrics.UNREACHABLE.set(sum(partition.unreachable for partition in owned))
        finally:
            self.partitions.cancel_idle_checks()

    async def trend(self) -> None:
        """The owner of one partition merges trending and the activity of courses for all.

        A worker that begins behind goes by what was merged before it: its first merge can wait as any other.
        """
        settings = self.settings
        keys = KeySpace(settings.redis_key_prefix)
        activity = ActivityMerge(self.store, self.topology.shards(), settings.consumer_group, keys)
        took_s, merged_at = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(pause_after(took_s, self.trending_every_s))
            begun = time.monotonic()
            if self.catching_up() and begun < merged_at + self.longest_pause_s:
                continue
            if TRENDING_OWNER in set(self.owned()):
                merged_at = begun
                await quietly(self._merge_trending)
                await quietly(lambda: self._merge_activity(activity))
                took_s = time.monotonic() - begun

    async def _merge_activity(self, activity: ActivityMerge) -> None:
        unreadable = ""
        try:
            await activity.merge(self.catalogue(), self.now_ms())
        except UnreadableState as error:  # named once: it stays until a rebuild
            unreadable = str(error)
            if unreadable not in self._missing_activity:
                log.error("activity_not_merged", error=unreadable)  # noqa: TRY400 - the error says all
        self._missing_activity[:] = [unreadable] if unreadable else []

    async def _merge_trending(self) -> None:
        missing: list[UnreadableState] = []
        merged = await merge_trending(
            self.store,
            self.topology.shards(),
            size=self.settings.trending_size,
            now_ms=self.now_ms(),
            catalogue=self.catalogue(),
            left_out=missing.append,
        )
        metrics.UNJOINED.set(merged.unjoined)
        told, now = set(self._missing), {str(error) for error in missing}
        self._missing[:] = now
        for error in now - told:
            log.error("trending_incomplete", error=error)

    async def watch_topic(self) -> None:
        """Notices that the topic was altered so that a record's time is no longer its arrival, or was made anew.

        Raises:
            ConfigurationError: It was altered, or is gone.
            ForeignState: It is another log than the one whose offsets the fences are.
        """
        while True:
            await asyncio.sleep(self.settings.worker_topic_check_seconds)
            await quietly(self._check_topic)

    async def _check_topic(self) -> None:
        try:
            now = await asyncio.to_thread(self.check_topic, self.settings)
        except UntrustedCertificate as error:
            log.error("kafka_certificate_not_trusted", error=str(error))  # noqa: TRY400 - the error says all
            return
        except ListenerMismatch as error:  # the consumer is connected with the same settings
            raise ServiceUnavailable(str(error)) from error
        if self.owner is not None:
            check_owner(self._topology_key, self.owner, replace(self.owner, log=now))

    async def watch_redis(self) -> None:
        """Notices that Redis may delete keys to make room, or did; has it write its file anew after each of its starts.

        Raises:
            ConfigurationError: It may, and no setting accepts that.
        """
        while True:
            await asyncio.sleep(self.durability_every_s)
            await quietly(self._check_durability)

    async def _check_durability(self) -> None:
        found = await self.store.durability()
        check_eviction(found, allowed=self.settings.redis_allow_eviction)
        if found.evicted_keys is not None:
            if found.evicted_keys > self._evicted.get("keys", 0):
                log.error("redis_evicted_keys", keys=found.evicted_keys, remedy="more memory, then `recsys rebuild`")
            self._evicted["keys"] = found.evicted_keys
            metrics.EVICTED_KEYS.set(found.evicted_keys)
        if found.append_only and found.run_id is not None and found.run_id != self._rewritten.get("run_id"):
            await self._rewrite_log(found.run_id)

    async def _rewrite_log(self, run_id: str) -> None:
        """Asked for once after a start, also where the right to it is missing."""
        try:
            if await self.store.rewrite_log(run_id):
                log.info("redis_log_rewritten", why="a transaction that a power cut tore would be applied later")
        except UnreadableState as error:
            log.warning("redis_log_not_rewritten", error=str(error), remedy="BGREWRITEAOF after each start of Redis")
        self._rewritten["run_id"] = run_id

    async def watch(self) -> None:
        """Ends the worker when it makes no progress though it could.

        Raises:
            Stalled: It makes none.
        """
        stall_s = self.settings.worker_stall_seconds
        watchdog = Watchdog(
            owned=self.owned,
            progress=self._progress,
            reachable=self._reachable,
            rebalancing=self.rebalancing,
            clock=time.monotonic,
            stall_s=stall_s,
            rebalance_s=max(REBALANCE_S, stall_s),
        )
        while True:
            await asyncio.sleep(stall_s / 4)
            await watchdog.check()

    async def _progress(self, partition: Partition) -> Progress:
        return await self.partitions.of(partition).progress()

    async def _reachable(self, partitions: set[Partition]) -> set[Partition]:
        settings = self.settings
        tps = [TP(settings.interactions_topic, partition) for partition in partitions]
        reachable = await reachable_partitions(aiokafka_options(settings), settings.consumer_group, tps)
        return {Partition(tp.partition) for tp in reachable}
