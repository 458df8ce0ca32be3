"""The two ends of a rollout: it starts on an approval, and ends with a promotion."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from steward.actions.approvals.approving import require_approval
from steward.actions.approvals.overriding import glass_broken, overdue_review
from steward.actions.approvals.waiving import require_waivers
from steward.actions.effects import logged_model, want_aliases
from steward.actions.governance.stages import enter_stage
from steward.actions.incidents.changing import end_with_service
from steward.actions.operation import Operation
from steward.actions.releases.rollouts import move_route, require_judged, route_said, running_rollout
from steward.actions.state import Services, Transaction
from steward.errors import PolicyError
from steward.gates import Evidence, Outcome
from steward.ledger import EventType
from steward.registry import ModelVersion, State
from steward.rollout import Rollout, RolloutState
from steward.rollout.steps import at_start
from steward.spec import ModelSpec
from steward.types import JsonObject, Stage, VersionRef

_JUDGED_BY = ("strategy", "steps", "guardrails", "smoke", "bake.requests", "bake.finds")
_TERMS = tuple(f"deployment.{name}" for name in _JUDGED_BY)


def start_rollout(services: Services, spec: ModelSpec, *, run: str, actor: str, version: int) -> JsonObject:
    """Check the approval, try the smoke rows on the stored artefact, record the champion to go back to.

    In a freeze nothing starts, and the version stays a challenger.
    """
    from steward.rollout.smoke import judge_smoke

    op = Operation.begin(services, "start_rollout", spec.model, run, actor, version=version)
    if done := op.earlier():
        return done
    with op.refusals_recorded(), services.database.begin() as tx:
        candidate = tx.versions.get(VersionRef(spec.model, version))
        if held := _held_by_freeze(services, spec, tx, op, candidate):
            return held
        rows = tx.evidence.get(candidate.evidence["training"]).body["smoke"]
    model = services.models.load(logged_model(candidate))
    verdict = judge_smoke(rows, _smoke_answers(spec, model, rows) if rows else [])

    def write(tx: Transaction) -> JsonObject:
        approval = _require_release(services, spec, tx, candidate)
        enter_stage(services, spec, tx, op, Stage.DEPLOYMENT, version)
        champion = tx.versions.champion(spec.model)
        evidence = Evidence("smoke", spec.model, {"version": version, "verdict": verdict.to_json()})
        digest = tx.evidence.put(evidence)
        rollout = _open(services, spec, tx, candidate, champion) if verdict.passed else None
        if rollout is None:
            tx.versions.move(candidate.ref, State.CHALLENGER, State.REJECTED)
            want_aliases(tx, spec.model)
        kind = EventType.ROLLOUT_STARTED if rollout else EventType.VERSION_REJECTED
        reason = "; ".join(verdict.reasons) or "the smoke rows gave the expected answers"
        tx.events.append(
            op.event(
                kind,
                reason,
                version=version,
                evidence=digest,
                approval=approval,
                previous=champion.number if champion else None,
                **_terms(tx, spec, rollout),
            )
        )
        return {
            "rollout": rollout.id if rollout else None,
            "strategy": spec.deployment.strategy.value,
            "steps": list(spec.deployment.judged_steps),
            "first": champion is None,
            "outcome": verdict.outcome.value,
            "reasons": list(verdict.reasons),
        }

    return op.commit(write)


def _smoke_answers(spec: ModelSpec, model: Any, rows: Sequence[JsonObject]) -> Any:
    from steward.gates.classes import by_class
    from steward.rollout.smoke import smoke_frame
    from steward.training.fitting import score

    classes = spec.data.label.classes
    scores = score(model, smoke_frame(rows, spec), classes)
    return scores if classes is None else by_class(scores, classes)


def _terms(tx: Transaction, spec: ModelSpec, rollout: Rollout | None) -> JsonObject:
    """What the rollout is held to from here on, whatever becomes of the spec; its route, if it moved one already."""
    if rollout is None:
        return {"rollout": None}
    deployment = spec.deployment
    terms = {
        "rollout": rollout.id,
        "strategy": deployment.strategy,
        "steps": deployment.judged_steps,
        "deployment": deployment.model_dump(mode="json"),
    }
    if at_start(rollout, deployment.strategy) is None:
        return terms
    return {**terms, "epoch": rollout.epoch, "route": route_said(tx, spec.model)}


def _require_release(services: Services, spec: ModelSpec, tx: Transaction, candidate: ModelVersion) -> str | None:
    """The approval this version starts on. Raises PolicyError for one that is missing, or for what it rests on."""
    approval = require_approval(services, spec, tx, candidate)
    require_waivers(services, tx, candidate)
    if not glass_broken(tx, candidate, approval):
        _require_terms(spec, tx, candidate)
    if overdue := overdue_review(tx, spec.model, services.clock.now()):
        raise PolicyError(overdue, where=spec.model, hint=f"somebody else reviews it: `steward review {spec.model}`")
    return approval


def _require_terms(spec: ModelSpec, tx: Transaction, candidate: ModelVersion) -> None:
    """Raises PolicyError when the spec lets a version through on less than the one it was approved under, or when that
    one cannot be read: terms nobody knows are not kept."""
    from pydantic import ValidationError

    from steward.spec import diff

    registered = tx.events.read(model=spec.model, types=[EventType.VERSION_REGISTERED])
    before = [event.body["spec"] for event in registered if event.version == candidate.number and "spec" in event.body]
    try:
        changes = diff(ModelSpec.model_validate(before[-1]), spec)
    except (ValidationError, IndexError) as error:
        said = f"the spec that {candidate.ref} was registered under is not on record, or today's rules refuse it"
        hint = "train a version under the present spec"
        raise PolicyError(said, where=spec.model, hint=hint) from error
    if weaker := [each for each in changes if each.weakened and each.path.startswith(_TERMS)]:
        raise PolicyError(
            f"{candidate.ref} was registered under a stricter rollout: {'; '.join(map(str, weaker))}",
            where=spec.model,
            hint="put model.yaml back, or train a version under the present one",
        )


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
        "strategy": spec.deployment.strategy.value,
        "steps": list(spec.deployment.judged_steps),
        "first": tx.versions.champion(spec.model) is None,
        "outcome": Outcome.FAILED.value,
        "reasons": [f"{freeze}. The approval stays good: clear this task, with what follows it, after the freeze"],
    }


def _open(
    services: Services, spec: ModelSpec, tx: Transaction, candidate: ModelVersion, champion: ModelVersion | None
) -> Rollout:
    now, route = services.clock.now(), tx.routes.get(candidate.model)
    going = tx.rollouts.start(
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
    parties = at_start(going, spec.deployment.strategy)
    if parties is None:
        return going
    return tx.rollouts.save(move_route(services, tx, going, **parties._asdict()), going.epoch)


def complete_rollout(services: Services, spec: ModelSpec, *, run: str, actor: str, rollout: str) -> JsonObject:
    """Promote by compare and set: the champion must still be the one recorded at the start."""
    op = Operation.begin(services, "complete_rollout", spec.model, run, actor, rollout=rollout)

    def write(tx: Transaction) -> JsonObject:
        going = running_rollout(tx, spec.model, rollout)
        require_judged(tx, spec, going)
        candidate = tx.versions.get(VersionRef(spec.model, going.version))
        approval = require_approval(services, spec, tx, candidate, going.started_at)
        enter_stage(services, spec, tx, op, Stage.MONITORING, going.version)
        if going.previous is not None:
            tx.versions.move(VersionRef(spec.model, going.previous), State.CHAMPION, State.SUPERSEDED)
        tx.versions.move(candidate.ref, State.CHALLENGER, State.CHAMPION)
        standby = going.previous if _keeps_way_back(spec) else None
        ended = move_route(services, tx, going, champion=going.version, canary=None, percent=0, standby=standby)
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
                route=route_said(tx, spec.model),
            )
        )
        if going.previous is not None:
            why = f"version {going.previous} was replaced by {going.version}"
            end_with_service(tx, op, going.previous, why, kind="rollout", ref=rollout)
        return {"version": going.version, "replaced": going.previous, "epoch": ended.epoch}

    return op.commit(write)


def _keeps_way_back(spec: ModelSpec) -> bool:
    """Whether servers keep the champion of before in memory for a while. A batch target has no servers."""
    return spec.deployment.target != "batch" and spec.deployment.rollback_window > timedelta(0)
