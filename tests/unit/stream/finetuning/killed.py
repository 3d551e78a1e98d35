"""A trainer that is killed at random moments and started again until it is through; then once more, undisturbed.

`python -m tests.unit.stream.finetuning.killed FOLDER KILLS SEED` forks each trainer, so that its start takes
milliseconds. It ends with status 0 if the checkpoint was loadable after each kill, and both runs end with the same
bytes. Verdicts come after each fifth block; they publish nothing, and most decide from the evidence and leave none.
All blocks are a multiple of those between checkpoints, so the last checkpoint holds everything.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import scipy.optimize  # noqa: F401 - and the next: what a block imports is here before the fork, or lives end with that

import recsys.model.item_item
import recsys.model.lent_columns  # noqa: F401
from recsys.model.bundle import write_bundle
from recsys.prequential import DecayedMean
from recsys.record import RecordRules
from stream.finetuning.blocks import Block, BlockId, Ready
from stream.finetuning.checkpoint import FILE, read_checkpoint
from stream.finetuning.evidence import Evidence
from stream.finetuning.gate import Trial
from stream.finetuning.trainer import Trainer
from tests.unit.stream.finetuning.drawn import LEARNING, blocks, course_of, events, hybrid
from tests.unit.stream.finetuning.reference import NumpyState, numpy_step

PARTITIONS, EVENTS, SIZE = 2, 1000, 25
LONGEST_LIFE_S = 0.01
VERDICT_EVERY = 5
GATE = replace(LEARNING.gate, events=4, confidence=0.999999, evidence=1, rejections=10**6)
RULES = replace(LEARNING, refresh_growth=0.05, refresh_known=0.1, matrices_every=2, gate=GATE)
"""Matrices and the ranker's weights are made anew some twenty times, so that kills meet them."""

NEW = "new", "newer"
"""Courses that came after the parent; their rows are in the last checkpoint."""


def trainer_in(folder: Path, models_dir: Path) -> Trainer:
    folder.mkdir(exist_ok=True)
    return Trainer(folder, models_dir, RULES, RecordRules(), checkpoint_blocks=8, step=numpy_step, start=NumpyState.at)


def run(folder: Path, models_dir: Path, bundle: Path, every: Iterable[Block], log: Path) -> int:
    """Learns the blocks that are left, in the order in which they come; those begun before a restart first.

    Returns:
        Verdicts that decided from the evidence.
    """
    trainer = trainer_in(folder, models_dir)
    trainer.offer([(course_id, course_of(number, course_id)) for number, course_id in enumerate(NEW)])
    standing = trainer.follow(bundle)
    ready = Ready(standing.repeated)
    ready.add(each for each in every if each.place.start >= standing.positions.get(each.place.partition, 0))
    decided, repeats = 0, len(standing.repeated)
    for place in standing.repeated:  # a kill may have come between a block's line in the order and the one in the log
        _write(log, place)
    append = trainer._order.append

    def logged(place: BlockId) -> None:
        append(place)
        _write(log, place)

    trainer._order.append = logged  # type: ignore[method-assign]
    while True:
        learned = sum(trainer.line.positions.values()) // SIZE
        if learned % VERDICT_EVERY == 0 and not repeats:  # repeated blocks bring theirs
            evidence = trainer.line.evidence.newest.events
            trainer.propose(1)
            decided += trainer.line.evidence.newest.events < evidence
        if (block := ready.take()) is None:
            return decided
        repeats = max(0, repeats - 1)
        trainer.learn(block)


def shuffled(rng: random.Random) -> list[Block]:
    """The blocks of all partitions, each partition's in its order, and the partitions as chance has it."""
    left = {
        number: blocks(events(EVENTS, seed=number, new=NEW), size=SIZE, partition=number)
        for number in range(PARTITIONS)
    }
    found = []
    while any(left.values()):
        found.append(left[rng.choice([number for number, some in left.items() if some])].pop(0))
    return found


def _kill_while_it_learns(child: int, log: Path, rng: random.Random, after: int) -> tuple[int, int]:
    """Kills it soon after it began so many blocks that no trainer had begun; what `os.waitpid` says."""
    least = _begun(log) + after
    while _begun(log) < least:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return ended, status
        time.sleep(0.001)
    time.sleep(rng.uniform(0.0, LONGEST_LIFE_S))
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)


def _write(log: Path, place: BlockId) -> None:
    with log.open("a") as file:
        file.write(f"{place.partition} {place.start} {place.stop}\n")


def _begun(log: Path) -> int:
    """Different blocks that trainers began."""
    return len(set(log.read_text().splitlines())) if log.exists() else 0


def _counted(evidence: Evidence) -> None:
    """As `Evidence.decided`, but it leaves a number that no later decision takes away, so that one too few shows."""
    evidence.newest = Trial(model=DecayedMean(weight=evidence.newest.model.weight + 0.5))


def main(folder: Path, kills: int, seed: int) -> None:
    Evidence.decided = _counted  # type: ignore[assignment,method-assign]
    rng, models_dir, log = random.Random(seed), folder / "models", folder / "all.log"
    bundle = write_bundle(models_dir, hybrid(live=True))
    done = killed = 0
    begun, began = set[int](), time.monotonic()
    while not done:
        every = shuffled(rng)
        child = os.fork()
        if child == 0:
            run(folder / "killed", models_dir, bundle, every, log)
            os._exit(0)
        after = rng.randint(1, max(1, len(every) // max(1, kills)))
        _, status = _kill_while_it_learns(child, log, rng, after) if killed < kills else os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
            begun.add(_begun(log))
            read_checkpoint(folder / "killed")  # raises where it is broken
            continue
        assert status == 0, f"a trainer ended with {status}"
        if killed < kills:
            sys.stdout.write(f"only {killed} kills fell into the run\n")
        done = 1
    assert len(begun) > killed // 3, f"{killed} kills after {len(begun)} different numbers of blocks"
    order = [BlockId(*map(int, line.split())) for line in dict.fromkeys(log.read_text().splitlines())]
    by_place = {each.place: each for each in shuffled(rng)}
    assert sorted(order) == sorted(by_place), "a block was left out"
    decided = run(folder / "undisturbed", models_dir, bundle, [by_place[place] for place in order], folder / "once.log")
    assert decided > EVENTS * PARTITIONS // SIZE // VERDICT_EVERY // 2, f"only {decided} verdicts decided"
    ended = read_checkpoint(folder / "killed")
    assert ended is not None
    admitted = ended["line"]["new_courses"]["admitted"]
    assert len(admitted) == len(NEW), "the new courses have no rows"
    same = (folder / "killed" / FILE).read_bytes() == (folder / "undisturbed" / FILE).read_bytes()
    sys.stdout.write(
        f"{killed} kills in {time.monotonic() - began:.1f} s, {decided} verdicts that decided, same bytes: {same}\n"
    )
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
