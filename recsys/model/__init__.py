"""The hybrid model: its settings, inputs, two towers, training, and the bundle and scorer that serve it.

Comes in: engagement, course text and attributes. Goes out: a verified bundle, and rankings from it.
Holds: TensorFlow is imported by `towers`, `training` and `increment_training` alone; the rest needs NumPy only, so the
stream worker and the API start without it.
"""
