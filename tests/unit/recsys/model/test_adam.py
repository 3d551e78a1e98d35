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


def test_rows_without_a_gradient_stand_still_and_the_others_move_as_a_variable_of_their_own() -> None:
    """Rows that a gradient names twice move by the sum of both."""
    import_tensorflow(quiet=True)
    import keras  # noqa: PLC0415 - after TensorFlow, slow
    import tensorflow as tf  # noqa: PLC0415 - slow

    from recsys.model.adam import FusedAdam, each_row_once  # noqa: PLC0415 - TensorFlow

    rng = np.random.default_rng(0)
    start, named = rng.normal(size=(6, 3)).astype(np.float32), np.array([4, 1, 4])
    table, alone = keras.Variable(start), keras.Variable(start[[1, 4]])
    optimizers = [FusedAdam(0.05), FusedAdam(0.05)]
    for optimizer, variable in zip(optimizers, (table, alone), strict=True):
        optimizer.build([variable])
    for _ in range(5):
        values = rng.normal(size=(3, 3)).astype(np.float32)
        gradient = each_row_once(tf.IndexedSlices(tf.constant(values), tf.constant(named), tf.constant([6, 3])))
        optimizers[0].apply([gradient], [table])
        optimizers[1].apply([tf.constant(np.stack([values[1], values[0] + values[2]]))], [alone])

    assert np.abs(alone.numpy() - start[[1, 4]]).max() > 0.01
    np.testing.assert_allclose(table.numpy()[[1, 4]], alone.numpy(), atol=1e-5)
    np.testing.assert_array_equal(table.numpy()[[0, 2, 3, 5]], start[[0, 2, 3, 5]])
