"""Keras' Adam with the step of each variable in one kernel of TensorFlow instead of a dozen passes over memory."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def each_row_once(gradient: Any) -> Any:
    """A gradient as it is, or, where it is of some rows of a variable, with each of them once."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, place = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


class FusedAdam(keras.optimizers.Adam):  # type: ignore[misc]  # Keras has no types
    """The same formula and state as `keras.optimizers.Adam`, without AMSGrad.

    Where a gradient is of some rows of a variable (`each_row_once`), the others stand still and so do their moments. A
    tenth of a training step of the towers went into Adam's passes: their embeddings are far larger than a batch.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves one variable; called by Keras."""
        place = self._get_variable_index(variable)
        done = tf.cast(self.iterations + 1, tf.float32)
        if isinstance(gradient, tf.IndexedSlices):
            self._move_rows(gradient, variable, place, tf.cast(learning_rate, tf.float32), done)
            return
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=tf.pow(tf.constant(self.beta_1, tf.float32), done),
            beta2_power=tf.pow(tf.constant(self.beta_2, tf.float32), done),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _move_rows(self, gradient: Any, variable: Any, place: int, learning_rate: Any, done: Any) -> None:
        rows, values = gradient.indices, gradient.values
        momentums, velocities = self._momentums[place].value, self._velocities[place].value
        momentum = self.beta_1 * tf.gather(momentums, rows) + (1 - self.beta_1) * values
        velocity = self.beta_2 * tf.gather(velocities, rows) + (1 - self.beta_2) * tf.square(values)
        momentums.scatter_update(tf.IndexedSlices(momentum, rows))
        velocities.scatter_update(tf.IndexedSlices(velocity, rows))
        rate = learning_rate * tf.sqrt(1 - tf.pow(self.beta_2, done)) / (1 - tf.pow(self.beta_1, done))
        variable.scatter_sub(tf.IndexedSlices(rate * momentum / (tf.sqrt(velocity) + self.epsilon), rows))
