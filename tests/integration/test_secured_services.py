"""Everything on a Kafka with SASL_SSL and a Redis with TLS and an ACL user; and what a wrong setting is told."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiokafka.admin import AIOKafkaAdminClient
from kafka import KafkaAdminClient
from pydantic import SecretStr

from batch.datasets.simulator import simulate
from infra.devtools.kafka_jars import missing_programs
from infra.devtools.secured import SecuredKafka, SecuredRedis
from infra.operator.topics import ensure_topics
from recsys.cli import main
from recsys.errors import ConfigurationError, UntrustedCertificate
from recsys.events import Interaction
from recsys.files import write_courses, write_interactions
from recsys.kafka.admin import log_bounds
from recsys.kafka.clients import admin_client, aiokafka_options, kafka_python_options
from recsys.kafka.diagnosis import diagnose, reach
from recsys.kafka.findings import Problem
from recsys.online_store.redis.connection import client as redis_client
from recsys.process.logs import configure_logging
from recsys.settings import Settings, load_settings
from serving.service import kafka_producer
from tests.doubles.certificates import KEY_PASSWORD, PASSWORD, USERNAME, Certificates
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.stream import until

pytestmark = pytest.mark.services

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
LOGIN = {"kafka_sasl_username": USERNAME, "kafka_sasl_password": PASSWORD}
PARTITIONS = 2
WRONG = "wr0ng-one"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.made_in(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def broker(certificates: Certificates) -> Iterator[SecuredKafka]:
    if missing_programs():
        pytest.fail(f"a secured Kafka is started from its jars; not on the PATH: {', '.join(missing_programs())}")
    with SecuredKafka(certificates.server) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def secured_redis(certificates: Certificates) -> Iterator[SecuredRedis]:
    with SecuredRedis(certificates.server) as redis:
        yield redis


def client_of(broker: SecuredKafka, certificates: Certificates, listener: str, protocol: str, **more: Any) -> Settings:
    """Settings of a client that speaks one protocol to the listener of another."""
    given: dict[str, Any] = {"kafka_security_protocol": protocol, "kafka_bootstrap_servers": broker.address(listener)}
    if protocol.startswith("SASL"):
        given |= LOGIN
    if protocol.endswith("SSL"):
        given["kafka_ssl_ca_file"] = certificates.ca_file
    return Settings(**{**given, **more})


EXPECTED = {
    ("PLAINTEXT", "SSL"): Problem.NO_TLS,
    ("PLAINTEXT", "SASL_PLAINTEXT"): Problem.NO_LOGIN,
    ("PLAINTEXT", "SASL_SSL"): Problem.NO_TLS,
    ("SSL", "PLAINTEXT"): Problem.TLS_NEEDED,
    ("SSL", "SASL_PLAINTEXT"): Problem.TLS_NEEDED,
    ("SSL", "SASL_SSL"): Problem.NO_LOGIN,
    ("SASL_PLAINTEXT", "PLAINTEXT"): Problem.LOGIN_NEEDED,
    ("SASL_PLAINTEXT", "SSL"): Problem.NO_TLS,
    ("SASL_PLAINTEXT", "SASL_SSL"): Problem.NO_TLS,
    ("SASL_SSL", "PLAINTEXT"): Problem.TLS_NEEDED,
    ("SASL_SSL", "SSL"): Problem.LOGIN_NEEDED,
    ("SASL_SSL", "SASL_PLAINTEXT"): Problem.TLS_NEEDED,
}
"""Listener and what the client speaks → what is found; where both are the same, nothing."""


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("listener", PROTOCOLS)
def test_each_protocol_on_each_listener(
    broker: SecuredKafka, certificates: Certificates, listener: str, protocol: str
) -> None:
    found = diagnose(client_of(broker, certificates, listener, protocol))
    problem = EXPECTED.get((listener, protocol))
    assert [finding.problem for finding in found] == ([] if problem is None else [problem])
    for finding in found:
        assert "RECSYS_KAFKA_SECURITY_PROTOCOL" in finding.message
        assert PASSWORD not in finding.message


@pytest.fixture
def own_logging() -> Iterator[None]:
    """What `configure_logging` does is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {
        name: logging.getLogger(name).level
        for name in ("aiokafka", "faust", "mode", "kafka", "kafka.protocol.parser", "asyncio")
    }
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


@pytest.fixture
async def closed_sockets() -> AsyncIterator[None]:
    """The event loop goes on until its sockets are closed: aiokafka's `close` does not wait for the end of TLS."""
    yield
    watched = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]
    await until(lambda: len(watched) == 1)  # the one that wakes the loop


@pytest.mark.usefixtures("own_logging", "closed_sockets")
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_each_mechanism_by_both_clients_and_its_wrong_password(
    broker: SecuredKafka, certificates: Certificates, mechanism: str
) -> None:
    """Also what the clients log for debugging holds no password."""
    settings = client_of(broker, certificates, "SASL_SSL", "SASL_SSL", kafka_sasl_mechanism=mechanism)
    written = io.StringIO()
    configure_logging(settings.model_copy(update={"log_level": "debug"}), written)
    blocking = KafkaAdminClient(**kafka_python_options(settings))
    assert await asyncio.to_thread(blocking.describe_cluster)
    await asyncio.to_thread(blocking.close)
    awaiting = AIOKafkaAdminClient(**aiokafka_options(settings))
    await awaiting.start()
    assert await awaiting.describe_cluster()
    await awaiting.close()
    assert written.getvalue().count("auth_bytes=***") >= 2
    assert "sasl_plain_password': ***" in written.getvalue()
    assert PASSWORD not in written.getvalue()
    with pytest.raises(ConfigurationError, match="refuses the login of user 'learner-events'") as refused:
        reach(settings.model_copy(update={"kafka_sasl_password": SecretStr(WRONG)}))
    assert "RECSYS_KAFKA_SASL_PASSWORD" in str(refused.value)
    assert WRONG not in str(refused.value)


@pytest.mark.usefixtures("closed_sockets")
async def test_the_api_sends_events(broker: SecuredKafka, certificates: Certificates) -> None:
    settings = client_of(broker, certificates, "SASL_SSL", "SASL_SSL", interactions_topic=f"t-{secrets.token_hex(4)}")
    await asyncio.to_thread(ensure_topics, settings, 1)
    producer = kafka_producer(settings)
    await producer.start(10.0)
    try:
        await producer.send([Interaction("e1", "u1", "c1", "click", 1_700_000_000_000)], arrival_ms=1_700_000_000_000)
    finally:
        await producer.close()
    assert (await asyncio.to_thread(log_bounds, settings, settings.interactions_topic))[0] == (0, 1)


async def test_the_client_of_a_redis_that_hangs_is_closed_in_time(
    secured_redis: SecuredRedis, certificates: Certificates
) -> None:
    """Its socket too: one left open is a warning here, and those are errors."""
    login: dict[str, Any] = {"redis_username": USERNAME, "redis_password": PASSWORD}
    settings = Settings(redis_url=secured_redis.url, redis_ssl_ca_file=certificates.ca_file, **login)
    client = redis_client(settings.redis, 0.5, max_connections=2)
    await client.ping()
    assert secured_redis.pid is not None
    os.kill(secured_redis.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(10.0):
            await client.aclose()
    finally:
        os.kill(secured_redis.pid, signal.SIGCONT)
    del client
    gc.collect()


def test_a_certificate_of_another_authority_is_named(broker: SecuredKafka, certificates: Certificates) -> None:
    settings = client_of(broker, certificates, "SSL", "SSL", kafka_ssl_ca_file=certificates.other_ca_file)
    with pytest.raises(UntrustedCertificate, match=r"is not trusted: .*RECSYS_KAFKA_SSL_CA_FILE"):
        reach(settings)


def test_a_client_certificate_with_an_encrypted_key(broker: SecuredKafka, certificates: Certificates) -> None:
    own = {"kafka_ssl_cert_file": certificates.client_file, "kafka_ssl_key_file": certificates.client_key_file}
    settings = client_of(broker, certificates, "SSL", "SSL", **own, kafka_ssl_key_password=KEY_PASSWORD)
    with admin_client(settings) as client:
        assert client.describe_cluster()["brokers"]
    with pytest.raises(ConfigurationError, match="RECSYS_KAFKA_SSL_KEY_PASSWORD"):
        reach(client_of(broker, certificates, "SSL", "SSL", **own, kafka_ssl_key_password=WRONG))


@pytest.fixture
def recsys(
    broker: SecuredKafka, secured_redis: SecuredRedis, certificates: Certificates, tmp_path: Path
) -> Iterator[Recsys]:
    """The command line with every secret in a file."""
    for name, secret in (("kafka-password", PASSWORD), ("redis-password", PASSWORD), ("key-password", KEY_PASSWORD)):
        (tmp_path / name).write_text(secret + "\n")
    name = f"t-{secrets.token_hex(4)}"
    extra = {
        "RECSYS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "RECSYS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "RECSYS_KAFKA_SASL_USERNAME": USERNAME,
        "RECSYS_KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "kafka-password"),
        "RECSYS_KAFKA_SSL_CA_FILE": str(certificates.ca_file),
        "RECSYS_REDIS_USERNAME": USERNAME,
        "RECSYS_REDIS_PASSWORD_FILE": str(tmp_path / "redis-password"),
        "RECSYS_REDIS_SSL_CA_FILE": str(certificates.ca_file),
        "RECSYS_REDIS_SSL_CERT_FILE": str(certificates.client_file),
        "RECSYS_REDIS_SSL_KEY_FILE": str(certificates.client_key_file),
        "RECSYS_REDIS_SSL_KEY_PASSWORD_FILE": str(tmp_path / "key-password"),
        "RECSYS_INTERACTIONS_TOPIC": name,
        "RECSYS_DEAD_LETTER_TOPIC": f"{name}.dlq",
        "RECSYS_COURSES_TOPIC": f"{name}.courses",
        "RECSYS_EXPOSURES_TOPIC": f"{name}.exposures",
        "RECSYS_CONSUMER_GROUP": name,
        "RECSYS_MODELS_DIR": str(tmp_path / "models"),
        "RECSYS_SERVING_STATE_DIR": str(tmp_path / "serving"),
    }
    commands = Recsys(broker.address("SASL_SSL"), secured_redis.url, tmp_path, extra)
    yield commands
    commands.stop_workers()


@pytest.mark.parametrize(
    ("variable", "content", "status", "told"),
    [
        ("RECSYS_KAFKA_SASL_PASSWORD_FILE", WRONG, 2, "refuses the login of user 'learner-events'"),
        ("RECSYS_KAFKA_SSL_CA_FILE", None, 2, "RECSYS_KAFKA_SSL_CA_FILE names the authorities that are"),
        ("RECSYS_REDIS_PASSWORD_FILE", WRONG, 3, "RECSYS_REDIS_USERNAME and RECSYS_REDIS_PASSWORD"),
        ("RECSYS_REDIS_SSL_CA_FILE", None, 3, "RECSYS_REDIS_SSL_CA_FILE"),
    ],
)
def test_a_wrong_password_or_authority_is_one_clear_line(
    recsys: Recsys,
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    variable: str,
    content: str | None,
    status: int,
    told: str,
) -> None:
    for name, value in recsys.env.items():
        monkeypatch.setenv(name, value)
    ensure_topics(load_settings(), 1)
    wrong = certificates.other_ca_file if content is None else tmp_path / "wrong"
    if content is not None:
        wrong.write_text(content)
    monkeypatch.setenv(variable, str(wrong))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["status"])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == status
    assert told in line
    assert PASSWORD not in line
    assert WRONG not in line


def test_topics_events_worker_answer_status_dead_letters_and_rebuild(recsys: Recsys, tmp_path: Path) -> None:
    simulation = simulate(learners=30, courses=20, days=10, seed=4)
    write_interactions(simulation.interactions, tmp_path / "interactions.csv")
    write_courses(simulation.courses, tmp_path / "courses.parquet")
    recsys.run("topics", "--partitions", str(PARTITIONS))
    recsys.run(
        "replay", "--interactions", str(tmp_path / "interactions.csv"), "--courses", str(tmp_path / "courses.parquet")
    )
    recsys.start_worker()
    wait_until(lambda: _status(recsys)["lag"] == 0, within_s=90, what="a worker that reads on secured services")
    counts = _status(recsys)["counts"]
    assert counts["accepted"] > 50
    user = str(simulation.interactions["user_id"].iloc[0])
    wait_until(lambda: _answered(recsys, user) == 0, within_s=30, what="an answer once trending is merged")
    answer = json.loads(recsys.run("recommend", "--user", user, "--json"))
    assert answer["source"] == "trending"  # no model was trained; it was read from Redis
    assert answer["recommendations"]
    assert recsys.run("dlq", "list", "--json") == ""
    recsys.run("rebuild", "--grace", "0")
    wait_until(lambda: _status(recsys)["generation"] == 1, within_s=30, what="the rebuilt generation")
    for worker in recsys.workers:
        assert PASSWORD not in recsys.log_of(worker)


def _answered(recsys: Recsys, user: str) -> int:
    """The exit code of `recsys recommend`: 3 until a worker has merged trending, on a timer of its own."""
    command = [sys.executable, "-m", "recsys.cli", "recommend", "--user", user, "--json"]
    return subprocess.run(command, env=recsys.env, capture_output=True, check=False).returncode


def _status(recsys: Recsys) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(recsys.run("status", "--json"))
    return status
