"""How the report names models, options, signals and course features: in words, with units."""

from __future__ import annotations

from collections.abc import Mapping

_WORDS = {
    "recent_popularity": "recent popularity",
    "item_knn": "item-kNN",
    "ease": "EASE",
    "ials": "iALS",
    "tfidf_profile": "TF-IDF profile",
    "tfidf": "TF-IDF",
    "ndcg": "NDCG@10",
    "recall": "recall@20",
    "ndcg@10": "NDCG@10",
    "recall@20_cold_courses": "recall@20 of cold courses",
    "mrr": "MRR",
    "coverage@10": "coverage",
    "novelty@10": "novelty, bits",
    "diversity@10": "diversity",
    "head_share@10": "share of the head",
    "learners without": "learners without a history",
    "untouched": "nobody touched it",
    "validation_cutoff": "validation from",
    "test_cutoff": "test from",
    "first": "first event",
    "last": "last event",
}
_OPTIONS = {"half_life_days": "half-life {:,g} days", "l2": "ridge penalty {:,g}", "alpha": "weight of a like {:g}"}
_FEATURES = {
    "popularity": "popularity, half-life {}",
    "first_touches": "first touches, half-life {}",
    "age": "2^(−age / {})",
    "last_touch": "2^(−time since last touch / {})",
}


def named(name: str) -> str:
    """A model's, metric's, signal's, course feature's or instant's name, such as `popularity_7d`, for a reader."""
    kind, _, days = name.rpartition("_")
    if kind in _FEATURES and days.endswith("d"):
        return f"{kind.replace('_', ' ')}, all time" if days == "infd" else _FEATURES[kind].format(f"{days[:-1]} d")
    return _WORDS.get(name, name)


def options_named(options: Mapping[str, float]) -> str:
    """What was chosen for a baseline: its options, or the weights of a blend's members that do not round to 0."""
    words = [
        _OPTIONS[name].format(value) if name in _OPTIONS else f"{named(name)} {value:.2f}"
        for name, value in options.items()
        if name in _OPTIONS or f"{value:.2f}" != "0.00"
    ]
    return ", ".join(words) or "–"
