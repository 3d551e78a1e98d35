"""The cases of `TESTS.md`, a module for each kind of fault; importing this package registers them."""

from tests.faults.cases import (  # noqa: F401
    bundles,
    cluster,
    damage,
    finetuning,
    identity,
    kills,
    network,
    operations,
    outages,
    processing,
    publishing,
    random_schedule,
    redis_answers,
    refresh,
)
