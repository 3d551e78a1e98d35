"""The one rule of acknowledgement: a record counts as sent once all in-sync replicas have it, and once only.

Shared by everything that produces: bulk commands (kafka-python), the API and the worker's side outputs (aiokafka).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import chain
from typing import Any

ACKNOWLEDGED = {"acks": "all", "enable_idempotence": True}
"""What every producer is given, by the names that both libraries share."""

MAX_REQUEST_BYTES = 8_000_000
"""Above what a topic may be told to take, so that it is the broker who refuses a record."""

CLOSE_TIMEOUT_S = 2.0


def must_be_replaced(error: Exception) -> bool:
    """Whether an aiokafka producer does no more work after this error.

    A lost sequence number or a fenced producer does not heal (aiokafka's issue 1017); a record that is too large
    harms nothing but itself, and what is retriable was retried.
    """
    from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError  # noqa: PLC0415 - see clients

    if isinstance(error, MessageSizeTooLargeError | RecordTooLargeError):
        return False
    return isinstance(error, KafkaError) and not error.retriable


async def close(producer: Any, within_s: float = CLOSE_TIMEOUT_S) -> None:
    """Ends an aiokafka producer in bounded time.

    Its `stop()` waits for acknowledgements without a limit, and being idempotent it retries without one. Where it
    does not end in time its parts are ended, for which there is no public way: the connections first, so that requests
    on their way fail now; last the batches that nobody will send. Who waited for them is told `ProducerClosed`; that
    nobody waits any more, because the caller's time was over, is no fault for asyncio to report.
    A part may wait for ever, too: the sender for metadata that a client which was closed will never have.
    """
    from aiokafka.errors import ProducerClosed  # noqa: PLC0415 - see clients

    try:
        async with asyncio.timeout(within_s):
            await producer.stop()
    except TimeoutError:
        for part in (producer.client, producer._sender):  # noqa: SLF001 - see above
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):  # and what it waits for is cancelled
                    await part.close()
        producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001 - see above
    _take_note_of_failures(producer._message_accumulator)  # noqa: SLF001 - see above


def _take_note_of_failures(accumulator: Any) -> None:
    """Reads the exceptions of batches that failed, so that asyncio does not log each as "never retrieved".

    A batch has a future for every message and one, `_drain_waiter`, that is awaited only by who finds the batch full.
    """
    for batch in (*chain.from_iterable(accumulator._batches.values()), *accumulator._pending_batches):  # noqa: SLF001
        messages = (future for future, _ in batch._msg_futures)  # noqa: SLF001 - aiokafka has no public way
        for future in (batch._drain_waiter, *messages):  # noqa: SLF001 - aiokafka has no public way
            if future.done() and not future.cancelled():
                future.exception()
