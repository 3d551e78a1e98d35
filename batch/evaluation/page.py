"""The report as one HTML page that needs nothing else: no script, no other file, no other host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import jinja2

from batch.evaluation.diagnosis import Diagnosis
from batch.evaluation.evaluate import HEAD_SHARE
from batch.evaluation.labels import named, options_named
from batch.evaluation.verdict import beside, verdict

_TEMPLATE = "report.html.j2"
_MEAN_METRICS = ("ndcg@10", "recall@10", "recall@20", "mrr")
_LIST_METRICS = ("coverage@10", "novelty@10", "diversity@10", "head_share@10")


def page(name: str, document: Mapping[str, Any], diagnosis: Diagnosis, plots: Mapping[str, str]) -> str:
    """The page.

    Args:
        name: Of the report.
        document: The figures, as `batch.evaluation.report` writes them to `report.json`.
        diagnosis: Of the hybrid.
        plots: Name → `data:` address, as `batch.evaluation.plots` draws them.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.globals |= {"shown": shown, "named": named, "head_share": HEAD_SHARE}
    template = environment.from_string(resources.files("batch.evaluation").joinpath(_TEMPLATE).read_text("utf-8"))
    said = verdict(document)
    lists = {"hybrid": document["hybrid"], **document["baselines"]}
    return template.render(
        title=f"{name}: the hybrid and its baselines",
        headline=document.get("headline") or said,
        verdict=said if document.get("headline") else "",
        compared=_compared(name, document),
        account_lines=document.get("account_lines", []),
        cut=cut_line(document["times_ms"]),
        segments=document["segments"],
        models=list(lists),
        excluded=document["excluded"],
        tuning=document["tuning"],
        hybrid_minus=document["hybrid_minus"],
        chosen={
            **{name: options_named(options) for name, options in document["options"].items()},
            "blend": options_named(document["blend_weights"]),
        },
        seeds=seeds_line(document["seeds"]).replace("`", ""),
        beside=beside(document),
        text_encoder=document["text_encoder"],
        mean_metrics=_MEAN_METRICS,
        list_metrics=_LIST_METRICS,
        lists=lists,
        head_share_liked=document["head_share_liked"],
        diversity=document.get("diversity"),
        parts=[
            asdict(part) | {"ndcg": part.ndcg._asdict(), "difference": part.difference._asdict()}
            for part in diagnosis.parts
        ],
        learners=diagnosis.learners,
        warm_learners=document["users"],
        calibration=diagnosis.calibration,
        text_signal=named(document["text_encoder"]),
        leakage=document["leakage"],
        plots=plots,
        gate=document.get("gate"),
        hyperparameters=document.get("hyperparameters", {}),
    )


def _compared(name: str, document: Mapping[str, Any]) -> str:
    """What was compared on what, and both levels: what a reader needs to make sense of the first line."""
    best = document["best_baseline"]
    users, found = document["users"], document["users_found"]
    drawn = f"{users:,}" if users == found else f"{users:,} (drawn from {found:,})"
    return (
        f"{name}: the hybrid and {len(document['baselines'])} baselines, tuned on a validation slice, rank "
        f"{document['courses_offered']:,} courses on offer for {drawn} learners who have a history and took something "
        f"new from {_day(document['times_ms']['test_cutoff'])} on; all were fitted on what came before. NDCG@10 is "
        f"{_level(document['hybrid'])} for the hybrid and {_level(document['baselines'][best])} for {named(best)}, the "
        "best baseline on these learners."
    )


def _level(figures: Mapping[str, Any]) -> str:
    low, high = figures["intervals"]["ndcg@10"]
    return f"{figures['ndcg@10']:.3f} (95 % {low:.3f} … {high:.3f})"


def shown(value: float, form: str) -> str:
    """A number in a `%` format, without the sign of a negative number that is rounded to zero."""
    text = form % value
    return form % 0.0 if float(text) == 0.0 else text


def signed(figure: Mapping[str, float]) -> str:
    """A difference with its interval: `+0.0600 (95 % +0.0501 … +0.0702)`."""
    return f"{figure['mean']:+.4f} (95 % {figure['low']:+.4f} … {figure['high']:+.4f})"


def cut_line(times_ms: Mapping[str, int]) -> str:
    """One sentence on where the history is cut."""
    return "Cut in time: " + ", ".join(f"{named(name)} {_day(ms)}" for name, ms in times_ms.items()) + "."


def seeds_line(seeds: Mapping[str, Any]) -> str:
    """One sentence on how much the seed changes."""
    values = seeds["ndcg@10"]
    if len(values) == 1:
        return "One seed was trained (`recsys evaluate --seeds N` trains more)."
    each = ", ".join(f"{value:.4f}" for value in values.values())
    return (
        f"{len(values)} seeds were trained: NDCG@10 {each}; mean {seeds['mean']:.4f}, standard deviation "
        f"{seeds['deviation']:.4f}. The mean over the seeds minus the best baseline, paired by learner: "
        f"{signed(seeds['mean_minus_best_baseline'])}."
    )


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
