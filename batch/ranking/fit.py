"""Fits the hybrid model on one training side: towers, item-item matrices, snapshots, mixer → the arrays of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from batch.encoding import EncodedEvents, EngagementRule
from batch.evaluation.metrics import ndcg_at, ranks
from batch.examples import tower_examples
from batch.ranking.item_item import Inverse, Likes, likes, strongest, text_similarity
from batch.ranking.lists import Lists, together, training_lists
from batch.ranking.mixer import Scaling, train_mixer
from batch.ranking.snapshots import Snapshot, activity_before, snapshot
from batch.stages import Stage, silent
from recsys.engagement import MS_PER_DAY
from recsys.model.course_features import NAMES, POPULARITY_DAYS, course_features, log_share
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import CourseFeatures, Floats
from recsys.model.signals import SignalModel
from recsys.model.towers import OFFSET_DAYS, HybridTowers
from recsys.model.training import TowerInputs, train_towers

FIRST_ORIGIN, LAST_ORIGIN, LABEL_SHARE = 0.5, 0.9, 0.2
TOWER_ORIGINS = (0.5, 0.6, 0.7, 0.8)
"""A fresh tower for each, so that none saw the labels of a list it takes part in."""

PENALTIES = (100.0, 500.0, 2500.0, 10_000.0)
MOST_TUNED_ON = 800
OFFSET_BUCKETS = 50
NEWCOMER_ORIGINS = 3
MOST_NEWCOMERS = 1500


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is known of the courses beside events.

    Attributes:
        features: Of the course tower.
        similarity: Pruned text similarity `(n, n)`.
    """

    features: CourseFeatures
    similarity: sparse.csr_array


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model.

    Attributes:
        arrays: As `recsys.model.ranker.Ranker` reads them.
        blobs: Keras weights of the towers.
        hyperparameters: With the penalty that was chosen.
        penalties: NDCG@10 of each penalty tried on the last instant.
        curve: Mean loss of each epoch of the last towers.
        lists: How many lists the mixer learned from.
    """

    arrays: dict[str, np.ndarray]
    blobs: dict[str, bytes]
    hyperparameters: HyperParameters
    penalties: Mapping[float, float]
    curve: list[float]
    lists: int


class RankerFit:
    """Fits on events strictly before one instant.

    Args:
        encoded: The training side.
        catalogue: Of the courses.
        hyperparameters: To start from.
        rule: How events are read.
        end_ms: The instant; everything is made from what came before it.
        stage: Shows progress.
    """

    def __init__(
        self,
        encoded: EncodedEvents,
        catalogue: Catalogue,
        hyperparameters: HyperParameters,
        rule: EngagementRule,
        *,
        end_ms: int,
        stage: Stage = silent,
    ) -> None:
        self._encoded, self._catalogue, self._hyperparameters = encoded, catalogue, hyperparameters
        self._rule, self._end_ms, self._stage = rule, end_ms, stage
        self._times = encoded.time[encoded.time < end_ms]
        self._rng = np.random.default_rng(hyperparameters.seed)

    def fit(self) -> Fitted:
        """Trains everything."""
        penalties = self._penalties()
        if penalties:
            best = max(penalties, key=lambda l2: penalties[l2])
            self._hyperparameters = replace(self._hyperparameters, item_item_l2=best)
        mixer, newcomers, lists = self._mixer()
        self._stage("training the towers")
        towers, curve = self._towers(self._end_ms)
        activity = activity_before(self._encoded, self._end_ms)
        features = course_features(activity)
        arrays = self._signal_arrays(self._end_ms, towers)
        arrays |= {name: array for name, array in mixer.items() if name not in ("feature_mean", "feature_scale")}
        arrays["features"] = ((features - mixer["feature_mean"]) / mixer["feature_scale"]).astype(np.float32)
        arrays["newcomer_weights"] = newcomers
        return Fitted(arrays, towers.weight_files(), self._hyperparameters, penalties, curve, lists)

    def _quantile(self, share: float) -> int:
        return self._end_ms if share >= 1 else int(np.quantile(self._times, share))

    def _snapshot(self, share: float, until: float) -> Snapshot:
        return snapshot(
            self._encoded,
            self._quantile(share),
            self._quantile(until),
            half_life_days=self._rule.decay.half_life_days,
            exclude_seen=self._rule.exclusion.exclude_seen,
        )

    def _likes(self, at_ms: int) -> Likes:
        now = int(np.searchsorted(self._encoded.time, at_ms))
        liked = np.flatnonzero(self._encoded.weight[:now] > 0)
        e = self._encoded
        return likes(e.user[liked], e.course[liked], e.time[liked], at_ms, e.shape)

    def _penalties(self) -> dict[float, float]:
        """NDCG@10 of the item-item matrices on the last instant, by penalty; empty where nobody can be asked."""
        self._stage("choosing the item-item penalty")
        at = self._snapshot(LAST_ORIGIN, 1.0)
        learners = self._sample(at.learners(), MOST_TUNED_ON)
        if not len(learners):
            return {}
        known = self._likes(at.at_ms)
        found = {}
        for l2 in PENALTIES:
            inverse = Inverse(known, l2)
            found[l2] = float(np.mean([_linear_ndcg(at, learners, matrix) for matrix in (inverse.ease(), inverse.future())]))
        return found

    def _mixer(self) -> tuple[dict[str, Floats], Floats, int]:
        """The mixer's arrays with the scaling of the features, the newcomers' weights, and the number of lists."""
        parts: list[Lists] = []
        popular: list[Floats] = []
        features: list[Floats] = []
        share = np.linspace(FIRST_ORIGIN, LAST_ORIGIN, self._hyperparameters.origins)
        towers_at = list(TOWER_ORIGINS)
        towers: HybridTowers | None = None
        progress = self._stage("learning what to trust")
        for number, origin in enumerate(share):
            if towers is None or (towers_at and origin >= towers_at[0] - 1e-9):
                towers, _ = self._towers(self._quantile(float(origin)))
                towers_at = [later for later in towers_at if later > origin + 1e-9]
            at = self._snapshot(float(origin), min(1.0, float(origin) + LABEL_SHARE))
            features.append(course_features(at.activity))
            learners = self._sample(at.learners(), self._hyperparameters.lists // self._hyperparameters.origins)
            if len(learners):
                model = SignalModel(self._signal_arrays(at.at_ms, towers), self._hyperparameters.history_length)
                parts.append(training_lists(at, model, features[-1], learners, self._rng))
            popular.append(_newcomers(at, self._sample(at.newcomers(), MOST_NEWCOMERS)))
            progress(number + 1, len(share))
        if not parts:
            raise ValueError("no learner liked a new course after the first half of the history")
        lists = together(parts)
        scaling = _scaling(features, lists)
        arrays = train_mixer(lists, scaling, seed=self._hyperparameters.seed)
        arrays |= {"feature_mean": scaling.feature_mean, "feature_scale": scaling.feature_scale}
        return arrays, _best_popularity(popular[-NEWCOMER_ORIGINS:]), len(lists.context)

    def _towers(self, before_ms: int) -> tuple[HybridTowers, list[float]]:
        hyperparameters, encoded = self._hyperparameters, self._encoded
        examples = tower_examples(encoded, before_ms, hyperparameters, self._rule.decay.half_life_days)
        touched = np.zeros(len(encoded.courses), dtype=bool)
        touched[encoded.course[: int(np.searchsorted(encoded.time, before_ms))]] = True
        catalogue = self._catalogue.features
        features = CourseFeatures(
            np.where(touched, np.arange(1, len(touched) + 1), 0).astype(np.int32), catalogue.text, catalogue.attributes
        )
        table, bucket = _offsets(encoded, before_ms, examples.time)
        inputs = TowerInputs(
            user=examples.user,
            rows=examples.rows,
            pools=examples.pools,
            strength=examples.strength,
            targets=examples.targets,
            known=examples.known,
            popularity=table,
            bucket=bucket,
        )
        towers = HybridTowers(hyperparameters, n_users=len(encoded.users), features=features)
        return towers, train_towers(towers, inputs, hyperparameters, progress=self._stage(""))

    def _signal_arrays(self, at_ms: int, towers: HybridTowers) -> dict[str, Any]:
        inverse = Inverse(self._likes(at_ms), self._hyperparameters.item_item_l2)
        per_row = self._hyperparameters.neighbours
        matrices = {
            "ease": strongest(inverse.ease(), per_row),
            "future": strongest(inverse.future(), per_row),
            "text": self._catalogue.similarity,
        }
        arrays: dict[str, Any] = dict(towers.export())
        for name, matrix in matrices.items():
            arrays[f"{name}_indptr"] = matrix.indptr.astype(np.int64)
            arrays[f"{name}_indices"] = matrix.indices.astype(np.int32)
            arrays[f"{name}_weights"] = matrix.data.astype(np.float32)
        return arrays

    def _sample(self, rows: Any, most: int) -> Any:
        return rows if len(rows) <= most else np.sort(self._rng.choice(rows, most, replace=False))


def catalogue_of(tfidf: sparse.csr_array, features: CourseFeatures, neighbours: int) -> Catalogue:
    """The catalogue with its pruned text similarity."""
    return Catalogue(features, strongest(text_similarity(tfidf), neighbours))


def _offsets(encoded: EncodedEvents, before_ms: int, times: Any) -> tuple[Floats, Any]:
    """Log popularity by time bucket, course and half-life of `OFFSET_DAYS`, and the bucket of each time."""
    now = int(np.searchsorted(encoded.time, before_ms))
    liked = np.flatnonzero(encoded.weight[:now] > 0)
    course, time, n = encoded.course[liked], encoded.time[liked], len(encoded.courses)
    starts = np.quantile(time, np.linspace(0.02, 1.0, OFFSET_BUCKETS))
    table = np.empty((OFFSET_BUCKETS, n, len(OFFSET_DAYS)), np.float32)
    for bucket, at in enumerate(starts):
        known = slice(0, int(np.searchsorted(time, at)))
        age = (at - time[known]) / MS_PER_DAY
        counts = np.stack([np.bincount(course[known], np.exp2(-age / days), minlength=n) for days in OFFSET_DAYS])
        table[bucket] = log_share(counts).T
    return table, np.clip(np.searchsorted(starts, times, side="right") - 1, 0, OFFSET_BUCKETS - 1)


def _linear_ndcg(at: Snapshot, learners: Any, matrix: Floats) -> float:
    """Mean NDCG@10 of `sqrt(sums) @ matrix` over some learners."""
    roots = at.sums[learners]
    roots.data = np.sqrt(roots.data)
    scores = np.asarray(roots @ matrix, np.float32)
    found = []
    for row, learner in zip(scores, learners, strict=True):
        labels = at.labels.indices[at.labels.indptr[learner] : at.labels.indptr[learner + 1]]
        candidates = np.ones(len(row), dtype=bool)
        candidates[at.seen.indices[at.seen.indptr[learner] : at.seen.indptr[learner + 1]]] = False
        candidates[labels] = True
        found.append(ndcg_at(ranks(row, labels, candidates), 10))
    return float(np.mean(found))


def _newcomers(at: Snapshot, learners: Any) -> Floats:
    """NDCG@10 sums of each popularity over some newcomers, and their number, `(len(POPULARITY_DAYS) + 1,)`."""
    everything = np.ones(at.seen.shape[1], dtype=bool)
    found = np.zeros(len(POPULARITY_DAYS) + 1, np.float32)
    for learner in learners:
        labels = at.labels.indices[at.labels.indptr[learner] : at.labels.indptr[learner + 1]]
        found[:-1] += [ndcg_at(ranks(row, labels, everything), 10) for row in at.activity.popularity]
        found[-1] += 1
    return found


def _best_popularity(found: list[Floats]) -> Floats:
    """The feature weights of newcomers: all on the popularity that ranked best for them; on 14 days without any."""
    total = np.sum(found, axis=0)
    best = int(np.argmax(total[:-1])) if total[-1] else POPULARITY_DAYS.index(14.0)
    weights = np.zeros(len(NAMES), np.float32)
    weights[best] = 1.0
    return weights


def _scaling(features: list[Floats], lists: Lists) -> Scaling:
    stacked = np.concatenate(features)
    return Scaling(
        feature_mean=stacked.mean(axis=0),
        feature_scale=stacked.std(axis=0) + np.float32(1e-2),
        context_mean=lists.context.mean(axis=0),
        context_scale=lists.context.std(axis=0) + np.float32(1e-2),
    )
