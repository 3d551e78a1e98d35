"""The bytes of a cached top-N, msgpack of ids beside float32 scores, some 12 a course; and of all courses' activity.

Course ids, not indices into a bundle, so that a reader with another bundle version (or none) can still use the list.
"""

from __future__ import annotations

import msgspec
import numpy as np

from recsys.online_store.values import AllActivity, CachedTop


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    user_id: str
    model_version: str
    computed_at_ms: int
    course_ids: tuple[str, ...]
    scores: bytes
    included_offset: int | None = None  # releases without it read the first five and leave it


_decoder = msgspec.msgpack.Decoder(_Packed)


def pack_top(top: CachedTop) -> bytes:
    """A cached list as bytes; scores are rounded to float32."""
    scores = np.asarray(top.scores, dtype="<f4").tobytes()
    return msgspec.msgpack.encode(
        _Packed(top.user_id, top.model_version, top.computed_at_ms, tuple(top.course_ids), scores, top.included_offset)
    )


def unpack_top(value: bytes) -> CachedTop:
    """The inverse of `pack_top`.

    Raises:
        msgspec.DecodeError: For bytes that are no cached list.
    """
    packed = _decoder.decode(value)
    scores = tuple(np.frombuffer(packed.scores, dtype="<f4").tolist())
    return CachedTop(
        packed.user_id,
        packed.model_version,
        packed.computed_at_ms,
        packed.course_ids,
        scores,
        packed.included_offset,
    )


class _PackedActivity(msgspec.Struct, array_like=True, frozen=True):
    form: int
    computed_at_ms: int
    course_ids: tuple[str, ...]
    vectors: bytes


_activity_decoder = msgspec.msgpack.Decoder(_PackedActivity)


def pack_activity(merged: AllActivity) -> bytes:
    """Merged activity as bytes."""
    return msgspec.msgpack.encode(
        _PackedActivity(merged.form, merged.computed_at_ms, merged.course_ids, merged.vectors)
    )


def unpack_activity(value: bytes) -> AllActivity:
    """The inverse of `pack_activity`.

    Raises:
        msgspec.DecodeError: For bytes that are none.
    """
    packed = _activity_decoder.decode(value)
    return AllActivity(packed.computed_at_ms, packed.course_ids, packed.vectors, packed.form)
