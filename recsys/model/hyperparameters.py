"""What a training run may choose, in one frozen value that travels in every bundle's manifest."""

from __future__ import annotations

from dataclasses import dataclass

from recsys.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class HyperParameters:
    """Everything that shapes the hybrid model and its training.

    Attributes:
        vector_dim: Length of user and course vectors, and of the id embeddings of courses.
        user_dim: Length of the user-id embedding.
        hidden: Units of the user tower's hidden layer.
        text_dim: Length of a course's projected TF-IDF vector.
        text_terms: Most terms kept in the TF-IDF vocabulary.
        dropout: Share of units dropped in training.
        unknown_user_rate: Share of examples trained without their user id, so that unknown users are served well.
        unknown_course_rate: Share of course ids hidden in training, so that new courses are served from their text.
        no_history_rate: Share of examples trained without their history.
        history_length: Most courses pooled for one user, highest engagement first.
        pool_power: Read by `recsys.model.affinity` alone: the pooling weight is engagement to this power.
        batch_size: Most examples in a training step of the towers.
        epochs: Passes over the examples.
        learning_rate: Adam's step size after warm-up; it falls to a tenth.
        l2: Penalty on all squared weights.
        shared_instants: Times of the training window at which every learner gives an example.
        own_instants: Most first touches of a learner that give an example each.
        max_targets: Most targets of an example.
        max_examples: Most examples of one training run.
        origins: As-of snapshots that the mixer learns from.
        lists: Training lists of the mixer, over all snapshots.
        members: Mixers trained from different seeds and averaged.
        mixer_steps: Least training steps of a mixer.
        item_item_l2: Ridge penalty of the item-item matrices; the one value that is searched.
        neighbours: Weights kept in each row of an item-item matrix.
        seed: Seed of initial weights, examples, lists, shuffling and dropout.

    Raises:
        ConfigurationError: For a value that cannot work.
    """

    vector_dim: int = 64
    user_dim: int = 16
    hidden: int = 128
    text_dim: int = 64
    text_terms: int = 5000
    dropout: float = 0.2
    unknown_user_rate: float = 0.5
    unknown_course_rate: float = 0.1
    no_history_rate: float = 0.1
    history_length: int = 50
    pool_power: float = 0.5
    batch_size: int = 256
    epochs: int = 5
    learning_rate: float = 2e-3
    l2: float = 1e-6
    shared_instants: int = 16
    own_instants: int = 6
    max_targets: int = 50
    max_examples: int = 40_000
    origins: int = 9
    lists: int = 3000
    members: int = 3
    mixer_steps: int = 400
    item_item_l2: float = 500.0
    neighbours: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dropout", "unknown_user_rate", "unknown_course_rate", "no_history_rate"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigurationError(f"expected {name} in [0, 1), received {getattr(self, name)}")
        for name in (
            "vector_dim",
            "user_dim",
            "hidden",
            "text_dim",
            "history_length",
            "batch_size",
            "epochs",
            "origins",
            "lists",
            "members",
            "mixer_steps",
        ):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"expected {name} of at least 1, received {getattr(self, name)}")
