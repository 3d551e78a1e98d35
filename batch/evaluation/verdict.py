"""The comparison in words: a table, whether the hybrid beats the best baseline, and what its text encoder changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batch.evaluation.labels import named

COLUMNS = ("ndcg@10", "recall@10", "recall@20", "mrr", "coverage@10", "novelty@10", "diversity@10")


def table(document: Mapping[str, Any]) -> list[str]:
    """The comparison as the lines of a Markdown table."""
    rows = {"hybrid": document["hybrid"], **document["baselines"]}
    lines = [f"| model | {' | '.join(map(named, COLUMNS))} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, figures in rows.items():
        lines.append(f"| {named(name)} | " + " | ".join(f"{figures.get(column, 0.0):.4f}" for column in COLUMNS) + " |")
    return lines


def verdict(document: Mapping[str, Any]) -> str:
    """One sentence: does the hybrid beat the best baseline, beyond chance?"""
    gain = document["hybrid_minus_best_baseline"]
    beats = "beats" if gain["low"] > 0 else "loses to" if gain["high"] < 0 else "is not distinguishable from"
    return (
        f"The hybrid {beats} the best baseline ({named(document['best_baseline'])}): NDCG@10 {gain['mean']:+.4f}, "
        f"95 % interval {gain['low']:+.4f} … {gain['high']:+.4f}, paired by learner."
    )


def beside(document: Mapping[str, Any]) -> list[str]:
    """A sentence for each metric on which the hybrid is compared with one that was fitted in another way."""
    encoder = named(document["text_encoder"])
    return [
        f"{named(metric)} of the hybrid whose texts {encoder} reads {_interval(found['hybrid'])}, of the {name} "
        f"{_interval(found['other'])}: {_interval(found['hybrid_minus_other'], '+.4f')}, 95 % intervals, the last one "
        f"paired by learner ({found['learners']:,})."
        for name, metrics in document["alternatives"].items()
        for metric, found in metrics.items()
        if found["learners"]
    ]


def _interval(figure: Mapping[str, float], form: str = ".4f") -> str:
    return f"{figure['mean']:{form}} ({figure['low']:{form}} … {figure['high']:{form}})"
