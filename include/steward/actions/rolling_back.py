"""The way back: to the champion recorded before."""

from __future__ import annotations

import time
from dataclasses import replace

from steward.actions.effects import want_aliases
from steward.actions.operation import Operation
from steward.actions.rollouts import move_route, route_said, way_back
from steward.actions.state import Services, Transaction
from steward.errors import PolicyError
from steward.ledger import EventType
from steward.registry import State
from steward.rollout import Rollout, RolloutState, Route
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef


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
        bad, good, epoch = _abort(services, spec, tx, going) if going else _demote(services, spec, tx)
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
                route=route_said(tx, spec.model),
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


def _abort(services: Services, spec: ModelSpec, tx: Transaction, going: Rollout) -> tuple[int, int | None, int]:
    tx.versions.move(VersionRef(going.model, going.version), State.CHALLENGER, State.REJECTED)
    standby = way_back(services, spec, tx, going.previous)
    ended = move_route(services, tx, going, champion=going.previous, canary=None, percent=0, standby=standby)
    tx.rollouts.save(replace(ended, state=RolloutState.ROLLED_BACK, percent=0, ended_at=ended.step_at), going.epoch)
    return going.version, going.previous, ended.epoch


def _demote(services: Services, spec: ModelSpec, tx: Transaction) -> tuple[int, int | None, int]:
    model = spec.model
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
    standby = way_back(services, spec, tx, good)
    tx.routes.set(Route(model, good, None, 0, route.epoch + 1, services.clock.now(), standby=standby))
    return champion.number, good, route.epoch + 1
