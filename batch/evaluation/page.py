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
from batch.evaluation.verdict import verdict

_TEMPLATE = "report.html.j2"
_LIST_METRICS = ("coverage@10", "novelty@10", "diversity@10", "head_share@10")


def page(document: Mapping[str, Any], diagnosis: Diagnosis, plots: Mapping[str, str]) -> str:
    """The page.

    Args:
        document: The figures, as `batch.evaluation.report` writes them to `report.json`.
        diagnosis: Of the hybrid.
        plots: Title → `data:` address.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.globals |= {"signed": signed, "named": named, "head_share": HEAD_SHARE}
    template = environment.from_string(resources.files("batch.evaluation").joinpath(_TEMPLATE).read_text("utf-8"))
    said = verdict(document)
    lists = {"hybrid": document["hybrid"], **document["baselines"]}
    return template.render(
        title=f"Evaluation, {_day(document['times_ms']['test_cutoff'])}",
        headline=document.get("headline") or said,
        verdict=said if document.get("headline") else "",
        account_lines=document.get("account_lines", []),
        cut="Cut in time: " + ", ".join(f"{named(name)} {_day(ms)}" for name, ms in document["times_ms"].items()) + ".",
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
        alternatives=document["alternatives"],
        text_encoder=document["text_encoder"],
        list_metrics=_LIST_METRICS,
        lists=lists,
        head_share_liked=document["head_share_liked"],
        diversity=document.get("diversity"),
        parts=[
            asdict(part) | {"ndcg": part.ndcg._asdict(), "difference": part.difference._asdict()}
            for part in diagnosis.parts
        ],
        learners=diagnosis.learners,
        leakage=document["leakage"],
        plots=plots,
        gate=document.get("gate"),
        hyperparameters=document.get("hyperparameters", {}),
    )


def signed(figure: Mapping[str, float]) -> str:
    """The same with signs: `+0.0600 [+0.0501, +0.0702]`."""
    return f"{figure['mean']:+.4f} [{figure['low']:+.4f}, {figure['high']:+.4f}]"


def seeds_line(seeds: Mapping[str, Any]) -> str:
    """One sentence on how much the seed changes."""
    values = seeds["ndcg@10"]
    if len(values) == 1:
        return "One seed (`recsys evaluate --seeds N` trains more)."
    each = ", ".join(f"{value:.4f}" for value in values.values())
    return (
        f"{len(values)} seeds: NDCG@10 {each}; mean {seeds['mean']:.4f}, standard deviation {seeds['deviation']:.4f}; "
        f"a learner's mean over the seeds minus the best baseline {signed(seeds['mean_minus_best_baseline'])}."
    )


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
