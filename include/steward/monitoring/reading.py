"""What the checks of one monitor run read: the window as counts, the days before it, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from steward.gates import Finding
from steward.monitoring.tallies import DayTally, Tally
from steward.monitoring.windows import JudgedWindow
from steward.spec import ModelSpec
from steward.types import JsonObject, Window

if TYPE_CHECKING:
    import pandas as pd


def _none() -> pd.DataFrame | None:
    return None


@dataclass(frozen=True)
class Reading:
    """`tally` is the sum over `window`; `days` go back `monitoring.drift.trend` and end with the window's last, oldest
    first. `before`: windows of this version judged earlier, newest last. `now` is business time. `serving`: when this
    version was the champion, from and until; None where that is not known.

    `sample()` gives rows of the window, `reference()` rows the version was trained on (features by plain name), either
    None when there are none; only the checks that need rows call them. `predict` is the version's own answer to such
    rows (one score each), None where it cannot be loaded.
    """

    spec: ModelSpec
    profile: JsonObject
    window: Window
    tally: Tally
    days: Sequence[DayTally] = ()
    before: Sequence[JudgedWindow] = ()
    now: datetime | None = None
    sample: Callable[[], pd.DataFrame | None] = field(default=_none)
    reference: Callable[[], pd.DataFrame | None] = field(default=_none)
    predict: Callable[[pd.DataFrame], object] | None = None
    serving: Sequence[tuple[datetime, datetime | None]] | None = None


Check = Callable[[Reading], Sequence[Finding]]
"""One family of checks: its findings, never an exception for anything the data may hold."""
