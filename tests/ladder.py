"""Where the tests find a real Kafka and a real Redis: given addresses → Docker → local JDK and Maven → embedded.

`RECSYS_TEST_SERVICES=docker|local|embedded` takes that rung at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.kafka_jars import kafka_version, missing_programs
from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import DATABASES, LocalRedis
from infra.devtools.processes import free_port

RUNGS = ("given", "docker", "local", "embedded")


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A Redis for one test run.

    Attributes:
        url: redis:// address without a database number.
        databases: How many databases it has.
    """

    url: str
    databases: int


def kafka_image() -> str:
    """The image `docker compose build kafka` makes."""
    return f"recsys-kafka:{kafka_version()}"


def redis_image() -> str:
    """The image `docker compose build redis` makes."""
    return "recsys-redis:7"


def choose_rung() -> tuple[str, str]:
    """The first rung this machine has, and a sentence on why."""
    forced = os.environ.get("RECSYS_TEST_SERVICES")
    if forced:
        if forced not in RUNGS:
            raise ValueError(f"expected RECSYS_TEST_SERVICES as one of {', '.join(RUNGS)}, received {forced!r}")
        return forced, "asked for by RECSYS_TEST_SERVICES"
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") and os.environ.get("REDIS_URL"):
        return "given", "KAFKA_BOOTSTRAP_SERVERS and REDIS_URL are set"
    docker = _why_no_docker()
    if docker is None:
        return "docker", f"a Docker engine with {kafka_image()} and {redis_image()}"
    local = [*missing_programs(), *([] if shutil.which("redis-server") else ["redis-server"])]
    if not local:
        return "local", f"Kafka {kafka_version()} on this machine's JVM, redis-server from the PATH ({docker})"
    return "embedded", f"{docker}; not on the PATH: {', '.join(local)}"


def _why_no_docker() -> str | None:
    """None if a Docker engine answers that has the images; images are never pulled or built by a test run."""
    if shutil.which("docker") is None:
        return "no docker command"
    try:
        listed = subprocess.run(
            ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return "no Docker engine answers"
    missing = [image for image in (kafka_image(), redis_image()) if image not in listed]
    return f"no Docker image {', '.join(missing)}: `docker compose build` makes them" if missing else None


@contextmanager
def kafka_broker(rung: str) -> Iterator[str | EmbeddedKafka]:
    """The rung's Kafka for the length of the run: its bootstrap servers, or the embedded broker itself."""
    if rung == "given":
        yield os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    elif rung == "docker":
        port = free_port()
        with _container(kafka_image(), {9092: port}, {"KAFKA_ADVERTISED": f"127.0.0.1:{port}"}):
            yield f"127.0.0.1:{port}"
    elif rung == "local":
        with LocalKafka() as local:
            yield local.bootstrap_servers
    else:
        with EmbeddedKafka() as embedded:
            yield embedded


@contextmanager
def redis_server(rung: str) -> Iterator[RedisServer]:
    """The rung's Redis for the length of the run."""
    if rung == "given":
        yield RedisServer(os.environ["REDIS_URL"].rstrip("/").removesuffix("/0"), databases=16)
    elif rung == "docker":
        port = free_port()
        with _container(redis_image(), {6379: port}, {}):
            yield RedisServer(f"redis://127.0.0.1:{port}", databases=16)
    else:
        with LocalRedis() as local:
            yield RedisServer(local.url.removesuffix("/0"), DATABASES)


@contextmanager
def _container(image: str, ports: dict[int, int], environment: dict[str, str]) -> Iterator[None]:
    """A container that says itself when it is healthy (both images carry a health check)."""
    # The library's own sweeper is one more image to pull; the container ends with this `with`.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only this rung needs it
    from testcontainers.core.wait_strategies import HealthcheckWaitStrategy  # noqa: PLC0415

    container = DockerContainer(image).waiting_for(HealthcheckWaitStrategy().with_startup_timeout(120))
    for inside, outside in ports.items():
        cast("dict[Any, Any]", container.ports)[inside] = (
            "127.0.0.1",
            outside,
        )  # `with_bind_ports` knows no address and binds all of them
    for name, value in environment.items():
        container.with_env(name, value)
    with container:
        yield
