"""Likes of a training side, as the item-item matrices read them (`recsys.model.item_item`)."""

from __future__ import annotations

from scipy import sparse

from batch.encoding import EncodedEvents
from recsys.model.item_item import Likes, faded_likes, likes


def liked_matrix(encoded: EncodedEvents, half_life_days: float) -> sparse.csr_array:
    """`faded_likes` of a whole training side, as of its last event."""
    liked = encoded.liked()
    user, course, time = encoded.user[liked], encoded.course[liked], encoded.time[liked]
    return faded_likes(user, course, time, int(encoded.time[-1]), encoded.shape, half_life_days)


def likes_before(encoded: EncodedEvents, at_ms: int) -> Likes:
    """The pairs liked strictly before an instant."""
    liked = encoded.liked(at_ms)
    return likes(encoded.user[liked], encoded.course[liked], encoded.time[liked], at_ms, encoded.shape)
