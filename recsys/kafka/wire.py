"""The few requests of Kafka's protocol that tell why a client cannot get on, on a blocking socket.

Client libraries try again and end with "unable to bootstrap", whatever the reason was. Here each step is one request
whose answer is looked at: ApiVersions v0, SaslHandshake v1, SaslAuthenticate v0, Metadata v1
(https://kafka.apache.org/protocol). Nothing is written to Kafka, and nothing is read from its topics.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import struct
from typing import NamedTuple

SASL_HANDSHAKE, API_VERSIONS, METADATA, SASL_AUTHENTICATE = 17, 18, 3, 36
MIN_ANSWER_BYTES, MAX_ANSWER_BYTES = 4, 16 << 20
MAX_SCRAM_ITERATIONS = 1_000_000
TLS_ALERT = b"\x15\x03"

_ACCEPTED = 0


class NotKafka(Exception):
    """The peer closed the connection, or what it sent is no answer of Kafka's.

    Attributes:
        tls: Whether it sent an alert of TLS.
    """

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__("a TLS alert" if tls else "no answer of Kafka's protocol")
        self.tls = tls


class LoginRefused(Exception):
    """Kafka took the SASL exchange and said no; the message is Kafka's own and names no password."""


class Mechanisms(NamedTuple):
    """Kafka's answer to a SASL handshake.

    Attributes:
        accepted: Whether the exchange may go on.
        offered: What the listener knows; empty where it knows no login at all.
    """

    accepted: bool
    offered: tuple[str, ...]


class Wire:
    """One connection.

    Args:
        connection: Connected, with a time-out, and wrapped in TLS where the listener speaks it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._correlation = 0

    def api_versions(self) -> None:
        """Returns if the peer is a Kafka listener; every kind of them answers this before a login.

        Raises:
            NotKafka: It is none, or its connection has to begin with TLS.
        """
        self._call(API_VERSIONS, 0, b"")

    def sasl_handshake(self, mechanism: str) -> Mechanisms:
        """Proposes a mechanism."""
        answer = _Answer(self._call(SASL_HANDSHAKE, 1, _string(mechanism)))
        error = answer.int16()
        return Mechanisms(error == _ACCEPTED, tuple(answer.string() for _ in range(answer.int32())))

    def log_in(self, mechanism: str, username: str, password: str) -> None:
        """Goes through the exchange of PLAIN (RFC 4616) or SCRAM (RFC 5802) after an accepted handshake.

        Raises:
            LoginRefused: Kafka does not know the user, or the password is another.
        """
        if mechanism == "PLAIN":
            self._authenticate(f"\0{username}\0{password}".encode())
            return
        hash_name = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        nonce = secrets.token_hex(16)
        first = f"n={username.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        challenge = self._authenticate(f"n,,{first}".encode()).decode()
        fields = dict(part.split("=", 1) for part in challenge.split(",") if "=" in part)
        if not fields.get("r", "").startswith(nonce) or not 1 <= int(fields.get("i", "0")) <= MAX_SCRAM_ITERATIONS:
            raise NotKafka
        salted = hashlib.pbkdf2_hmac(hash_name, password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        last = f"c=biws,r={fields['r']}"
        client_key = hmac.digest(salted, b"Client Key", hash_name)
        signature = hmac.digest(
            hashlib.new(hash_name, client_key).digest(), f"{first},{challenge},{last}".encode(), hash_name
        )
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
        self._authenticate(f"{last},p={proof}".encode())

    def brokers(self) -> list[tuple[str, int]]:
        """Host and port of every live broker, as the cluster advertises them to clients of this listener.

        Raises:
            NotKafka: The listener closed the connection: it wants a login first.
        """
        answer = _Answer(self._call(METADATA, 1, struct.pack(">i", 0)))  # no topics
        return [answer.broker() for _ in range(answer.int32())]

    def _authenticate(self, message: bytes) -> bytes:
        answer = _Answer(self._call(SASL_AUTHENTICATE, 0, struct.pack(">i", len(message)) + message))
        error, said = answer.int16(), answer.string()
        if error != _ACCEPTED:
            raise LoginRefused(said)
        return answer.blob()

    def _call(self, api: int, version: int, body: bytes) -> bytes:
        self._correlation += 1
        request = struct.pack(">hhi", api, version, self._correlation) + _string("recsys-diagnosis") + body
        try:
            self._connection.sendall(struct.pack(">i", len(request)) + request)
            head = self._read(4)
            if head[:2] == TLS_ALERT:
                raise NotKafka(tls=True)
            (size,) = struct.unpack(">i", head)
            if not MIN_ANSWER_BYTES <= size <= MAX_ANSWER_BYTES:
                raise NotKafka
            answer = self._read(size)
        except (ConnectionError, BrokenPipeError):
            raise NotKafka from None
        if struct.unpack(">i", answer[:4])[0] != self._correlation:
            raise NotKafka
        return answer[4:]

    def _read(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            part = self._connection.recv(size - len(received))
            if not part:
                raise NotKafka
            received += part
        return received


class _Answer:
    """Fields of an answer, one after the other."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def int16(self) -> int:
        return int(self._unpack(">h"))

    def int32(self) -> int:
        return int(self._unpack(">i"))

    def string(self) -> str:
        """A string; an absent one is empty."""
        return self._take(max(0, self.int16())).decode("utf-8", "replace")

    def blob(self) -> bytes:
        return self._take(max(0, self.int32()))

    def broker(self) -> tuple[str, int]:
        self.int32()  # its id
        host, port = self.string(), self.int32()
        self.string()  # its rack
        return host, port

    def _unpack(self, form: str) -> int:
        (value,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return int(value)

    def _take(self, size: int) -> bytes:
        taken = self._content[self._at : self._at + size]
        if len(taken) < size:
            raise NotKafka
        self._at += size
        return taken


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">h", len(encoded)) + encoded
