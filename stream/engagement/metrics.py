"""The worker's Prometheus metrics. Never a user id as a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from recsys.keys import Partition

RECORDS = Counter("recsys_records", "Records applied, by outcome.", ["outcome"])
CHUNK_SECONDS = Histogram("recsys_chunk_seconds", "From a fetched chunk to its commit, in seconds.")
FENCE = Gauge("recsys_fence_offset", "Last applied offset.", ["partition"])
STOPPED = Gauge("recsys_partition_stopped", "1 while a partition waits for an operator.", ["partition"])
UNREACHABLE = Gauge("recsys_partitions_unreachable", "Partitions about which Kafka or Redis does not answer.")
REFRESHED = Counter("recsys_top_refreshed", "Cached top-N lists written.")
REFRESH_SECONDS = Histogram("recsys_refresh_seconds", "To refresh one batch of dirty users, in seconds.")
MODEL_LOADS = Counter(
    "recsys_model_loads",
    "Attempts to follow the published model: loaded, failed, or what could not be read.",
    ["outcome"],
)


def forget(partition: Partition) -> None:
    """The partition is another worker's now: what was shown of it here would only grow old."""
    for gauge in (FENCE, STOPPED):
        gauge.remove(str(partition))
