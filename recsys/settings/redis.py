"""Where Redis is, and how its clients prove who they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from recsys.errors import ConfigurationError
from recsys.keys import DEFAULT_PREFIX, PREFIX_PATTERN
from recsys.settings.section import Name, OptionalFile, OptionalSecret, OptionalText, Section, set_among

DEFAULT_PORT = 6379
_HOST = re.compile(r"[\w.-]{1,253}|[0-9A-Fa-f:.]+(%[\w.-]+)?")
_FORM = "expected redis://[user:password@]host[:port][/database], or rediss:// for TLS"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A Redis and everything that its clients need to get an answer. Its `repr` and `str` show no secret.

    Attributes:
        host: Name or address.
        port: TCP port.
        database: Number of the database.
        username: ACL user; None for `default`.
        password: Its password; None for none.
        tls: Whether the connection is encrypted.
        ca_file: PEM file of the authorities that sign its certificate; None for those of the system.
        cert_file: PEM file of the certificate that clients show; None for none.
        key_file: PEM file of its private key.
        key_password: Of the private key.
        check_hostname: Whether the certificate has to name the host that was dialled.
        key_prefix: What every key of this system begins with there.
    """

    host: str
    port: int = DEFAULT_PORT
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    check_hostname: bool = True
    key_prefix: str = DEFAULT_PREFIX

    def __str__(self) -> str:
        """The address without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.tls else ''}://{host}:{self.port}/{self.database}"

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Reads a URL.

        Raises:
            ConfigurationError: It is of another form. The message never repeats any part of it, for a password with
                an unescaped `/`, `@` or `#` makes another part of it that password.
        """
        try:
            parts = urlsplit(url.strip())
            port = DEFAULT_PORT if parts.port is None else parts.port
            if port == 0:
                raise ValueError  # noqa: TRY301 - as urlsplit does for other numbers that are no port
        except ValueError:
            raise ConfigurationError(
                f"{_FORM}: the port is no number from 1 to 65535 (in a password, `/ @ : ? #` are written %2F %40 %3A"
                " %3F %23)"
            ) from None
        if parts.scheme not in {"redis", "rediss"}:
            raise ConfigurationError(f"{_FORM}: it begins otherwise")
        if not parts.hostname:
            raise ConfigurationError(f"{_FORM}: there is no host")
        if _HOST.fullmatch(parts.hostname) is None:
            raise ConfigurationError(f"{_FORM}: the host is no name and no address (one Redis, without blanks)")
        if parts.query or parts.fragment:
            raise ConfigurationError(f"{_FORM}: options in the URL are not read, use the RECSYS_REDIS_… settings")
        database = parts.path.removeprefix("/")
        if database and not (database.isascii() and database.isdecimal() and len(database) <= len("99999")):
            raise ConfigurationError(f"{_FORM}: the database after the host is no number")
        return cls(
            host=parts.hostname,
            port=port,
            database=int(database or 0),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password or (parts.username and parts.password == "") else None,
            tls=parts.scheme == "rediss",
        )


def _url(text: str) -> str:
    try:
        RedisAddress.parse(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return text


class RedisSettings(Section):
    """Redis's address and security."""

    redis_url: Annotated[str, AfterValidator(_url)] = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        repr=False,
        json_schema_extra={"secret": True},
        description="Redis address, redis://[user:password@]host:port/database; rediss:// for TLS.",
    )
    redis_username: OptionalText = Field(
        default=None, description="ACL user at Redis; unset for the one in the URL, or `default`."
    )
    redis_password: OptionalSecret = Field(default=None, description="Password at Redis, where it is not in the URL.")
    redis_ssl_ca_file: OptionalFile = Field(
        default=None,
        description="PEM file of the authorities that sign Redis's certificate; unset for those of the system.",
    )
    redis_ssl_cert_file: OptionalFile = Field(
        default=None, description="PEM file of the certificate that clients show to Redis (mutual TLS)."
    )
    redis_ssl_key_file: OptionalFile = Field(
        default=None, description="PEM file of that certificate's private key; unset if the certificate's file has it."
    )
    redis_ssl_key_password: OptionalSecret = Field(default=None, description="Password of that private key.")
    redis_ssl_check_hostname: bool = Field(
        default=True, description="Whether Redis's certificate has to name the host that was dialled."
    )

    deployment: Name = Field(
        default="recsys",
        description="Name of this installation, kept beside the state in Redis: processes of another name refuse it.",
    )
    redis_allow_eviction: bool = Field(
        default=False,
        description="Whether a worker puts up with a Redis that deletes keys when its memory is full; it is logged.",
    )
    redis_key_prefix: str = Field(
        default=DEFAULT_PREFIX,
        max_length=64,
        pattern=PREFIX_PATTERN,
        description="What every key in Redis begins with; letters, digits and `._:-`. Empty: keys as releases up to "
        "d1a576b wrote them, to run beside one.",
    )

    @model_validator(mode="after")
    def _one_login_and_tls_only_where_it_is_used(self) -> RedisSettings:
        url = RedisAddress.parse(self.redis_url)
        if self.redis_password is not None and url.password is not None:
            raise ValueError("expected one password for Redis, and both REDIS_URL and RECSYS_REDIS_PASSWORD hold one")
        if self.redis_username is not None and url.username is not None:
            raise ValueError("expected one user for Redis, and both REDIS_URL and RECSYS_REDIS_USERNAME name one")
        if self.redis_username is not None and self.redis_password is None and url.password is None:
            raise ValueError("RECSYS_REDIS_USERNAME needs RECSYS_REDIS_PASSWORD (or RECSYS_REDIS_PASSWORD_FILE)")
        if url.username is not None and url.password is None and self.redis_password is None:
            raise ValueError(
                "REDIS_URL names a user and no password: a password alone is written redis://:password@host, and a "
                "user's may come from RECSYS_REDIS_PASSWORD"
            )
        files = set_among(
            self, "redis_ssl_ca_file", "redis_ssl_cert_file", "redis_ssl_key_file", "redis_ssl_key_password"
        )
        if not url.tls and files:
            raise ValueError(f"{files} would not be used: REDIS_URL has to begin with rediss://")
        key = set_among(self, "redis_ssl_key_file", "redis_ssl_key_password")
        if self.redis_ssl_cert_file is None and key:
            raise ValueError(f"{key} without RECSYS_REDIS_SSL_CERT_FILE, whose key it is")
        return self

    @property
    def redis(self) -> RedisAddress:
        """Redis with everything that these settings say of it."""
        url = RedisAddress.parse(self.redis_url)
        password, key_password = self.redis_password, self.redis_ssl_key_password
        return RedisAddress(
            host=url.host,
            port=url.port,
            database=url.database,
            username=self.redis_username or url.username,
            password=url.password if password is None else password.get_secret_value(),
            tls=url.tls,
            ca_file=self.redis_ssl_ca_file,
            cert_file=self.redis_ssl_cert_file,
            key_file=self.redis_ssl_key_file,
            key_password=None if key_password is None else key_password.get_secret_value(),
            check_hostname=self.redis_ssl_check_hostname,
            key_prefix=self.redis_key_prefix,
        )
