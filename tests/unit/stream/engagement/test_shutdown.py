"""Whether a step of a worker's end came to its end in time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from stream.engagement.shutdown import within


async def test_work_that_ends_in_time_did() -> None:
    assert await within(10.0, asyncio.sleep(0))


async def test_work_that_is_cut_off_did_not() -> None:
    assert not await within(0.01, asyncio.Event().wait())


async def test_work_that_suppresses_the_end_of_its_time_did_not_end_in_time() -> None:
    """Faust's `stop` does so: what it shields goes on, and the cancellation is lost."""

    async def suppresses() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    assert not await within(0.01, suppresses())


async def test_a_time_out_of_the_works_own_is_no_end_either() -> None:
    async def fails() -> None:
        raise TimeoutError("no answer")

    assert not await within(10.0, fails())
