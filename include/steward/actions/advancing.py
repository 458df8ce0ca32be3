"""The steps of a rollout: a share of traffic, and what it showed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from steward.actions.operation import Operation
from steward.actions.rollouts import move_route, require_next, rollout_of, route_said, running_rollout, way_back
from steward.actions.state import Services, Transaction
from steward.gates import Evidence, Outcome, Verdict
from steward.ledger import EventType
from steward.rollout import Rollout, RolloutState
from steward.rollout.steps import at_step, in_words
from steward.spec import ModelSpec
from steward.types import JsonObject


def shift_traffic(
    services: Services, spec: ModelSpec, *, run: str, actor: str, rollout: str, percent: int
) -> JsonObject:
    """Take the next planned step; every step but the first needs the one before to have passed.

    `percent` of request keys go to the version; 0 is the shadow. A model's first release has no champion to share
    with: its version answers everything, still judged step by step.
    """
    op = Operation.begin(services, f"shift_traffic_{percent}", spec.model, run, actor, rollout=rollout, percent=percent)

    def write(tx: Transaction) -> JsonObject:
        going = running_rollout(tx, spec.model, rollout)
        require_next(tx, spec, going, percent)
        parties = at_step(going, percent, way_back(services, spec, tx, going.previous))
        moved = replace(move_route(services, tx, going, **parties._asdict()), percent=percent)
        tx.rollouts.save(moved, going.epoch)
        reason = in_words(going, parties)
        tx.events.append(
            op.event(
                EventType.ROLLOUT_ADVANCED,
                reason,
                version=going.version,
                rollout=rollout,
                step=percent,
                percent=parties.percent,
                epoch=moved.epoch,
                route=route_said(tx, spec.model),
            )
        )
        return {"percent": parties.percent, "epoch": moved.epoch, "said": reason}

    return op.commit(write)


def analyse_canary(services: Services, spec: ModelSpec, *, run: str, actor: str, rollout: str) -> JsonObject:
    """Judge the present step on its live answers. Not `final` means: keep baking."""
    from steward.actions.observing import observe

    with services.database.begin() as tx:
        going = rollout_of(tx, spec.model, rollout)
        if done := _analysed(tx, going):
            return done
    seen = observe(services, spec, going)
    verdict = judge_step(spec, seen)
    bake = spec.deployment.bake
    expired = bake is not None and seen.baked >= bake.at_most
    early = bake is not None and verdict.passed and seen.baked < bake.at_least
    final = not early and (verdict.outcome is not Outcome.INCONCLUSIVE or expired)
    answer = {
        "outcome": verdict.outcome.value,
        "final": final,
        "reasons": list(verdict.reasons),
        "requests": seen.canary.requests,
    }
    return _record_analysis(services, spec, going, run, actor, verdict, answer) if final else answer


def judge_step(spec: ModelSpec, seen: Any) -> Verdict:
    from steward.rollout.analysis import judge

    bake = spec.deployment.bake
    return judge(spec.deployment.guardrails, seen, (bake.requests if bake else None) or 1)


def _analysed(tx: Transaction, going: Rollout) -> JsonObject | None:
    if going.state is RolloutState.ROLLED_BACK:
        reasons = ["the canary was taken off traffic"]
        return {"outcome": Outcome.FAILED.value, "final": True, "reasons": reasons, "requests": 0}
    for event in tx.events.read(model=going.model, types=[EventType.ROLLOUT_ANALYSED]):
        if event.body["rollout"] == going.id and event.body["epoch"] == going.epoch:
            return dict(event.body["answer"])
    return None


def _record_analysis(
    services: Services,
    spec: ModelSpec,
    going: Rollout,
    run: str,
    actor: str,
    verdict: Verdict,
    answer: JsonObject,
) -> JsonObject:
    op = Operation.begin(services, f"analyse_{going.epoch}", spec.model, run, actor, rollout=going.id)

    def write(tx: Transaction) -> JsonObject:
        body = {"rollout": going.id, "percent": going.percent, "verdict": verdict.to_json()}
        digest = tx.evidence.put(Evidence("canary", spec.model, body))
        reason = "; ".join(verdict.reasons[:3]) or f"{answer['requests']} canary requests, every guardrail held"
        tx.events.append(
            op.event(
                EventType.ROLLOUT_ANALYSED,
                reason,
                version=going.version,
                evidence=digest,
                rollout=going.id,
                epoch=going.epoch,
                percent=going.percent,
                outcome=verdict.outcome,
                answer=answer,
            )
        )
        return answer

    return op.commit(write)
