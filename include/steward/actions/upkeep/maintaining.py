"""Upkeep of the prediction log: outcomes from tables, folding, retention, merging, and the right to be forgotten."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta

from steward.actions.candidates.preparing import LOAD_LIMIT
from steward.actions.effects import deliver
from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.data import Upkeep
from steward.data.privacy import keyed_hash
from steward.errors import NotFoundError, PolicyError, RequestError, StewardError, UnavailableError
from steward.ledger import ALL_MODELS, EventDraft, EventType
from steward.spec import FaultsError, ModelSpec
from steward.training import ModelCode
from steward.types import JsonObject, Window, parse_instant

log = logging.getLogger(__name__)

COMPACTION_HOUR = 3  # UTC: merging files is for the night
LATE_OUTCOMES = timedelta(days=30)  # beyond the time the spec gives them
_ALL = datetime(1970, 1, 2, tzinfo=UTC)


def maintain_log(services: Services, *, actor: str, compact: bool | None = None) -> JsonObject:
    """Every model's log: outcomes taken from its table, segments folded, old rows deleted, small files merged.

    `compact`: merge files, or not; None: at night. One event when anything changed. A model whose log or outcomes
    cannot be reached holds no other up: UnavailableError at the end names it.
    """
    deliver(services)  # what waited for the end of quiet hours, or for a channel that was down
    wanted = services.wall().hour == COMPACTION_HOUR if compact is None else compact
    done: dict[str, JsonObject] = {}
    failed: dict[str, str] = {}
    for model in _models(services):
        with _noted(model, failed):
            if changed := _maintain(services, model, failed, compact=wanted):
                done[model] = changed
    if done:
        _record(services, ALL_MODELS, actor, _said(done), models=done, compacted=wanted)
    if failed:
        first, said = next(iter(failed.items()))
        hint = "the next run tries again; every other model is done"
        raise UnavailableError(f"the logs of {', '.join(failed)} were not maintained: {said}", where=first, hint=hint)
    return {"models": done, "compacted": wanted}


def load_outcomes(services: Services, spec: ModelSpec, *, actor: str, since: str | None = None) -> JsonObject:
    """Outcomes that `data.outcomes` tells and the log has never held. Asked again, it records nothing twice.

    Raises NotFoundError when the spec names no such function.
    """
    if spec.data.outcomes is None:
        hint = "name one, such as data.outcomes: model:outcomes, or post outcomes to the model server"
        raise NotFoundError(f"{spec.model} names no function for outcomes", where="data.outcomes", hint=hint)
    recorded = _load_outcomes(services, spec, parse_instant(since) if since else None)
    if recorded:
        said = f"recorded {recorded} outcomes of {spec.model}"
        _record(services, spec.model, actor, said, models={spec.model: {"outcomes": recorded}}, compacted=False)
    return {"recorded": recorded}


def forget_subject(
    services: Services, spec: ModelSpec, *, run: str | None, actor: str, subject: str, reason: str
) -> JsonObject:
    """Erase all that was predicted about a person, and what became of it. The ledger keeps the keyed hash alone.

    Asked again it finds nothing more, and says so. Raises PolicyError for a model that logs no persons, RequestError
    for a reason that names the person.
    """
    if spec.data.subject is None:
        hint = "name the column of the person under data.subject; rows logged while none is named hold no person"
        raise PolicyError(f"{spec.model} knows no persons", where="data.subject", hint=hint)
    if subject.casefold() in reason.casefold():
        raise RequestError(
            "the reason names the person", where="--reason", hint="a ledger forgets nothing: say it without"
        )
    hashed = keyed_hash(services.log_key, spec.model, subject)
    op = Operation.begin(services, "forget_subject", spec.model, run, actor, subject=hashed)
    if done := op.earlier():
        return done
    erased = asdict(services.predictions.forget(spec.model, hashed, services.wall()))

    def write(tx: Transaction) -> JsonObject:
        counts = {**erased, "sampled": _forget_sampled(tx, spec.model, hashed)}
        tx.events.append(op.event(EventType.SUBJECT_FORGOTTEN, reason, subject=hashed, **counts))
        return {"subject": hashed, **counts}

    return op.commit(write)


def _forget_sampled(tx: Transaction, model: str, subject: str) -> int:
    """Monitoring keeps a few rows of every day. A day that is being counted meanwhile looks for this event itself."""
    from steward.monitoring.profiles.samples import sampled_rows, without_subjects

    erased = 0
    for version in tx.versions.all(model):
        for counted in tx.tallies.days(model, version.number, date.min, date.max):
            kept = without_subjects(counted.sample, [subject]) if counted.sample else None
            if counted.sample and kept and kept is not counted.sample:
                erased += sampled_rows(counted.sample) - sampled_rows(kept)
                tx.tallies.record(replace(counted, sample=kept))
    return erased


def _models(services: Services) -> list[str]:
    with services.database.begin() as tx:
        return sorted({*services.specs.ids(), *(version.model for version in tx.versions.everywhere())})


@contextmanager
def _noted(model: str, failed: dict[str, str]) -> Iterator[None]:
    """The first error of a model is told at the end."""
    try:
        yield
    except StewardError as error:
        log.warning("the log of %s was not maintained: %s", model, error)
        failed.setdefault(model, str(error))


def _maintain(services: Services, model: str, failed: dict[str, str], *, compact: bool) -> JsonObject:
    """Of a spec that is broken or gone nobody knows how long to keep: its rows stay. Outcomes that cannot be had
    hold neither folding nor retention up."""
    try:
        spec = services.specs.get(model)
    except (FaultsError, NotFoundError):
        spec = None
    recorded, done = 0, Upkeep()
    with _noted(model, failed):
        recorded = _load_outcomes(services, spec) if spec is not None and spec.data.outcomes else 0
    keep_from = services.clock.now() - spec.data.log_keep if spec is not None else _ALL
    with _noted(model, failed):
        done = services.predictions.maintain(model, keep_from, compact=compact)
    days = _expire_counts(services, model, keep_from) if done.expired else {}
    return {**asdict(done), **days, "outcomes": recorded} if done.changed or recorded else {}


def _expire_counts(services: Services, model: str, keep_from: datetime) -> JsonObject:
    """Counts of days go with their rows."""
    with services.database.begin() as tx:
        return {"expired_days": tx.tallies.expire(model, keep_from.date())}


def _load_outcomes(services: Services, spec: ModelSpec, since: datetime | None = None) -> int:
    from steward.data.outcomes import not_known, outcome_rows, read_outcomes

    now, function = services.clock.now(), str(spec.data.outcomes)
    window = Window(since or now - spec.data.label.arrives_after - LATE_OUTCOMES, now)
    code = ModelCode(services.specs.module_path(spec.model))
    told = read_outcomes(spec, window, lambda start, end: code.call(function, start, end, limit=LOAD_LIMIT))
    fresh = not_known(told, services.predictions.outcomes_since(spec.model, window.start))
    if len(fresh):
        services.predictions.append_outcomes(spec.model, outcome_rows(fresh, services.wall()))
    return len(fresh)


def _record(services: Services, model: str, actor: str, said: str, **body: object) -> None:
    with services.database.begin() as tx:
        tx.events.append(EventDraft(EventType.LOG_MAINTAINED, model, actor, said, None, None, body))


def _said(done: dict[str, JsonObject]) -> str:
    counted = {key: sum(each[key] for each in done.values()) for key in ("folded", "expired")}
    rows = [f"{count} rows {word}" for word, count in counted.items() if count]
    outcomes = sum(each["outcomes"] for each in done.values())
    return ", ".join([*rows, *([f"{outcomes} outcomes recorded"] if outcomes else [])]) or "small files merged"
