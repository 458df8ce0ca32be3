"""Incidents that judged windows open, keep up to date and end."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache

from steward.actions.incidents.changing import monitored_incidents, resolve_incident, save_incident
from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.gates import Outcome, Verdict
from steward.ledger import EventType
from steward.monitoring.episodes import Episode, Recovered, latest_episode, outcome_of, settled_to
from steward.monitoring.severity import severity, worst
from steward.monitoring.windows import Cause, Incident, IncidentState, JudgedWindow
from steward.spec import ModelSpec
from steward.types import JsonObject

LOOKED_BACK = 400  # windows: more than a year of daily ones, two weeks of hourly ones


def open_incident(services: Services, spec: ModelSpec, *, run: str, actor: str, evidence: str) -> JsonObject:
    """One unresolved incident per cause: opened, kept up to date, or resolved, by what the windows showed.

    Told from all windows of the version, whatever the order they were judged in. The same window changes nothing twice.
    """
    op = Operation.begin(services, "open_incident", spec.model, run, actor, evidence=evidence)

    def write(tx: Transaction) -> JsonObject:
        gone = list(_ended_with_their_version(tx, op))
        seen = _seen(tx, op, spec, tx.evidence.get(evidence).body)
        followed = [] if seen is None else [i for cause in Cause if (i := seen.follow(cause)) is not None]
        open_ = [incident for incident in followed if incident.unresolved and not incident.passed]
        return {
            "incidents": [incident.id for incident in open_],
            "passing": [incident.id for incident in followed if incident.unresolved and incident.passed],
            "resolved": [incident.id for incident in (*gone, *followed) if not incident.unresolved],
        }

    return op.commit(write)


def severity_of(tx: Transaction, spec: ModelSpec, cause: Cause, episode: Episode) -> str:
    """By the effect that the last bad window had."""
    effects = tx.evidence.get(episode.last_bad.evidence).body.get("effects") or {}
    return severity(spec.risk_tier, cause, effects.get(cause.value))


def first_reason(tx: Transaction, cause: Cause, episode: Episode) -> str:
    verdict = Verdict.from_json(tx.evidence.get(episode.last_bad.evidence).body["verdict"])
    said = (finding.reason for finding in verdict.failed() if finding.gate.startswith(f"{cause.value}."))
    return next(said, "a window failed")


def recovered_of(tx: Transaction, cause: Cause) -> Recovered:
    """By the findings of the windows: every check of the cause that failed before passes now, or is asked no more.

    Some check can hardly ever decide (a category of sixty levels at two hundred rows a week); it must not keep open
    what it never complained of.
    """

    @cache
    def outcomes(evidence: str) -> list[tuple[str, Outcome]]:
        findings = Verdict.from_json(tx.evidence.get(evidence).body["verdict"]).findings
        return [(found.gate, found.outcome) for found in findings if found.gate.startswith(f"{cause.value}.")]

    def recovered(bad: Sequence[JudgedWindow], judged: JudgedWindow) -> bool:
        now = outcomes(judged.evidence)
        failed = {gate for each in bad for gate, outcome in outcomes(each.evidence) if outcome is Outcome.FAILED}
        proven = any(outcome is Outcome.PASSED for _, outcome in now)
        return proven and not any(gate in failed and outcome is not Outcome.PASSED for gate, outcome in now)

    return recovered


def _ended_with_their_version(tx: Transaction, op: Operation) -> Iterator[Incident]:
    champion, now = tx.versions.champion(op.model), op.services.clock.now()
    for incident in monitored_incidents(tx, op.model):
        if champion is None or incident.version != champion.number:
            why = f"version {incident.version} no longer serves"
            yield resolve_incident(tx, incident, op.actor, why, now, op.run)


def _seen(tx: Transaction, op: Operation, spec: ModelSpec, body: JsonObject) -> _Seen | None:
    """None for a version that no longer serves: nobody has to do anything about it."""
    champion = tx.versions.champion(spec.model)
    if champion is None or champion.number != body["version"]:
        return None
    windows = tx.windows.recent(spec.model, LOOKED_BACK, champion.number)
    return _Seen(tx, op, spec, champion.number, windows, tx.incidents.all(spec.model))


@dataclass(frozen=True)
class _Seen:
    """All judged windows of the champion, oldest first, and all incidents of the model."""

    tx: Transaction
    op: Operation
    spec: ModelSpec
    version: int
    windows: Sequence[JudgedWindow]
    incidents: Sequence[Incident]

    def follow(self, cause: Cause) -> Incident | None:
        """The incident of this cause as the windows have it now; None when there is none to speak of."""
        known = next((i for i in self.incidents if i.unresolved and self._about(i) == (self.version, cause)), None)
        settled = settled_to(self.incidents, self.version, cause)
        unsettled = [judged for judged in self.windows if settled is None or judged.window.end > settled]
        sound = self.spec.monitoring.resolve_after
        before = self._out_of_sight(known, cause) if known else None
        episode = latest_episode(unsettled, cause, sound, before, recovered_of(self.tx, cause))
        if known is None:
            return self._open(cause, episode) if episode and not episode.is_over(sound) else None
        if episode is None:
            return self._none_failed(known, cause, unsettled)
        present = self._present(known, cause, episode)
        if episode.is_over(sound):
            return self._resolve(present, f"{episode.passed} windows in a row passed")
        return self._update(known, present)

    def _out_of_sight(self, known: Incident, cause: Cause) -> Episode | None:
        """Its beginning, where that lies further back than is looked: silence since then is no recovery."""
        seen = len(self.windows) < LOOKED_BACK or known.first_bad.end >= self.windows[0].window.end
        if seen or not known.windows:  # what was noted from outside is no window's
            return None
        began, digest = known.first_bad, known.evidence
        bad = JudgedWindow(known.model, known.version, began, Outcome.FAILED, (cause,), digest, known.updated_at)
        return Episode(began, bad, failed=0, bad=(bad,))

    def _none_failed(self, known: Incident, cause: Cause, windows: Sequence[JudgedWindow]) -> Incident:
        """What no window has shown was found from outside: it is over once a later one looked at the same and passed,
        and the silence of a monitor with any."""
        if known.windows:
            return self._resolve(known, "its windows were judged again, and none fails now")
        later = [judged for judged in windows if judged.judged_at >= known.opened_at]
        if later and cause is Cause.MONITOR:
            return self._resolve(known, "the monitor judges again")
        passed = any(outcome_of(judged, cause) is Outcome.PASSED for judged in later)
        return self._resolve(known, "a window passed") if passed else known

    def _about(self, incident: Incident) -> tuple[int, str]:
        return incident.version, incident.cause

    def _open(self, cause: Cause, episode: Episode) -> Incident:
        now, digest = self._now, episode.last_bad.evidence
        incident = Incident(
            id=uuid.uuid4().hex,
            model=self.spec.model,
            version=self.version,
            cause=cause.value,
            severity=severity_of(self.tx, self.spec, cause, episode),
            state=IncidentState.OPEN,
            first_bad=episode.first_bad,
            opened_at=now,
            updated_at=now,
            windows=episode.failed,
            evidence=digest,
            passed=episode.passed,
            judged_to=self.windows[-1].window.end,
        ).linked("evidence", digest, now)
        if rollout := self._deployment():
            incident = incident.linked("deployment", rollout, now)
        said = f"{cause}: {first_reason(self.tx, cause, episode)}"
        return save_incident(self.tx, EventType.INCIDENT_OPENED, incident, self.op.actor, said, self.op.run)

    def _present(self, known: Incident, cause: Cause, episode: Episode) -> Incident:
        """A severity may rise while an incident lasts; it does not fall before it is over."""
        return replace(
            known,
            severity=worst(known.severity, severity_of(self.tx, self.spec, cause, episode)),
            first_bad=episode.first_bad,
            windows=max(known.windows, episode.failed) if self._out_of_sight(known, cause) else episode.failed,
            passed=episode.passed,
            evidence=episode.last_bad.evidence,
            judged_to=self.windows[-1].window.end,
        )

    def _update(self, known: Incident, present: Incident) -> Incident:
        if (present.windows, present.passed, present.first_bad, present.severity, present.evidence) == (
            (known.windows, known.passed, known.first_bad, known.severity, known.evidence)
        ):
            return known
        rose = known.severity if present.severity != known.severity else None
        changed = replace(present, updated_at=self._now)
        said = f"{known.cause} again: {present.windows} windows now"
        if present.passed:
            said = f"{known.cause}: {present.passed} of {self.spec.monitoring.resolve_after} windows in a row passed"
        kind = EventType.INCIDENT_UPDATED
        return save_incident(self.tx, kind, changed, self.op.actor, said, self.op.run, rose_from=rose)

    def _resolve(self, incident: Incident, why: str) -> Incident:
        return resolve_incident(self.tx, incident, self.op.actor, why, self._now, self.op.run)

    def _deployment(self) -> str | None:
        """The rollout that put the version in service."""
        promoted = self.tx.events.read(model=self.spec.model, types=[EventType.VERSION_PROMOTED])
        brought = [event.body.get("rollout") for event in promoted if event.version == self.version]
        return brought[-1] if brought else None

    @property
    def _now(self) -> datetime:
        return self.op.services.clock.now()
