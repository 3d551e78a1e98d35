"""The two towers of the hybrid model, in Keras. `recsys.model.ranker` computes the same from the exported arrays.

User tower: `POOLS` pools of (course-id embedding + projected text) over the learner's most engaged courses ⊕ strength ⊕
user-id embedding → dropout, dense, dropout → vector. Course tower: course-id embedding + projected TF-IDF + projected
attributes → vector, and a bias.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from recsys.model.history import POOLS, STRENGTH_DIM
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import CourseFeatures, Floats

OFFSET_DAYS = (3.0, 14.0, 60.0, np.inf)
"""Half-lives of the popularities whose weights are learned as offsets of the softmax."""

_OFFSET_AT_START = 0.15


class HybridTowers:
    """User tower, course tower and the learned weights of popularity.

    Args:
        hyperparameters: Sizes and dropout.
        n_users: Known users.
        features: Of the catalogue, `n` courses.

    Attributes:
        user: Keras model of (user `(b,)`, history rows `(b, l)`, pool weights `(b, l, POOLS)`, strength
            `(b, STRENGTH_DIM)`) → vectors `(b, vector_dim)`. Row `n` of a history is padding.
        course: Keras model of (index `(n,)`, text `(n, text_dim)`, attributes `(n, a)`) → vectors `(n, vector_dim)` and
            biases `(n, 1)`.
        offset_weights: Of log popularity by `OFFSET_DAYS`, in training only.
    """

    def __init__(self, hyperparameters: HyperParameters, *, n_users: int, features: CourseFeatures) -> None:
        self.hyperparameters, self.features = hyperparameters, features
        self.user: Any = _user_tower(hyperparameters, n_users, features)
        self.course: Any = _course_tower(hyperparameters, features)
        self.offset_weights: Any = keras.Variable(
            np.full(len(OFFSET_DAYS), _OFFSET_AT_START, np.float32), name="offset_weights"
        )

    @property
    def trainable_variables(self) -> list[Any]:
        """Everything a training step moves."""
        return [*self.user.trainable_variables, *self.course.trainable_variables, self.offset_weights]

    @property
    def course_tables(self) -> list[Any]:
        """Those with rows of courses that have a gradient in some rows alone: embeddings and biases."""
        course = [self.course.get_layer(name).embeddings for name in ("course_id", "course_bias")]
        return [self.user.get_layer("history").ids, *course]

    def catalogue(self) -> tuple[Any, Any]:
        """Vectors `(n, vector_dim)` and biases `(n,)` of the whole catalogue, without dropout."""
        vectors, bias = self.course([self.features.index, self.features.text, self.features.attributes], training=False)
        return vectors, bias[:, 0]

    def export(self) -> dict[str, Floats]:
        """The arrays `recsys.model.ranker` computes affinities with."""
        vectors, bias = self.catalogue()
        user = {layer.name: [w.value.numpy() for w in layer.weights] for layer in self.user.layers}
        known = (self.features.index > 0)[:, None]  # nobody's history taught the others an embedding
        ids, projection = user["history"]
        return {
            "course_vectors": vectors.numpy(),
            "course_bias": bias.numpy(),
            "history_vectors": known * ids[:-1] + self.features.text @ projection,
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


def _embedding(rows: int, dim: int, name: str, stddev: float) -> Any:
    return layers.Embedding(rows, dim, embeddings_initializer=keras.initializers.RandomNormal(stddev=stddev), name=name)


def _user_tower(hyperparameters: HyperParameters, n_users: int, features: CourseFeatures) -> Any:
    d = hyperparameters.vector_dim
    user = keras.Input((), dtype="int32", name="user")
    rows = keras.Input((None,), dtype="int32", name="history_rows")
    pools = keras.Input((None, POOLS), name="history_pools")
    strength = keras.Input((STRENGTH_DIM,), name="strength")
    pooled = layers.Reshape((POOLS * d,))(_HistoryCourses(features.text, d, name="history")(rows, pools))
    embedded = _embedding(n_users + 1, hyperparameters.user_dim, "user_id", 0.05)(user)
    hidden = layers.Dropout(hyperparameters.dropout)(layers.Concatenate()([pooled, strength, embedded]))
    hidden = layers.Dense(hyperparameters.hidden, activation="relu", name="user_hidden")(hidden)
    hidden = layers.Dropout(hyperparameters.dropout)(hidden)
    vector = layers.Dense(d, name="user_vector")(hidden)
    return keras.Model([user, rows, pools, strength], vector, name="user_tower")


class _HistoryCourses(layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Rows `(b, l)` and weights `(b, l, p)` → pools of id embedding + projected text `(b, p, d)`; row `n` is padding.

    Texts are pooled before they are projected, so that a step takes no longer for a larger catalogue.

    Args:
        text: Of the catalogue `(n, t)`.
        dim: `d`.
        name: Of the layer; its weights are the embeddings `(n + 1, d)` and the projection `(t, d)`.
    """

    def __init__(self, text: Floats, dim: int, *, name: str) -> None:
        super().__init__(name=name)
        self._text = ops.convert_to_tensor(np.concatenate([text, np.zeros((1, text.shape[1]), np.float32)]))
        n, width = self._text.shape
        self.ids = self.add_weight(shape=(n, dim), initializer=keras.initializers.RandomNormal(stddev=0.05), name="id")
        self._projection = self.add_weight(shape=(width, dim), initializer="glorot_uniform", name="text")

    def call(self, rows: Any, pools: Any) -> Any:
        """See the class."""
        turned = ops.transpose(pools, (0, 2, 1))
        texts = ops.matmul(turned, ops.take(self._text, rows, axis=0))
        return ops.matmul(turned, ops.take(self.ids, rows, axis=0)) + ops.matmul(texts, self._projection)


def _course_tower(hyperparameters: HyperParameters, features: CourseFeatures) -> Any:
    n_courses, d = len(features.index), hyperparameters.vector_dim
    index = keras.Input((), dtype="int32", name="course")
    text = keras.Input((features.text.shape[1],), name="text")
    attributes = keras.Input((features.attributes.shape[1],), name="attributes")
    vector = _embedding(n_courses + 1, d, "course_id", 0.02)(index)
    vector += layers.Dense(d, use_bias=False, name="text_projection")(text)
    vector += layers.Dense(
        d, use_bias=False, name="attribute_projection", kernel_initializer=keras.initializers.RandomNormal(stddev=0.02)
    )(attributes)
    bias = layers.Embedding(n_courses + 1, 1, embeddings_initializer="zeros", name="course_bias")(index)
    return keras.Model([index, text, attributes], [vector, bias], name="course_tower")
