"""What the options of `recsys retrain` and `recsys evaluate` mean, checked before a command works for minutes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

from batch.history import History, from_files, from_topic
from batch.stages import Stage
from recsys.errors import ConfigurationError, InputError
from recsys.model.hyperparameters import HyperParameters
from recsys.process.folders import require_writable
from recsys.settings import Settings

_FOLDER_NAME = re.compile(r"\w[\w.-]{0,99}")


def history_source(
    settings: Settings, from_topic_: bool, interactions: Path | None, courses: Path | None, stage: Stage
) -> Callable[[], History]:
    """How to read the history the options ask for; nothing is read yet.

    Raises:
        ConfigurationError: They name none, or two.
    """
    if from_topic_ == bool(interactions or courses) or (not from_topic_ and not (interactions and courses)):
        given = {"--from-topic": from_topic_, "--interactions": interactions, "--courses": courses}
        received = " and ".join(option for option, value in given.items() if value) or "neither"
        raise ConfigurationError(
            f"expected either --from-topic, or both --interactions and --courses, received {received}"
        )
    if from_topic_:
        return lambda: from_topic(settings, progress=stage("reading the topic"))
    return lambda: from_files(cast("Path", interactions), cast("Path", courses))


def hyperparameters_of(settings: Settings, epochs: int | None, start: HyperParameters | None) -> HyperParameters:
    """Those to start from: given ones or the default ones, with the seed of the settings."""
    chosen = replace(start or HyperParameters(), seed=settings.seed)
    return chosen if epochs is None else replace(chosen, epochs=epochs)


def check_outputs(settings: Settings, out: Path | None, report: str | None, *, no_report: bool) -> None:
    """Whether what `evaluate` is asked for can be written, before it works for minutes.

    Raises:
        InputError: There is no such folder.
        ConfigurationError: The options contradict each other, or a folder cannot be written to.
    """
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"cannot write {out}: the folder {out.parent} does not exist")
    if out is not None:
        require_writable(out.absolute().parent, "--json")
    if report is not None and _FOLDER_NAME.fullmatch(report) is None:
        raise ConfigurationError(
            f"expected --report as a folder's name of letters, digits and ._- (what has that name is replaced),"
            f" received {report[:40]!r}"
        )
    if no_report and report is not None:
        raise ConfigurationError("expected one of --report and --no-report, received both")
    if not no_report:
        require_writable(settings.reports_dir, "RECSYS_REPORTS_DIR")
