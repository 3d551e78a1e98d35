"""What Prometheus scrapes from the API. Never a user id as a label."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
_AGE_S = (0.1, 1, 5, 30, 60, 300, 3600, 6 * 3600, 86_400, 7 * 86_400)


class Metrics:
    """The API's metrics, in a registry of their own so that two applications in one process do not collide.

    `__init__` is long because it is a table: a metric an entry, its name and its meaning side by side.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        seconds = partial(histogram, buckets=_LATENCY_S)
        self.requests = counter("recsys_requests_total", "Requests answered.", ["route", "status"])
        self.request_seconds = seconds("recsys_request_seconds", "Time to answer.", ["route"])
        self.recommendations = counter(
            "recsys_recommendations_total", "Answers by the rung that gave them.", ["source"]
        )
        self.answer_age_seconds = histogram(
            "recsys_answer_age_seconds", "Age of the list in an answer.", buckets=_AGE_S
        )
        self.after_offset = counter(
            "recsys_after_offset_total",
            "Answers to requests that name an event: with it, from the cached list (list) or ranked at once (ranked); "
            "without it (late); or of another partition or a merged learner, or without Redis (unknown).",
            ["outcome"],
        )
        self.after_offset_seconds = seconds(
            "recsys_after_offset_wait_seconds",
            "How long such a request waited for the event.",
        )
        self.freshness_seconds = seconds(
            "recsys_freshness_seconds",
            "From one stage to the next; served: from a list's computation to the answer that waited for its event.",
            ["stage"],
        )
        self.rung_failures = counter("recsys_rung_failures_total", "Rungs that failed and were passed by.", ["rung"])
        self.outdated_lists = counter(
            "recsys_outdated_lists_total", "Cached lists of another model than the published one, passed by."
        )
        self.older_lists = counter(
            "recsys_older_lists_total",
            "Cached lists of a version that the published increment follows, taken as they are.",
        )
        self.events_accepted = counter("recsys_events_accepted_total", "Events acknowledged by Kafka.")
        self.events_refused = counter("recsys_events_refused_total", "Events refused with 422.", ["reason"])
        self.statements_skipped = counter(
            "recsys_statements_skipped_total",
            "xAPI statements that say nothing about a preference, or void one that is not known.",
            ["verb"],
        )
        self.produce_seconds = seconds("recsys_produce_seconds", "Time to Kafka's acknowledgement.")
        self.produce_failures = counter("recsys_produce_failures_total", "Requests answered 503 for want of Kafka.")
        self.store_failures = counter("recsys_store_failures_total", "Calls to Redis that got no answer.")
        self.model_loads = counter(
            "recsys_model_loads_total",
            "Attempts to follow the published model: loaded, failed, or what could not be read.",
            ["outcome"],
        )
        self.up = gauge("recsys_dependency_up", "Whether a part answers.", ["part"])
