"""Champions that fail while the version before still stands by: what policy lets go back without a person.

Never against anybody: not while a rollout runs, not within a quarter of an hour of a rollback, and not where the
version before failed in the same way, for then nobody would be helped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from steward.actions.incidents.changing import monitored_incidents, save_incident
from steward.actions.incidents.from_outside import Trouble, known_incident, note_trouble, severity_by_tier, spec_of
from steward.actions.operation import Operation
from steward.actions.releases.rolling_back import JUST_NOW, give_way, recorded_before, rolled_back_just_now
from steward.actions.releases.rollouts import way_back
from steward.actions.state import Services, Transaction
from steward.errors import StewardError
from steward.gates import Finding, Verdict
from steward.gates.alarms import ALPHA, ERROR_RATE, LATENCY
from steward.ledger import AuditEvent, EventType
from steward.monitoring.windows import Cause
from steward.rollout import Route
from steward.spec import ModelSpec
from steward.types import JsonObject

STRETCH = timedelta(days=1)
"""Answers of so long are judged together: what a champion did last week is not read every ten minutes."""
LAST_WINDOWS = 2  # of the version before: did it fail in the same way?

OPERATION = Cause.OPERATION.value
_AS_IN_WINDOWS = {ERROR_RATE: "operation.error_rate", LATENCY: "operation.p99_latency"}
_GUARDS = len(_AS_IN_WINDOWS)

Check = tuple[str, str]  # gate and slice


def heal_champions(services: Services, actor: str, *, dry_run: bool) -> Iterator[JsonObject]:
    """Judge the recent answers of every champion that has a way back; one that surely fails gives way."""
    with services.database.begin() as tx:
        watched = [route for route in tx.routes.all() if _has_way_back(route)]
    for route in watched:
        spec = spec_of(services, route.model)
        if spec is None or OPERATION not in spec.monitoring.roll_back_on:
            continue
        try:
            yield from _heal(services, spec, route, actor, dry_run)
        except StewardError as error:
            yield {"kind": OPERATION, "model": route.model, "fault": str(error)}


def _has_way_back(route: Route) -> bool:
    return route.champion is not None and route.standby is not None and route.canary is None and route.shadow is None


def _heal(services: Services, spec: ModelSpec, route: Route, actor: str, dry_run: bool) -> Iterator[JsonObject]:
    with services.database.begin() as tx:
        if _why_not_now(services, spec, tx, route):
            return
        began = _serves_since(tx, route)
    verdict = judge_live(services, spec, route, began) if began else Verdict()
    if not verdict.failed():
        return
    said = "; ".join(finding.reason for finding in verdict.failed())
    told: JsonObject = {"kind": OPERATION, "model": spec.model, "said": f"version {route.champion}: {said}"}
    if dry_run:
        yield told
    elif done := _gone_back(services, spec, route, verdict, said, actor):
        yield {**told, **done}


def judge_live(services: Services, spec: ModelSpec, route: Route, began: AuditEvent) -> Verdict:
    """By the test that judges canaries, so that looking every ten minutes cries no wolf: the chance that a sound
    version is ever sent back is ALPHA over its whole rollback window."""
    from steward.actions.releases.observing import observe_alone
    from steward.rollout.analysis import judge

    guarded = _guarded(spec)
    if guarded is None or route.champion is None:
        return Verdict()
    seen = observe_alone(services, guarded, route.champion, int(began.body["epoch"]), _since(services, began))
    stretches = max(1, math.ceil(spec.deployment.rollback_window / STRETCH))
    return judge(guarded.deployment, seen, alpha=ALPHA / (_GUARDS * stretches))


def _guarded(spec: ModelSpec) -> ModelSpec | None:
    """With the monitor's limit where the rollout has none; None without any."""
    rails = spec.deployment.guardrails
    errors = rails.error_rate or spec.monitoring.error_rate
    if errors is None and rails.p99_latency is None:
        return None
    guarded = rails.model_copy(update={"error_rate": errors})
    return spec.model_copy(update={"deployment": spec.deployment.model_copy(update={"guardrails": guarded})})


def _since(services: Services, began: AuditEvent) -> datetime:
    """Where the present stretch began. Stretches do not overlap, so that their chances add up."""
    age = services.wall() - began.recorded_at
    return began.recorded_at + max(0, age // STRETCH) * STRETCH


def _serves_since(tx: Transaction, route: Route) -> AuditEvent | None:
    """What made it the champion, with the epoch its reign began with."""
    kinds = [EventType.VERSION_PROMOTED, EventType.ROLLOUT_ROLLED_BACK]
    told = tx.events.read(model=route.model, types=kinds)
    made = [e for e in told if e.body.get("to", e.version) == route.champion]
    return made[-1] if made and made[-1].body.get("epoch") is not None else None


def _gone_back(
    services: Services, spec: ModelSpec, route: Route, verdict: Verdict, said: str, actor: str
) -> JsonObject | None:
    """None when somebody was faster, or nothing is new."""
    op = Operation.begin(services, "heal", spec.model, None, actor)
    failing = {(_AS_IN_WINDOWS[finding.gate], finding.slice) for finding in verdict.failed()}

    def write(tx: Transaction) -> JsonObject:
        if _why_not_now(services, spec, tx, route) or route.champion is None:
            return {}
        helpless = _helps_nobody(tx, spec.model, _before(tx, spec.model), failing)
        trouble = _trouble(services, spec, route.champion, verdict, f"{said}. {helpless}" if helpless else said)
        noted = note_trouble(services, tx, trouble, actor)
        if helpless:
            return {"incident": noted.id, "left": helpless} if noted else {}
        incident = noted or known_incident(tx, spec.model, route.champion, OPERATION)
        cited = f" (incident {incident.id})" if incident else ""
        return {"incident": incident.id if incident else None, "rolled_back": give_way(op, spec, tx, f"{said}{cited}")}

    return op.commit(write) or None


def _trouble(services: Services, spec: ModelSpec, version: int, verdict: Verdict, said: str) -> Trouble:
    detail = {"gates": sorted(finding.gate for finding in verdict.failed())}
    return Trouble(spec.model, version, OPERATION, severity_by_tier(spec), said, services.clock.now(), detail)


# --- what the nightly monitor found ---------------------------------------------------------------------


def heal_window(services: Services, spec: ModelSpec, *, run: str, actor: str, evidence: str) -> JsonObject:
    """After a window was judged: a champion that failed for a cause in `monitoring.roll_back_on` gives way to the
    version before, while that one stands by. `left` are incidents that going back would not help, which they say."""
    op = Operation.begin(services, "heal_window", spec.model, run, actor, evidence=evidence)

    def write(tx: Transaction) -> JsonObject:
        body, route = tx.evidence.get(evidence).body, tx.routes.get(spec.model)
        failed = _by_policy(spec, Verdict.from_json(body["verdict"]))
        if not failed:
            return _nothing("nothing failed that sends a version back by itself")
        if route is None or route.champion != body["version"]:
            return _nothing(f"version {body['version']} no longer serves")
        if why_not := _why_not_now(services, spec, tx, route):
            return _nothing(why_not)
        return _window_healed(op, spec, tx, failed, str(body["window"]["end"])[:10])

    return op.commit(write)


def _by_policy(spec: ModelSpec, verdict: Verdict) -> list[Finding]:
    return [f for f in verdict.failed() if f.gate.partition(".")[0] in spec.monitoring.roll_back_on]


def _window_healed(op: Operation, spec: ModelSpec, tx: Transaction, failed: list[Finding], day: str) -> JsonObject:
    causes = {finding.gate.partition(".")[0] for finding in failed}
    about = [each for each in monitored_incidents(tx, spec.model) if each.cause in causes]
    if helpless := _helps_nobody(tx, spec.model, _before(tx, spec.model), {(f.gate, f.slice) for f in failed}):
        for incident in about:
            if (incident.detail or {}).get("not_rolled_back") != helpless:
                noted = {**(incident.detail or {}), "not_rolled_back": helpless}
                changed = replace(incident, detail=noted, updated_at=op.services.clock.now())
                save_incident(tx, EventType.INCIDENT_UPDATED, changed, op.actor, helpless, op.run)
        return {**_nothing(helpless), "left": [incident.id for incident in about]}
    cited = f" (incident {', '.join(each.id for each in about)})" if about else ""
    done = give_way(op, spec, tx, f"in the window to {day} {failed[0].reason}{cited}")
    return {"rolled_back": True, "left": [], "reasons": [failed[0].reason], **done}


def _nothing(why: str) -> JsonObject:
    return {"rolled_back": False, "left": [], "reasons": [why], "from": None, "to": None, "epoch": None}


# --- whether to ---------------------------------------------------------------------------------------


def _why_not_now(services: Services, spec: ModelSpec, tx: Transaction, route: Route) -> str | None:
    """Read again as the only writer before anything is changed: the route may have moved meanwhile."""
    present, before = tx.routes.get(spec.model), recorded_before(tx, spec.model)
    if present is None or (present.champion, present.epoch) != (route.champion, route.epoch):
        return "the route has moved since"
    if tx.rollouts.running(spec.model):
        return "a rollout is running: its own analysis decides"
    if rolled_back_just_now(services, tx, spec.model):
        return f"a rollback was less than {JUST_NOW // timedelta(minutes=1)} minutes ago"
    if before is None or present.standby != before.number or way_back(services, spec, tx, route.champion) is None:
        return "no earlier champion stands by"
    return None


def _before(tx: Transaction, model: str) -> int:
    before = recorded_before(tx, model)
    return before.number if before else 0


def _helps_nobody(tx: Transaction, model: str, before: int, failing: set[Check]) -> str | None:
    """Whether all that fails now failed in the last windows of the version before, too."""
    if not failing or not failing <= set(_failed_of(tx, model, before)):
        return None
    names = ", ".join(sorted({gate for gate, _ in failing}))
    return f"not rolled back: version {before} failed {names} in its own last windows, going back would help nobody"


def _failed_of(tx: Transaction, model: str, version: int) -> Iterable[Check]:
    for judged in tx.windows.recent(model, LAST_WINDOWS, version):
        for finding in Verdict.from_json(tx.evidence.get(judged.evidence).body["verdict"]).failed():
            yield finding.gate, finding.slice
