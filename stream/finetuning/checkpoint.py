"""The checkpoint: everything the training process knows, and the offsets that it contains, in one file.

Written whole or not at all, with a SHA-256 before its content; no pickle.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.errors import FinetuningError
from recsys.process.atomic import write_atomically

FILE = "checkpoint"
_DIGEST_BYTES = 32
_ARRAY = 1


def write_checkpoint(folder: Path, state: Any) -> int:
    """Replaces the checkpoint in one step.

    Args:
        folder: The fine-tuner's.
        state: Mappings, sequences, numbers, texts, bytes and arrays.

    Returns:
        Its size in bytes.

    Raises:
        FinetuningError: It cannot be written; the one before stays.
    """
    content = msgspec.msgpack.encode(state, enc_hook=_packed)
    try:
        write_atomically(folder / FILE, hashlib.sha256(content).digest(), content)
    except OSError as error:
        raise FinetuningError(f"cannot write the checkpoint {folder / FILE}: {error.strerror}") from None
    return len(content)


def read_checkpoint(folder: Path) -> Any | None:
    """The state of the last checkpoint; None where there is none.

    Raises:
        FinetuningError: The file cannot be read or was changed.
    """
    file = folder / FILE
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FinetuningError(f"cannot read the checkpoint {file}: {error.strerror}") from None
    if hashlib.sha256(raw[_DIGEST_BYTES:]).digest() != raw[:_DIGEST_BYTES]:
        raise FinetuningError(f"the checkpoint {file} was changed after it was written; move it away to begin anew")
    return msgspec.msgpack.decode(raw[_DIGEST_BYTES:], ext_hook=_unpacked)


def _packed(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"no form for {type(value).__name__} in a checkpoint")
    content = [value.dtype.str, value.shape, np.ascontiguousarray(value).reshape(-1).view(np.uint8).data]
    return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(content))


def _unpacked(code: int, content: memoryview) -> NDArray[Any]:
    if code != _ARRAY:
        raise FinetuningError(f"expected arrays in a checkpoint, received the extension {code}")
    kind, shape, raw = msgspec.msgpack.decode(content)
    return np.frombuffer(raw, np.dtype(kind)).reshape(shape).copy()
