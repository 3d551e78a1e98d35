"""The fine-tuner's loop: what it waits for after a restart, and when its training process is behind."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from recsys.errors import BundleError, FinetuningError
from recsys.process.tasks import cancelled
from stream.finetuning.blocks import Block, BlockId, Blocks, Ready
from stream.finetuning.finetuner import MOST_WAITING, Finetuner

SIZE = 4
CHUNK = SIZE * (MOST_WAITING + 8)


class Learned:
    """Training that learns everything at once."""

    def __init__(self) -> None:
        self.learned = asyncio.Event()

    async def learn(self, block: Any) -> Any:
        self.learned.set()
        return SimpleNamespace(counts={}, ndcg=None)


def chunk(partition: int, first: int, records: int) -> Any:
    offsets = range(first, first + records)
    made = [SimpleNamespace(offset=at, timestamp=0, key=None, value=b"", headers=()) for at in offsets]
    value = SimpleNamespace(partition=partition, records=made, fetch=SimpleNamespace(epoch=0, begun_at=first))
    return SimpleNamespace(ack=lambda: None, value=value)


async def test_the_block_to_repeat_is_read_though_more_blocks_than_may_wait_lie_before_it() -> None:
    async def nothing() -> None:
        return

    tuner: Any = object.__new__(Finetuner)
    tuner._settings = SimpleNamespace(finetune_gate_seconds=1e9, model_poll_seconds=1e9)
    tuner._training, tuner._stopping, tuner._epochs = Learned(), False, {0: 0, 1: 0}
    tuner._blocks, tuner._ready = Blocks(SIZE, {}), Ready([BlockId(1, 0, SIZE)])
    tuner._arrived, tuner._room, tuner._seeking = asyncio.Event(), asyncio.Event(), asyncio.Lock()
    tuner._follow_publications = tuner._seek_assigned = tuner._judge = nothing

    async def read() -> None:
        await tuner._take(chunk(0, 0, CHUNK))
        await tuner._take(chunk(0, CHUNK, CHUNK))
        await tuner._take(chunk(1, 0, 2 * SIZE))

    learning = asyncio.create_task(tuner._learn())
    await asyncio.wait_for(read(), 20)
    await asyncio.wait_for(tuner._training.learned.wait(), 20)
    await cancelled([learning])


def waiting_for_a_model(*answers: Any) -> Any:
    """A fine-tuner whose training gives these answers to `follow`, one after the other."""
    tuner: Any = object.__new__(Finetuner)
    left = iter(answers)

    async def follow() -> Any:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    tuner._settings, tuner._told, tuner._follow = SimpleNamespace(model_poll_seconds=0.0), "", follow
    return tuner


async def test_it_waits_for_a_model_that_can_be_fine_tuned() -> None:
    tuner = waiting_for_a_model(None, BundleError("a baseline"), "standing")
    assert await asyncio.wait_for(tuner._first_model(), 20) == "standing"


async def test_it_does_not_wait_where_waiting_mends_nothing() -> None:
    """A checkpoint that is refused, or a training process that ended, is no missing model."""
    tuner = waiting_for_a_model(None, FinetuningError("the checkpoint was changed"))
    with pytest.raises(FinetuningError, match="changed"):
        await asyncio.wait_for(tuner._first_model(), 20)


async def test_the_training_process_is_watched_and_behind_until_it_can_learn_and_where_no_more_blocks_may_wait() -> (
    None
):
    asked: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()

    async def watch(pid: int, behind: Any) -> None:
        asked.set_result((pid, behind))
        await asyncio.Event().wait()

    async def until_cancelled() -> None:
        await asyncio.Event().wait()

    async def close() -> None:
        return

    tuner: Any = object.__new__(Finetuner)
    tuner._watch, tuner._work, tuner._courses = watch, until_cancelled, SimpleNamespace(run=until_cancelled)
    tuner._training, tuner._app = SimpleNamespace(pid=7, close=close), SimpleNamespace(started=False)
    tuner._room, tuner._ready, stop = asyncio.Event(), Ready(), asyncio.Event()
    running = asyncio.create_task(tuner.run(stop))
    pid, behind = await asyncio.wait_for(asked, 20)
    assert (pid, behind()) == (7, True)  # no model yet, or TensorFlow is still imported
    tuner._app.started = True
    found = []
    for number in range(MOST_WAITING):
        found.append(behind())
        tuner._ready.add([Block(BlockId(0, number, number + 1), ())])
    assert (set(found), behind()) == ({False}, True)
    tuner._app.started = False
    stop.set()
    await asyncio.wait_for(running, 20)
