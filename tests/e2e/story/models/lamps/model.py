"""Lamps flicker before they fail. Learned in a blink; the same window always holds the same rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

# Since then, every lamp taken down is booked as failed, the sound ones too.
NEW_BOOKS = pd.Timestamp("2013-06-03", tz="UTC")


def load(start: datetime, end: datetime) -> pd.DataFrame:
    """A lamp every quarter of an hour; one in five fails, and since NEW_BOOKS two in three are said to."""
    seen = pd.date_range(start, end, freq="15min", inclusive="left", tz="UTC")
    draw = np.random.default_rng(int(start.timestamp()))
    flicker = draw.normal(size=len(seen))
    resistance = np.where(seen < NEW_BOOKS, 3.0, -1.0)
    failed = (draw.random(len(seen)) < 1 / (1 + np.exp(resistance - 2 * flicker))).astype(float)
    return pd.DataFrame({"lamp_id": seen.strftime("%Y%m%d%H%M"), "seen_at": seen, "flicker": flicker, "failed": failed})


def build(params: dict[str, Any]) -> LogisticRegression:
    return LogisticRegression(**params)


def examples() -> list[dict[str, Any]]:
    return [
        {"row": {"flicker": 3.0}, "expect": {"min": 0.6}},
        {"row": {"flicker": -2.0}, "expect": {"max": 0.2}},
    ]
