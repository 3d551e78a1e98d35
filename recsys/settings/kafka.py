"""Where Kafka is, how its clients prove who they are, and what the topics are called."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from recsys.settings.section import Name, OptionalFile, OptionalSecret, OptionalText, Section, set_among

EMBEDDED_API_VERSION = "2.3"
"""The protocol version that kafka-python has to speak to the embedded broker, which it cannot ask for its own."""

MAX_PORT = 65535

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_VERSION = re.compile(r"[0-9]{1,2}\.[0-9]{1,2}(\.[0-9]{1,2}){0,2}")
_REGISTRY = re.compile(r"https?://[A-Za-z0-9._\-\[\]:]+(/[A-Za-z0-9._~/\-]*)?")
_SERVER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


def _servers(text: str) -> str:
    """Each address has a host and a port.

    Raises:
        ValueError: One has not.
    """
    for server in text.split(","):
        found = _SERVER.fullmatch(server.strip())
        if found is None or not 1 <= int(found["port"]) <= MAX_PORT:
            reason = "without a port" if ":" not in server else "of another form"
            raise ValueError(f"expected host:port separated by commas, and one address is {reason}")
    return text


def _version(text: str) -> str:
    if text != "auto" and _VERSION.fullmatch(text) is None:
        raise ValueError("expected `auto` or a protocol version such as `2.3`")
    return text


def _topic(text: str) -> str:
    if text in {".", ".."}:
        raise ValueError("expected a topic name that Kafka allows")
    if text.startswith("__"):
        raise ValueError("expected a topic of this system, and names that begin with __ are Kafka's own")
    return text


def _registry(url: str | None) -> str | None:
    if url is not None and _REGISTRY.fullmatch(url) is None:
        raise ValueError("expected http://host[:port][/path] or https://…, without user and password")
    return url


Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$"), AfterValidator(_topic)]


class KafkaSettings(Section):
    """Kafka's addresses, security, topics and the workers' group."""

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_servers)] = Field(
        default="127.0.0.1:9092",
        validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS", "kafka_bootstrap_servers"),
        description="Kafka brokers, host:port separated by commas.",
    )
    kafka_api_version: Annotated[str, AfterValidator(_version)] = Field(
        default="auto",
        description="`auto`, or a pinned protocol version such as `2.3` for a broker that does not tell its own.",
    )
    kafka_embedded: bool = Field(
        default=False,
        description="Whether the broker is the embedded one of `recsys demo`, which knows no topic configuration, "
        "creates no topics for an admin client and speaks protocol version 2.3.",
    )
    kafka_security_protocol: SecurityProtocol = Field(
        default="PLAINTEXT",
        description="How every client speaks to Kafka: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
    )
    kafka_sasl_mechanism: SaslMechanism = Field(
        default="SCRAM-SHA-512", description="How clients log in to Kafka: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_sasl_username: OptionalText = Field(default=None, description="User of the login to Kafka.")
    kafka_sasl_password: OptionalSecret = Field(default=None, description="Password of the login to Kafka.")
    kafka_ssl_ca_file: OptionalFile = Field(
        default=None,
        description="PEM file of the authorities that sign Kafka's certificates; unset for those of the system.",
    )
    kafka_ssl_cert_file: OptionalFile = Field(
        default=None, description="PEM file of the certificate that clients show to Kafka (mutual TLS)."
    )
    kafka_ssl_key_file: OptionalFile = Field(
        default=None, description="PEM file of that certificate's private key; unset if the certificate's file has it."
    )
    kafka_ssl_key_password: OptionalSecret = Field(default=None, description="Password of that private key.")
    kafka_ssl_check_hostname: bool = Field(
        default=True, description="Whether Kafka's certificate has to name the host that was dialled."
    )

    interactions_topic: Topic = Field(
        default="interactions", description="Topic of learners' events, keyed by user_id."
    )
    dead_letter_topic: Topic = Field(default="interactions.dlq", description="Topic of refused records.")
    courses_topic: Topic = Field(default="courses", description="Compacted topic of the catalogue, keyed by course_id.")
    exposures_topic: Topic = Field(
        default="exposures", description="Topic of what was shown to whom, keyed by user_id."
    )
    consumer_group: Name = Field(
        default="recsys-engagement",
        description="Consumer group of the engagement workers; it names the fence in Redis.",
    )

    schema_registry_url: Annotated[OptionalText, AfterValidator(_registry)] = Field(
        default=None,
        repr=False,
        description="Confluent schema registry of the event bus that `recsys ingest openedx-bus` reads, "
        "http://host:port or https://host.",
    )
    schema_registry_username: OptionalText = Field(default=None, description="User of the login to that registry.")
    schema_registry_password: OptionalSecret = Field(
        default=None, description="Password of the login to that registry."
    )

    @model_validator(mode="after")
    def _every_topic_has_a_name_of_its_own(self) -> KafkaSettings:
        names: dict[str, str] = {}
        for field in ("interactions_topic", "dead_letter_topic", "courses_topic", "exposures_topic"):
            name = getattr(self, field)
            in_metrics = name.replace(".", "_")  # Kafka refuses topics that differ only in these two characters
            if in_metrics in names:
                first, second = (f"RECSYS_{each.upper()}" for each in (names[in_metrics], field))
                raise ValueError(
                    f"expected four different topics (`.` and `_` count as one character), and {first} and {second}"
                    f" are both {name!r}"
                )
            names[in_metrics] = field
        return self

    @model_validator(mode="after")
    def _security_settings_fit_the_protocol(self) -> KafkaSettings:
        sasl, tls = self.kafka_uses_sasl, self.kafka_uses_tls
        login = (self.kafka_sasl_username, self.kafka_sasl_password)
        if sasl and None in login:
            raise ValueError(
                f"RECSYS_KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs RECSYS_KAFKA_SASL_USERNAME and "
                "RECSYS_KAFKA_SASL_PASSWORD (or RECSYS_KAFKA_SASL_PASSWORD_FILE)"
            )
        if not sasl and login != (None, None):
            raise ValueError(
                f"{set_among(self, 'kafka_sasl_username', 'kafka_sasl_password')} would not be used: set "
                "RECSYS_KAFKA_SECURITY_PROTOCOL to SASL_SSL or SASL_PLAINTEXT"
            )
        files = set_among(
            self, "kafka_ssl_ca_file", "kafka_ssl_cert_file", "kafka_ssl_key_file", "kafka_ssl_key_password"
        )
        if not tls and files:
            raise ValueError(f"{files} would not be used: set RECSYS_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL")
        key = set_among(self, "kafka_ssl_key_file", "kafka_ssl_key_password")
        if self.kafka_ssl_cert_file is None and key:
            raise ValueError(f"{key} without RECSYS_KAFKA_SSL_CERT_FILE, whose key it is")
        return self

    @model_validator(mode="after")
    def _the_registry_is_there_whose_login_it_is(self) -> KafkaSettings:
        login = set_among(self, "schema_registry_username", "schema_registry_password")
        if login and self.schema_registry_url is None:
            raise ValueError(f"{login} without RECSYS_SCHEMA_REGISTRY_URL, whose login it is")
        if (self.schema_registry_username is None) != (self.schema_registry_password is None):
            raise ValueError(
                "RECSYS_SCHEMA_REGISTRY_USERNAME needs RECSYS_SCHEMA_REGISTRY_PASSWORD, and the other way round"
            )
        return self

    @property
    def kafka_servers(self) -> list[str]:
        """The bootstrap servers, host:port each."""
        return [server.strip() for server in self.kafka_bootstrap_servers.split(",")]

    @property
    def kafka_uses_sasl(self) -> bool:
        """Whether clients log in."""
        return self.kafka_security_protocol.startswith("SASL")

    @property
    def kafka_uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.kafka_security_protocol.endswith("SSL")

    @property
    def kafka_api_version_tuple(self) -> tuple[int, ...] | None:
        """The pinned protocol version as kafka-python takes it; None to ask the broker."""
        version = EMBEDDED_API_VERSION if self.kafka_embedded else self.kafka_api_version
        return None if version == "auto" else tuple(int(part) for part in version.split("."))
