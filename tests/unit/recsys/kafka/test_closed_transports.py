"""A connection to Kafka that broke between two requests, on uvloop, where clients are made from settings."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Self

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError

from recsys.kafka.clients import aiokafka_options
from recsys.settings import Settings


class Request:
    """Any request, as far as a connection looks at it."""

    def prepare(self, _versions: Any) -> Self:
        return self

    def build_request_header(self, **_: Any) -> Self:
        return self

    def encode(self) -> bytes:
        return b"request"


@pytest.mark.parametrize(("method", "request_"), [("send", Request()), ("_send_sasl_token", b"token")])
def test_a_request_to_a_broken_connection_is_a_connection_error(method: str, request_: Any) -> None:
    """And not the `RuntimeError` of uvloop, which ends what fetches and sends for a whole client."""
    aiokafka_options(Settings())

    async def ask() -> None:
        host, port = listening.getsockname()
        connection = AIOKafkaConnection(host, port)
        connection._reader, connection._writer = await asyncio.open_connection(host, port)
        connection._read_task = asyncio.create_task(asyncio.sleep(0))
        await connection._read_task
        connection._writer.transport.abort()
        await asyncio.sleep(0.01)
        with pytest.raises(KafkaConnectionError, match="broken"):
            getattr(connection, method)(request_)
        assert not connection.connected()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        uvloop.run(ask())
