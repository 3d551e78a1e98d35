"""Whether what a worker was started on still holds: the shards in use, whose state they are, and the log it reads.

A service that does not answer postpones a look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from recsys.errors import ListenerMismatch, ServiceUnavailable, UnreadableState, UntrustedCertificate
from recsys.kafka.admin import check_interactions_topic
from recsys.keys import KeySpace, Topology
from recsys.online_store import Control
from recsys.owner import LogIdentity, StateOwner, check_owner
from recsys.settings import Settings
from stream.engagement.quietly import quietly

log = structlog.get_logger(__name__)

TOPOLOGY_EVERY_S = 1.0


@dataclass(frozen=True)
class TopologyWatch:
    """Looks at the topology in Redis and at the topic in Kafka, for as long as a worker runs.

    Attributes:
        settings: All settings.
        store: The online store.
        topology: The shards this worker writes.
        owner: Whose their state is; None where nobody looks at that.
        every_s: Seconds between reads of the topology in Redis.
        check_topic: Blocking; which log the topic is now; raises where it lost a property that is relied upon.
        switched: Set once the topology is another one: this worker has to end.
    """

    settings: Settings
    store: Control
    topology: Topology
    owner: StateOwner | None = None
    every_s: float = TOPOLOGY_EVERY_S
    check_topic: Callable[[Settings], LogIdentity] = check_interactions_topic
    switched: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow_topology(self) -> None:
        """Notices that `recsys rebuild` switched or that the state became another's; writes a lost topology again.

        A value that cannot be read changes nothing: the worker goes on with the topology it has, and says so once.

        Raises:
            ForeignState: The state is another deployment's, group's or log's now.
        """
        unreadable = ""
        while not self.switched.is_set():
            await asyncio.sleep(self.every_s)
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
