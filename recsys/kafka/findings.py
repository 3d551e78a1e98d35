"""What keeps clients from using Kafka: the closed list, its message, and the error that a command ends with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from recsys.errors import (
    ConfigurationError,
    ListenerMismatch,
    RecsysError,
    ServiceUnavailable,
    UntrustedCertificate,
)


class Problem(StrEnum):
    """What keeps clients from using Kafka; the closed list of `Finding.problem`."""

    UNREACHABLE = "unreachable"
    SILENT = "silent"
    UNTRUSTED = "untrusted"
    """The broker's certificate: expired, of another authority, or for another name."""
    CERTIFICATE = "certificate"
    """The broker ended the connection within TLS: it may want a client certificate that it trusts."""
    NO_TLS = "no_tls"
    TLS_NEEDED = "tls_needed"
    NO_LOGIN = "no_login"
    LOGIN_NEEDED = "login_needed"
    MECHANISM = "mechanism"
    LOGIN_REFUSED = "login_refused"
    ADVERTISED = "advertised"


_UNAVAILABLE = frozenset({Problem.UNREACHABLE, Problem.SILENT, Problem.ADVERTISED})
_SAID = frozenset({Problem.MECHANISM, Problem.LOGIN_REFUSED})
"""A broker says these itself, and counts a login that it refuses."""

CONCLUDED = frozenset(Problem) - _UNAVAILABLE - _SAID - {Problem.UNTRUSTED}
"""Concluded from how a connection ended: a network that cuts one off looks the same."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        problem: Which.
        message: What happened and what to do, on one line without any secret.
        fatal: Whether no client can work; an advertised address may be that of one broker of several.
    """

    problem: Problem
    message: str
    fatal: bool = True

    def error(self) -> RecsysError:
        """The error that a command ends with."""
        if self.problem in _UNAVAILABLE:
            return ServiceUnavailable(self.message)
        if self.problem in CONCLUDED:
            return ListenerMismatch(self.message)
        kind = UntrustedCertificate if self.problem is Problem.UNTRUSTED else ConfigurationError
        return kind(self.message)


class Found(Exception):
    """A finding on the way to `recsys.kafka.diagnosis`."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.finding = Finding(problem, message)
