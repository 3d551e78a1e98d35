"""The TLS context of every client of Kafka."""

from __future__ import annotations

import ssl

from recsys.process.tls import client_context
from recsys.settings.kafka import KafkaSettings


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    """What `RECSYS_KAFKA_SSL_…` says, checked: the broker's certificate is always verified.

    Raises:
        ConfigurationError: A file holds no certificate or key, or the key's password is another.
    """
    password = settings.kafka_ssl_key_password
    return client_context(
        "RECSYS_KAFKA_SSL",
        ca_file=settings.kafka_ssl_ca_file,
        cert_file=settings.kafka_ssl_cert_file,
        key_file=settings.kafka_ssl_key_file,
        key_password=None if password is None else password.get_secret_value(),
        check_hostname=settings.kafka_ssl_check_hostname,
    )
