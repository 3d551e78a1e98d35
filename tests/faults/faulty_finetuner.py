"""The fine-tuner with a training step that is at fault when told so: `python faulty_finetuner.py finetune`.

The file that `FAULT_FILE` names holds one of `FAULTS`, or nothing: then the step is TensorFlow's, untouched. All else
is the fine-tuner as it is. What the training process is asked, and what came of it, it writes to `FAULT_LEDGER`, a
line of JSON each.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NOW_AND_THEN, ALWAYS, TURNED = "not-finite-now-and-then", "not-finite", "turned"
FAULTS = (NOW_AND_THEN, ALWAYS, TURNED)
EVERY = 3
"""How often a step is at fault that is so now and then."""

NOT_FINITE = ("loss", "weights", "infinite")
BOUND = 2.0
Step = Callable[[Any, Any], tuple[Any, float]]


class Ledger:
    """What happens in the training process, in its order; a line is on its way to the disk when `note` returns."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", buffering=1)

    def note(self, what: str, **more: object) -> None:
        self._file.write(json.dumps({"pid": os.getpid(), "what": what, **more}) + "\n")


def faulty(step: Step, told: Path, ledger: Ledger) -> Step:
    """The step with the faults that are asked for."""
    kinds, numbers, last = itertools.cycle(NOT_FINITE), itertools.count(1), 0.0

    def take(state: Any, columns: Any) -> tuple[Any, float]:
        nonlocal last
        fault = told.read_text()
        after, loss = step(state, columns)
        if fault == TURNED:
            ledger.note("fault", kind=fault)
            return after._replace(increment=turned(state.increment)), last or loss
        if fault == ALWAYS or (fault == NOW_AND_THEN and next(numbers) % EVERY == 0):
            kind = next(kinds)
            ledger.note("fault", kind=kind)
            return broken(after, loss, kind)
        last = loss
        return after, loss

    return take


def broken(after: Any, loss: float, kind: str) -> tuple[Any, float]:
    """What a step gives that ends in numbers that are none."""
    if kind == "loss":
        return after, float("nan")
    bias = after.increment.bias.copy()
    bias[-1] = np.nan if kind == "weights" else np.inf
    return after._replace(increment=after.increment._replace(bias=bias)), loss


def turned(increment: Any) -> Any:
    """An increment at the bound, on the side where it was not, with the ranker's inputs turned round; then it stays."""
    if (increment.weights == -BOUND).all():
        return increment
    bias, rows = (np.where(each > 0, -BOUND, BOUND).astype(each.dtype) for each in (increment.bias, increment.rows))
    return increment._replace(bias=bias, rows=rows, weights=np.full_like(increment.weights, -BOUND))


def install(told: Path, ledger: Ledger) -> None:
    """Has the trainer of this process made with the faulty step and the ledger."""
    from stream.finetuning import training_process  # noqa: PLC0415 - in the training process alone

    original = training_process.make_trainer

    def make_trainer(rules: Any) -> Any:
        trainer: Any = original(rules)
        learn, propose = trainer.learn, trainer.propose
        trainer._step = faulty(trainer._step, told, ledger)

        def noted_learn(block: Any) -> Any:
            ledger.note("begin", place=block.place, learned=trainer.line.learned)
            learned = learn(block)
            ledger.note("done", place=block.place, learned=trainer.line.learned)
            return learned

        def noted_propose(at_ms: int) -> Any:
            proposal = propose(at_ms)
            version = proposal.bundle and proposal.bundle.name
            ledger.note("verdict", outcome=proposal.verdict.outcome, reason=proposal.verdict.reason, version=version)
            return proposal

        trainer.learn, trainer.propose = noted_learn, noted_propose
        return trainer

    training_process.make_trainer = make_trainer


if __name__ == "__mp_main__":  # the training process, which the fine-tuner starts with this file
    install(Path(os.environ["FAULT_FILE"]), Ledger(Path(os.environ["FAULT_LEDGER"])))

if __name__ == "__main__":
    from recsys.cli import main

    main(sys.argv[1:])
