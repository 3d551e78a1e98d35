"""Where the time goes: histograms of worker and API, read before and after, as quantiles of what came in between."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
Buckets = Mapping[float, float]
"""Upper bound in seconds → observations up to it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All samples of some `/metrics`, at one time.

    Attributes:
        samples: Name and labels → value, those of several processes added up.
    """

    samples: Mapping[tuple[str, Labels], float]

    @classmethod
    def read(cls, urls: Iterable[str]) -> Snapshot:
        """Reads `/metrics` of each address."""
        samples: dict[tuple[str, Labels], float] = {}
        for url in urls:
            text = httpx.get(f"{url}/metrics", timeout=10).raise_for_status().text
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    key = (sample.name, tuple(sorted(sample.labels.items())))
                    samples[key] = samples.get(key, 0.0) + sample.value
        return cls(samples)

    def since(self, earlier: Snapshot, name: str, **labels: str) -> float:
        """How much a counter grew."""
        key = (name, tuple(sorted(labels.items())))
        return self.samples.get(key, 0.0) - earlier.samples.get(key, 0.0)

    def histogram(self, earlier: Snapshot, name: str, **labels: str) -> Observed:
        """What a histogram observed since an earlier snapshot."""
        bounds: dict[float, float] = {}
        for (sample, found), value in self.samples.items():
            parts = dict(found)
            if sample == f"{name}_bucket" and all(parts.get(key) == wanted for key, wanted in labels.items()):
                before = earlier.samples.get((sample, found), 0.0)
                bounds[float(parts["le"])] = bounds.get(float(parts["le"]), 0.0) + value - before
        count, total = (self.since(earlier, f"{name}_{part}", **labels) for part in ("count", "sum"))
        return Observed(dict(sorted(bounds.items())), count, total)


@dataclass(frozen=True, slots=True)
class Observed:
    """Observations of a histogram, in seconds."""

    buckets: Buckets
    count: float
    total: float

    @property
    def mean_ms(self) -> float:
        """Exact mean, ms; NaN without observations."""
        return 1000 * self.total / self.count if self.count else math.nan

    def quantile_ms(self, share: float) -> float:
        """A quantile, ms, linear within its bucket as Prometheus' `histogram_quantile`; NaN without observations."""
        if not self.count:
            return math.nan
        wanted, low, below = share * self.count, 0.0, 0.0
        for bound, observations in self.buckets.items():
            if observations >= wanted:
                if math.isinf(bound):
                    return 1000 * low
                inside = observations - below
                return 1000 * (low + (bound - low) * ((wanted - below) / inside if inside else 1.0))
            low, below = bound, observations
        return 1000 * low
