"""The fold, tried again when it fails, and without the events it keeps failing on.

The fold is pure, so an exception in it is either the event's (it stays) or the machine's (memory, say: it passes).
"""

from __future__ import annotations

import asyncio

import structlog

from recsys.errors import InvalidEvent, RefusalReason, UnreadableState
from recsys.online_store import Effects, ShardState
from stream.engagement.fold import Batch, FoldRules, Refused, fold

log = structlog.get_logger(__name__)

FOLD_PAUSES_S = (0.05, 0.1, 0.2, 0.4)


async def fold_patiently(batch: Batch, state: ShardState, rules: FoldRules) -> Effects:
    """What the batch changes; an event the fold keeps failing on is moved to the refused ones.

    Args:
        batch: Decoded records; events that cannot be folded leave it.
        state: What the store answered.
        rules: Of the fold.

    Raises:
        UnreadableState: What the store answered is no state of a projection.
    """
    try:
        return await _tried_again(batch, state, rules)
    except UnreadableState:
        raise  # neither the event's nor the machine's: what is stored cannot be read
    except Exception:
        log.exception("fold_failed", records=len(batch.events))
    for event, source in list(zip(batch.events, batch.sources, strict=True)):
        alone = Batch([event], [source])
        try:
            await _tried_again(alone, state, rules)
        except Exception as error:  # noqa: BLE001 - whatever it is, the partition goes on
            at = batch.sources.index(source)
            refusal = InvalidEvent(RefusalReason.FOLD_FAILED, repr(error))
            refusal.__cause__ = error  # the dead letter shows its stack
            batch.refused.append(Refused(source, refusal))
            del batch.events[at], batch.sources[at]
    return await _tried_again(batch, state, rules)


async def _tried_again(batch: Batch, state: ShardState, rules: FoldRules) -> Effects:
    for pause in FOLD_PAUSES_S:
        try:
            return fold(batch, state, rules)
        except UnreadableState:
            raise
        except Exception as error:  # noqa: BLE001 - the last try raises it
            log.warning("fold_tried", records=len(batch.events), error=repr(error), pause_s=pause)
        await asyncio.sleep(pause)
    return fold(batch, state, rules)
