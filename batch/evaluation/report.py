"""The report folder: `report.json`, `report.md`, and plots. Written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from batch.evaluation.experiment import Experiment
from batch.evaluation.plots import draw_plots
from recsys.errors import InputError

_COLUMNS = ("ndcg@10", "recall@10", "recall@20", "mrr", "coverage@10", "novelty@10", "diversity@10")


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
    document = {**facts, **experiment.document()}
    target, temporary = reports_dir / name, reports_dir / f".writing-{name}-{os.getpid()}"
    try:
        temporary.mkdir(parents=True)
        (temporary / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
        (temporary / "report.md").write_text(as_markdown(document), encoding="utf-8")
        draw_plots(experiment, temporary)
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
        f"{document['users']} learners with history, ranked over the full catalogue. {document['excluded']}",
        "Cut in time: " + ", ".join(f"{name} {_day(ms)}" for name, ms in document["times_ms"].items()) + ".",
        "",
        *table(document),
        "",
        verdict(document),
        "",
        "![Metrics](metrics.png)",
        "![Training](training.png)",
        "![Popularity of what is shown](popularity.png)",
        "![Cut-offs](cutoffs.png)",
        "",
    ]
    return "\n".join(lines)


def table(document: Mapping[str, Any]) -> list[str]:
    """The comparison as the lines of a Markdown table."""
    rows = {"hybrid": document["hybrid"], **document["baselines"]}
    lines = [f"| model | {' | '.join(_COLUMNS)} |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for name, figures in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{figures.get(column, 0.0):.4f}" for column in _COLUMNS) + " |")
    return lines


def verdict(document: Mapping[str, Any]) -> str:
    """One sentence: does the hybrid beat the best baseline, beyond chance?"""
    gain = document["hybrid_minus_best_baseline"]
    beats = "beats" if gain["low"] > 0 else "loses to" if gain["high"] < 0 else "is not distinguishable from"
    return (
        f"The hybrid {beats} the best baseline ({document['best_baseline']}): NDCG@10 {gain['mean']:+.4f}, "
        f"95 % interval {gain['low']:+.4f} … {gain['high']:+.4f}, paired by learner."
    )


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
