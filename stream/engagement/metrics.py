"""The worker's Prometheus metrics. Never a user id as a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from recsys.keys import Partition

RECORDS = Counter("recsys_records", "Records applied, by outcome.", ["outcome"])
CHUNK_SECONDS = Histogram("recsys_chunk_seconds", "From a fetched chunk to its commit, in seconds.")
_STAGE_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5, 30, 120, 600, 3600)
FRESHNESS_SECONDS = Histogram(
    "recsys_freshness_seconds",
    "From one stage to the next. folded: from the broker's append of a chunk's first record to its commit; refreshed: "
    "from the commit to a learner's ranked list; readable: from there until it is written.",
    ["stage"],
    buckets=_STAGE_S,
)
EVENT_TO_LIST_SECONDS = Histogram(
    "recsys_event_to_list_seconds",
    "From the broker's append of a chunk's first record to a learner's list in Redis that contains it.",
    buckets=_STAGE_S,
)
FENCE = Gauge("recsys_fence_offset", "Last applied offset.", ["partition"])
STOPPED = Gauge("recsys_partition_stopped", "1 while a partition waits for an operator.", ["partition"])
UNREACHABLE = Gauge("recsys_partitions_unreachable", "Partitions about which Kafka or Redis does not answer.")
UNJOINED = Gauge(
    "recsys_trending_unjoined_courses",
    "Courses that learners touched and the loaded model does not know; left out of trending until it does.",
)
EVICTED_KEYS = Gauge("recsys_redis_evicted_keys", "Keys that Redis deleted to make room since it started; must stay 0.")
REFRESHED = Counter("recsys_top_refreshed", "Cached top-N lists written.")
REFRESH_SECONDS = Histogram("recsys_refresh_seconds", "To refresh one batch of dirty users, in seconds.")
DIRTY_USERS = Gauge("recsys_refresh_dirty_users", "Learners whose cached top-N is out of date.", ["partition"])
OLDEST_MARK = Gauge(
    "recsys_refresh_oldest_mark_seconds",
    "How long the learner who waits longest has been waiting for a new cached top-N, in seconds.",
    ["partition"],
)
OUTDATED_LISTS = Counter("recsys_outdated_lists_dropped", "Lists of a model that is no longer published, deleted.")
RENEWALS = Counter(
    "recsys_lists_due", "Lists of an earlier increment whose learners were marked in turn, to be ranked anew."
)
MODEL_LOADS = Counter(
    "recsys_model_loads",
    "Attempts to follow the published model: loaded, failed, or what could not be read.",
    ["outcome"],
)


class PartitionMetrics:
    """The gauges of one owned partition.

    Args:
        partition: The label.
    """

    def __init__(self, partition: Partition) -> None:
        self._label = str(partition)
        self._closed = False

    def fence(self, offset: int) -> None:
        """Shows the last applied offset."""
        if not self._closed:
            FENCE.labels(self._label).set(offset)

    def stopped(self, stopped: bool) -> None:
        """Shows whether the partition waits for an operator."""
        if not self._closed:
            STOPPED.labels(self._label).set(stopped)

    def close(self) -> None:
        """The partition is another worker's now: what is shown of it here would only grow old.

        A step that still is in work shows nothing any more.
        """
        self._closed = True
        for gauge in (FENCE, STOPPED):
            gauge.remove(self._label)
