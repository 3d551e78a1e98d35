"""The commands `recsys serve` and `recsys recommend`: the composition roots of the serving layer."""

from __future__ import annotations

import asyncio

import click
from rich.table import Table
from rich.text import Text

from recsys.errors import ServiceUnavailable
from recsys.kafka.clients import aiokafka_options
from recsys.online_store.redis.store import RedisStore
from recsys.process.allocator import use_one_arena
from recsys.process.logs import configure_logging
from recsys.settings import Settings, load_settings
from recsys.terminal_tables import print_table
from serving.errors import NothingToRecommend
from serving.http.app import create_app
from serving.http.endpoints import encode_json
from serving.http.server import listen, run
from serving.recommend.answers import Recommendations
from serving.recommend.query import ATTRIBUTES, MAX_N, parse_query
from serving.service import Service, kafka_producer

COMMAND_REDIS_TIMEOUT_MS = 2000
"""One question from the command line may wait longer for Redis than one of many requests."""


@click.command()
@click.option("--host", help="Address to bind. Default: RECSYS_SERVING_HOST (loopback).")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to bind, 0 for a free one. Default: RECSYS_SERVING_PORT."
)
def serve(host: str | None, port: int | None) -> None:
    """Run the HTTP API until SIGINT or SIGTERM."""
    use_one_arena()
    settings = load_settings()
    configure_logging(settings)
    bound = listen(host or settings.serving_host, settings.serving_port if port is None else port)
    store = RedisStore.for_serving(settings.redis, timeout_ms=settings.serving_redis_timeout_ms)
    service = Service.assemble(settings, store, kafka_producer(settings), kafka=aiokafka_options(settings))
    run(
        create_app(service, freeze_heap=True),
        bound,
        trusted_proxies=settings.serving_trusted_proxies,
        announce=lambda url: click.echo(f"recsys API on {url}"),
    )


@click.command()
@click.option("--user", "user_id", required=True, help="The learner.")
@click.option("--n", type=click.IntRange(1, MAX_N), help="Courses. Default: RECSYS_SERVING_DEFAULT_N.")
@click.option("--category", help="Only courses of this category.")
@click.option("--level", help="Only courses of this level.")
@click.option("--language", help="Only courses in this language.")
@click.option("--exclude", multiple=True, help="A course not to return; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as one JSON object.")
def recommend(user_id: str, n: int | None, as_json: bool, **filters: str | tuple[str, ...] | None) -> None:
    """Print the API's answer for one learner."""
    settings = load_settings()
    if settings.log_level.lower() != "debug":
        # The answer names its source, and an error is one line: the steps in between need no log.
        settings = settings.model_copy(update={"log_level": "error"})
    configure_logging(settings)
    answer = asyncio.run(_ask(settings, user_id, n, filters))
    if as_json:
        click.echo(encode_json(answer))
    else:
        print_table(_table(answer))


class _Options:
    """Command-line options as the API's query parameters."""

    def __init__(self, n: int | None, filters: dict[str, str | tuple[str, ...] | None]) -> None:
        given = {name: filters[name] for name in (*ATTRIBUTES, "exclude")} | {"n": None if n is None else str(n)}
        self._values = {name: (value,) if isinstance(value, str) else value or () for name, value in given.items()}

    def getlist(self, key: str) -> tuple[str, ...]:
        return self._values.get(key, ())


async def _ask(
    settings: Settings, user_id: str, n: int | None, filters: dict[str, str | tuple[str, ...] | None]
) -> Recommendations:
    query = parse_query(user_id, _Options(n, filters), default_n=settings.serving_default_n)
    store = RedisStore.for_serving(settings.redis, timeout_ms=COMMAND_REDIS_TIMEOUT_MS)
    try:
        service = Service.assemble(settings, store, kafka_producer(settings))
        service.trending.load()
        await service.follower.poll()
        try:
            return await service.ladder.recommend(query)
        except NothingToRecommend as nothing:
            raise ServiceUnavailable(f"{nothing}{await _reason(store)}") from None
    finally:
        await store.close()


async def _reason(store: RedisStore) -> str:
    """Why there was nothing to answer with, as far as Redis knows."""
    try:
        await store.ping()
    except ServiceUnavailable as error:
        return f"; {error}"
    return ""


def _table(answer: Recommendations) -> Table:
    table = Table(title=Text(f"For {answer.user_id} ({answer.source}, model {answer.model_version or 'none'})"))
    for heading in ("#", "course", "title", "category", "level", "language"):
        table.add_column(heading)
    table.add_column("score", justify="right")
    for place, course in enumerate(answer.recommendations, 1):
        words = (course.course_id, course.title, course.category, course.level, course.language)
        # As text, because rich would read [brackets] in a title as markup.
        table.add_row(str(place), *map(Text, words), f"{course.score:.4g}")
    return table
