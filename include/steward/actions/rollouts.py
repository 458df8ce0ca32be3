"""A rollout and the route it moves, inside a transaction."""

from __future__ import annotations

from dataclasses import replace

from steward.actions.state import Services, Transaction
from steward.errors import PolicyError
from steward.rollout import Rollout, RolloutState, Route


def running_rollout(tx: Transaction, model: str, rollout: str) -> Rollout:
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
) -> Rollout:
    now = services.clock.now()
    tx.routes.set(Route(going.model, champion, canary, percent, going.epoch + 1, now))
    return replace(going, epoch=going.epoch + 1, step_at=now, step_wall_at=services.wall())
