"""The two towers of the hybrid model, in Keras. `recsys.model.scorer` computes the same from the exported arrays.

User tower: user-id embedding ⊕ pool of the engaged courses (ids and text) ⊕ strength → dense, dropout → vector, plus
the pool. Course tower: course-id embedding ⊕ projected TF-IDF ⊕ attributes → dense, dropout → vector, plus the id
embedding; and a bias.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import STRENGTH_DIM, CourseFeatures, Floats


class HybridTowers:
    """User tower, course tower and the learned weight of popularity.

    Args:
        settings: Sizes and dropout.
        n_users: Known users.
        n_courses: Courses in the catalogue.
        n_attributes: Columns of `CourseFeatures.attributes`.

    Attributes:
        user: Keras model of `user_inputs` → vectors `(b, vector_dim)`.
        course: Keras model of (index `(b,)`, text `(b, text_dim)`, attributes `(b, a)`) → vectors `(b, vector_dim)` and
            biases `(b, 1)`.
        popularity_weight: Scalar variable.
    """

    def __init__(self, settings: HyperParameters, *, n_users: int, n_courses: int, n_attributes: int) -> None:
        self.settings = settings
        self.user: Any = _user_tower(settings, n_users, n_courses)
        self.course: Any = _course_tower(settings, n_courses, n_attributes)
        self.popularity_weight: Any = keras.Variable(settings.popularity_weight, name="popularity_weight")

    @property
    def trainable_variables(self) -> list[Any]:
        """Everything a training step moves."""
        return [*self.user.trainable_variables, *self.course.trainable_variables, self.popularity_weight]

    def export(self, features: CourseFeatures, log_popularity: Floats) -> dict[str, Floats]:
        """The arrays `recsys.model.scorer.Scorer` ranks with (all but the item-item part).

        Args:
            features: Of the whole catalogue, `n` courses.
            log_popularity: At the end of training, `(n,)`.
        """
        vectors, bias = self.course([features.index, features.text, features.attributes], training=False)
        weight = float(self.popularity_weight.value.numpy())
        user = {layer.name: [w.value.numpy() for w in layer.weights] for layer in self.user.layers}
        return {
            "course_vectors": vectors.numpy(),
            "course_bias": bias.numpy()[:, 0] + np.float32(weight) * log_popularity,
            "history_vectors": user["history_id"][0][features.index] + features.text @ user["history_text"][0],
            "user_embeddings": user["user_id"][0],
            "hidden_kernel": user["user_hidden"][0],
            "hidden_bias": user["user_hidden"][1],
            "output_kernel": user["user_vector"][0],
            "output_bias": user["user_vector"][1],
        }

    def weight_files(self) -> dict[str, bytes]:
        """File name → Keras weights, for a fine-tuner to go on from."""
        with tempfile.TemporaryDirectory() as folder:
            files = {}
            for name, model in (("user_tower", self.user), ("course_tower", self.course)):
                path = Path(folder) / f"{name}.weights.h5"
                model.save_weights(path)
                files[path.name] = path.read_bytes()
        return files


def _embedding(rows: int, dim: int, name: str) -> Any:
    return layers.Embedding(rows, dim, embeddings_initializer=keras.initializers.RandomNormal(stddev=0.05), name=name)


def _user_tower(settings: HyperParameters, n_users: int, n_courses: int) -> Any:
    user = keras.Input((), dtype="int32", name="user")
    rows = keras.Input((settings.history_length,), dtype="int32", name="history_rows")
    weights = keras.Input((settings.history_length,), name="history_weights")
    text = keras.Input((settings.text_dim,), name="history_text_pool")
    strength = keras.Input((STRENGTH_DIM,), name="strength")
    ids = _embedding(n_courses + 1, settings.vector_dim, "history_id")(rows)
    pooled = ops.sum(ids * ops.expand_dims(weights, -1), axis=1)
    pooled += layers.Dense(settings.vector_dim, use_bias=False, name="history_text")(text)
    features = layers.Concatenate()([_embedding(n_users + 1, settings.user_dim, "user_id")(user), pooled, strength])
    hidden = layers.Dense(settings.hidden, activation="relu", name="user_hidden")(features)
    hidden = layers.Dropout(settings.dropout)(hidden)
    vector = layers.Dense(settings.vector_dim, name="user_vector")(hidden) + pooled
    return keras.Model([user, rows, weights, text, strength], vector, name="user_tower")


def _course_tower(settings: HyperParameters, n_courses: int, n_attributes: int) -> Any:
    index = keras.Input((), dtype="int32", name="course")
    text = keras.Input((settings.text_dim,), name="text")
    attributes = keras.Input((n_attributes,), name="attributes")
    embedded = _embedding(n_courses + 1, settings.vector_dim, "course_id")(index)
    projected = layers.Dense(settings.vector_dim, use_bias=False, name="text_projection")(text)
    features = layers.Concatenate()([embedded, projected, attributes])
    hidden = layers.Dense(settings.hidden, activation="relu", name="course_hidden")(features)
    hidden = layers.Dropout(settings.dropout)(hidden)
    vector = layers.Dense(settings.vector_dim, name="course_vector")(hidden) + embedded
    bias = layers.Embedding(n_courses + 1, 1, embeddings_initializer="zeros", name="course_bias")(index)
    return keras.Model([index, text, attributes], [vector, bias], name="course_tower")
