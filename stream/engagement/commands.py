"""`recsys engagement`, and what the commands of the stream package share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

import click
import msgspec

from recsys.engagement import ForwardDecay
from recsys.errors import ConfigurationError
from recsys.online_store.redis.store import RedisStore
from recsys.process.clock import now_ms
from recsys.settings import Settings, load_settings
from recsys.times import parse_time

SCORE_LINE = msgspec.json.Encoder()


def stream_store(settings: Settings) -> RedisStore:
    """The online store under the speed layer's policy and limits."""
    return RedisStore.for_stream(settings.redis, top_ttl_s=settings.top_ttl_days * 86_400)


@click.command()
@click.option("--user", help="Only this learner.")
@click.option("--at", "at_text", metavar="TIME", help="Score as of epoch ms or an RFC 3339 time; default now.")
@click.option("--json", "as_json", is_flag=True, help='A line each: {"user_id", "course_id", "score"}.')
def engagement(user: str | None, at_text: str | None, as_json: bool) -> None:
    """Print the engagement scores the store holds, one line per learner and course."""
    settings = load_settings()
    at_ms = now_ms() if at_text is None else parse_time(at_text, "--at")
    asyncio.run(_print_engagement(settings, user, at_ms, as_json=as_json))


async def _print_engagement(settings: Settings, user: str | None, at_ms: int, *, as_json: bool) -> None:
    store = stream_store(settings)
    try:
        topology = await store.topology()
        if topology is None:
            raise ConfigurationError("Redis holds no topology: run `recsys topics`, which writes it")
        decay = settings.decay
        if user is not None:
            (state,) = await store.user_states(topology.shard_of(user), [user])
            _print_user(user, state.engagement, decay, at_ms, as_json=as_json)
            return
        for shard in topology.shards():
            async for each, sums in store.engagement(shard):
                _print_user(each, sums, decay, at_ms, as_json=as_json)
    finally:
        await store.close()


def _print_user(user: str, sums: Mapping[str, float], decay: ForwardDecay, at_ms: int, *, as_json: bool) -> None:
    for course in sorted(sums, key=lambda course: (-sums[course], course)):
        score = decay.score(sums[course], at_ms)
        if as_json:
            line = SCORE_LINE.encode({"user_id": user, "course_id": course, "score": score}).decode()
        else:
            line = f"{user}\t{course}\t{score:.6g}"
        sys.stdout.write(line + "\n")
