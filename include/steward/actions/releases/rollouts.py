"""A rollout, the route it moves and the steps it has taken, inside a transaction."""

from __future__ import annotations

from dataclasses import replace

from steward.actions.state import Services, Transaction
from steward.errors import IntegrityError, PolicyError
from steward.gates import Outcome
from steward.ledger import AuditEvent, EventType
from steward.registry import State
from steward.rollout import Rollout, RolloutState, Route
from steward.rollout.steps import Parties
from steward.spec import Deployment, ModelSpec
from steward.types import JsonObject, VersionRef


def running_rollout(tx: Transaction, model: str, rollout: str) -> Rollout:
    """Raises PolicyError when it has ended."""
    going = rollout_of(tx, model, rollout)
    if going.state is not RolloutState.RUNNING:
        raise PolicyError(
            f"rollout {rollout} is {going.state}",
            where=going.model,
            hint="a rollout that ended is not taken up again",
        )
    return going


def rollout_of(tx: Transaction, model: str, rollout: str) -> Rollout:
    """Raises PolicyError for the rollout of another model, NotFoundError for none: ids come from outside."""
    going = tx.rollouts.get(rollout)
    if going.model != model:
        raise PolicyError(f"rollout {rollout} is of {going.model}", where=model, hint="start one of this model")
    return going


def move_route(
    services: Services,
    tx: Transaction,
    going: Rollout,
    *,
    champion: int | None,
    canary: int | None,
    percent: int,
    shadow: int | None = None,
    standby: int | None = None,
) -> Rollout:
    """The rollout at its next epoch. Whoever calls this puts `route_said` into the event of the change."""
    now = services.clock.now()
    tx.routes.set(Route(going.model, champion, canary, percent, going.epoch + 1, now, shadow, standby))
    return replace(going, epoch=going.epoch + 1, step_at=now, step_wall_at=services.wall())


def route_said(tx: Transaction, model: str) -> JsonObject:
    """The route as the event of its change tells it; `ledger.replay` reads it back."""
    route = tx.routes.get(model)
    return Parties.of(route).to_json() if route else {}


def way_back(services: Services, spec: ModelSpec, tx: Transaction, champion: int | None) -> int | None:
    """The champion that this one replaced, while the rollback window lasts: it stays loaded on every server."""
    promoted = [
        e for e in tx.events.read(model=spec.model, types=[EventType.VERSION_PROMOTED]) if e.version == champion
    ]
    if spec.deployment.target == "batch" or not promoted or promoted[-1].body["replaced"] is None:
        return None
    if services.clock.now() - promoted[-1].at >= spec.deployment.rollback_window:
        return None
    before = int(promoted[-1].body["replaced"])
    return before if tx.versions.get(VersionRef(spec.model, before)).state is State.SUPERSEDED else None


def planned_steps(tx: Transaction, spec: ModelSpec, going: Rollout) -> tuple[int, ...]:
    """What the rollout was started with: a spec that changes meanwhile takes no step away."""
    return tuple(_started(tx, going).get("steps", spec.deployment.judged_steps))


def as_started(tx: Transaction, spec: ModelSpec, going: Rollout) -> ModelSpec:
    """The spec with the guardrails and the bake that the rollout was started with: one that changes meanwhile loosens
    nothing."""
    terms = _started(tx, going).get("deployment")
    if terms is None:
        return spec
    return spec.model_copy(update={"deployment": Deployment.model_validate(terms)})


def _started(tx: Transaction, going: Rollout) -> JsonObject:
    """Raises IntegrityError for a rollout that was never started: somebody wrote it past the actions."""
    started = _told(tx, going, EventType.ROLLOUT_STARTED)
    if not started:
        raise IntegrityError(
            f"no event says that rollout {going.id} was started",
            where=going.model,
            hint="`steward audit verify --state` says what else was written past the actions; roll back",
        )
    return started[-1].body


def require_next(tx: Transaction, spec: ModelSpec, going: Rollout, percent: int) -> None:
    """Raises PolicyError unless this step is the next of those planned and the one before it has passed."""
    planned, taken = planned_steps(tx, spec, going), _taken(tx, going)
    if planned[taken : taken + 1] != (percent,):
        due = f"the next step is {_named(planned[taken])}" if taken < len(planned) else "every step has been taken"
        raise PolicyError(
            f"{_named(percent)} is not due: {due}",
            where=f"rollout {going.id} of {going.model}",
            hint="steps are taken in the order they were planned in; to change them, roll back and release anew",
        )
    if taken:
        _require_passed(tx, going)


def require_judged(tx: Transaction, spec: ModelSpec, going: Rollout) -> None:
    """Raises PolicyError unless every planned step was taken and the last has passed, says the ledger."""
    planned, taken = planned_steps(tx, spec, going), _taken(tx, going)
    if taken < len(planned):
        left = ", ".join(_named(step) for step in planned[taken:])
        raise PolicyError(
            f"not every step was taken: {left} did not run",
            where=f"rollout {going.id} of {going.model}",
            hint="a task marked as success by hand proves nothing: clear it, or roll back",
        )
    if planned:
        _require_passed(tx, going)


def _require_passed(tx: Transaction, going: Rollout) -> None:
    """The present step was judged PASSED: an analysis at the epoch of this step says so."""
    for event in _told(tx, going, EventType.ROLLOUT_ANALYSED):
        if event.body["epoch"] == going.epoch and event.body["outcome"] == Outcome.PASSED.value:
            return
    raise PolicyError(
        f"the step at {going.percent} % has not passed",
        where=f"rollout {going.id} of {going.model}",
        hint="a task marked as success by hand proves nothing: let the analysis finish, or roll back",
    )


def _taken(tx: Transaction, going: Rollout) -> int:
    return len(_told(tx, going, EventType.ROLLOUT_ADVANCED))


def _told(tx: Transaction, going: Rollout, kind: EventType) -> list[AuditEvent]:
    return [event for event in tx.events.read(model=going.model, types=[kind]) if event.body.get("rollout") == going.id]


def _named(percent: int) -> str:
    return f"{percent} %" if percent else "the shadow"
