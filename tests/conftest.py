"""Services for the tests, and what keeps two tests apart.

`kafka` and `redis_url` come from the first rung of `tests/ladder.py` that this machine has. A test marked `services`
needs the real ones; without them it is not run, and the summary says so; under `CI=true` that fails the run.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
import structlog

from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.local_redis import LocalRedis
from infra.operator.topics import ensure_topics, topic_partitions
from recsys.cli import main
from recsys.settings import Settings, load_settings
from tests.distribution import Distribution, is_begun_later
from tests.doubles.commands import Ended, Run
from tests.examples import load_profile
from tests.ladder import RedisServer, choose_rung, kafka_broker, redis_server

_RUNG = pytest.StashKey[tuple[str, str]]()
_EMBEDDED_ONLY = pytest.StashKey[list[str]]()
_IMPORTS_TENSORFLOW = pytest.StashKey[bool]()
_DATABASES = count(1)
_QUICK_JVM = "-XX:TieredStopAtLevel=1"
"""A broker of some minutes never earns back what the second compiler costs: it starts with 60 % of the CPU without."""


def pytest_configure(config: pytest.Config) -> None:
    load_profile()
    os.environ.setdefault("JAVA_TOOL_OPTIONS", _QUICK_JVM)
    config.stash[_RUNG] = choose_rung()
    config.stash[_EMBEDDED_ONLY] = []


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Distribution:
    return Distribution(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: is_begun_later(item.nodeid))


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[_IMPORTS_TENSORFLOW] = "tensorflow" in sys.modules


@pytest.fixture(scope="session")
def collecting_imports_tensorflow(pytestconfig: pytest.Config) -> bool:
    """Whether looking for the tests, which every process does, imported TensorFlow."""
    return pytestconfig.stash[_IMPORTS_TENSORFLOW]


def pytest_report_header(config: pytest.Config) -> str:
    rung, why = config.stash[_RUNG]
    return f"services: {rung} ({why})"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.stash[_RUNG][0] != "embedded":
        return
    if item.get_closest_marker("services"):
        item.config.stash[_EMBEDDED_ONLY].append(f"{item.nodeid} (not run)")
        pytest.skip("needs a real Kafka and Redis, and this machine has neither")
    if "kafka" in getattr(item, "fixturenames", ()):
        item.config.stash[_EMBEDDED_ONLY].append(item.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    only = config.stash[_EMBEDDED_ONLY]
    if not only:
        return
    terminalreporter.section("no real Kafka was found: these ran on the embedded broker only, or not at all")
    for name in only:
        terminalreporter.line(name)
    terminalreporter.line(f"Why: {config.stash[_RUNG][1]}. Install a JDK 17+, Maven and redis-server, or start Docker.")
    if os.environ.get("CI") == "true":
        terminalreporter.line("CI=true: this fails the run.", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.stash[_EMBEDDED_ONLY] and os.environ.get("CI") == "true" and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def _broker(pytestconfig: pytest.Config) -> Iterator[str | EmbeddedKafka]:
    with kafka_broker(pytestconfig.stash[_RUNG][0]) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(_broker: str | EmbeddedKafka) -> str:
    """Bootstrap servers; topics that a test wants are its own (`make_settings`, `make_topics`)."""
    return _broker if isinstance(_broker, str) else _broker.bootstrap_servers


@pytest.fixture(scope="session")
def _redis_server(pytestconfig: pytest.Config) -> Iterator[RedisServer]:
    with redis_server(pytestconfig.stash[_RUNG][0]) as server:
        yield server


@pytest.fixture
def redis_url(_redis_server: RedisServer) -> Iterator[str]:
    """An empty database; a database somebody else filled is never touched."""
    server = _redis_server
    for _ in range(server.databases):
        url = f"{server.url}/{next(_DATABASES) % server.databases}"
        with redis_client.Redis.from_url(url) as client:
            if client.dbsize() == 0:
                yield url
                client.flushdb()
                return
    pytest.fail(f"expected an empty database in the Redis at {server.url}, received {server.databases} in use")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The command line in this process, which spares the start of another one."""

    def call(*arguments: str) -> Ended:
        capsys.readouterr()  # what was printed before is not the command's
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield call
    # The commands configure the logs of their process, which here is that of every other test.
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def own_redis() -> Iterator[LocalRedis]:
    """A Redis that a test may kill and start again."""
    with LocalRedis() as server:
        yield server


@pytest.fixture(scope="session")
def embedded_kafka() -> Iterator[EmbeddedKafka]:
    """The embedded broker, for tests that are content with it."""
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture
def make_settings(_broker: str | EmbeddedKafka, kafka: str, redis_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings with topics, group and folders that no other test uses; keyword arguments override."""

    def build(**overrides: Any) -> Settings:
        run = secrets.token_hex(4)
        return load_settings(
            **{
                "kafka_bootstrap_servers": kafka,
                "kafka_embedded": not isinstance(_broker, str),
                "redis_url": redis_url,
                "interactions_topic": f"interactions-{run}",
                "dead_letter_topic": f"interactions-{run}.dlq",
                "courses_topic": f"courses-{run}",
                "exposures_topic": f"exposures-{run}",
                "consumer_group": f"engagement-{run}",
                "models_dir": tmp_path / "models",
                "reports_dir": tmp_path / "reports",
                "serving_state_dir": tmp_path / "serving",
                **overrides,
            }
        )

    return build


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """`make_settings()` as it is."""
    return make_settings()


@pytest.fixture
def make_topics(_broker: str | EmbeddedKafka) -> Callable[[Settings, int], None]:
    """Creates the topics of some settings with so many partitions."""

    def create(settings: Settings, partitions: int) -> None:
        if isinstance(_broker, EmbeddedKafka):
            for topic, count_ in topic_partitions(settings, partitions).items():
                _broker.create_topic(topic, count_)
        ensure_topics(settings, partitions)

    return create
