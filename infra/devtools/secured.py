"""A Kafka and a Redis as an operator secures them, as child processes: TLS, a login, client certificates on request.

Kafka speaks each security protocol on a listener of its own, and plain text on the one it is administered by; Redis
speaks TLS only and its default user is off. Certificates are the caller's (PEM files).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import LocalRedis
from infra.devtools.processes import free_port

SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class ServerSecurity:
    """What a secured server is started with.

    Attributes:
        ca_file: Authorities whose client certificates it trusts.
        cert_file: Its certificate chain.
        key_file: Its private key, PKCS #8, without a password.
        username: The one user.
        password: That user's.
    """

    ca_file: Path
    cert_file: Path
    key_file: Path
    username: str
    password: str


class SecuredKafka(LocalKafka):
    """A broker with the listeners SSL, SASL_PLAINTEXT and SASL_SSL; the last two take PLAIN and both SCRAMs.

    Args:
        security: Certificates and the one user.
        mechanisms: Of login.
    """

    def __init__(self, security: ServerSecurity, *, mechanisms: tuple[str, ...] = ("PLAIN", *SCRAM)) -> None:
        super().__init__()
        self._security, self._mechanisms = security, mechanisms
        self._ports = {protocol: free_port() for protocol in ("SSL", "SASL_PLAINTEXT", "SASL_SSL")}

    def address(self, protocol: str) -> str:
        """host:port of the listener that speaks a security protocol."""
        return self.bootstrap_servers if protocol == "PLAINTEXT" else f"127.0.0.1:{self._ports[protocol]}"

    def _format_options(self) -> list[str]:
        user = f"[name={self._security.username},password={self._security.password}]"
        return [word for mechanism in SCRAM for word in ("--add-scram", f"{mechanism}={user}")]

    def _further_listeners(self) -> dict[str, int]:
        return self._ports

    def _further_properties(self) -> list[str]:
        security = self._security
        keystore = self.directory / "keystore.pem"
        keystore.write_text(security.key_file.read_text() + security.cert_file.read_text())
        package = "org.apache.kafka.common.security"
        logins = dict.fromkeys(SCRAM, f"{package}.scram.ScramLoginModule required;") | {
            "PLAIN": f'{package}.plain.PlainLoginModule required user_{security.username}="{security.password}";'
        }
        return [
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={keystore}",
            "ssl.truststore.type=PEM",
            f"ssl.truststore.location={security.ca_file}",
            "ssl.client.auth=requested",
            "inter.broker.listener.name=PLAINTEXT",
            f"sasl.enabled.mechanisms={','.join(self._mechanisms)}",
            *(
                f"listener.name.{protocol.lower()}.{mechanism.lower()}.sasl.jaas.config={logins[mechanism]}"
                for protocol in ("SASL_PLAINTEXT", "SASL_SSL")
                for mechanism in self._mechanisms
            ),
        ]


class SecuredRedis(LocalRedis):
    """A Redis that speaks TLS on `port` and knows one user.

    Args:
        security: Certificates and the one user.
    """

    def __init__(self, security: ServerSecurity) -> None:
        super().__init__()
        self._security = security

    def database_url(self, number: int) -> str:
        """Address of a database, without the user and the password."""
        return f"rediss://127.0.0.1:{self.port}/{number}"

    def _options(self) -> list[str]:
        security = self._security
        plain = super()._options()
        plain[plain.index("--port") + 1] = "0"
        tls = {
            "tls-port": str(self.port),
            "tls-cert-file": str(security.cert_file),
            "tls-key-file": str(security.key_file),
            "tls-ca-cert-file": str(security.ca_file),
            "tls-auth-clients": "optional",
        }
        users = self.directory / "users.acl"
        users.write_text(f"user default off\nuser {security.username} on >{security.password} ~* &* +@all\n")
        tls["aclfile"] = str(users)
        return [*plain, *(word for name, value in tls.items() for word in (f"--{name}", value))]

    def _answers(self, pid: int) -> bool:
        security = self._security
        with redis.Redis(
            port=self.port,
            host="127.0.0.1",
            ssl=True,
            ssl_ca_certs=str(security.ca_file),
            username=security.username,
            password=security.password,
            socket_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            try:
                info = client.info("server")
            except redis.RedisError:
                return False
        return isinstance(info, dict) and info.get("process_id") == pid
