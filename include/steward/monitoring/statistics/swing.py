"""How far windows of the reference lie from the whole of it: what a feature does while the model is as it was trained.

A week of weather is never like the quarter it belongs to: PSI of 0.7 to 1.7 in an ordinary week. That is a real
difference between rows, so the pinned rule reports it; it is no news, so its effect is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steward.monitoring.profiles.bins import Bins, Vector, is_known
from steward.monitoring.statistics.psi import psi
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

    Places = NDArray[np.int64]

FEWEST_WINDOWS = 4


def windows_in(times: pd.Series, length: timedelta) -> list[Places]:
    """The places of the rows of every whole window, cut back from the newest row. None without a time."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(times) or times.isna().any() or not len(times):
        return []
    known = pd.to_datetime(times, utc=True)
    number = ((known.max() - known) // length).to_numpy(np.int64)
    whole = int((known.max() - known.min()) // length)
    order = np.argsort(number, kind="stable")
    return np.split(order, np.searchsorted(number[order], np.arange(1, whole + 1)))[:whole]


def swing_of(bins: Bins, values: Vector, windows: Sequence[Places]) -> JsonObject | None:
    """PSI of every window against the whole: the middle and the highest. None below FEWEST_WINDOWS with values."""
    came = [values[places][is_known(values[places])] for places in windows]
    shares = [count / bins.rows for count in bins.counts] if bins.rows else []
    found = [psi(shares, bins.count(known) / len(known)) for known in came if len(known)]
    if len(found) < FEWEST_WINDOWS:
        return None
    return {"windows": len(found), "median": float(np.median(found)), "highest": max(found)}
