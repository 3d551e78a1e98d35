"""An increment replaces the model that it was compared with, or nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recsys.model.bundle import write_bundle
from recsys.model.publishing import publish_bundle
from recsys.online_store import Line, ModelPointer
from recsys.online_store.memory import MemoryStore
from stream.finetuning.answers import Proposal, Standing
from stream.finetuning.gate import Outcome, Verdict
from stream.finetuning.publication import publish_proposal
from tests.unit.stream.finetuning.drawn import START_MS, hybrid


class Training:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def follow(self, published: Path) -> Standing:
        self.told.append(published.name)
        return Standing("", published.name, None, {}, (), frozen=False)

    async def dropped(self) -> None:
        self.told.append("dropped")


async def published(store: MemoryStore, path: Path, before: ModelPointer | None) -> ModelPointer:
    _, pointer = await publish_bundle(store, path, replacing=before, at_ms=START_MS, keep=5)
    return pointer


@pytest.fixture
def bundles(models_dir: Path) -> list[Path]:
    """A retrain, an increment of it, and a later retrain."""
    drafts = (replace(hybrid(), created_at_ms=START_MS + second * 1000) for second in range(3))
    return [write_bundle(models_dir, draft) for draft in drafts]


async def test_the_pointer_moves_from_what_it_was_compared_with(bundles: list[Path]) -> None:
    store, training = MemoryStore(), Training()
    before = await published(store, bundles[0], None)
    proposal = Proposal(Verdict(Outcome.PASSED, ""), bundles[1], before.version)
    pointer = await publish_proposal(
        store, training, proposal, replacing=before, at_ms=START_MS + 9, keep=5, lists_behind=2
    )
    assert pointer == await store.model()
    assert pointer is not None
    assert pointer.version == bundles[1].name
    assert training.told == [bundles[1].name]


@pytest.mark.parametrize("known", [True, False])
async def test_it_is_dropped_where_a_retrain_was_published_meanwhile(bundles: list[Path], known: bool) -> None:
    """Whether this process has seen that publication already or not."""
    store, training = MemoryStore(), Training()
    before = await published(store, bundles[0], None)
    retrain = await published(store, bundles[2], before)
    proposal = Proposal(Verdict(Outcome.PASSED, ""), bundles[1], before.version)
    replacing = retrain if known else before
    assert (
        await publish_proposal(
            store, training, proposal, replacing=replacing, at_ms=START_MS + 9, keep=5, lists_behind=2
        )
        is None
    )
    assert await store.model() == retrain
    assert training.told == ["dropped"]


async def moved(store: MemoryStore, outcome: Outcome, bundle: Path, *, lists_behind: int) -> Line | None:
    """The line of what is published after a proposal."""
    before = await store.model()
    assert before is not None
    await publish_proposal(
        store,
        Training(),
        Proposal(Verdict(outcome, ""), bundle, before.version),
        replacing=before,
        at_ms=START_MS,
        keep=5,
        lists_behind=lists_behind,
    )
    after = await store.model()
    assert after is not None
    assert after.version == bundle.name
    return after.line


async def test_an_increment_has_the_lists_of_what_it_follows_served_and_a_roll_back_none(bundles: list[Path]) -> None:
    store = MemoryStore()
    await published(store, bundles[0], None)
    assert await moved(store, Outcome.PASSED, bundles[1], lists_behind=2) == Line((bundles[0].name,), 1, 2)
    assert await moved(store, Outcome.PASSED, bundles[2], lists_behind=2) == Line(
        (bundles[1].name, bundles[0].name), 2, 2
    )
    assert await moved(store, Outcome.ROLL_BACK, bundles[1], lists_behind=2) is None
    again = await moved(store, Outcome.PASSED, bundles[0], lists_behind=2)
    assert again == Line((bundles[1].name,), 1, 2)  # what was taken back is not in it


async def test_lists_may_all_be_replaced_by_each_increment(bundles: list[Path]) -> None:
    store = MemoryStore()
    await published(store, bundles[0], None)
    assert await moved(store, Outcome.PASSED, bundles[1], lists_behind=0) is None
