"""Publishing what the trainer proposes: only over the model that it was compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import structlog

from recsys.errors import PointerMoved
from recsys.model.publishing import PublishStore, publish_bundle
from recsys.online_store import ModelPointer
from stream.finetuning.answers import Proposal, Standing
from stream.finetuning.gate import Outcome

log = structlog.get_logger(__name__)


class Followed(Protocol):
    """What is told of a publication: the training process."""

    async def follow(self, published: Path) -> Standing:
        """See `Trainer.follow`."""
        ...

    async def dropped(self) -> None:
        """See `Trainer.dropped`."""
        ...


async def publish_proposal(
    store: PublishStore,
    training: Followed,
    proposal: Proposal,
    *,
    replacing: ModelPointer | None,
    at_ms: int,
    keep: int,
    lists_behind: int,
) -> ModelPointer | None:
    """Moves the pointer to an increment, or back to the model before, if it stands where the trainer takes it to stand.

    Args:
        store: The online store.
        training: Told what became of it.
        proposal: With a bundle.
        replacing: What this process takes to be published.
        at_ms: Now, ms since 1970 UTC.
        keep: How many bundles stay in the folder.
        lists_behind: How many versions cached lists may be behind an increment. After a roll-back none is served but
            those of the model that is published again.

    Returns:
        What is published now; None where another model is published than the proposal was compared with.

    Raises:
        BundleError: The bundle does not verify, or is not there any more; the pointer stays.
        ServiceUnavailable: Redis does not answer.
    """
    bundle = proposal.bundle
    if bundle is None or replacing is None or replacing.version != proposal.version_before:
        await training.dropped()
        return None
    line = replacing.line_after(lists_behind) if proposal.verdict.outcome is Outcome.PASSED else None
    try:
        _, pointer = await publish_bundle(store, bundle, replacing=replacing, at_ms=at_ms, keep=keep, line=line)
    except PointerMoved as error:
        log.warning("increment_dropped", error=str(error))
        await training.dropped()
        return None
    standing = await training.follow(bundle)
    log.info("increment_published", version=bundle.name, grows_from=standing.parent)
    return pointer
