"""Fits the hybrid model on one training side: towers, item-item matrices, snapshots, mixer → the arrays of a bundle.

TensorFlow is imported when a fit begins: who only reads or compares models, and a history that is refused, go without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from batch.encoding import EncodedEvents, EngagementRule
from batch.ranking.choices import best_popularity, new_course_bonus, newcomers, penalties
from batch.ranking.likes import likes_before
from batch.ranking.lists import Lists, Scaling, together, training_lists
from batch.ranking.snapshots import Snapshot, snapshot, vectors_before
from batch.stages import Stage, silent
from recsys.course_sums.activity import activity
from recsys.model.course_features import NAMES, course_features
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import CourseFeatures, Floats, Rows
from recsys.model.item_item import Gram
from recsys.model.lent_columns import text_similarity, with_lent_columns
from recsys.model.ranker import Ranker
from recsys.model.ranking_lists import CURVATURE
from recsys.model.signals import SIGNALS, SignalModel

if TYPE_CHECKING:  # these import TensorFlow
    from recsys.model.towers import HybridTowers
    from recsys.model.training import TowerTraining

FIRST_ORIGIN, LAST_ORIGIN, LABEL_SHARE = 0.5, 0.9, 0.2
TOWER_ORIGINS = (0.5, 0.6, 0.7, 0.8)
"""Towers are brought up to date at each, so that none saw the labels of a list it takes part in."""

MOST_TUNED_ON = 800
NEWCOMER_ORIGINS = 3
MOST_NEWCOMERS = 1500
LEARNED = (
    "mixer_weights", "mixer_hidden_kernel", "mixer_hidden_bias", "mixer_output_kernel", "mixer_output_bias",
    "context_mean", "context_scale", "feature_mean", "feature_scale", "newcomer_weights",
)  # fmt: skip
"""What is learned from the snapshots; another fit on a longer history may take it over. So it may take `CURVATURE`,
which there is only where there were lists."""


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
        penalties: NDCG@10 of each penalty tried; empty where none was.
        curve: Mean loss of each epoch of the towers.
        lists: How many lists the mixer learned from.
        mixer_curve: Mean loss of each epoch of the mixer; empty where it was taken over or learned from nothing.
    """

    arrays: dict[str, np.ndarray]
    blobs: dict[str, bytes]
    hyperparameters: HyperParameters
    penalties: Mapping[float, float]
    curve: list[float]
    lists: int
    mixer_curve: list[float]


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
        from batch.ranking.tower_fit import TowerFit  # noqa: PLC0415 - TensorFlow

        self._encoded, self._catalogue, self._hyperparameters = encoded, catalogue, hyperparameters
        self._rule, self._end_ms, self._stage = rule, end_ms, stage
        self._times = encoded.time[encoded.time < end_ms]
        self._rng = np.random.default_rng(hyperparameters.seed)
        self._towers = TowerFit(encoded, catalogue.features, hyperparameters, rule.decay.half_life_days)

    def fit(self, learned: Mapping[str, Any] | None = None) -> Fitted:
        """Trains everything.

        Args:
            learned: Arrays of a model fitted on the begin of this history. What it learned from its snapshots
                (`LEARNED`) and its penalty, which is that of the hyperparameters, are taken over; None learns both.
        """
        tried: Mapping[float, float] = {}
        lists, mixer_curve = 0, list[float]()
        if learned is None:
            tried = self._penalties()
            if tried:
                best = max(tried, key=lambda l2: tried[l2])
                self._hyperparameters = replace(self._hyperparameters, item_item_l2=best)
            learned, lists, mixer_curve = self._learned()
        training, curve = self._towers.before(self._end_ms, None, self._stage("training the towers"))
        towers = training.towers
        vectors = vectors_before(self._encoded, self._end_ms)
        features = course_features(activity(vectors, self._end_ms))
        taken_over = [*LEARNED, *({CURVATURE} & learned.keys())]
        arrays = self._signal_arrays(self._end_ms, towers) | {name: learned[name] for name in taken_over}
        arrays["activity"] = vectors
        arrays["features"] = ((features - learned["feature_mean"]) / learned["feature_scale"]).astype(np.float32)
        return Fitted(arrays, towers.weight_files(), self._hyperparameters, tried, curve, lists, mixer_curve)

    def _penalties(self) -> dict[float, float]:
        """By NDCG@10 on the last snapshot; empty where nobody can be asked."""
        self._stage("choosing the item-item penalty")
        at = self._snapshot(LAST_ORIGIN, 1.0)
        learners = self._sample(at.learners(), MOST_TUNED_ON)
        return penalties(at, learners, self._gram(at.at_ms)) if len(learners) else {}

    def _learned(self) -> tuple[dict[str, Floats], int, list[float]]:
        """What the snapshots teach (`LEARNED`), from how many lists, and the loss of each epoch."""
        from batch.ranking.mixer import train_mixer, untrained_mixer  # noqa: PLC0415 - TensorFlow

        parts: list[Lists] = []
        popular: list[Floats] = []
        features: list[Floats] = []
        shares = np.linspace(FIRST_ORIGIN, LAST_ORIGIN, self._hyperparameters.origins)
        training: TowerTraining | None = None
        due = list(TOWER_ORIGINS)
        progress = self._stage("learning what to trust")
        for number, share in enumerate(shares.tolist()):
            at = self._snapshot(share, min(1.0, share + LABEL_SHARE))
            features.append(course_features(at.activity))
            popular.append(newcomers(at, self._sample(at.newcomers(), MOST_NEWCOMERS)))
            learners = self._sample(at.learners(), self._hyperparameters.lists // self._hyperparameters.origins)
            if len(learners):
                if training is None or (due and share >= due[0]):
                    training, _ = self._towers.before(at.at_ms, training, self._stage(f"towers as of {share:.0%}"))
                    due = [later for later in due if later > share]
                signal_arrays = self._signal_arrays(at.at_ms, training.towers)
                model = SignalModel(signal_arrays, self._hyperparameters.history_length)
                parts.append(training_lists(at, model, features[-1], learners, self._rng))
            progress(number + 1, len(shares))
        scaling = _scaling(features, parts)
        mixer = train_mixer(together(parts), scaling, self._hyperparameters) if parts else untrained_mixer(scaling)
        arrays = mixer.arrays | {"feature_mean": scaling.feature_mean, "feature_scale": scaling.feature_scale}
        arrays["newcomer_weights"] = best_popularity(popular[-NEWCOMER_ORIGINS:])
        if len(learners):
            arrays["mixer_weights"] = self._with_new_courses(arrays, at, signal_arrays, features[-1], learners)
        return arrays, sum(len(part.context) for part in parts), mixer.curve

    def _with_new_courses(
        self, learned: Mapping[str, Floats], at: Snapshot, signals: Mapping[str, Any], features: Floats, learners: Rows
    ) -> Floats:
        """The weights `(members, s + f)` with the bonus of untouched courses, chosen on the last snapshot."""
        untouched, scale = NAMES.index("untouched"), learned["feature_scale"]
        arrays = {**signals, **learned, "features": (features - learned["feature_mean"]) / scale}
        ranker = Ranker(arrays, self._hyperparameters.history_length)

        def score(learner: int) -> Floats:
            known = slice(at.sums.indptr[learner], at.sums.indptr[learner + 1])
            return ranker.scores(0, at.sums.indices[known], at.sums.data[known])

        bonus = new_course_bonus(at, learners, score, features[:, untouched] > 0)
        weights = learned["mixer_weights"].copy()
        weights[:, len(SIGNALS) + untouched] += bonus * scale[untouched]
        return weights

    def _signal_arrays(self, at_ms: int, towers: HybridTowers) -> dict[str, Any]:
        gram = self._gram(at_ms)
        inverse = gram.inverse(self._hyperparameters.item_item_l2)
        per_row, texts = self._hyperparameters.neighbours, self._catalogue.similarity
        matrices = {
            "ease": with_lent_columns(inverse.pruned_ease(per_row), texts, gram.counts == 0, per_row),
            "future": with_lent_columns(inverse.pruned_future(per_row), texts, gram.counts == 0, per_row),
            "text": texts,
        }
        arrays: dict[str, Any] = dict(towers.export())
        for name, matrix in matrices.items():
            arrays[f"{name}_indptr"] = matrix.indptr.astype(np.int64)
            arrays[f"{name}_indices"] = matrix.indices.astype(np.int32)
            arrays[f"{name}_weights"] = matrix.data.astype(np.float32)
        return arrays

    def _snapshot(self, share: float, until: float) -> Snapshot:
        return snapshot(
            self._encoded,
            self._quantile(share),
            self._quantile(until),
            half_life_days=self._rule.decay.half_life_days,
            exclude_seen=self._rule.exclusion.exclude_seen,
        )

    def _gram(self, at_ms: int) -> Gram:
        return Gram(likes_before(self._encoded, at_ms))

    def _quantile(self, share: float) -> int:
        """The instant right after the events before this share of them.

        A model is asked right after its last event, so it learns from snapshots right after theirs. At the next event,
        a day or a month later in a history of few instants, each course would seem untouched for a while.
        """
        if share >= 1:
            return self._end_ms
        before = int(np.searchsorted(self._times, int(np.quantile(self._times, share))))
        return int(self._times[before - 1]) + 1 if before else int(self._times[0])

    def _sample(self, rows: Rows, most: int) -> Rows:
        return rows if len(rows) <= most else np.sort(self._rng.choice(rows, most, replace=False))


def catalogue_of(texts: sparse.csr_array, features: CourseFeatures, neighbours: int) -> Catalogue:
    """The catalogue with its pruned text similarity."""
    return Catalogue(features, text_similarity(texts, neighbours))


def _scaling(features: list[Floats], parts: list[Lists]) -> Scaling:
    """Of the features over all snapshots, and of the contexts of the lists."""
    stacked = np.concatenate(features)
    context = np.concatenate([part.context for part in parts]) if parts else np.zeros((1, 2), np.float32)
    return Scaling(
        feature_mean=stacked.mean(axis=0),
        feature_scale=stacked.std(axis=0) + np.float32(1e-2),
        context_mean=context.mean(axis=0),
        context_scale=context.std(axis=0) + np.float32(1e-2),
    )
