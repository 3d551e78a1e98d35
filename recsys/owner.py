"""Whose state a Redis database holds, and of which log its fences are offsets.

Offsets say nothing of the log that they belong to: a topic made anew under its name, or another environment's Redis,
would have its first records skipped as applied, with a lag of 0. So the identity of both is written beside the
topology, and compared wherever fences are used.
"""

from __future__ import annotations

from dataclasses import dataclass

from recsys.errors import ForeignState

STARTS_OVER = "`recsys rebuild` starts over from the topic that is there now"


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log.

    Attributes:
        topic: Its name.
        topic_id: Kafka's id of the topic, new whenever one is created (KIP-516); None from a broker that has none.
        cluster_id: Kafka's id of the cluster; None likewise.
    """

    topic: str
    topic_id: str | None = None
    cluster_id: str | None = None

    def __str__(self) -> str:
        """The name, and the ids that are known."""
        known = [f"id {self.topic_id}"] if self.topic_id else []
        known += [f"cluster {self.cluster_id}"] if self.cluster_id else []
        return f"{self.topic!r} ({', '.join(known)})" if known else repr(self.topic)

    def differs_from(self, other: LogIdentity) -> bool:
        """Whether the two are certainly not the same log; names decide only where an id is not known."""
        if self.topic_id and other.topic_id:
            return self.topic_id != other.topic_id
        other_cluster = bool(self.cluster_id and other.cluster_id) and self.cluster_id != other.cluster_id
        return other_cluster or self.topic != other.topic


@dataclass(frozen=True, slots=True)
class StateOwner:
    """Who folds the state.

    Attributes:
        deployment: The name of the installation (a setting).
        group: The consumer group; one owns the state, because a second would apply every record again.
        log: What is folded.
    """

    deployment: str
    group: str
    log: LogIdentity


def check_owner(key: str, held: StateOwner | None, own: StateOwner) -> None:
    """Compares what Redis says with what this process is of.

    Args:
        key: The key that says it.
        held: What it says; None where it says nothing.
        own: What this process is of.

    Raises:
        ForeignState: They differ; the message names both and the way out.
    """
    if held is None:
        return
    check_deployment(key, held, own.deployment)
    if held.group != own.group:
        raise ForeignState(
            f"Redis key {key!r} says that the state is of consumer group {held.group!r}, and this process is of "
            f"{own.group!r}: a second group would apply every record again; give it a RECSYS_REDIS_KEY_PREFIX of its "
            "own, or end the other's workers and hand the state over with `recsys rebuild`"
        )
    if held.log.differs_from(own.log):
        raise ForeignState(
            f"Redis key {key!r} says that the state was folded from topic {held.log}, and Kafka now has topic "
            f"{own.log}: the topic was made anew, or REDIS_URL is another environment's; {STARTS_OVER}"
        )


def check_deployment(key: str, held: StateOwner | None, deployment: str) -> None:
    """Compares the installation alone.

    Raises:
        ForeignState: The state is another's.
    """
    if held is not None and held.deployment != deployment:
        raise ForeignState(
            f"Redis key {key!r} says that the state is of deployment {held.deployment!r}, and this process is of "
            f"{deployment!r} (RECSYS_DEPLOYMENT): give each a REDIS_URL or RECSYS_REDIS_KEY_PREFIX of its own; "
            "`recsys rebuild --take-over` replaces the state that is there"
        )


def is_beyond(fence: int | None, bounds: tuple[int, int] | None) -> bool:
    """Whether a fence cannot be an offset of its log.

    Args:
        fence: Last applied offset; None before the first.
        bounds: First offset of the log and the one after its last, read after the fence: a worker may move that on.
    """
    return fence is not None and bounds is not None and fence >= bounds[1]
