"""The fine-tuner of a case: a process that is killed and started again, what it wrote, and a model to begin with."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from infra.devtools.processes import Child, free_port
from recsys.model.bundle import write_bundle
from recsys.model.publishing import publish_bundle
from recsys.online_store.redis.store import RedisStore
from stream.finetuning.checkpoint import read_checkpoint
from tests.faults.stage import Stage
from tests.unit.stream.finetuning.drawn import N_COURSES, course_of, hybrid

PROGRAM = Path(__file__).with_name("faulty_finetuner.py")
COURSES = 100
KEPT = 10
CHECKPOINT_BLOCKS = 8
END_S = 30.0
SETTINGS = {
    "finetune_block_offsets": 50,
    "finetune_checkpoint_blocks": CHECKPOINT_BLOCKS,
    "finetune_gate_seconds": 3,
    "finetune_gate_events": 100,
    "finetune_rejections": 100,
    "finetune_idle": "false",  # machines that test are busy
}
"""Smaller blocks and earlier verdicts than by default, so that minutes hold many of each."""


def publish_hybrid(stage: Stage) -> str:
    """Writes a hybrid bundle that ranks `c0` to `c99`, and publishes it; returns its version.

    Its weights are drawn, but a course feature says how likely the load takes each course. So an increment can be
    better, and one that turns the model round is clearly worse.
    """
    draft = hybrid(text=True, more=[course_of(number, f"c{number}") for number in range(N_COURSES, COURSES)])
    likely = np.log(np.diff(np.sqrt(np.arange(COURSES + 1.0))))
    draft.arrays["features"][:, 0] = (likely - likely.mean()) / likely.std()
    path = write_bundle(stage.folder / "models", draft)

    async def publish() -> None:
        store = RedisStore.for_stream(stage.redis.url)
        try:
            at_ms = time.time_ns() // 1_000_000
            await publish_bundle(store, path, replacing=await store.model(), at_ms=at_ms, keep=KEPT)
        finally:
            await store.close()

    asyncio.run(publish())
    return path.name


class Place(NamedTuple):
    """A block."""

    partition: int
    start: int
    stop: int


class Checkpoint(NamedTuple):
    """What a checkpoint contains.

    Attributes:
        positions: Partition → offset after the last block in it.
        learned: Examples learned from.
        state: All of it.
    """

    positions: dict[int, int]
    learned: int
    state: Any


class Finetuner:
    """`recsys finetune` on a stage, started by `faulty_finetuner.py`.

    Attributes:
        folder: Its own, with the checkpoint.
    """

    def __init__(self, stage: Stage) -> None:
        self.folder, self._stage = stage.folder / "finetune", stage
        self._told, self._ledger = stage.folder / "fault", stage.folder / "ledger"
        self._told.write_text("")
        self._ledger.touch()
        self._port = free_port()
        self._environment = {
            **stage.environment(
                finetune_dir=self.folder,
                finetune_group=f"finetune-{stage.run}",
                finetune_metrics_port=self._port,
                **SETTINGS,
            ),
            "OMP_NUM_THREADS": "1",
            "FAULT_FILE": str(self._told),
            "FAULT_LEDGER": str(self._ledger),
        }
        self._child: Child | None = None
        self._starts = self._at = 0
        self._lines: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None and self._child.exit_code is None:
            self.kill()

    def start(self) -> None:
        self._starts += 1
        log = self._stage.folder / f"finetuner-{self._starts}.log"
        self._child = Child(
            "finetuner", [sys.executable, str(PROGRAM), "finetune"], log=log, environment=self._environment
        )

    def kill(self) -> None:
        """SIGKILL to it and all its processes at once."""
        assert self._child is not None
        os.killpg(self._child.pid, signal.SIGKILL)
        self._child.kill()

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._child is not None
        return self._child.stop(seconds=END_S)

    def fault(self, name: str = "") -> None:
        """Has steps be at fault from the next one on, or no more."""
        self._told.write_text(name)

    def lines(self) -> list[dict[str, Any]]:
        """The ledger, of all processes so far."""
        if self._child is not None and self._child.exit_code not in {None, 0, -signal.SIGKILL}:
            raise RuntimeError(f"the fine-tuner ended with {self._child.exit_code}, see {self._child.log}")
        with self._ledger.open() as file:
            file.seek(self._at)
            text = file.read()
        whole = text[: text.rfind("\n") + 1]
        self._at += len(whole)  # the ledger is ASCII
        self._lines += map(json.loads, whole.splitlines())
        return self._lines

    def faults(self) -> int:
        """Steps that were at fault."""
        return sum(line["what"] == "fault" for line in self.lines())

    def learned(self) -> int:
        """Examples learned from by the last block that was learned to its end."""
        return next((line["learned"] for line in reversed(self.lines()) if line["what"] == "done"), 0)

    def outcomes(self, *, since: int = 0) -> Counter[str]:
        """Verdicts after so many lines of the ledger."""
        return Counter(line["outcome"] for line in self.lines()[since:] if line["what"] == "verdict")

    def counted(self, outcome: str) -> int:
        """What its metrics say of records and steps; 0 while they do not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return 0
        start = f'recsys_finetune_records_total{{outcome="{outcome}"}} '
        return next((int(float(line.removeprefix(start))) for line in text.split("\n") if line.startswith(start)), 0)

    def checkpoint(self) -> Checkpoint:
        """The checkpoint on the disk, now."""
        state = read_checkpoint(self.folder)
        if state is None:
            return Checkpoint({}, 0, {})
        line = state["line"]
        return Checkpoint(dict(line["positions"]), line["steps"]["learned"], state)


def not_finite(value: Any, name: str = "checkpoint") -> Iterator[str]:
    """The names of everything in a checkpoint that holds a number that is none."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from not_finite(each, f"{name}.{key}")
    elif isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            yield name
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for number, each in enumerate(value):
            yield from not_finite(each, f"{name}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield name


def unaccounted(ledger: Sequence[Mapping[str, Any]], kept: Sequence[Checkpoint]) -> list[str]:
    """Where blocks were learned twice, left out, or not counted as they were learned.

    A process must begin each partition where the checkpoint stands that was on the disk when the one before it ended,
    and go on from block to block. Each checkpoint must hold the first blocks of its process, whole, with what it had
    learned from these.

    Args:
        ledger: Of all processes, in their order.
        kept: The checkpoint after the end of each.
    """
    problems, position, learned, counted = [], dict[int, int](), 0, dict[Place, int]()
    pids = list(dict.fromkeys(line["pid"] for line in ledger if line["what"] == "begin"))
    if len(pids) != len(kept):
        return [f"expected blocks of {len(kept)} processes, received those of {len(pids)}"]
    for pid, checkpoint in zip(pids, kept, strict=True):
        blocks = [line for line in ledger if line["pid"] == pid and line["what"] in {"begin", "done"}]
        if blocks[0]["learned"] != learned:
            problems.append(f"expected a start from {learned} examples, received {blocks[0]['learned']}")
        at, in_it = dict(position), position == checkpoint.positions and learned == checkpoint.learned
        before = learned
        for line in blocks:
            place = Place(*line["place"])
            if line["what"] == "begin":
                if place.start != at.get(place.partition, 0):
                    problems.append(f"expected a block at {at.get(place.partition, 0)}, received {place}")
                at[place.partition], before = place.stop, line["learned"]
                continue
            gained = line["learned"] - before
            if counted.setdefault(place, gained) != gained:
                problems.append(f"{place} was {counted[place]} examples at first, then {gained}")
            in_it |= at == checkpoint.positions and line["learned"] == checkpoint.learned
        torn = blocks[-1]["what"] == "begin" and at == checkpoint.positions  # killed after the checkpoint, in `learn`
        if not (in_it or torn):
            problems.append(f"the checkpoint at {checkpoint.positions} is of no block of its process")
        position, learned = checkpoint.positions, checkpoint.learned
    return problems
