"""Adam in one kernel moves as Keras' own."""

from __future__ import annotations

import numpy as np

from recsys.process.native_logs import import_tensorflow


def test_fused_adam_moves_as_the_one_of_keras() -> None:
    import_tensorflow(quiet=True)
    import keras  # noqa: PLC0415 - after TensorFlow, slow
    import tensorflow as tf  # noqa: PLC0415 - slow

    from recsys.model.adam import FusedAdam  # noqa: PLC0415 - TensorFlow

    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype(np.float32) for shape in ((40, 8), (8,))]
    ends = []
    for kind in (keras.optimizers.Adam, FusedAdam):
        variables = [keras.Variable(values) for values in start]
        optimizer = kind(0.05)
        optimizer.build(variables)
        drawn = np.random.default_rng(1)
        for number in range(1, 20):
            optimizer.learning_rate.assign(0.05 / number)
            gradients = [tf.constant(drawn.normal(size=values.shape).astype(np.float32)) for values in start]
            optimizer.apply(gradients, variables)
        ends.append([variable.numpy() for variable in variables])

    for before, keras_end, fused_end in zip(start, *ends, strict=True):
        assert np.abs(keras_end - before).max() > 0.01
        np.testing.assert_allclose(fused_end, keras_end, atol=1e-6)
