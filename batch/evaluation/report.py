"""The report folder: `report.html` (needs no other file), `report.json`, `report.md`. Written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from batch.evaluation.diagnosis import MOST_LEARNERS, Diagnosis, diagnose
from batch.evaluation.diversity import diversity_cost
from batch.evaluation.experiment import Experiment
from batch.evaluation.figures import figures_of
from batch.evaluation.page import cut_line, page, seeds_line
from batch.evaluation.served import recommender
from batch.evaluation.tuning import sampled
from batch.evaluation.verdict import beside, table, verdict
from recsys.errors import InputError

PAGE = "report.html"


def write_report(reports_dir: Path, name: str, experiment: Experiment, facts: Mapping[str, Any]) -> Path:
    """Writes the report of one run.

    Args:
        reports_dir: Where report folders live.
        name: The folder's name; a report of that name is replaced.
        experiment: What was found.
        facts: Further JSON values: history, cleaning, gate, version.

    Returns:
        The folder.

    Raises:
        InputError: When it cannot be written.
    """
    from batch.evaluation.plots import draw_plots  # noqa: PLC0415 - seaborn takes a second, and many runs end before

    diagnosis = diagnose(experiment)
    document = {**facts, **figures_of(experiment), **diagnosed(diagnosis), "diversity": _diversity(experiment)}
    target, temporary = reports_dir / name, reports_dir / f".writing-{name}-{os.getpid()}"
    try:
        temporary.mkdir(parents=True)
        (temporary / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
        (temporary / "report.md").write_text(as_markdown(document), encoding="utf-8")
        shown = page(name, document, diagnosis, draw_plots(experiment, diagnosis))
        (temporary / PAGE).write_text(shown, encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise InputError(f"cannot write the report {target}: {error}") from None
    return target


def as_markdown(document: Mapping[str, Any]) -> str:
    """The figures as a page a person can read."""
    headline = document.get("headline")
    lines = [
        *([headline, ""] if headline else []),
        "# Evaluation",
        "",
        *[f"- {line}" for line in document.get("account_lines", [])],
        "",
        f"{document['users']:,} learners with history, ranked over the full catalogue. {document['excluded']}",
        cut_line(document["times_ms"]),
        "",
        *table(document),
        "",
        verdict(document),
        *beside(document),
        "",
        seeds_line(document["seeds"]),
        document["tuning"],
        "",
        f"All of it: {PAGE} beside this file.",
        "",
    ]
    return "\n".join(lines)


def _diversity(experiment: Experiment) -> dict[str, Any]:
    seed = experiment.hyperparameters.seed
    cases = sampled(experiment.cases, MOST_LEARNERS, seed)
    model = recommender(experiment.model)
    return diversity_cost(model, cases, experiment.facts, experiment.model.courses, seed=seed)


def diagnosed(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as JSON values."""
    calibration = diagnosis.calibration
    return {
        "parts": {
            part.name: {"ndcg@10": part.ndcg._asdict(), "whole_minus_this": part.difference._asdict()}
            for part in diagnosis.parts
        },
        "weights": {name: list(values) for name, values in diagnosis.weights.items()},
        "calibration": {
            "error": calibration.error,
            "predicted": calibration.predicted.tolist(),
            "observed": calibration.observed.tolist(),
            "courses": calibration.courses.tolist(),
        },
    }
