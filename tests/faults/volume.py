"""`python -m tests.faults.volume`: the state after a million random events, and after a hundredth of the learners left.

No Kafka: the workers' writers fold a topic in memory into a real Redis (`in_process`). Compared are the whole state
with the oracle's (so every course's trending with the sum over the records), and, after learners were erased, every
course's trending with that of a second run over a topic in which these learners never were.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import click
import redis

from infra.devtools.local_redis import LocalRedis
from recsys.keys import KeySpace, partition_of
from tests.faults.in_process import GROUP, MemoryTopic, fold_in_process
from tests.faults.load import ENCODE, Load, Produced
from tests.faults.oracle import fold_topic
from tests.faults.shards import Shard
from tests.faults.state import StoredShard, read_state
from tests.faults.verdict import COMPENSATED_ROUNDING, RELATIVE, Verdict, judge

PARTITIONS = 6
START_MS = 1_760_000_000_000
RATE = 1000.0
DAY_MS = 86_400_000
ERASED_SHARE = 0.01


def produced(events: int, *, seed: int, users: int) -> list[Produced]:
    """The load's first records."""
    load = Load(seed, PARTITIONS, RATE, START_MS, users=users)
    return list(itertools.islice(load.records(), events))


def check(
    records: list[Produced], redis_url: str, *, seed: int
) -> tuple[Verdict, dict[int, Shard], dict[int, StoredShard]]:
    """Folds records into an empty Redis; returns the verdict, what the oracle expects and what is stored."""
    topic = MemoryTopic(PARTITIONS, arrival_ms(len(records)))
    topic.produce(records)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        asyncio.run(fold_in_process(topic, redis_url, seed=seed))
        have = read_state(client, GROUP, PARTITIONS, KeySpace())
    expected = fold_topic(topic.records, PARTITIONS)
    return judge(expected, have, topic.dead_letters), expected, have


def arrival_ms(events: int) -> int:
    """After the last event."""
    return START_MS + int(events * 1000 / RATE) + 1000


def leaving(records: list[Produced], *, seed: int) -> set[str]:
    """A hundredth of the learners, with every id that was merged into one of them."""
    events = list(_events(records))
    users = sorted({str(event["user_id"]) for event in events} - {str(e["user_id"]) for e in events if "into" in e})
    gone = set(random.Random(seed).sample(users, max(1, int(ERASED_SHARE * len(users)))))
    merges = {str(event["user_id"]): str(event["into"]) for event in events if "into" in event}
    while more := {source for source, into in merges.items() if into in gone and source not in gone}:
        gone |= more
    return gone


def erasures(users: set[str], at_ms: int) -> list[Produced]:
    """An erasure of each."""
    return [
        Produced(
            partition_of(user, PARTITIONS),
            user.encode(),
            ENCODE({"event_id": f"bye-{user}", "user_id": user, "type": "erase", "timestamp": at_ms}),
        )
        for user in sorted(users)
    ]


def without(records: list[Produced], users: set[str]) -> list[Produced]:
    """The records in which none of these learners is."""
    return [record for record in records if _user(record) not in users]


def _events(records: list[Produced]) -> Iterator[dict[str, Any]]:
    for record in records:
        try:
            event = json.loads(record.value or b"")
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def _user(record: Produced) -> str:
    return next((str(event.get("user_id", "")) for event in _events([record])), "")


def unequal(
    one: dict[int, StoredShard],
    other: dict[int, StoredShard],
    expected: dict[int, Shard],
    of_progress: Mapping[tuple[int, str], float],
) -> list[str]:
    """The courses whose trending differs by more than the tolerance, a line each.

    Args:
        one: Of the first run.
        other: Of the second.
        expected: What the first had to hold.
        of_progress: (partition, course) → what `progress_apart` says may lie between them.
    """
    lines = []
    for partition, shard in expected.items():
        for course, size in shard.trend.items():
            left, right = one[partition].trend.get(course, 0.0), other[partition].trend.get(course, 0.0)
            bound = max(RELATIVE * max(abs(left), abs(right)), COMPENSATED_ROUNDING * size.size)
            if abs(left - right) > bound + of_progress.get((partition, course), 0.0):
                lines.append(f"trend {partition} {course}: expected {right!r}, received {left!r}")
    return lines


def progress_apart(one: dict[int, Shard], other: dict[int, Shard]) -> dict[tuple[int, str], float]:
    """(partition, course) → trend of progress that only one of two runs holds of a learner who was erased.

    Of progress reached before an erasure and again after it, the erasure leaves nothing; where the two come from two
    learners who were merged, that depends on which partition was faster (decision 18). Nothing else may differ.
    """
    apart: defaultdict[tuple[int, str], float] = defaultdict(float)
    for partition, shard in one.items():
        in_other = other[partition].records
        for (user, course), pair in shard.records.items():
            same = in_other.get((user, course))
            if same is None or same == pair or not shard.learners[user].erased_until:
                continue
            if replace(same, progress=pair.progress) == pair and None in (same.progress, pair.progress):
                apart[partition, course] += abs(same.trend() - pair.trend())
    return apart


def run(events: int, redis_url: str, *, seed: int, users: int) -> list[str]:
    """All that is not as it must be, a line each."""
    records = produced(events, seed=seed, users=users)
    gone = leaving(records, seed=seed)
    verdict, expected, erased = check(records + erasures(gone, arrival_ms(events)), redis_url, seed=seed)
    stayed, expected_of_stayed, never = check(without(records, gone), redis_url, seed=seed + 1)
    apart = progress_apart(expected, expected_of_stayed)
    return [*verdict.differences, *stayed.differences, *unequal(erased, never, expected, apart)]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--events", default=1_000_000, show_default=True, type=click.IntRange(1000))
@click.option("--users", default=6000, show_default=True, type=click.IntRange(100))
@click.option("--seed", default=1, show_default=True)
def main(events: int, users: int, seed: int) -> None:
    """Fold random events, erase a hundredth of the learners, compare; the status is 1 if anything differs."""
    began = time.monotonic()
    with LocalRedis() as server:
        problems = run(events, server.url, seed=seed, users=users)
    for problem in problems:
        click.echo(problem)
    click.echo(f"{events:,} events of {users:,} learners, twice, in {time.monotonic() - began:.0f} s: "
               f"{len(problems)} differences")  # fmt: skip
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
