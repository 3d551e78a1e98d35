"""What the rooms share: the event, the key space, the engagement score, the online store and the model.

Comes in: nothing but arguments and the environment (`settings`). Goes out: pure functions and frozen values.
Holds: no room (`stream`, `batch`, `serving`, `infra`) is imported from here, nothing does I/O at import, and
TensorFlow is imported only by `recsys.model.towers` and `recsys.model.training`.
"""
