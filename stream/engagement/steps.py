"""What of a chunk goes into the next commit. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from recsys.kafka.records import Record
from stream.engagement.fold import Batch, FoldRules, Refused


def after(records: Sequence[Record], fence: int | None) -> Sequence[Record]:
    """The records after the fence."""
    if fence is None or records[0].offset > fence:
        return records
    return records[bisect_right(records, fence, key=lambda record: record.offset) :]


def of_one_bucket(records: Sequence[Record], window_ms: int) -> Sequence[Record]:
    """The first records that share a dedupe bucket, so that no chunk boundary decides what a duplicate is."""
    bucket = records[0].timestamp // window_ms
    if records[-1].timestamp // window_ms == bucket:
        return records
    for at, record in enumerate(records):
        if record.timestamp // window_ms != bucket:
            return records[:at]
    return records


def refusal(refused: Refused, rules: FoldRules) -> Batch:
    """A batch of nothing but one refused record."""
    return Batch(refused=[refused], bucket=refused.record.timestamp // rules.dedupe_window_ms)
