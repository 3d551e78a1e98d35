"""Keras' Adam with the step of each variable in one kernel of TensorFlow instead of a dozen passes over memory."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):  # type: ignore[misc]  # Keras has no types
    """The same formula and state as `keras.optimizers.Adam`, for dense gradients and without AMSGrad.

    A tenth of a training step of the towers went into Adam's passes: their embeddings are far larger than a batch.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves one variable; called by Keras."""
        place = self._get_variable_index(variable)
        done = tf.cast(self.iterations + 1, tf.float32)
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
