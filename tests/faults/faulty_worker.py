"""The worker with a fault put in or a safeguard taken out: `python faulty_worker.py slow-head stream`.

Faults are what a case needs to happen inside the process; `no-…` are mutants that `make faults-mutants` must catch.
`FAULT_SEED` seeds what is random.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from recsys.cli import main
from recsys.handed_on import is_handed_on
from recsys.online_store.redis.shards import RedisShards
from recsys.online_store.redis.store import RedisStore
from stream.engagement import commit, outdated_lists, patient_fold
from stream.engagement import side_outputs as dead_letters
from stream.engagement.fold import fold as real_fold
from tests.doubles import mutant_worker

MARKER = "marked-course"
SLOW_S = 1.5
rng = random.Random(int(os.environ.get("FAULT_SEED", "0")) * 1_000_003 + time.monotonic_ns() % 1_000_003)


def _tell(fault: str) -> None:
    """Says on stderr that the fault happened, so that a case knows."""
    sys.stderr.write(f"fault: {fault}\n")
    sys.stderr.flush()


def _around_fold(before: Callable[[Any], None]) -> None:
    """Has every fold preceded by `before(batch)`."""

    def fold(batch: Any, *rest: Any, **named: Any) -> Any:
        before(batch)
        return real_fold(batch, *rest, **named)

    setattr(patient_fold, "fold", fold)  # noqa: B010 - a name that the module imports


def fold_fails_now_and_then() -> None:
    """Every 20th fold of a batch raises, and so do up to two folds after it: a fault that passes by itself."""
    left = 0

    def maybe(batch: Any) -> None:
        nonlocal left
        if left == 0 and len(batch.events) > 1 and rng.random() < 0.05:
            left = rng.randint(1, 3)
        if left > 0:
            left -= 1
            _tell("the fold raises")
            raise MemoryError("expected memory for the fold, received none for a moment")

    _around_fold(maybe)


def fold_fails_on_the_marker() -> None:
    """A fold with a marked event always raises."""

    def maybe(batch: Any) -> None:
        if any(event.course_id == MARKER for event in batch.events):
            raise ZeroDivisionError("expected another course")

    _around_fold(maybe)


def fold_kills_on_the_marker() -> None:
    """A fold with a marked event ends the process as a crash in native code does."""

    def maybe(batch: Any) -> None:
        if any(event.course_id == MARKER for event in batch.events):
            os.abort()

    _around_fold(maybe)


def cancelled_mid_batch(which: str) -> None:
    """Once in the process's life, after some commits, cancels the partition's task, or Faust's agent task."""
    original, countdown = RedisStore.commit, rng.randint(10, 40)

    async def commit_or_cancel(self: RedisStore, *rest: Any, **named: Any) -> bool:
        nonlocal countdown
        countdown -= 1
        if countdown == 0:
            _tell(f"cancelling the {which}")
            for task in _tasks_of(which):
                task.cancel()
            await asyncio.sleep(0)
        return await original(self, *rest, **named)

    RedisStore.commit = commit_or_cancel  # type: ignore[method-assign,assignment]


def _tasks_of(which: str) -> list[asyncio.Task[Any]]:
    current = asyncio.current_task()
    if which == "partition":
        return [] if current is None else [current]
    return [task for task in asyncio.all_tasks() if "_execute_actor" in str(task.get_coro())]


def slow_head() -> None:
    """Every third chunk waits long before it is applied, while later ones queue behind it."""
    original = commit.ShardWriter.apply

    async def apply(self: Any, chunk: Any) -> Any:
        if rng.random() < 0.3:
            await asyncio.sleep(SLOW_S)
        return await original(self, chunk)

    commit.ShardWriter.apply = apply  # type: ignore[method-assign]


def clock_is_off() -> None:
    """The wall clock is wrong by `FAULT_SHIFT_S` seconds."""
    shift = float(os.environ["FAULT_SHIFT_S"])
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + shift
    time.time_ns = lambda: nanoseconds() + int(shift * 1e9)


def take_the_acknowledgement_out() -> None:
    """Dead letters are sent, and nobody waits for what becomes of them."""
    original = dead_letters.KafkaSideOutputs.send
    under_way: set[asyncio.Task[None]] = set()

    async def send(self: Any, *rest: Any, **named: Any) -> None:
        task = asyncio.create_task(_quietly(original(self, *rest, **named)))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    dead_letters.KafkaSideOutputs.send = send  # type: ignore[method-assign]


def take_the_hand_over_out() -> None:
    """What merges hand on is never sent, and the fence passes the merge all the same."""
    original = dead_letters.KafkaSideOutputs.send

    async def send(self: Any, refused: Any, misrouted: Any, **named: Any) -> None:
        await original(self, refused, [one for one in misrouted if not is_handed_on(one.record.headers)], **named)

    dead_letters.KafkaSideOutputs.send = send  # type: ignore[method-assign]


def take_the_list_check_out() -> None:
    """Nobody brings the shards' copies of the model pointer up to date, nor checks for lists of another model."""

    async def check(_: outdated_lists.OutdatedLists) -> set[str]:
        return set()

    outdated_lists.OutdatedLists.check = check  # type: ignore[method-assign,assignment]


COMMIT_IN_PART = "commit-in-part"
FAIL_IN_PART_AT = "fault:commit-in-part"
"""A key in Redis: the tag of the shard whose commits fail after their sums were written."""

_AFTER_THE_SUMS = "function write.counters(s, step)\n"
_FAIL = f"  if redis.call('GET', '{FAIL_IN_PART_AT}') == tag then redis.call('LPUSH', KEYS[1], 'x') end\n"
_CHECKS = (
    "    prove(kind)\n",
    "redis.call('SET', KEYS[2], KEYS[2])\n",
    "if intent then return {'damaged', intent} end\n",
)


def commits_fail_in_part() -> None:
    """The commit script meets what no check can foresee, where a case says so."""
    assert _AFTER_THE_SUMS in RedisShards.commit_script
    RedisShards.commit_script = RedisShards.commit_script.replace(_AFTER_THE_SUMS, _AFTER_THE_SUMS + _FAIL)


def without_intent(script: str) -> str:
    """The commit script without the check before its first change and without the mark while it lasts."""
    for check in _CHECKS:
        assert check in script, check
        script = script.replace(check, "\n")
    return script.replace("redis.pcall('SET', KEYS[2], ", "tostring(")


def take_the_intent_out() -> None:
    """A commit is not checked before its first change, and nobody remembers that one was applied in part."""
    commits_fail_in_part()
    RedisShards.commit_script = without_intent(RedisShards.commit_script)


async def _quietly(work: Any) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001 - the mutant's point
        return


VARIANTS: dict[str, Callable[[], None]] = {
    "fold-fails-now-and-then": fold_fails_now_and_then,
    "fold-fails-on-marker": fold_fails_on_the_marker,
    "fold-kills-on-marker": fold_kills_on_the_marker,
    "cancelled-task": lambda: cancelled_mid_batch("partition"),
    "cancelled-agent": lambda: cancelled_mid_batch("agent"),
    "slow-head": slow_head,
    "clock": clock_is_off,
    "no-acknowledgement": take_the_acknowledgement_out,
    "no-hand-over": take_the_hand_over_out,
    "no-list-check": take_the_list_check_out,
    COMMIT_IN_PART: commits_fail_in_part,
    "no-intent": take_the_intent_out,
    "no-fence": mutant_worker.take_the_fence_out,
}


if __name__ == "__main__":
    variant, *arguments = sys.argv[1:]
    VARIANTS[variant]()
    main(arguments)
