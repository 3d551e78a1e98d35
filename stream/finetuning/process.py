"""The composition root of a fine-tuner."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
from pathlib import Path

import uvloop

from recsys.errors import ConfigurationError
from recsys.process.logs import configure_logging
from recsys.process.metrics_server import serve_metrics
from recsys.settings import Settings, load_settings
from stream.engagement.commands import stream_store

LOCK_FILE = "lock"
NICENESS = 10
"""How far the fine-tuner gives way to workers and API on the same machine, and with it the training process, which
inherits it; what it learns can wait."""

QUIET = {"aiokafka": logging.ERROR, "stream.transport.chunks": logging.WARNING}


def run() -> None:
    """Runs the fine-tuner until SIGTERM or SIGINT.

    Raises:
        RecsysError: It cannot start: settings, a service, the checkpoint, or another one uses its folder.
    """
    settings = load_settings()
    configure_logging(settings, quiet=QUIET)
    if settings.finetune_idle and not hasattr(os, "SCHED_IDLE"):
        raise ConfigurationError("RECSYS_FINETUNE_IDLE=true needs Linux: unset it")
    lock = only_user(settings.finetune_dir)
    os.nice(NICENESS)
    try:
        uvloop.run(_run(settings))
    finally:
        os.close(lock)


async def _run(settings: Settings) -> None:
    from stream.finetuning.finetuner import Finetuner  # noqa: PLC0415 - faust reads the environment when it is imported

    store = stream_store(settings)
    try:
        if settings.finetune_metrics_port:
            serve_metrics(settings.worker_metrics_host, settings.finetune_metrics_port, asyncio.get_running_loop())
        finetuner, stop = Finetuner(settings, store), asyncio.Event()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
        await finetuner.run(stop)
    finally:
        await store.close()


def only_user(folder: Path) -> int:
    """Takes the folder's lock, which the kernel releases with the process; returns its descriptor.

    Raises:
        ConfigurationError: Another fine-tuner has it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigurationError(f"cannot write in the fine-tuner's folder {folder}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ConfigurationError(f"another fine-tuner uses {folder}; give this one a RECSYS_FINETUNE_DIR") from None
    return descriptor
