"""What the layers share: the event, the key space, the engagement score, the online store and the model.

Only arguments and the environment (`settings`) come in; pure functions and frozen values go out. This package imports
none of the layers (`stream`, `batch`, `serving`, `infra`), and no module does I/O when it is imported. TensorFlow is
imported by `recsys.model.towers` and `recsys.model.training` alone.
"""
