"""What was seen in service: counted days, judged windows and incidents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row, delete, select, tuple_, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from steward.adapters.postgres import tables
from steward.adapters.postgres.connection import Work
from steward.errors import ConflictError
from steward.gates import Outcome
from steward.monitoring.tallies import DayTally, Tally
from steward.monitoring.tallies.tally import FORMAT
from steward.monitoring.windows import Cause, Incident, IncidentState, JudgedWindow
from steward.types import Window, digest_of


class PostgresWindowTable:
    def __init__(self, work: Work) -> None:
        self._work = work

    def record(self, judged: JudgedWindow) -> None:
        row = {
            "model": judged.model,
            "version": judged.version,
            "window_start": judged.window.start,
            "window_end": judged.window.end,
            "outcome": judged.outcome.value,
            "causes": [cause.value for cause in judged.causes],
            "evidence": judged.evidence,
            "judged_at": judged.judged_at,
            "outcomes": {cause.value: outcome.value for cause, outcome in judged.outcomes.items()},
        }
        one_per_window = ["model", "version", "window_start", "window_end"]
        self._work.write(
            upsert(tables.windows).values(row).on_conflict_do_update(index_elements=one_per_window, set_=row)
        )

    def recent(self, model: str, limit: int, version: int | None = None) -> list[JudgedWindow]:
        columns = tables.windows.c
        wanted = select(tables.windows).where(columns.model == model)
        if version is not None:
            wanted = wanted.where(columns.version == version)
        newest_first = wanted.order_by(columns.window_end.desc(), columns.window_start.desc(), columns.version.desc())
        return [_judged(row) for row in reversed(self._work.rows(newest_first.limit(limit)))]

    def latest_everywhere(self) -> list[JudgedWindow]:
        columns = tables.windows.c
        newest = (columns.model, columns.version, columns.window_end.desc(), columns.window_start.desc())
        wanted = select(tables.windows).ext(distinct_on(columns.model, columns.version)).order_by(*newest)
        return [_judged(row) for row in self._work.rows(wanted)]


def _judged(row: Row[Any]) -> JudgedWindow:
    return JudgedWindow(
        model=row.model,
        version=row.version,
        window=Window(row.window_start, row.window_end),
        outcome=Outcome(row.outcome),
        causes=tuple(Cause(cause) for cause in row.causes),
        evidence=row.evidence,
        judged_at=row.judged_at,
        outcomes={Cause(cause): Outcome(outcome) for cause, outcome in (row.outcomes or {}).items()},
    )


class PostgresTallyTable:
    def __init__(self, work: Work) -> None:
        self._work = work

    def record(self, counted: DayTally) -> None:
        body = counted.tally.to_json()
        row = {
            "model": counted.model,
            "version": counted.version,
            "day": counted.day,
            "profile": counted.tally.profile,
            "counted_at": counted.counted_at,
            "rows": counted.tally.rows,
            "digest": digest_of(body),
            "body": body,
            "sample": counted.sample,
        }
        one_per_day = ["model", "version", "day"]
        self._work.write(upsert(tables.tallies).values(row).on_conflict_do_update(index_elements=one_per_day, set_=row))

    def days(self, model: str, version: int, first: date, last: date) -> list[DayTally]:
        columns = tables.tallies.c
        wanted = select(tables.tallies).where(
            columns.model == model, columns.version == version, columns.day.between(first, last)
        )
        rows = self._work.rows(wanted.order_by(columns.day))
        return [_counted(row) for row in rows if row.body.get("format") == FORMAT]

    def confirm(self, read: Sequence[DayTally], at: datetime) -> None:
        columns = tables.tallies.c
        key = tuple_(columns.model, columns.version, columns.day, columns.digest)
        theirs = key.in_([(each.model, each.version, each.day, each.digest) for each in read])
        self._work.write(update(tables.tallies).where(theirs).values(counted_at=at))

    def drop(self, model: str, first: date, last: date) -> None:
        columns = tables.tallies.c
        self._work.write(delete(tables.tallies).where(columns.model == model, columns.day.between(first, last)))

    def expire(self, model: str, before: date) -> int:
        columns = tables.tallies.c
        return self._work.write(delete(tables.tallies).where(columns.model == model, columns.day < before)).rowcount


def _counted(row: Row[Any]) -> DayTally:
    tally = Tally.from_json(row.body)
    return DayTally(row.model, row.version, row.day, tally, row.counted_at, row.sample, row.digest)


class PostgresIncidentTable:
    def __init__(self, work: Work) -> None:
        self._work = work

    def unresolved(self, model: str) -> list[Incident]:
        """Oldest first."""
        columns = tables.incidents.c
        open_ = (columns.model == model, columns.state != IncidentState.RESOLVED.value)
        wanted = select(tables.incidents).where(*open_).order_by(columns.opened_at, columns.id)
        return [_incident(row) for row in self._work.rows(wanted)]

    def all(self, model: str) -> list[Incident]:
        """Oldest first."""
        columns = tables.incidents.c
        wanted = select(tables.incidents).where(columns.model == model)
        return [_incident(row) for row in self._work.rows(wanted.order_by(columns.opened_at, columns.id))]

    def unresolved_everywhere(self) -> list[Incident]:
        columns = tables.incidents.c
        wanted = select(tables.incidents).where(columns.state != IncidentState.RESOLVED.value)
        return [_incident(row) for row in self._work.rows(wanted.order_by(columns.opened_at, columns.id))]

    def find(self, prefix: str) -> list[Incident]:
        columns = tables.incidents.c
        wanted = select(tables.incidents).where(columns.id.startswith(prefix, autoescape=True))
        return [_incident(row) for row in self._work.rows(wanted.order_by(columns.opened_at, columns.id))]

    def save(self, incident: Incident) -> Incident:
        self._work.claim()
        if incident.state is not IncidentState.RESOLVED:
            self._require_only(incident)
        row = asdict(incident) | {
            "state": incident.state.value,
            "cause": str(incident.cause),
            "window_start": incident.first_bad.start,
            "window_end": incident.first_bad.end,
        }
        del row["first_bad"]
        self._work.write(upsert(tables.incidents).values(row).on_conflict_do_update(index_elements=["id"], set_=row))
        return incident

    def _require_only(self, incident: Incident) -> None:
        for other in self.unresolved(incident.model):
            same = (other.version, other.cause) == (incident.version, incident.cause)
            if same and other.id != incident.id:
                raise ConflictError(
                    f"incident {other.id} of {incident.model}@{incident.version} ({incident.cause}) is open",
                    hint="update that one, or resolve it first",
                )


def _incident(row: Row[Any]) -> Incident:
    values = {**row._mapping, "first_bad": Window(row.window_start, row.window_end)}
    values["state"] = IncidentState(row.state)
    values["links"] = tuple(row.links)
    return Incident(**{field.name: values[field.name] for field in fields(Incident)})
