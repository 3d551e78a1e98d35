"""Reads what the workers left in Redis, into the form the oracle has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from recsys.keys import KeySpace, Shard
from tests.faults.packed import Stored, unpacked
from tests.faults.waiting_terms import with_waiting

SHARDS_PER_GENERATION = 10_000


@dataclass(slots=True)
class StoredShard:
    """One shard as Redis has it; the attributes are those of `oracle.Shard`."""

    fence: int | None = None
    records: dict[tuple[str, str], Stored] = field(default_factory=dict)
    erased: dict[str, int] = field(default_factory=dict)
    merged: dict[str, tuple[int, str]] = field(default_factory=dict)
    done: dict[str, dict[str, int]] = field(default_factory=dict)
    trend: dict[str, float] = field(default_factory=dict)
    terms: Counter[str] = field(default_factory=Counter)
    activity: dict[str, tuple[float, ...]] = field(default_factory=dict)
    bots: dict[str, dict[str, str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def shard_numbers(client: redis.Redis, partitions: int, keys: KeySpace) -> dict[int, Shard]:
    """Partition → the number in its keys' hash tag, as `topology` says now (generation 0 where it says nothing)."""
    raw: Any = client.get(keys.topology)
    said = {} if raw is None else json.loads(raw)
    generation = int(said.get("shards", said).get("generation", 0))  # format 2 has the shards in an object, 1 has none
    return {partition: Shard(generation * SHARDS_PER_GENERATION + partition) for partition in range(partitions)}


def read_fences(client: redis.Redis, group: str, partitions: int, keys: KeySpace) -> dict[int, int | None]:
    """Partition → last applied offset."""
    shards = shard_numbers(client, partitions, keys)
    values: Any = client.mget([keys.fence(shard, group) for shard in shards.values()])
    return {partition: None if value is None else int(value) for partition, value in zip(shards, values, strict=True)}


def read_counts(client: redis.Redis, partitions: int, keys: KeySpace) -> Counter[str]:
    """Outcome → records, over all shards."""
    totals: Counter[str] = Counter()
    for shard in shard_numbers(client, partitions, keys).values():
        rows: Any = client.hgetall(keys.counts(shard))
        totals.update({name.decode(): int(value) for name, value in rows.items()})
    return totals


def read_state(client: redis.Redis, group: str, partitions: int, keys: KeySpace) -> dict[int, StoredShard]:
    """Partition → its shard; one pass over all keys."""
    found = {partition: StoredShard() for partition in range(partitions)}
    prefixes = {
        f"{keys.tag(shard)}:": partition for partition, shard in shard_numbers(client, partitions, keys).items()
    }
    hashes: dict[bytes, tuple[int, str]] = {}
    for raw in client.scan_iter(count=5000):
        tag, brace, rest = raw.decode().partition("}:")
        partition = prefixes.get(tag + brace)
        if partition is not None and rest.partition(":")[0] in OF_A_LEARNER:
            hashes[raw] = (partition, rest)
    for (partition, rest), fields in zip(hashes.values(), _replies(client, "HGETALL", hashes), strict=True):
        kind, _, user = rest.partition(":")
        OF_A_LEARNER[kind](found[partition], user, fields)
    _read_shard_keys(client, group, found, partitions, keys)
    return found


def _read_records(shard: StoredShard, user: str, fields: Mapping[bytes, bytes]) -> None:
    for name, value in fields.items():
        shard.records[user, name.decode()] = unpacked(value)


def _read_done(shard: StoredShard, user: str, fields: Mapping[bytes, bytes]) -> None:
    shard.done[user] = {course.decode(): int(until) for course, until in fields.items()}


def _read_bots(shard: StoredShard, user: str, fields: Mapping[bytes, bytes]) -> None:
    shard.bots[user] = {name.decode(): value.decode() for name, value in fields.items()}


OF_A_LEARNER = {"eng": _read_records, "done": _read_done, "bot": _read_bots}
"""Kind of a learner's key → what reads it."""


def _read_shard_keys(
    client: redis.Redis, group: str, found: Mapping[int, StoredShard], partitions: int, keys: KeySpace
) -> None:
    for partition, fence in read_fences(client, group, partitions, keys).items():
        found[partition].fence = fence
    for partition, shard in shard_numbers(client, partitions, keys).items():
        values, blocks = _at_once(client, keys.trend(shard), keys.terms(shard))
        counts: Any = client.hgetall(keys.counts(shard))
        for course, (trend, records, activity) in with_waiting(values, blocks.values()).items():
            found[partition].trend[course] = trend
            found[partition].activity[course] = activity
            found[partition].terms[course] = records
        erased: Any = client.hgetall(keys.erased(shard))
        merged: Any = client.hgetall(keys.merged(shard))
        found[partition].erased = {user.decode(): int(until) for user, until in erased.items()}
        for user, value in merged.items():
            at, _, into = value.decode().partition(" ")
            found[partition].merged[user.decode()] = (int(at), into)
        found[partition].counts = Counter({name.decode(): int(value) for name, value in counts.items()})


def _at_once(client: redis.Redis, *hashes: str) -> list[Any]:
    pipeline: Any = client.pipeline(transaction=True)
    for key in hashes:
        pipeline.hgetall(key)
    found: list[Any] = pipeline.execute()
    return found


def _replies(client: redis.Redis, command: str, wanted: Iterable[bytes]) -> list[Any]:
    pipeline: Any = client.pipeline(transaction=False)
    for key in wanted:
        pipeline.execute_command(command, key)
    replies: list[Any] = pipeline.execute()
    return replies
