"""The steps of a rollout: a share of traffic, and what it showed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from steward.actions.operation import Operation
from steward.actions.rollouts import move_route, rollout_of, running_rollout
from steward.actions.state import Services, Transaction
from steward.errors import ConflictError, PolicyError
from steward.gates import Evidence, Outcome, Verdict
from steward.ledger import EventType
from steward.rollout import Rollout, RolloutState
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef


def shift_traffic(
    services: Services, spec: ModelSpec, *, run: str, actor: str, rollout: str, percent: int
) -> JsonObject:
    """Give the canary a share of request keys. Every step but the first needs the step before to have passed.

    A model's first release has no champion to share with: the canary answers everything, still judged step by step.
    """
    op = Operation.begin(services, f"shift_traffic_{percent}", spec.model, run, actor, rollout=rollout, percent=percent)

    def write(tx: Transaction) -> JsonObject:
        going = running_rollout(tx, spec.model, rollout)
        if percent <= going.percent:
            raise ConflictError(f"the canary has {going.percent} % already", where=f"rollout {rollout}")
        if going.percent:
            require_passed(tx, going)
        share = percent if going.previous is not None else 100
        moved = move_route(services, tx, going, champion=going.previous, canary=going.version, percent=share)
        moved = replace(moved, percent=percent)
        tx.rollouts.save(moved, going.epoch)
        reason = f"{share} % of request keys go to {VersionRef(spec.model, going.version)}"
        tx.events.append(
            op.event(
                EventType.ROLLOUT_ADVANCED,
                reason,
                version=going.version,
                rollout=rollout,
                percent=share,
                epoch=moved.epoch,
            )
        )
        return {"percent": share, "epoch": moved.epoch}

    return op.commit(write)


def require_passed(tx: Transaction, going: Rollout) -> None:
    """The present step was judged PASSED, says the ledger."""
    for event in tx.events.read(model=going.model, types=[EventType.ROLLOUT_ANALYSED]):
        mine = event.body["rollout"] == going.id and event.body["epoch"] == going.epoch
        if mine and event.body["outcome"] == Outcome.PASSED.value:
            return
    raise PolicyError(
        f"the step at {going.percent} % has not passed",
        where=f"rollout {going.id} of {going.model}",
        hint="a task marked as success by hand proves nothing: let the analysis finish, or roll back",
    )


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
