"""Served days are counted once each, and again only when something came for them since.

A closed day is counted in one pass over its rows, against the profile of the version that answered, and the counts are
kept. Outcomes arrive for days or weeks, so a day is counted again when one was recorded after it was counted; so is a
day without rows while it is recent (a batch may be scored late), and every day once the spec or the profile says to
count differently. A day that is not over yet is counted for whoever asks and never kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from steward.actions.state import Services, Transaction
from steward.ledger import EventType
from steward.monitoring.tallies import DayTally
from steward.monitoring.tallies.tally import FORMAT
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.types import JsonObject, Window, digest_of

if TYPE_CHECKING:
    import pyarrow as pa

    from steward.monitoring.profiles.samples import Sampler

DAY = timedelta(days=1)
LATE_ROWS = timedelta(days=7)
"""A day without rows is looked at again while it is this recent."""
CLOCKS_APART = timedelta(minutes=5)
"""What was recorded this shortly before a count may not have been in it: servers stamp rows by their own clocks."""


def count_days(
    services: Services,
    spec: ModelSpec,
    version: ModelVersion,
    profile: JsonObject,
    first: date,
    last: date,
    *,
    keep: bool = True,
) -> list[DayTally]:
    """Every day from `first` to `last`, oldest first. Only what is not yet counted is read from the prediction log,
    and kept with the rest unless told otherwise."""
    against, asked_at = counted_against(spec, version), services.wall()
    with services.database.begin() as tx:
        stored = tx.tallies.days(spec.model, version.number, first, last)
    known = {counted.day: counted for counted in stored if _holds(counted, against, asked_at)}
    stale = _told_since(services, spec, known) | _quiet(services, known)
    found = []
    for day in _days(first, last):
        if day in known and day not in stale:
            found.append(known[day])
            continue
        found.append(_count(services, spec, version, profile, against, day))
        if keep and window_of(day).end <= services.clock.now():
            _keep(services, spec, found[-1])
    if keep:
        _confirm(services, [known[day] for day in sorted(known.keys() - stale)], asked_at)
    return found


def _holds(counted: DayTally, against: str, now: datetime) -> bool:
    """A day that was counted later than now was counted by a clock that was ahead: what came since is not known."""
    return counted.tally.profile == against and counted.counted_at <= now + CLOCKS_APART


def counted_against(spec: ModelSpec, version: ModelVersion) -> str:
    """Names all that decides how a row is counted: counts of another name do not align and are counted again."""
    watched = spec.monitoring
    fairness = watched.fairness or spec.evaluation.fairness
    sampled = watched.drift.domain_classifier is not None or watched.drift.attribution is not None
    data = spec.data.model_dump(mode="json", include={"label", "features", "protected", "privacy", "subject"})
    return digest_of(
        {
            "format": FORMAT,
            "profile": version.profile,
            "task": spec.task.value,
            "data": data,
            "slices": spec.evaluation.slices,
            "fairness": fairness.model_dump(mode="json") if fairness else None,
            "sampled": sampled,
        }
    )


def window_of(day: date) -> Window:
    start = datetime.combine(day, time(), UTC)
    return Window(start, start + DAY)


def _days(first: date, last: date) -> list[date]:
    return [first + DAY * place for place in range((last - first).days + 1)]


def _told_since(services: Services, spec: ModelSpec, known: Mapping[date, DayTally]) -> set[date]:
    """Days that an outcome was recorded for after they were counted, or shortly before."""
    if not known:
        return set()
    oldest = min(counted.counted_at for counted in known.values())
    return services.predictions.days_told(spec.model, oldest - CLOCKS_APART, min(known)) & known.keys()


def _quiet(services: Services, known: Mapping[date, DayTally]) -> set[date]:
    recent = (services.clock.now() - LATE_ROWS).date()
    return {day for day, counted in known.items() if day >= recent and not counted.tally.rows}


def _count(
    services: Services, spec: ModelSpec, version: ModelVersion, profile: JsonObject, against: str, day: date
) -> DayTally:
    from steward.monitoring.profiles.samples import Sampler
    from steward.monitoring.tallies.counting import count_rows

    counted_at, sampler = services.wall(), Sampler(spec, services.log_key)
    batches = services.predictions.batches(spec.model, window_of(day), _columns(spec), version=version.number)
    tally = count_rows(spec, profile, against, _shown(batches, sampler))
    return DayTally(spec.model, version.number, day, tally, counted_at, sampler.pack())


def _shown(batches: Iterator[pa.RecordBatch], sampler: Sampler) -> Iterator[pa.RecordBatch]:
    """One pass serves both."""
    for batch in batches:
        sampler.add(batch)
        yield batch


def _columns(spec: ModelSpec) -> list[str]:
    """What counting and sampling read of the log; a column that it does not have is left out."""
    from steward.monitoring.profiles.samples import sample_columns

    plain = ["at", "recorded_at", "latency_ms", "source", "label", "value", "observed_at", "told", "labels_told"]
    features = [f"f_{name}" for name in spec.data.features if spec.data.privacy.get(name) != "drop"]
    groups = [f"g_{name}" for name in spec.data.protected if name not in spec.data.features]
    return list(dict.fromkeys([*sample_columns(spec), *plain, "probabilities", *features, *groups]))


def _keep(services: Services, spec: ModelSpec, counted: DayTally) -> None:
    """Each in a transaction of its own: a run that is killed leaves what it counted."""
    with services.database.begin() as tx:
        if counted.sample is not None and spec.data.subject is not None:
            tx.claim()  # nobody is forgotten between the look and the record
            counted = replace(counted, sample=_without_forgotten(tx, counted, counted.sample))
        tx.tallies.record(counted)


def _without_forgotten(tx: Transaction, counted: DayTally, sample: bytes) -> bytes:
    """A person may have been forgotten after their rows were read: their rows must not come back as a sample."""
    from steward.monitoring.profiles.samples import without_subjects

    told = tx.events.read(model=counted.model, types=[EventType.SUBJECT_FORGOTTEN])
    return without_subjects(sample, [event.body["subject"] for event in told])


def _confirm(services: Services, read: Sequence[DayTally], asked_at: datetime) -> None:
    """So that the next run asks only for what was recorded from now on."""
    if read:
        with services.database.begin() as tx:
            tx.tallies.confirm(read, asked_at)
