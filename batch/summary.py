"""What `recsys retrain` prints: as JSON and for a person."""

from __future__ import annotations

from typing import Any

from batch.evaluation.figures import figures_of
from batch.evaluation.verdict import table, verdict
from batch.pipeline import Retrained, headline


def document(result: Retrained, filled: int, *, published: bool) -> dict[str, Any]:
    """A retrain as JSON values.

    Args:
        result: What it left behind.
        filled: Cached lists computed.
        published: Whether the pointer was moved to it.
    """
    found = figures_of(result.experiment)
    return {
        "version": result.bundle.name,
        "model": result.candidate.name,
        "headline": headline(result.candidate, result.verdict),
        "history": result.account.document(),
        "bundle": str(result.bundle),
        "report": str(result.report),
        "published": published,
        "cached_lists": filled,
        "gate": result.verdict.document(),
        "hybrid": found["hybrid"],
        "best_baseline": found["best_baseline"],
        "users": found["users"],
    }


def lines(result: Retrained, filled: int, *, published: bool) -> list[str]:
    """The same for a terminal; the first line says which model it is and why.

    Args:
        result: What it left behind.
        filled: Cached lists computed.
        published: Whether the pointer was moved to it.
    """
    found = figures_of(result.experiment)
    return [
        headline(result.candidate, result.verdict),
        "",
        *table(found),
        "",
        verdict(found),
        f"{'published' if published else 'written'}: {result.bundle}",
        f"report: {result.report}",
        *([f"cached lists computed here: {filled} (the workers compute the others)"] if published else []),
    ]
