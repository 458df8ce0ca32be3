"""Judging a step of a rollout, look by look: what changed is recorded, and the verdict ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.actions.operation import Operation
from steward.actions.releases.rollouts import as_started, rollout_of
from steward.actions.state import Services, Transaction
from steward.gates import Evidence, Outcome, Verdict
from steward.ledger import AuditEvent, EventType
from steward.rollout import Rollout, RolloutState
from steward.spec import ModelSpec, Task
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.rollout.analysis import Arm, Observation

MOST_CHANGES = 30  # recorded of one step: a finding that wavers about its limit for weeks is told often enough


def analyse_canary(services: Services, spec: ModelSpec, *, run: str, actor: str, rollout: str) -> JsonObject:
    """Judge the present step on its live answers, by what the rollout was started with. Not `final`: keep baking.

    A look at which some finding's outcome has changed since the last is kept as evidence too, so that the course of a
    step can be read afterwards.
    """
    from steward.actions.releases.observing import observe
    from steward.rollout.analysis import judge

    with services.database.begin() as tx:
        going = rollout_of(tx, spec.model, rollout)
        if done := _analysed(tx, going):
            return done
        changes, spec = _changes(tx, going), as_started(tx, spec, going)
    seen = observe(services, spec, going)
    verdict = judge(spec.deployment, seen)
    bake = spec.deployment.bake
    expired = bake is not None and seen.baked >= bake.at_most
    early = bake is not None and verdict.passed and seen.baked < bake.at_least
    final = not early and (verdict.outcome is not Outcome.INCONCLUSIVE or expired)
    # What failed is the reason; what could not be judged beside it is not.
    reasons = [finding.reason for finding in verdict.failed()] or list(verdict.reasons)
    answer = {
        "outcome": verdict.outcome.value,
        "final": final,
        "reasons": reasons,
        "requests": seen.canary.requests,
        "findings": verdict.to_json()["findings"],
    }
    if not final and (not _news(verdict, changes) or len(changes) >= MOST_CHANGES):
        return answer
    name = f"analyse_{going.epoch}" if final else f"watch_{going.epoch}_{len(changes)}"
    op = Operation.begin(services, name, spec.model, run, actor, rollout=going.id)
    return _record(op, going, verdict, answer, arms_seen(spec, seen))


def arms_seen(spec: ModelSpec, seen: Observation) -> JsonObject:
    """What each version did, for whoever draws the step. `outcome_is_share`: the mean is of yes and no."""
    rule, told = spec.deployment.guardrails.outcome, seen.contrast
    yes_or_no = (("accuracy", spec.task), ("mean_outcome", Task.BINARY))
    share = rule is not None and (rule.measure, spec.task) in yes_or_no

    def arm(counts: Arm | None, rows: int, mean: float | None) -> JsonObject | None:
        outcome = {"outcome_rows": rows, "outcome_mean": mean, "outcome_is_share": share}
        return None if counts is None else {**vars(counts), **outcome}

    return {
        "canary": arm(seen.canary, *((told.canary_rows, told.canary_mean) if told else (0, None))),
        "champion": arm(seen.champion, *((told.champion_rows, told.champion_mean) if told else (0, None))),
    }


def _analysed(tx: Transaction, going: Rollout) -> JsonObject | None:
    if going.state is RolloutState.ROLLED_BACK:
        return _ended(Outcome.FAILED, _why_back(tx, going))
    if going.state is RolloutState.COMPLETED:
        return _ended(Outcome.PASSED, f"the rollout has ended: {going.model}@{going.version} was promoted")
    told = _told(tx, going, EventType.ROLLOUT_ANALYSED)
    return dict(told[0].body["answer"]) if told else None


def _ended(outcome: Outcome, said: str) -> JsonObject:
    """A task cleared late has nothing to look at any more."""
    return {"outcome": outcome.value, "final": True, "reasons": [said], "requests": 0}


def _why_back(tx: Transaction, going: Rollout) -> str:
    """A server's breaker, or a person: whoever reads the run at night shall not have to look for it."""
    told = tx.events.read(model=going.model, types=[EventType.ROLLOUT_ROLLED_BACK])
    mine = [event for event in told if event.body.get("rollout") == going.id]
    return "the canary was taken off traffic" + (f" by {mine[-1].actor}: {mine[-1].reason}" if mine else "")


def _changes(tx: Transaction, going: Rollout) -> list[AuditEvent]:
    return _told(tx, going, EventType.ROLLOUT_WATCHED)


def _told(tx: Transaction, going: Rollout, kind: EventType) -> list[AuditEvent]:
    told = tx.events.read(model=going.model, types=[kind])
    return [e for e in told if (e.body["rollout"], e.body["epoch"]) == (going.id, going.epoch)]


def _news(verdict: Verdict, changes: list[AuditEvent]) -> bool:
    return not changes or changes[-1].body["outcomes"] != _outcomes(verdict)


def _outcomes(verdict: Verdict) -> JsonObject:
    return {finding.gate: finding.outcome.value for finding in verdict.findings}


def _record(op: Operation, going: Rollout, verdict: Verdict, answer: JsonObject, arms: JsonObject) -> JsonObject:
    def write(tx: Transaction) -> JsonObject:
        body = {"rollout": going.id, "percent": going.percent, "verdict": verdict.to_json(), "arms": arms}
        digest = tx.evidence.put(Evidence("canary", going.model, body))
        held = f"{answer['requests']} requests, every guardrail held"
        tx.events.append(
            op.event(
                EventType.ROLLOUT_ANALYSED if answer["final"] else EventType.ROLLOUT_WATCHED,
                "; ".join(answer["reasons"][:3]) or held,
                version=going.version,
                evidence=digest,
                rollout=going.id,
                epoch=going.epoch,
                percent=going.percent,
                outcome=verdict.outcome,
                outcomes=_outcomes(verdict),
                answer=answer,
            )
        )
        return answer

    return op.commit(write)
