"""Smoke, canary steps, promotion, and the way back."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Any

from steward.actions.approving import require_approval
from steward.actions.effects import logged_model, want_aliases
from steward.actions.operation import Operation
from steward.actions.overriding import glass_broken, overdue_review
from steward.actions.stages import enter_stage
from steward.actions.state import Services, Transaction
from steward.actions.waiving import require_waivers
from steward.errors import ConflictError, PolicyError
from steward.gates import Evidence, Outcome, Verdict
from steward.ledger import EventType
from steward.registry import ModelVersion, State
from steward.rollout import Rollout, RolloutState, Route
from steward.spec import ModelSpec
from steward.types import JsonObject, Stage, VersionRef


def start_rollout(services: Services, spec: ModelSpec, *, run: str, actor: str, version: int) -> JsonObject:
    """Check the approval, try the smoke rows on the stored artefact, record the champion to go back to.

    In a freeze nothing starts, and the version stays a challenger.
    """
    from steward.rollout.smoke import judge_smoke, smoke_frame
    from steward.training.fitting import score

    op = Operation.begin(services, "start_rollout", spec.model, run, actor, version=version)
    if done := op.earlier():
        return done
    with op.refusals_recorded(), services.database.begin() as tx:
        candidate = tx.versions.get(VersionRef(spec.model, version))
        if held := _held_by_freeze(services, spec, tx, op, candidate):
            return held
        rows = tx.evidence.get(candidate.evidence["training"]).body["smoke"]
    model = services.models.load(logged_model(candidate))
    verdict = judge_smoke(rows, score(model, smoke_frame(rows, spec)) if rows else [])

    def write(tx: Transaction) -> JsonObject:
        approval = _require_release(services, spec, tx, candidate)
        enter_stage(services, spec, tx, op, Stage.DEPLOYMENT, version)
        champion = tx.versions.champion(spec.model)
        evidence = Evidence("smoke", spec.model, {"version": version, "verdict": verdict.to_json()})
        digest = tx.evidence.put(evidence)
        rollout = _open(services, tx, candidate, champion) if verdict.passed else None
        if rollout is None:
            tx.versions.move(candidate.ref, State.CHALLENGER, State.REJECTED)
            want_aliases(tx, spec.model)
        kind = EventType.ROLLOUT_STARTED if rollout else EventType.VERSION_REJECTED
        previous = champion.number if champion else None
        reason = "; ".join(verdict.reasons) or "the smoke rows gave the expected answers"
        tx.events.append(
            op.event(
                kind,
                reason,
                version=version,
                evidence=digest,
                approval=approval,
                previous=previous,
                rollout=rollout.id if rollout else None,
            )
        )
        return {
            "rollout": rollout.id if rollout else None,
            "steps": list(spec.deployment.steps),
            "first": champion is None,
            "outcome": verdict.outcome.value,
            "reasons": list(verdict.reasons),
        }

    return op.commit(write)


def _require_release(services: Services, spec: ModelSpec, tx: Transaction, candidate: ModelVersion) -> str | None:
    """The approval this version starts on. Raises PolicyError for one that is missing, or for what it rests on."""
    approval = require_approval(services, spec, tx, candidate)
    require_waivers(services, tx, candidate)
    if overdue := overdue_review(tx, spec.model, services.clock.now()):
        raise PolicyError(overdue, where=spec.model, hint=f"somebody else reviews it: `steward review {spec.model}`")
    return approval


def _held_by_freeze(
    services: Services, spec: ModelSpec, tx: Transaction, op: Operation, candidate: ModelVersion
) -> JsonObject | None:
    """The answer while releases are frozen. It is not kept: the same task, cleared after the freeze, tries again."""
    approval = _require_release(services, spec, tx, candidate)
    freeze = services.policy().freeze_at(spec.risk_tier, services.clock.now())
    if freeze is None or glass_broken(tx, candidate, approval):
        return None
    dates = freeze.model_dump(mode="json")
    event = op.event(EventType.RELEASE_REFUSED, str(freeze), version=candidate.number, step=op.action, freeze=dates)
    tx.events.append(event)
    return {
        "rollout": None,
        "steps": list(spec.deployment.steps),
        "first": tx.versions.champion(spec.model) is None,
        "outcome": Outcome.FAILED.value,
        "reasons": [f"{freeze}. The approval stays good: clear this task, with what follows it, after the freeze"],
    }


def _open(services: Services, tx: Transaction, candidate: ModelVersion, champion: ModelVersion | None) -> Rollout:
    now, route = services.clock.now(), tx.routes.get(candidate.model)
    return tx.rollouts.start(
        Rollout(
            id=uuid.uuid4().hex,
            model=candidate.model,
            version=candidate.number,
            previous=champion.number if champion else None,
            state=RolloutState.RUNNING,
            percent=0,
            epoch=route.epoch if route else 0,
            started_at=now,
            step_at=now,
            step_wall_at=services.wall(),
        )
    )


def shift_traffic(
    services: Services, spec: ModelSpec, *, run: str, actor: str, rollout: str, percent: int
) -> JsonObject:
    """Give the canary a share of request keys. Every step but the first needs the step before to have passed.

    A model's first release has no champion to share with: the canary answers everything, still judged step by step.
    """
    op = Operation.begin(services, f"shift_traffic_{percent}", spec.model, run, actor, rollout=rollout, percent=percent)

    def write(tx: Transaction) -> JsonObject:
        going = _running(tx, spec.model, rollout)
        if percent <= going.percent:
            raise ConflictError(f"the canary has {going.percent} % already", where=f"rollout {rollout}")
        if going.percent:
            _require_passed(tx, going)
        share = percent if going.previous is not None else 100
        moved = _route(services, tx, going, champion=going.previous, canary=going.version, percent=share)
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


def _running(tx: Transaction, model: str, rollout: str) -> Rollout:
    going = _rollout_of(tx, model, rollout)
    if going.state is not RolloutState.RUNNING:
        raise PolicyError(
            f"rollout {rollout} is {going.state}",
            where=going.model,
            hint="a rollout that ended is not taken up again",
        )
    return going


def _rollout_of(tx: Transaction, model: str, rollout: str) -> Rollout:
    """Raises PolicyError for the rollout of another model, NotFoundError for none: ids come from outside."""
    going = tx.rollouts.get(rollout)
    if going.model != model:
        raise PolicyError(f"rollout {rollout} is of {going.model}", where=model, hint="start one of this model")
    return going


def _route(
    services: Services,
    tx: Transaction,
    going: Rollout,
    *,
    champion: int | None,
    canary: int | None,
    percent: int,
) -> Rollout:
    now = services.clock.now()
    tx.routes.set(Route(going.model, champion, canary, percent, going.epoch + 1, now))
    return replace(going, epoch=going.epoch + 1, step_at=now, step_wall_at=services.wall())


def _require_passed(tx: Transaction, going: Rollout) -> None:
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
        going = _rollout_of(tx, spec.model, rollout)
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


def complete_rollout(services: Services, spec: ModelSpec, *, run: str, actor: str, rollout: str) -> JsonObject:
    """Promote by compare and set: the champion must still be the one recorded at the start."""
    op = Operation.begin(services, "complete_rollout", spec.model, run, actor, rollout=rollout)

    def write(tx: Transaction) -> JsonObject:
        going = _running(tx, spec.model, rollout)
        if going.percent:
            _require_passed(tx, going)
        elif spec.deployment.strategy != "direct":
            raise PolicyError("no canary step has run", where=f"rollout {rollout}", hint="shift traffic first")
        candidate = tx.versions.get(VersionRef(spec.model, going.version))
        approval = require_approval(services, spec, tx, candidate, going.started_at)
        enter_stage(services, spec, tx, op, Stage.MONITORING, going.version)
        if going.previous is not None:
            tx.versions.move(VersionRef(spec.model, going.previous), State.CHAMPION, State.SUPERSEDED)
        tx.versions.move(candidate.ref, State.CHALLENGER, State.CHAMPION)
        ended = _route(services, tx, going, champion=going.version, canary=None, percent=0)
        tx.rollouts.save(replace(ended, state=RolloutState.COMPLETED, percent=100, ended_at=ended.step_at), going.epoch)
        want_aliases(tx, spec.model)
        replaced = str(VersionRef(spec.model, going.previous)) if going.previous else "nothing: its first release"
        tx.events.append(
            op.event(
                EventType.VERSION_PROMOTED,
                f"replaces {replaced}",
                version=going.version,
                evidence=candidate.evidence["evaluation"],
                replaced=going.previous,
                rollout=rollout,
                approval=approval,
                epoch=ended.epoch,
                artefact=candidate.artefact_digest,
            )
        )
        return {"version": going.version, "replaced": going.previous, "epoch": ended.epoch}

    return op.commit(write)


def settle_rollout(services: Services, spec: ModelSpec, *, run: str, actor: str, reason: str) -> JsonObject:
    """Last task of a release: whatever this run left half-way is rolled back. Does nothing when it completed."""
    with services.database.begin() as tx:
        going = tx.rollouts.running(spec.model)
        mine = going is not None and any(
            event.body.get("rollout") == going.id and event.body.get("run") == run
            for event in tx.events.read(model=spec.model, types=[EventType.ROLLOUT_STARTED])
        )
    if not mine:
        return {"rolled_back": False, "to": None, "seconds": None}
    done = roll_back(services, spec, actor=actor, reason=reason, run=run)
    return {"rolled_back": True, "to": done["to"], "seconds": done["seconds"]}


def roll_back(services: Services, spec: ModelSpec, *, actor: str, reason: str, run: str | None = None) -> JsonObject:
    """Send all traffic back to the champion recorded before; the version that fails is rejected for good.

    A running rollout is ended; without one, the present champion gives way to the one it replaced. `seconds` is from
    the call to the commit of the route; servers follow it within a second.
    """
    started = time.monotonic()
    op = Operation.begin(services, "roll_back", spec.model, run, actor)

    def write(tx: Transaction) -> JsonObject:
        going = tx.rollouts.running(spec.model)
        bad, good, epoch = _abort(services, tx, going) if going else _demote(services, tx, spec.model)
        want_aliases(tx, spec.model)
        seconds = time.monotonic() - started
        tx.events.append(
            op.event(
                EventType.ROLLOUT_ROLLED_BACK,
                reason,
                version=bad,
                to=good,
                epoch=epoch,
                seconds=seconds,
                rollout=going.id if going else None,
            )
        )
        return {"from": bad, "to": good, "epoch": epoch, "seconds": seconds}

    return op.commit(write)


def trip_canary(services: Services, spec: ModelSpec, *, version: int, reason: str, actor: str) -> JsonObject:
    """A server took this canary off traffic by itself: end its rollout everywhere. Harmless when it has ended."""
    with services.database.begin() as tx:
        going = tx.rollouts.running(spec.model)
    if going is None or going.version != version:
        return {"rolled_back": False}
    return {"rolled_back": True, **roll_back(services, spec, actor=actor, reason=reason, run=f"trip-{going.id}")}


def _abort(services: Services, tx: Transaction, going: Rollout) -> tuple[int, int | None, int]:
    tx.versions.move(VersionRef(going.model, going.version), State.CHALLENGER, State.REJECTED)
    ended = _route(services, tx, going, champion=going.previous, canary=None, percent=0)
    tx.rollouts.save(replace(ended, state=RolloutState.ROLLED_BACK, percent=0, ended_at=ended.step_at), going.epoch)
    return going.version, going.previous, ended.epoch


def _demote(services: Services, tx: Transaction, model: str) -> tuple[int, int | None, int]:
    champion, route = tx.versions.champion(model), tx.routes.get(model)
    promoted = tx.events.read(model=model, types=[EventType.VERSION_PROMOTED])
    mine = [event for event in promoted if champion and event.version == champion.number]
    if champion is None or route is None or not mine or mine[-1].body["replaced"] is None:
        raise PolicyError(
            "there is no recorded champion to go back to",
            where=model,
            hint="train and approve a version, or retire the model if it must stop serving",
        )
    good = int(mine[-1].body["replaced"])
    tx.versions.move(champion.ref, State.CHAMPION, State.REJECTED)
    tx.versions.move(VersionRef(model, good), State.SUPERSEDED, State.CHAMPION)
    tx.routes.set(Route(model, good, None, 0, route.epoch + 1, services.clock.now()))
    return champion.number, good, route.epoch + 1
