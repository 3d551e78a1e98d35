"""A trainer that is killed at random moments and started again until it is through; then once more, undisturbed.

`python -m tests.unit.stream.finetuning.killed FOLDER KILLS SEED` forks each trainer, so that its start takes
milliseconds. It ends with status 0 if the checkpoint was loadable after each kill, and both runs end with the same
bytes. All blocks are a multiple of those between checkpoints, so the last checkpoint holds everything.
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

from recsys.model.bundle import write_bundle
from recsys.record import RecordRules
from stream.finetuning.blocks import Block, BlockId, Ready
from stream.finetuning.checkpoint import FILE, read_checkpoint
from stream.finetuning.trainer import Trainer
from tests.unit.stream.finetuning.drawn import LEARNING, blocks, course_of, events, hybrid
from tests.unit.stream.finetuning.reference import NumpyState, numpy_step

PARTITIONS, EVENTS, SIZE = 2, 1000, 25
RULES = replace(LEARNING, refresh_growth=0.05, refresh_known=0.1)
"""Matrices and the ranker's weights are made anew some twenty times, so that kills meet them."""

NEW = "new", "newer"
"""Courses that came after the parent; their rows are in the last checkpoint."""


def trainer_in(folder: Path, models_dir: Path) -> Trainer:
    folder.mkdir(exist_ok=True)
    return Trainer(folder, models_dir, RULES, RecordRules(), checkpoint_blocks=8, step=numpy_step, start=NumpyState.at)


def run(folder: Path, models_dir: Path, bundle: Path, every: Iterable[Block], log: Path) -> None:
    """Learns the blocks that are left, in the order in which they come; those begun before a restart first."""
    trainer = trainer_in(folder, models_dir)
    trainer.offer([(course_id, course_of(number, course_id)) for number, course_id in enumerate(NEW)])
    standing = trainer.follow(bundle)
    ready = Ready(standing.repeated)
    ready.add(each for each in every if each.place.start >= standing.positions.get(each.place.partition, 0))
    while (block := ready.take()) is not None:
        with log.open("a") as file:
            file.write(f"{block.place.partition} {block.place.start} {block.place.stop}\n")
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


def main(folder: Path, kills: int, seed: int) -> None:
    rng, models_dir, log = random.Random(seed), folder / "models", folder / "all.log"
    bundle = write_bundle(models_dir, hybrid(live=True))
    done = killed = 0
    began = time.monotonic()
    while not done:
        every = shuffled(rng)
        child = os.fork()
        if child == 0:
            run(folder / "killed", models_dir, bundle, every, log)
            os._exit(0)
        if killed < kills:
            time.sleep(rng.uniform(0.0, 0.12))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
            read_checkpoint(folder / "killed")  # raises where it is broken
            continue
        assert status == 0, f"a trainer ended with {status}"
        if killed < kills:
            sys.stdout.write(f"only {killed} kills fell into the run\n")
        done = 1
    order = [BlockId(*map(int, line.split())) for line in dict.fromkeys(log.read_text().splitlines())]
    by_place = {each.place: each for each in shuffled(rng)}
    assert sorted(order) == sorted(by_place), "a block was left out"
    run(folder / "undisturbed", models_dir, bundle, [by_place[place] for place in order], folder / "once.log")
    ended = read_checkpoint(folder / "killed")
    assert ended is not None
    admitted = ended["line"]["new_courses"]["admitted"]
    assert len(admitted) == len(NEW), "the new courses have no rows"
    same = (folder / "killed" / FILE).read_bytes() == (folder / "undisturbed" / FILE).read_bytes()
    sys.stdout.write(f"{killed} kills in {time.monotonic() - began:.1f} s, same bytes: {same}\n")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
