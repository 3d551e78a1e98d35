"""How each client library connects to Kafka: one function a library, all from the same settings.

No client is imported here before it is asked for; serving's image has aiokafka only, batch's kafka-python only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from recsys.errors import ServiceUnavailable
from recsys.kafka.diagnosis import reach
from recsys.kafka.records import READ_COMMITTED
from recsys.kafka.tls import ssl_context
from recsys.settings.kafka import KafkaSettings

CONNECT_TIMEOUT_MS = 5_000
FETCH_BYTES = 4 << 20


def aiokafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """What an aiokafka producer, consumer or admin client is given to connect. It asks each broker for its version.

    Raises:
        ConfigurationError: A file of the TLS settings cannot be used.
    """
    from recsys.kafka.closed_transports import patch_aiokafka_closed_transports  # noqa: PLC0415 - imports aiokafka

    patch_aiokafka_closed_transports()
    return {"bootstrap_servers": settings.kafka_bootstrap_servers, **_security(settings)}


def kafka_python_options(settings: KafkaSettings, server: str | None = None) -> dict[str, Any]:
    """What a kafka-python producer, consumer or admin client is given to connect.

    Args:
        settings: Of Kafka.
        server: The bootstrap server that answered (`reach`). Among several, kafka-python draws one and asks no other.

    Raises:
        ConfigurationError: A file of the TLS settings cannot be used.
    """
    return {
        "bootstrap_servers": settings.kafka_servers if server is None else [server],
        "api_version": settings.kafka_api_version_tuple,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        **_security(settings),
    }


def faust_options(settings: KafkaSettings) -> dict[str, Any]:
    """What a Faust app is given to connect: its brokers and their credentials.

    Raises:
        ConfigurationError: A file of the TLS settings cannot be used.
    """
    import faust  # noqa: PLC0415 - the worker's only

    from recsys.kafka.closed_transports import patch_aiokafka_closed_transports  # noqa: PLC0415 - imports aiokafka

    patch_aiokafka_closed_transports()
    security = _security(settings)
    options: dict[str, Any] = {"broker": [f"kafka://{server}" for server in settings.kafka_servers]}
    if settings.kafka_uses_sasl:
        options["broker_credentials"] = faust.SASLCredentials(
            username=security["sasl_plain_username"],
            password=security["sasl_plain_password"],
            mechanism=security["sasl_mechanism"],
            ssl_context=security.get("ssl_context"),
        )
    elif settings.kafka_uses_tls:
        options["broker_credentials"] = faust.SSLCredentials(security["ssl_context"])
    return options


def _security(settings: KafkaSettings) -> dict[str, Any]:
    """The names that aiokafka and kafka-python share."""
    security: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if settings.kafka_uses_tls:
        security["ssl_context"] = ssl_context(settings)
    if settings.kafka_uses_sasl:
        password = settings.kafka_sasl_password
        security |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": None if password is None else password.get_secret_value(),
        }
    return security


@contextmanager
def admin_client(settings: KafkaSettings) -> Iterator[Any]:
    """kafka-python's admin client, which asks another broker after one that did not answer.

    Raises:
        ServiceUnavailable: Kafka does not answer within seconds, or stops answering inside the block.
        ConfigurationError: The security settings do not fit the listener, or it refuses the login.
    """
    from kafka import KafkaAdminClient  # noqa: PLC0415 - see the module

    from recsys.kafka.answering_brokers import passing_by_silent_brokers  # noqa: PLC0415

    options = {"request_timeout_ms": 2 * CONNECT_TIMEOUT_MS, "kafka_client": passing_by_silent_brokers}
    with _open(settings, lambda known: KafkaAdminClient(**known, **options)) as client:
        yield client


@contextmanager
def bounded_consumer(settings: KafkaSettings) -> Iterator[Any]:
    """kafka-python's consumer outside any group, for `bounded.BoundedLog`: only what is committed, nothing moved.

    Raises:
        ServiceUnavailable: Kafka does not answer within seconds, or stops answering inside the block.
        ConfigurationError: The security settings do not fit the listener, or it refuses the login.
    """
    from kafka import KafkaConsumer  # noqa: PLC0415 - see the module

    options = {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": READ_COMMITTED,
        "max_partition_fetch_bytes": FETCH_BYTES,
    }
    with _open(settings, lambda known: KafkaConsumer(**known, **options)) as client:
        yield client


@contextmanager
def answering(settings: KafkaSettings) -> Iterator[None]:
    """Turns whatever kafka-python raises while Kafka is away into one error that says why.

    Raises:
        ServiceUnavailable: Kafka does not answer.
        ConfigurationError: The security settings do not fit the listener, or it refuses the login.
    """
    from kafka.errors import KafkaError  # noqa: PLC0415 - see the module

    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # its retries are told in our one line
    try:
        yield
    except (KafkaError, OSError) as error:
        reach(settings)
        raise ServiceUnavailable(
            f"Kafka at {settings.kafka_bootstrap_servers} does not answer: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def _open(settings: KafkaSettings, make: Callable[[dict[str, Any]], Any]) -> Iterator[Any]:
    server = reach(settings)  # the clients would try for half a minute, and not say why
    with answering(settings):
        client = make(kafka_python_options(settings, server))
        try:
            yield client
        finally:
            client.close()
