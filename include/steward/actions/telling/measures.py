"""Measures of delivery and care, from the audit events alone: as of any moment, and down to the events of a number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from steward.actions.state import Services, Transaction
from steward.errors import NotFoundError, RequestError
from steward.ledger import ALL_MODELS, AuditEvent
from steward.reporting.measures.definitions import measure_named
from steward.reporting.measures.reading import MEASURED_EVENTS, read_record
from steward.reporting.measures.record import PORTFOLIO
from steward.reporting.measures.view import DAYS, measured, measures_view, require_groupings
from steward.types import JsonObject, format_instant

LONGEST = 3660
MOST_EVENTS = 500
"""Of a drill-down, the newest; `left_out` counts the others."""
OF_EVERY_MODEL = "about every model; its words may count or name models that you may not see"


def tell_measures(
    services: Services,
    days: Sequence[int] = DAYS,
    by: Sequence[str] = (PORTFOLIO,),
    only: Collection[str] | None = None,
    *,
    of: str | None = None,
    at: datetime | None = None,
) -> JsonObject:
    """As of `at` (now, if None). `only` these models are counted, `of` names one group of the last of `by`.

    Raises RequestError for days or groupings that make no sense, and for a day to come.
    """
    _require_days(days)
    moment = _moment(services, at)
    with services.database.begin() as tx:
        events = _events(tx, moment, only)
    view = measures_view(read_record(events, moment), moment, days, by, of)
    return {**view, "generated_at": services.wall()}


def tell_measure_events(
    services: Services,
    measure: str,
    days: int = 30,
    by: str = PORTFOLIO,
    of: str | None = None,
    only: Collection[str] | None = None,
    *,
    at: datetime | None = None,
) -> JsonObject:
    """One figure and the events behind it, newest first. Raises NotFoundError for a measure nobody defined."""
    wanted, moment = measure_named(measure), _moment(services, at)
    _require_days([days])
    require_groupings([by])
    with services.database.begin() as tx:
        events, sees_all = _events(tx, moment, only), only is None or tx.events.models() <= set(only)
    found = measured(read_record(events, moment), wanted, moment, days, by, of)
    cited = set(found.events)
    rows = [_row(event, sees_all) for event in reversed(events) if event.seq in cited]
    return {
        "at": moment,
        "measure": wanted.to_json(),
        "days": days,
        "by": by,
        "of": of,
        "figure": found.to_json(),
        "events": rows[:MOST_EVENTS],
        "left_out": max(0, len(rows) - MOST_EVENTS),
    }


def _events(tx: Transaction, at: datetime, only: Collection[str] | None) -> list[AuditEvent]:
    found = tx.events.read(types=MEASURED_EVENTS, until=at)
    if only is None:
        return found
    return [event for event in found if event.model in only or event.model == ALL_MODELS]


def _row(event: AuditEvent, sees_all: bool) -> JsonObject:
    return {
        "seq": event.seq,
        "at": event.at,
        "model": event.model,
        "version": event.version,
        "event": event.type.value,
        "actor": event.actor,
        "reason": event.reason if sees_all or event.model != ALL_MODELS else OF_EVERY_MODEL,
    }


def _require_days(days: Sequence[int]) -> None:
    for count in days:
        if not 1 <= count <= LONGEST:
            raise RequestError(f"{count} days are no span to measure", hint=f"take 1 to {LONGEST}, usually 7, 30 or 90")


def _moment(services: Services, at: datetime | None) -> datetime:
    now = services.clock.now()
    if at is not None and at > now:
        raise RequestError(f"{at:%Y-%m-%d} has not come yet", hint=f"it is {format_instant(now)}")
    return at or now


def require_known(services: Services, model: str) -> None:
    """Raises NotFoundError, with the nearest name, for a model of which there is neither a spec nor an event."""
    with services.database.begin() as tx:
        known = bool(tx.events.read(model=model, limit=1))
    if not known:
        services.specs.module_path(model)
        raise NotFoundError(f"nothing is on record of {model}", hint="`steward status` lists the models")
