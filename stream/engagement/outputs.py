"""What the commit sends beside its effects, as it sees it: a Protocol, so that nothing here imports a Kafka client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from recsys.keys import Partition
from stream.engagement.fold import Misrouted, Refused


class SideOutputs(Protocol):
    """Takes dead letters and rerouted records; `side_outputs.KafkaSideOutputs` is the one that workers use."""

    async def send(
        self, refused: Sequence[Refused], misrouted: Sequence[Misrouted], *, partition: Partition, now_ms: int
    ) -> None:
        """Sends all and returns when all are acknowledged by every replica.

        Args:
            refused: Records that become dead letters.
            misrouted: Records that are produced again into their target partition.
            partition: The partition they were read from.
            now_ms: The wall clock, ms since 1970 UTC, for `dlq.failed_at`.

        Raises:
            ServiceUnavailable: One was not acknowledged; sending the same again is safe.
        """
        ...
