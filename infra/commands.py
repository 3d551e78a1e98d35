"""`recsys topics` and `recsys status`: what Kafka and Redis hold, and whether they agree."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from infra.status import SystemStatus, read_status
from infra.topics import TopicReport, ensure_topics
from recsys.errors import TopologyMismatch
from recsys.online_store.redis import RedisStore
from recsys.settings import Settings, load_settings


@click.command("topics")
@click.option("--partitions", type=click.IntRange(1, 1024), default=6, show_default=True, help="Of `interactions`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def topics(partitions: int, as_json: bool) -> None:
    """Create the Kafka topics that are missing, check those that are there.

    Also writes the partition count into Redis, where every reader of the state takes it from.
    """
    settings = load_settings()
    asyncio.run(_check_topology(settings, partitions))
    reports = ensure_topics(settings, partitions)
    asyncio.run(_check_topology(settings, partitions, establish=True))
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports]))
        return
    for report in reports:
        click.echo(f"{report.name}: {_partitions(report)}, {report.state}")


def _partitions(report: TopicReport) -> str:
    return "1 partition" if report.partitions == 1 else f"{report.partitions} partitions"


async def _check_topology(settings: Settings, partitions: int, *, establish: bool = False) -> None:
    """Refuses before a topic is made if Redis already holds state of another partition count."""
    store = RedisStore.for_stream(settings.redis_url)
    try:
        in_force = await (store.establish_topology(partitions) if establish else store.topology())
    finally:
        await store.close()
    if in_force not in {None, partitions}:
        raise TopologyMismatch(
            f"expected {partitions} partitions, received {in_force} in Redis: "
            f"its state is sharded by them, use --partitions {in_force} or an empty Redis database"
        )


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Fences, counters and lag of every partition; the model in use."""
    found = asyncio.run(read_status(load_settings()))
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        _print_status(found)


def _print_status(found: SystemStatus) -> None:
    names = sorted({name for row in found.partitions for name in row.counts})
    table = Table("partition", "fence", "log end", "lag", *names)
    for row in found.partitions:
        fence = "none" if row.fence is None else str(row.fence)
        counted = (str(row.counts.get(name, 0)) for name in names)
        table.add_row(str(row.partition), fence, str(row.log_end), str(row.lag), *counted)
    Console().print(table)
    model = "no model published" if found.model is None else f"model {found.model}"
    click.echo(f"{model} · lag {found.lag} records")
