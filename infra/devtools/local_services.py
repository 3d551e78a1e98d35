"""`python -m infra.devtools.local_services`: a real Kafka 4 and a Redis for a developer, until Ctrl-C."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path

import click

from infra.devtools.kafka_jars import kafka_version
from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import LocalRedis
from recsys.errors import RecsysError


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep Kafka's and Redis's files here, for the next start too; without it they go with Ctrl-C.",
)
@click.option("--kafka-port", type=click.IntRange(1, 65535), help="Loopback port; a free one without.")
@click.option("--redis-port", type=click.IntRange(1, 65535), help="Loopback port; a free one without.")
def command(directory: Path | None, kafka_port: int | None, redis_port: int | None) -> None:
    """Run a single-node Kafka and a Redis on loopback ports and print what to export."""
    kafka_directory = None if directory is None else directory.absolute() / "kafka"
    redis_directory = None if directory is None else directory.absolute() / "redis"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            redis = stack.enter_context(LocalRedis(redis_directory, redis_port))
            kafka = stack.enter_context(LocalKafka(kafka_directory, kafka_port))
            click.echo(f"export KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap_servers} REDIS_URL={redis.url}")
            click.echo(f"Kafka {kafka_version()} and Redis run until Ctrl-C.", err=True)
            signal.pause()
    except KeyboardInterrupt:
        click.echo("ended", err=True)
    except RecsysError as error:
        raise click.ClickException(" ".join(str(error).split())) from None


if __name__ == "__main__":
    command()
