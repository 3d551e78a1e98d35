"""What Prometheus scrapes from the API. Never a user id as a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
_AGE_S = (0.1, 1, 5, 30, 60, 300, 3600, 6 * 3600, 86_400, 7 * 86_400)


class Metrics:
    """The API's metrics, in a registry of their own so that two applications in one process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "recsys_requests_total", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "recsys_request_seconds", "Time to answer.", ["route"], buckets=_LATENCY_S, registry=self.registry
        )
        self.recommendations = Counter(
            "recsys_recommendations_total", "Answers by the rung that gave them.", ["source"], registry=self.registry
        )
        self.answer_age_seconds = Histogram(
            "recsys_answer_age_seconds", "Age of the list in an answer.", buckets=_AGE_S, registry=self.registry
        )
        self.after_offset = Counter(
            "recsys_after_offset_total",
            "Answers to requests that name an event: with it, from the cached list (list) or ranked at once (ranked); "
            "without it (late); or of another partition or a merged learner, or without Redis (unknown).",
            ["outcome"],
            registry=self.registry,
        )
        self.after_offset_seconds = Histogram(
            "recsys_after_offset_wait_seconds",
            "How long such a request waited for the event.",
            buckets=_LATENCY_S,
            registry=self.registry,
        )
        self.freshness_seconds = Histogram(
            "recsys_freshness_seconds",
            "From one stage to the next; served: from a list's computation to the answer that waited for its event.",
            ["stage"],
            buckets=_LATENCY_S,
            registry=self.registry,
        )
        self.rung_failures = Counter(
            "recsys_rung_failures_total", "Rungs that failed and were passed by.", ["rung"], registry=self.registry
        )
        self.outdated_lists = Counter(
            "recsys_outdated_lists_total",
            "Cached lists of another model than the published one, passed by.",
            registry=self.registry,
        )
        self.older_lists = Counter(
            "recsys_older_lists_total",
            "Cached lists of a version that the published increment follows, taken as they are.",
            registry=self.registry,
        )
        self.events_accepted = Counter(
            "recsys_events_accepted_total", "Events acknowledged by Kafka.", registry=self.registry
        )
        self.events_refused = Counter(
            "recsys_events_refused_total", "Events refused with 422.", ["reason"], registry=self.registry
        )
        self.statements_skipped = Counter(
            "recsys_statements_skipped_total",
            "xAPI statements that say nothing about a preference, or void one that is not known.",
            ["verb"],
            registry=self.registry,
        )
        self.produce_seconds = Histogram(
            "recsys_produce_seconds", "Time to Kafka's acknowledgement.", buckets=_LATENCY_S, registry=self.registry
        )
        self.produce_failures = Counter(
            "recsys_produce_failures_total", "Requests answered 503 for want of Kafka.", registry=self.registry
        )
        self.store_failures = Counter(
            "recsys_store_failures_total", "Calls to Redis that got no answer.", registry=self.registry
        )
        self.model_loads = Counter(
            "recsys_model_loads_total",
            "Attempts to follow the published model: loaded, failed, or what could not be read.",
            ["outcome"],
            registry=self.registry,
        )
        self.up = Gauge("recsys_dependency_up", "Whether a part answers.", ["part"], registry=self.registry)
