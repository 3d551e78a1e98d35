"""The distinct values of a column: publishers' columns repeat themselves, so each value is read once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def distinct(column: pd.Series[Any]) -> tuple[NDArray[np.intp], Sequence[Any]]:
    """Each row's place among the distinct values, −1 where it is null, and the values.

    Lists and structures of a Parquet file count as null: no importer has a column of them.
    """
    values = column.astype(object)
    if pd.api.types.is_object_dtype(column.dtype):
        values = values.map(lambda value: None if isinstance(value, list | dict | np.ndarray) else value).astype(object)
    codes, found = pd.factorize(values, use_na_sentinel=True)
    return codes, list(found)
