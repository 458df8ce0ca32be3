"""Judging served windows: the nightly one, and those before it that were missed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from steward.actions.operation import Operation, day_of, ended_since
from steward.actions.state import Services, Transaction
from steward.actions.windows.missed_windows import WindowsDue, windows_due
from steward.actions.windows.readings import Readings
from steward.gates import Evidence, Outcome, Verdict
from steward.ledger import EventType
from steward.monitoring.windows import JudgedWindow
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.types import JsonObject, Window, digest_of, format_instant, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from steward.monitoring.reading import Reading
    from steward.monitoring.windows import Cause


@dataclass(frozen=True)
class Judgement:
    """One window, before anything of it is recorded. Without a reading nothing was judged: no version served, or it
    has no profile."""

    model: str
    window: Window
    version: ModelVersion | None
    verdict: Verdict
    outcomes: Mapping[Cause, Outcome]
    reading: Reading | None = None

    @property
    def causes(self) -> tuple[Cause, ...]:
        return tuple(cause for cause, outcome in self.outcomes.items() if outcome is Outcome.FAILED)

    @cached_property
    def evidence(self) -> Evidence:
        body = {
            "version": self.version.number if self.version else None,
            "window": self.window.to_json(),
            "verdict": self.verdict.to_json(),
            "causes": self.causes,
            "outcomes": self.outcomes,
            **(_basis(self.reading) if self.reading else {}),
            **(_in_use(self.reading) if self.reading else {}),
            **(_performance(self.reading) if self.reading else {}),
            **(_meaning(self.reading, self.verdict, self.outcomes) if self.reading else {}),
        }
        return Evidence("window", self.model, body)


def _in_use(reading: Reading) -> JsonObject:
    """How groups fared and how busy it was, whether the spec sets limits or not; None where it is not known."""
    from steward.monitoring.checks.operation import utilisation
    from steward.monitoring.performance.served_groups import group_shares

    return {"fairness": group_shares(reading), "utilisation": utilisation(reading)}


def _performance(reading: Reading) -> JsonObject:
    """Every metric of the outcomes that are due, and of the estimate: a limit may be set on any of them later."""
    from steward.monitoring.performance.figures import performance_figures

    return {"performance": performance_figures(reading)}


def _basis(reading: Reading) -> JsonObject:
    """What the verdict rests on: rows, and the counts of every day by digest, so that it can be told whether a day
    was counted again since."""
    days = {str(counted.day): counted.digest or digest_of(counted.tally.to_json()) for counted in reading.days}
    return {"rows": reading.tally.rows, "counted": {"against": reading.tally.profile, "days": days}}


def _meaning(reading: Reading, verdict: Verdict, outcomes: Mapping[Cause, Outcome]) -> JsonObject:
    """How much each trouble weighs; and, where drift was judged, whether what moved is what the model relies on."""
    from steward.monitoring.statistics.effect import effect
    from steward.monitoring.summary import summary
    from steward.monitoring.windows import Cause

    failed = (cause for cause, outcome in outcomes.items() if outcome is Outcome.FAILED)
    effects: JsonObject = {"effects": {cause: effect(reading, verdict, cause) for cause in failed}}
    return {**effects, "summary": summary(reading, verdict)} if Cause.DRIFT in outcomes else effects


def judge_window(services: Services, spec: ModelSpec, *, run: str, actor: str, as_of: str | None = None) -> JsonObject:
    """Judge what the champion served in the window that ends with the last full day before `as_of`.

    Windows that the schedule asked for since the last judged one and that no run judged come first, oldest first, each
    for the version that served when it ended. A model whose endpoint was closed for good has nothing to judge: its
    monitor ends quietly and writes nothing.
    """
    if ended := ended_since(services, spec.model):
        return {"outcome": Outcome.INCONCLUSIVE.value, "version": None, "causes": [], "reasons": [ended]}
    op = Operation.begin(services, "judge_window", spec.model, run, actor, as_of=as_of)
    if done := op.earlier():
        return done
    due = windows_due(services, spec, day_of(services, as_of))
    found = _judge_all(services, spec, due)

    def write(tx: Transaction) -> JsonObject:
        answers = [_record(services, tx, op, due, judged) for judged in found]
        return {**answers[-1], "caught_up": len(found) - 1}

    return op.commit(write)


def judge_now(services: Services, spec: ModelSpec, as_of: str | None = None) -> Judgement:
    """As `judge_window` would judge the window that ends before `as_of`. Nothing of it is recorded."""
    due = windows_due(services, spec, day_of(services, as_of))
    readings = Readings(services, spec, due, keep=False)
    return _judge(readings, due.end, due.champion, due.windows)


# --- judging ------------------------------------------------------------------------------------------


def _judge_all(services: Services, spec: ModelSpec, due: WindowsDue) -> list[Judgement]:
    """Those that are caught up are judged from counts alone; each is history to those after it."""
    readings, judged = Readings(services, spec, due), list(due.windows)
    found = []
    for end, version in due.missed:
        found.append(_judge(readings, end, version, judged, from_rows=False))
        judged.append(_as_recorded(services, found[-1], version))
    return [*found, _judge(readings, due.end, due.champion, judged)]


def _judge(
    readings: Readings,
    end: datetime,
    version: ModelVersion | None,
    judged: Sequence[JudgedWindow],
    *,
    from_rows: bool = True,
) -> Judgement:
    from steward.monitoring.checks.judging import judge, outcome_by_cause

    window = readings.window(end)
    reading = readings.of(version, window, judged) if version else None
    verdict = judge(reading, from_rows=from_rows) if reading else Verdict()
    return Judgement(readings.model, window, version, verdict, outcome_by_cause(verdict), reading)


def _as_recorded(services: Services, judgement: Judgement, version: ModelVersion) -> JudgedWindow:
    return JudgedWindow(
        judgement.model,
        version.number,
        judgement.window,
        judgement.verdict.outcome,
        judgement.causes,
        judgement.evidence.digest,
        services.clock.now(),
        judgement.outcomes,
    )


# --- recording ----------------------------------------------------------------------------------------


def _record(services: Services, tx: Transaction, op: Operation, due: WindowsDue, judgement: Judgement) -> JsonObject:
    """Evidence, window and event of one judgement; the answer of a run that judged no other."""
    version, window, verdict = judgement.version, judgement.window, judgement.verdict
    digest = tx.evidence.put(judgement.evidence)
    if version is not None:
        tx.windows.record(_as_recorded(services, judgement, version))
    reasons, number = list(verdict.reasons), version.number if version else None
    told = {"window": window.to_json(), "outcome": verdict.outcome, "causes": judgement.causes}
    event = op.event(
        EventType.WINDOW_JUDGED,
        "; ".join(reasons[:3]) or "every check held",
        version=number,
        evidence=digest,
        **told,
        outcomes=judgement.outcomes,
        utilisation=judgement.evidence.body.get("utilisation"),
        **_circumstances(due, window),
    )
    tx.events.append(event)
    return {**to_json(told), "evidence": digest, "version": number, "reasons": reasons[:20]}


def _circumstances(due: WindowsDue, window: Window) -> JsonObject:
    """What was unusual about judging it."""
    said: JsonObject = {}
    if window.end < due.end:
        said["caught_up"] = True
    elif due.given_up:
        said["never_judged"] = due.given_up
    if due.behind and window.end == due.end:
        said["behind"] = format_instant(due.behind)
    return said
