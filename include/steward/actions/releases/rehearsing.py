"""The way back, tried while nobody needs it: everything a rollback needs, and how long it would take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NoReturn

from steward.actions.effects import logged_model
from steward.actions.operation import Operation
from steward.actions.releases.proving import PATIENCE, judge_answers, judge_followed, servers_in_words, smoke_rows, told
from steward.actions.releases.rolling_back import demote, recorded_before
from steward.actions.releases.rollouts import route_said
from steward.actions.state import Services, Transaction
from steward.errors import ConflictError, PolicyError, StewardError, UnavailableError
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.inventory import TriedVersion
from steward.ledger import EventType
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.types import JsonObject


@dataclass
class _Drill:
    """What was found so far. `seconds` by part: change, propagation, answer."""

    to: ModelVersion | None = None
    findings: list[Finding] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    followed: dict[str, float | None] = field(default_factory=dict)
    tried: list[TriedVersion] = field(default_factory=list)
    epoch: int | None = None


def rehearse_rollback(services: Services, spec: ModelSpec, *, actor: str, run: str | None = None) -> JsonObject:
    """Go the way back without going: no user's answer changes.

    The change itself is made and undone in a transaction; the previous champion's bytes are fetched and compared with
    what was registered; every server is asked for its answers to the smoke rows, as a tester; and the present route is
    set once more under a newer epoch, to see how long servers take to follow. Raises PolicyError while a rollout runs:
    its way back is the champion that serves beside it.
    """
    op = Operation.begin(services, "rehearse_rollback", spec.model, run, actor)
    if done := op.earlier():
        return done
    drill = _Drill()
    with op.refusals_recorded():
        _find_target(services, spec, drill)
    if drill.to is not None:
        _try_change(services, spec, drill)
        _try_artefact(services, drill.to, drill)
        if spec.deployment.target != "batch":
            _ask_servers(services, spec, drill.to, drill)
            _renew_route(services, op, drill)
    return op.commit(lambda tx: _record(tx, op, drill))


def _find_target(services: Services, spec: ModelSpec, drill: _Drill) -> None:
    with services.database.begin() as tx:
        if going := tx.rollouts.running(spec.model):
            raise PolicyError(
                f"a rollout of {spec.model}@{going.version} is running",
                where=spec.model,
                hint="its way back is the champion beside it; rehearse when it has ended",
            )
        drill.to = recorded_before(tx, spec.model)
    if drill.to is None:
        said = "there is no champion to go back to: the present one is the first, or the one before is gone for good"
        drill.findings.append(Finding("recorded", Outcome.INCONCLUSIVE, said))


class _UndoneError(Exception):
    """Ends a transaction that was never meant to be kept."""


def _try_change(services: Services, spec: ModelSpec, drill: _Drill) -> None:
    started = time.monotonic()

    def change() -> NoReturn:
        with services.database.begin() as tx:
            tx.claim()
            demote(services, spec, tx, None)
            raise _UndoneError

    try:
        change()
    except _UndoneError:
        drill.findings.append(Finding("change", Outcome.PASSED, "the ledger allows the change"))
    except (PolicyError, ConflictError) as refusal:
        drill.findings.append(Finding("change", Outcome.FAILED, f"the ledger refuses the change: {refusal.what}"))
    drill.seconds["change"] = time.monotonic() - started


def _try_artefact(services: Services, to: ModelVersion, drill: _Drill) -> None:
    try:
        services.models.fetch(logged_model(to))
    except UnavailableError as away:
        finding = Finding("artefact", Outcome.INCONCLUSIVE, f"the artefact of {to.ref} cannot be read now: {away.what}")
    except StewardError as wrong:
        finding = Finding("artefact", Outcome.FAILED, f"the artefact of {to.ref} is not as registered: {wrong.what}")
    else:
        finding = Finding("artefact", Outcome.PASSED, f"the artefact of {to.ref} is there, byte for byte")
    drill.findings.append(finding)


def _ask_servers(services: Services, spec: ModelSpec, to: ModelVersion, drill: _Drill) -> None:
    with services.database.begin() as tx:
        rows, route = smoke_rows(tx, to), tx.routes.get(spec.model)
    if route is None or route.standby != to.number:
        said = f"servers do not keep {to.ref} loaded: its rollback window is over; going back takes until they have it"
        drill.findings.append(Finding("standby", Outcome.INCONCLUSIVE, said))
        return
    drill.tried = services.served.tried(spec.model, to.number, [row["row"] for row in rows])
    drill.seconds["answer"] = max((answer.seconds for answer in drill.tried), default=0.0)
    drill.findings += judge_answers(drill.tried, to, rows)


def _renew_route(services: Services, op: Operation, drill: _Drill) -> None:
    """The route as it is, under the next epoch: servers follow it as they would follow the way back."""
    renew = replace(op, action="renew_route")

    def write(tx: Transaction) -> JsonObject:
        route = tx.routes.get(op.model)
        if route is None or tx.rollouts.running(op.model) is not None:
            raise ConflictError("the route was changed meanwhile", where=op.model, hint="rehearse again")
        renewed = tx.routes.set(replace(route, epoch=route.epoch + 1, updated_at=services.clock.now()))
        said = "a rehearsal: to see how long servers take to follow"
        kind, epoch = EventType.ROUTE_RENEWED, renewed.epoch
        tx.events.append(renew.event(kind, said, version=renewed.champion, epoch=epoch, route=route_said(tx, op.model)))
        return {"epoch": epoch}

    drill.epoch = int(renew.commit(write, deliver_now=False)["epoch"])
    drill.followed = dict(services.served.followed(op.model, drill.epoch, PATIENCE))
    drill.findings += judge_followed(drill.followed, drill.epoch)
    if seconds := [waited for waited in drill.followed.values() if waited is not None]:
        drill.seconds["propagation"] = max(seconds)


def _record(tx: Transaction, op: Operation, drill: _Drill) -> JsonObject:
    verdict, to = Verdict.of(drill.findings), drill.to.number if drill.to else None
    seconds = sum(drill.seconds.values())
    body = {"to": to, "seconds": drill.seconds, "verdict": verdict.to_json(), **told(drill.followed, drill.tried)}
    digest = tx.evidence.put(Evidence("rehearsal", op.model, body))
    reason = "; ".join(verdict.reasons) or f"the way back to {op.model}@{to} is open and would take {seconds:.2f} s"
    outcome = verdict.outcome.value
    kind = EventType.ROLLBACK_REHEARSED
    tx.events.append(op.event(kind, reason, version=to, evidence=digest, outcome=outcome, seconds=seconds, to=to))
    return {
        "outcome": outcome,
        "to": to,
        "reasons": list(verdict.reasons),
        "findings": list(_in_words(drill.findings)),
        "servers": servers_in_words(drill.followed, drill.tried),
        "seconds": seconds,
        "parts": drill.seconds,
        "evidence": digest,
    }


def _in_words(findings: list[Finding]) -> Iterator[JsonObject]:
    for finding in findings:
        yield {"what": finding.gate, "outcome": finding.outcome.value, "said": finding.reason}
