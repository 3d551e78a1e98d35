"""`recsys engagement`, and what the commands of the stream package share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

import click
import msgspec

from recsys.engagement import ForwardDecay
from recsys.errors import ConfigurationError
from recsys.keys import KeySpace, Topology
from recsys.online_store.redis.store import RedisStore
from recsys.process.clock import now_ms
from recsys.settings import Settings, load_settings
from recsys.terminal_tables import print_table
from recsys.times import parse_time, shown_time
from stream.engagement.learner_table import as_table, course_rows

_JSON = msgspec.json.Encoder()


def stream_store(settings: Settings) -> RedisStore:
    """The online store under the speed layer's policy and limits."""
    return RedisStore.for_stream(settings.redis, top_ttl_s=settings.top_ttl_days * 86_400)


@click.command()
@click.argument("user", required=False)
@click.option("--at", "at_text", metavar="TIME", help="Score as of epoch ms or an RFC 3339 time; default now.")
@click.option("--json", "as_json", is_flag=True, help="A line each, as one JSON object.")
def engagement(user: str | None, at_text: str | None, as_json: bool) -> None:
    """Print what the store holds of a learner, course by course; without USER the scores of all learners.

    Of a learner: the score, the states that were entered or left, the progress, on how many days there was a view,
    click or play, the last touch, and until when the course is not to be recommended.
    """
    settings = load_settings()
    at_ms = now_ms() if at_text is None else parse_time(at_text, "--at")
    asyncio.run(_print_engagement(settings, user, at_ms, as_json=as_json))


async def _print_engagement(settings: Settings, user: str | None, at_ms: int, *, as_json: bool) -> None:
    store = stream_store(settings)
    try:
        topology = await store.topology()
        if topology is None:
            raise ConfigurationError("Redis holds no topology: run `recsys topics`, which writes it")
        if user is not None:
            await _print_learner(store, settings, topology, user, at_ms, as_json=as_json)
            return
        for shard in topology.shards():
            async for each, sums in store.engagement(shard):
                _print_scores(each, sums, settings.decay, at_ms, as_json=as_json)
    finally:
        await store.close()


async def _print_learner(
    store: RedisStore, settings: Settings, topology: Topology, user: str, at_ms: int, *, as_json: bool
) -> None:
    shard = topology.shard_of(user)
    held = await store.holdings(shard, user)
    key = KeySpace(settings.redis_key_prefix).engagement(shard, user)
    rows = course_rows(await store.records(shard, user), settings.record_rules, at_ms, key=key)
    if as_json:
        for row in rows:
            sys.stdout.write(_JSON.encode(row.document(user)).decode() + "\n")
        return
    if rows:
        print_table(as_table(rows))
    else:
        click.echo(f"learner {user!r} has no records")
    if held.erased_until_ms is not None:
        click.echo(f"erased: what came up to {shown_time(held.erased_until_ms)} counts no more")
    if held.merged_into is not None:
        click.echo(f"merged into {held.merged_into!r}, who has the records")


def _print_scores(user: str, sums: Mapping[str, float], decay: ForwardDecay, at_ms: int, *, as_json: bool) -> None:
    for course in sorted(sums, key=lambda course: (-sums[course], course)):
        score = decay.score(sums[course], at_ms)
        if as_json:
            line = _JSON.encode({"user_id": user, "course_id": course, "score": score}).decode()
        else:
            line = f"{user}\t{course}\t{score:.6g}"
        sys.stdout.write(line + "\n")
