"""The monitor's Prometheus metrics. Never a user id as a label; figures are computed when Prometheus asks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from stream.monitor.figures import LISTS, RIVAL, WINDOWS, Drift, Figures

OUTCOMES = ("judged", "seen", "late", "unjoined", "not_sampled")


class MonitorMetrics:
    """The metrics of one monitor.

    Args:
        figures: The running figures.
        drift: And drift.
        now_ms: Wall clock, ms since 1970 UTC.
        registry: Where they are registered.
    """

    def __init__(
        self,
        figures: Figures,
        drift: Drift,
        *,
        now_ms: Callable[[], int],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        of_list, interval = ["list", "window"], ["list", "window", "bound"]

        def gauge(name: str, text: str, labels: list[str]) -> Gauge:
            return Gauge(f"recsys_prequential_{name}", text, labels, registry=registry)

        hit_rate = gauge("hit_rate", "Hit rate@10 of what would have been recommended before each event.", of_list)
        ndcg = gauge("ndcg", "NDCG@10 of the same.", of_list)
        trials = gauge("trials", "Events that the figures rest on, faded ones counted as what they weigh.", of_list)
        gain = gauge("gain", "NDCG@10 less popularity's at the same events: mean and 95 % interval.", interval)
        for window in WINDOWS:
            for name in LISTS:
                hit_rate.labels(name, window).set_function(partial(figures.mean, name, "hit", window))
                ndcg.labels(name, window).set_function(partial(figures.mean, name, "ndcg", window))
                trials.labels(name, window).set_function(partial(_trials, figures, name, window, now_ms))
                if name == RIVAL:
                    continue
                gain.labels(name, window, "mean").set_function(partial(figures.mean, name, "gain", window))
                for bound in (0, 1):
                    shown = gain.labels(name, window, ("low", "high")[bound])
                    shown.set_function(partial(_bound, figures, name, window, bound))
        score = Gauge(
            "recsys_drift_score_shift",
            "Mean score of the model's lists in the last hour less the day's, in standard deviations of the day's.",
            registry=registry,
        )
        score.set_function(lambda: drift.score_shift)
        embedding = Gauge(
            "recsys_drift_embedding_shift",
            "1 - the cosine between the mean vectors of courses chosen in the last hour and the last day.",
            registry=registry,
        )
        embedding.set_function(lambda: drift.embedding_shift)
        self._events = Counter(
            "recsys_prequential_events",
            "Positive events by what became of them: judged; seen before; late (a worker had applied it); unjoined, "
            "because the model does not know the course; not sampled.",
            ["outcome"],
            registry=registry,
        )
        for outcome in OUTCOMES:
            self._events.labels(outcome)

    def count(self, outcome: str) -> None:
        """Counts one event."""
        self._events.labels(outcome).inc()


def _trials(figures: Figures, name: str, window: str, now_ms: Callable[[], int]) -> float:
    return figures.trials(name, window, now_ms())


def _bound(figures: Figures, name: str, window: str, bound: int) -> float:
    return figures.gain_interval(name, window)[bound]
