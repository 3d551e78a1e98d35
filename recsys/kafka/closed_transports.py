"""aiokafka on uvloop: a request to a connection that has just broken is a connection error, and ends nothing else.

Where asyncio's own event loop ignores what is written to a closed transport, uvloop raises a `RuntimeError`, and
aiokafka expects an `OSError`. So a reset between two requests ended the task that fetches or sends for the whole client
("Unexpected error in fetcher routine"): a worker stood still until its group gave its partitions to others, and a
producer sent nothing any more.

`patch_aiokafka_closed_transports` patches aiokafka for the whole process: every client of it is affected. The patch can
go once aiokafka takes such an error for a broken connection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

METHODS = ("send", "_send_sasl_token")
"""All that write to a transport."""

_PATCHED = "_recsys_closed_transports"


def patch_aiokafka_closed_transports() -> None:
    """Patches aiokafka for the whole process: its connections raise `KafkaConnectionError` once they are closed."""
    if hasattr(AIOKafkaConnection, _PATCHED):
        return
    for name in METHODS:
        setattr(AIOKafkaConnection, name, _as_connection_error(getattr(AIOKafkaConnection, name)))
    setattr(AIOKafkaConnection, _PATCHED, True)


def _as_connection_error(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def send(connection: Any, *args: Any, **options: Any) -> Any:
        try:
            return method(connection, *args, **options)
        except RuntimeError as error:
            if isinstance(error, KafkaError) or "handler is closed" not in str(error):
                raise
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken: {error}") from error

    return send
