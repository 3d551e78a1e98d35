"""What remembering event ids costs: bytes of Redis memory an id, through the worker's own commit.

    python benchmarks/dedupe_memory.py [--ids 1000000] [--chunk 3000] [--shards 6] [--json OUT]

A real Redis of its own. Chunks of event ids and nothing else are committed as the worker commits them; what Redis says
it uses, before and after, is divided by the ids. The dedupe window holds up to two buckets, so the figure a day is
that of two windows of 24 h.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

from infra.devtools.local_redis import LocalRedis
from recsys.keys import COUNTS, EVENT_IDS, Shard
from recsys.online_store import Effects
from recsys.online_store.operations import ID_DIGEST_BYTES, CounterAdd, DigestAdd
from recsys.online_store.redis.store import RedisStore

GROUP = "bench"
RATE = 100
DAY_S = 86_400
BUCKETS = 2


@dataclass(frozen=True)
class Figures:
    """Measured with `ids` ids in `shards` shards; MiB at 100 events/s with the window of 24 h."""

    ids: int
    shards: int
    bytes_an_id: float
    resident_bytes_an_id: float
    mib_a_day_of_100_a_second: float
    mib_at_most: float
    seconds: float


async def fill(url: str, ids: int, chunk: int, shards: int) -> None:
    store = RedisStore.for_stream(url)
    fences: dict[int, int | None] = dict.fromkeys(range(shards))
    try:
        for number in range(0, ids, chunk):
            shard = number // chunk % shards
            size = min(chunk, ids - number)
            fresh = [secrets.token_bytes(ID_DIGEST_BYTES) for _ in range(size)]
            fence, last = fences[shard], (fences[shard] or 0) + size
            fences[shard] = last
            effects = Effects([DigestAdd(EVENT_IDS, "0", fresh), CounterAdd(COUNTS, {"accepted": size})])
            if not await store.commit(Shard(shard), GROUP, fence, last, effects):
                raise SystemExit(f"expected the commit of shard {shard} to be taken, received a moved fence")
    finally:
        await store.close()


def used(client: redis.Redis) -> tuple[int, int]:
    memory = client.info("memory")
    return memory["used_memory"], memory["used_memory_rss"]


def measure(ids: int, chunk: int, shards: int) -> Figures:
    with LocalRedis() as server, redis.Redis.from_url(server.url) as client:
        client.ping()
        asyncio.run(fill(server.url, chunk * shards, chunk, shards))  # scripts, connections, buffers
        client.flushdb()
        before = used(client)
        started = time.perf_counter()
        asyncio.run(fill(server.url, ids, chunk, shards))
        seconds = time.perf_counter() - started
        held = sum(client.scard(key) for key in client.scan_iter("*:ids:*"))
        after = used(client)
    if held != ids:
        raise SystemExit(f"expected {ids} remembered ids, received {held}")
    an_id, resident = ((now - then) / ids for now, then in zip(after, before, strict=True))
    a_day = an_id * RATE * DAY_S / 2**20
    return Figures(ids, shards, an_id, resident, a_day, BUCKETS * a_day, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=3_000)
    parser.add_argument("--shards", type=int, default=6)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measure(arguments.ids, arguments.chunk, arguments.shards)
    print(f"{found.ids:,} ids in {found.shards} shards: {found.bytes_an_id:.1f} bytes an id"
          f" ({found.resident_bytes_an_id:.1f} resident)")  # fmt: skip
    print(f"at {RATE} events/s: {found.mib_a_day_of_100_a_second:,.0f} MiB a day; with the window of 24 h at most"
          f" {found.mib_at_most:,.0f} MiB (two buckets)")  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
