"""`recsys finetune`, importing nothing that takes time before signals are handled."""

from __future__ import annotations

import os
import signal

import click


@click.command()
def finetune() -> None:
    """Learn increments of the published model from the stream until SIGTERM or Ctrl-C.

    Reads the interactions topic in blocks of fixed offsets, moves course biases, vectors and ranker weights a little,
    and brings item-item matrices and course features up to date. Every few minutes its gate judges the increment. It is
    published if it is shown to be better on the newest events, each predicted before it was learned, and ranks old
    ones about as well as the retrain that it grew from.
    Start one; it needs a hybrid model to be published (`recsys retrain`).
    """
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: os._exit(0))  # nothing has begun
    from stream.finetuning.process import run  # noqa: PLC0415 - takes a second

    run()
