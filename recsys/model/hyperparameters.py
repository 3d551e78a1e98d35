"""What a training run may choose, in one frozen value that travels in every bundle's manifest."""

from __future__ import annotations

from dataclasses import dataclass

from recsys.errors import ConfigurationError

SAMPLERS = ("uniform", "popularity", "in_batch", "hard")


@dataclass(frozen=True, slots=True)
class HyperParameters:
    """Everything that shapes the hybrid model and its training.

    Attributes:
        vector_dim: Length of user and course vectors, and of the id embeddings of courses.
        user_dim: Length of the user-id embedding.
        hidden: Units of each tower's hidden layer.
        text_dim: Length of a course's projected TF-IDF vector.
        text_terms: Most terms kept in the TF-IDF vocabulary.
        dropout: Share of hidden units dropped in training.
        unknown_user_rate: Share of examples trained without their user id, so that unknown users are served well.
        unknown_course_rate: Share of course ids hidden in training, so that new courses are served from their text.
        history_length: Most courses pooled for one user, highest engagement first.
        pool_power: Pooling weight is engagement to this power; 1 follows engagement, 0 ignores it.
        sampler: Where negatives come from, one of `SAMPLERS`.
        batch_size: Examples in a training step.
        negatives: Candidates shared by the examples of a step.
        epochs: Passes over the examples.
        learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
        l2: Penalty on the squared embeddings of an example.
        example_half_life_days: Days after which a positive counts half in the loss.
        popularity_half_life_days: Days after which an interaction counts half in a course's popularity.
        popularity_weight: Factor of the log popularity at the start of training; learned from there.
        wide_weight: Factor of the item-item part; 0 leaves it out.
        wide_l2: Ridge penalty of the item-item weights.
        wide_neighbours: Item-item weights kept per course.
        max_examples: Newest examples trained on.
        seed: Seed of initial weights, negatives, shuffling and dropout.

    Raises:
        ConfigurationError: For a value that cannot work.
    """

    vector_dim: int = 64
    user_dim: int = 32
    hidden: int = 128
    text_dim: int = 96
    text_terms: int = 4096
    dropout: float = 0.2
    unknown_user_rate: float = 0.5
    unknown_course_rate: float = 0.1
    history_length: int = 32
    pool_power: float = 0.5
    sampler: str = "in_batch"
    batch_size: int = 4096
    negatives: int = 512
    epochs: int = 4
    learning_rate: float = 3e-3
    l2: float = 1e-5
    example_half_life_days: float = 90.0
    popularity_half_life_days: float = 14.0
    popularity_weight: float = 1.0
    wide_weight: float = 4.0
    wide_l2: float = 500.0
    wide_neighbours: int = 100
    max_examples: int = 2_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ConfigurationError(f"expected a sampler out of {', '.join(SAMPLERS)}, received {self.sampler!r}")
        for name in ("dropout", "unknown_user_rate", "unknown_course_rate"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigurationError(f"expected {name} in [0, 1), received {getattr(self, name)}")
        for name in (
            "vector_dim",
            "user_dim",
            "hidden",
            "text_dim",
            "history_length",
            "batch_size",
            "negatives",
            "epochs",
        ):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"expected {name} of at least 1, received {getattr(self, name)}")
