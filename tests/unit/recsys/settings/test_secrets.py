"""A secret is in no `repr`, no table, no refusal and no message of a connection, whichever way it was given."""

from __future__ import annotations

import asyncio
import io
import logging
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from infra.devtools.local_redis import LocalRedis
from recsys.errors import ConfigurationError, ServiceUnavailable
from recsys.kafka.clients import aiokafka_options, faust_options
from recsys.online_store.redis.store import RedisStore
from recsys.process.logs import configure_logging
from recsys.settings import RedisAddress, Settings, load_settings
from recsys.settings.table import command, setting_rows

PASSWORD = "hunter2-s3cret"  # noqa: S105 - of the tests
SASL = {"RECSYS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "RECSYS_KAFKA_SASL_USERNAME": "u"}

GIVEN: dict[str, dict[str, str]] = {
    "REDIS_URL": {"REDIS_URL": f"redis://u:{PASSWORD}@127.0.0.1:1/0"},
    "RECSYS_REDIS_PASSWORD": {"REDIS_URL": "redis://127.0.0.1:1", "RECSYS_REDIS_PASSWORD": PASSWORD},
    "RECSYS_SCHEMA_REGISTRY_PASSWORD": {
        "RECSYS_SCHEMA_REGISTRY_URL": "http://registry:8081",
        "RECSYS_SCHEMA_REGISTRY_USERNAME": "u",
        "RECSYS_SCHEMA_REGISTRY_PASSWORD": PASSWORD,
    },
    "RECSYS_KAFKA_SASL_PASSWORD": {**SASL, "RECSYS_KAFKA_SASL_PASSWORD": PASSWORD},
    "RECSYS_KAFKA_SSL_KEY_PASSWORD": {
        "RECSYS_KAFKA_SECURITY_PROTOCOL": "SSL",
        "RECSYS_KAFKA_SSL_CERT_FILE": __file__,
        "RECSYS_KAFKA_SSL_KEY_PASSWORD": PASSWORD,
    },
    "RECSYS_XAPI_CREDENTIALS": {"RECSYS_XAPI_CREDENTIALS": f"lms:{PASSWORD}"},
    "RECSYS_REDIS_SSL_KEY_PASSWORD": {
        "REDIS_URL": "rediss://127.0.0.1:1",
        "RECSYS_REDIS_SSL_CERT_FILE": __file__,
        "RECSYS_REDIS_SSL_KEY_PASSWORD": PASSWORD,
    },
}
"""Secret → an environment in which it is accepted."""


def test_every_secret_is_tried() -> None:
    assert set(GIVEN) == {row.variable for row in setting_rows() if row.secret}


@pytest.fixture(params=[False, True], ids=["variable", "file"])
def in_a_file(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=list(GIVEN))
def secret(request: pytest.FixtureRequest, in_a_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The variable of a secret that the environment holds, or whose file it names."""
    variable = str(request.param)
    for name, value in GIVEN[variable].items():
        if name == variable and in_a_file:
            (tmp_path / "secret").write_text(f"{value}\n")
            monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
        else:
            monkeypatch.setenv(name, value)
    return variable


def holds(settings: Settings, variable: str) -> bool:
    """Whether the settings have the secret, so that hiding it shows something."""
    if variable == "REDIS_URL":
        return settings.redis.password == PASSWORD
    value = getattr(settings, variable.removeprefix("RECSYS_").lower())
    return bool(value.get_secret_value() == GIVEN[variable][variable])


def test_settings_show_none(secret: str) -> None:
    settings = load_settings()
    assert holds(settings, secret)
    written = io.StringIO()
    configure_logging(settings, written)
    try:
        structlog.get_logger("t").warning("started", settings=settings, redis=settings.redis, text=str(settings.redis))
        logging.getLogger("t").warning("started with %s and %r", settings, settings.redis)
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers[:] = []
    shown = f"{settings!r} {settings} {settings.redis!r} {settings.redis} {written.getvalue()}"
    assert "started with" in shown
    assert PASSWORD not in shown


def test_the_list_of_settings_shows_none(secret: str) -> None:
    assert secret
    for options in ([], ["--json"], ["--markdown"]):
        shown = CliRunner().invoke(command, options, catch_exceptions=False)
        assert shown.exit_code == 0
        assert PASSWORD not in shown.output


def test_a_refusal_of_another_setting_shows_none(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule over several settings is given all of them by pydantic, and its own error would print them."""
    for name, value in {"RECSYS_SEED": "abc", "RECSYS_DEAD_LETTER_TOPIC": "interactions"}.items():
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError) as refused:
            load_settings()
        chain = [refused.value, refused.value.__cause__]
        assert PASSWORD not in " ".join(map(repr, chain))
        monkeypatch.delenv(name)
    assert secret


def test_what_clients_are_made_from_shows_none(secret: str) -> None:
    settings = load_settings()
    if "_SSL_" in secret:  # this file is no key: told without the password that was tried on it
        with pytest.raises(ConfigurationError, match="_CERT_FILE") as refused:
            _ = aiokafka_options(settings), RedisStore.for_stream(settings.redis)
        assert PASSWORD not in str(refused.value)
        return
    assert PASSWORD not in repr(faust_options(settings))
    with pytest.raises(ServiceUnavailable, match="no answer from Redis") as away:
        asyncio.run(_ask(settings.redis))
    assert PASSWORD not in f"{away.value} {away.value.__cause__!r}"


def test_a_refused_login_at_redis_shows_none() -> None:
    with LocalRedis() as server, pytest.raises(ServiceUnavailable, match="it refused the login: check") as refused:
        asyncio.run(_ask(RedisAddress("127.0.0.1", server.port, username="nobody", password=PASSWORD)))
    assert PASSWORD not in f"{refused.value} {refused.value.__cause__!r}"


async def _ask(address: RedisAddress) -> None:
    store = RedisStore.for_stream(address)
    try:
        await store.topology()
    finally:
        await store.close()
