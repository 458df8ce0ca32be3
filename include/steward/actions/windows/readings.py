"""Puts together what the checks of a window are handed: counts, history, and the way to rows for those that ask."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING

from steward.actions.candidates.preparing import snapshot_of
from steward.actions.effects import logged_model
from steward.actions.state import Services
from steward.actions.windows.missed_windows import DAY, WindowsDue
from steward.actions.windows.tallying import count_days
from steward.errors import StewardError
from steward.ledger import SERVING_EVENTS
from steward.ledger.history import Period, serving_periods
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import DayTally, Tally
from steward.monitoring.windows import JudgedWindow
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.types import JsonObject, Window

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

REFERENCE_ROWS = 2000


class Readings:
    """Of the windows of one run. A day is counted once for all of them. `keep=False` records no counts."""

    def __init__(self, services: Services, spec: ModelSpec, due: WindowsDue, *, keep: bool = True) -> None:
        self._services, self._spec, self._due, self._keep = services, spec, due, keep
        self._profiles: dict[int, JsonObject | None] = {}
        self._days: dict[int, list[DayTally]] = {}

    @property
    def model(self) -> str:
        return self._spec.model

    def window(self, end: datetime) -> Window:
        return Window.ending(end, self._spec.monitoring.window.length)

    def of(self, version: ModelVersion, window: Window, judged: Sequence[JudgedWindow]) -> Reading | None:
        """None for a version without a profile: there is nothing to compare with. `judged`: before, newest last."""
        profile = self._profile(version)
        if profile is None:
            return None
        first, last = self._reach(version, window)
        days = [counted for counted in self._counted(version, profile) if first <= counted.day <= last]
        inside = [counted for counted in days if counted.day >= window.start.date()]
        against = days[-1].tally.profile
        before = [each for each in judged if each.version == version.number and each.window.end < window.end]
        return Reading(
            self._spec,
            profile,
            window,
            Tally.total(against, (counted.tally for counted in inside)),
            days,
            before,
            self._services.clock.now(),
            sample=lambda: _sample(inside),
            reference=cache(lambda: _reference(self._services, self._spec, version)),
            predict=_way_to_answer(self._services, self._spec, version),
            serving=[(each.since, each.until) for each in self._periods if each.version == version.number],
        )

    @cached_property
    def _periods(self) -> list[Period]:
        with self._services.database.begin() as tx:
            return serving_periods(tx.events.read(model=self.model, types=SERVING_EVENTS))

    def _profile(self, version: ModelVersion) -> JsonObject | None:
        from steward.monitoring.profiles.profile import read_profile

        if version.number not in self._profiles:
            with self._services.database.begin() as tx:
                found = tx.evidence.get(version.profile).body if version.profile else None
            self._profiles[version.number] = read_profile(found) if found else None
        return self._profiles[version.number]

    def _counted(self, version: ModelVersion, profile: JsonObject) -> list[DayTally]:
        if version.number not in self._days:
            ends = [end for end, each in self._due.missed if each.number == version.number]
            champion = self._due.champion
            ends += [self._due.end] if champion and champion.number == version.number else []
            reaches = [self._reach(version, self.window(end)) for end in ends]
            first, last = min(first for first, _ in reaches), max(last for _, last in reaches)
            self._days[version.number] = count_days(
                self._services, self._spec, version, profile, first, last, keep=self._keep
            )
        return self._days[version.number]

    def _reach(self, version: ModelVersion, window: Window) -> tuple[date, date]:
        """Days that trends are looked for in: of the window at least, and none before there was such a version."""
        trend = (window.end - self._spec.monitoring.drift.trend).date()
        if version.created_at is not None:
            trend = max(trend, version.created_at.date())
        return min(trend, window.start.date()), (window.end - DAY).date()


def _sample(days: Sequence[DayTally]) -> pd.DataFrame | None:
    from steward.monitoring.profiles.samples import merge_samples

    packed = [counted.sample for counted in days if counted.sample is not None]
    return merge_samples(packed) if packed else None


def _reference(services: Services, spec: ModelSpec, version: ModelVersion) -> pd.DataFrame | None:
    """The same rows of the version's training data, whenever they are asked for."""
    if "snapshot" not in version.evidence:
        return None
    try:
        rows = services.snapshots.read(snapshot_of(services, version.evidence["snapshot"]), list(spec.data.features))
    except StewardError as error:
        log.warning("the training rows of %s cannot be read: %s", version.ref, error)
        return None
    return rows.sample(min(REFERENCE_ROWS, len(rows)), random_state=0).reset_index(drop=True)


def _way_to_answer(
    services: Services, spec: ModelSpec, version: ModelVersion
) -> Callable[[pd.DataFrame], object] | None:
    """Loading a model is dear: only where a check that was declared asks for its answers."""
    if spec.monitoring.drift.attribution is None:
        return None
    try:
        model = services.models.load(logged_model(version))
    except StewardError as error:
        log.warning("%s cannot be loaded to explain its answers: %s", version.ref, error)
        return None

    def predict(rows: pd.DataFrame) -> object:
        from steward.training.fitting import fitted_on, score

        return score(model, rows.reindex(columns=fitted_on(model, rows.columns)), spec.data.label.classes)

    return predict
