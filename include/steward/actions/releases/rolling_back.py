"""The way back: to the champion recorded before."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

from steward.actions.effects import want_aliases
from steward.actions.incidents.changing import end_with_service
from steward.actions.operation import Operation
from steward.actions.releases.rollouts import move_route, route_said, way_back
from steward.actions.state import Services, Transaction
from steward.errors import ConflictError, PolicyError
from steward.ledger import AuditEvent, EventType
from steward.registry import ModelVersion, State
from steward.rollout import Rollout, RolloutState, Route
from steward.spec import ModelSpec
from steward.spec.fields import format_duration
from steward.types import JsonObject, VersionRef

JUST_NOW = timedelta(minutes=15)
"""After a rollback: for so long another one says where to."""

_NO_WAY_BACK = {
    State.CHAMPION: "it serves already",
    State.CHALLENGER: "it was never the champion",
    State.REJECTED: "it was rejected, which is for good",
    State.RETIRED: "it is retired",
}


def settle_rollout(services: Services, spec: ModelSpec, *, run: str, actor: str, reason: str) -> JsonObject:
    """Last task of a release: whatever this run left half-way is rolled back. Does nothing when it completed."""
    with services.database.begin() as tx:
        going = tx.rollouts.running(spec.model)
        mine = going is not None and any(
            event.body.get("rollout") == going.id and event.body.get("run") == run
            for event in tx.events.read(model=spec.model, types=[EventType.ROLLOUT_STARTED])
        )
    if going is None or not mine:
        return {"rolled_back": False, "to": None, "seconds": None}
    done = _end_rollout(services, spec, going, actor=actor, reason=reason, run=run)
    return {"rolled_back": done["epoch"] is not None, "to": done["to"], "seconds": done["seconds"]}


def roll_back(
    services: Services,
    spec: ModelSpec,
    *,
    actor: str,
    reason: str,
    run: str | None = None,
    to: int | None = None,
    version: int | None = None,
    deliver_now: bool = True,
) -> JsonObject:
    """Send all traffic back to the champion recorded before; the version that fails is rejected for good.

    A running rollout is ended; without one, the present champion gives way to the one it replaced, or to the champion
    `to` whose reign ended within the rollback window. Right after a rollback only a `to` goes further. `seconds` is
    from the call to the commit of the route; servers follow it within a second, and `prove_rollback` asks them.

    `version`: the one that must go, as somebody saw it. Raises ConflictError, and moves nothing, if another would.
    """
    op = Operation.begin(services, "roll_back", spec.model, run, actor, **({"to": to} if to is not None else {}))
    return _go_back(op, spec, reason, to=to, version=version, deliver_now=deliver_now)


def _end_rollout(
    services: Services, spec: ModelSpec, going: Rollout, *, actor: str, reason: str, run: str
) -> JsonObject:
    """Nothing when somebody else ended it meanwhile: its champion must not give way for it. `epoch` is None then."""
    op = Operation.begin(services, "roll_back", spec.model, run, actor)
    return _go_back(op, spec, reason, only=going.id)


def _go_back(
    op: Operation,
    spec: ModelSpec,
    reason: str,
    *,
    to: int | None = None,
    version: int | None = None,
    only: str | None = None,
    deliver_now: bool = True,
) -> JsonObject:
    """`only`: the rollout to end, and no other change."""
    services, started = op.services, time.monotonic()

    def write(tx: Transaction) -> JsonObject:
        going = tx.rollouts.running(spec.model)
        if only is not None and (going is None or going.id != only):
            return {"from": None, "to": None, "epoch": None, "seconds": None}
        if going is None and to is None:
            _require_not_just_back(services, tx, spec.model)
        moved = _abort(services, spec, tx, going, to) if going else demote(services, spec, tx, to)
        if version not in (None, moved[0]):
            raise ConflictError(
                f"{VersionRef(spec.model, moved[0])} would go, not version {version}: things moved on meanwhile",
                where=spec.model,
                hint=f"look again: `steward status {spec.model}`",
            )
        return _told_back(op, tx, moved, reason, started, going.id if going else None)

    return op.commit(write, deliver_now=deliver_now)


def give_way(op: Operation, spec: ModelSpec, tx: Transaction, reason: str) -> JsonObject:
    """The champion gives way to the one before it, in the transaction that found it failing."""
    started = time.monotonic()
    return _told_back(op, tx, demote(op.services, spec, tx, None), reason, started, None)


def _told_back(
    op: Operation,
    tx: Transaction,
    moved: tuple[int, int | None, int],
    reason: str,
    started: float,
    rollout: str | None,
) -> JsonObject:
    bad, good, epoch = moved
    want_aliases(tx, op.model)
    seconds = time.monotonic() - started
    told = tx.events.append(
        op.event(
            EventType.ROLLOUT_ROLLED_BACK,
            reason,
            version=bad,
            to=good,
            epoch=epoch,
            seconds=seconds,
            rollout=rollout,
            route=route_said(tx, op.model),
        )
    )
    end_with_service(tx, op, bad, f"version {bad} was rolled back", kind="rollback", ref=str(told.seq))
    return {"from": bad, "to": good, "epoch": epoch, "seconds": seconds}


def trip_canary(services: Services, spec: ModelSpec, *, version: int, reason: str, actor: str) -> JsonObject:
    """A server took this canary off traffic by itself: end its rollout everywhere. Harmless when it has ended."""
    with services.database.begin() as tx:
        going = tx.rollouts.running(spec.model)
    if going is None or going.version != version:
        return {"rolled_back": False}
    done = _end_rollout(services, spec, going, actor=actor, reason=reason, run=f"trip-{going.id}")
    return {"rolled_back": done["epoch"] is not None, **done}


def _require_not_just_back(services: Services, tx: Transaction, model: str) -> None:
    """Raises PolicyError while the last change is a rollback of a moment ago: whoever hears of a bad version and rolls
    back after its breaker did, or a colleague, means that version and not the sound one which serves again."""
    before, last = recorded_before(tx, model), rolled_back_just_now(services, tx, model)
    if before is not None and last is not None:
        raise PolicyError(
            f"{model}@{last.version} was rolled back at {last.at:%H:%M:%S} UTC, by {last.actor}: {last.reason}",
            where=f"{model}@{last.body['to']} serves since",
            hint=f"if that one must go too, say where to: version {before.number} (`--to {before.number}`)",
        )


def rolled_back_just_now(services: Services, tx: Transaction, model: str) -> AuditEvent | None:
    """The rollback of a moment ago, while it is the last change."""
    kinds = [EventType.VERSION_PROMOTED, EventType.ROLLOUT_ROLLED_BACK]
    last = next(iter(tx.events.read(model=model, types=kinds, limit=1)), None)
    if last is None or last.type is not EventType.ROLLOUT_ROLLED_BACK:
        return None
    return last if services.clock.now() - last.at < JUST_NOW else None


def _abort(
    services: Services, spec: ModelSpec, tx: Transaction, going: Rollout, to: int | None
) -> tuple[int, int | None, int]:
    if to not in (None, going.previous):
        raise PolicyError(
            f"a rollout of {VersionRef(going.model, going.version)} is running: its way back is {going.previous}",
            where=going.model,
            hint="roll back without naming a version, which ends the rollout; then again, to the one you want",
        )
    tx.versions.move(VersionRef(going.model, going.version), State.CHALLENGER, State.REJECTED)
    standby = way_back(services, spec, tx, going.previous)
    ended = move_route(services, tx, going, champion=going.previous, canary=None, percent=0, standby=standby)
    tx.rollouts.save(replace(ended, state=RolloutState.ROLLED_BACK, percent=0, ended_at=ended.step_at), going.epoch)
    return going.version, going.previous, ended.epoch


def demote(services: Services, spec: ModelSpec, tx: Transaction, to: int | None) -> tuple[int, int | None, int]:
    """The champion gives way. → the version rejected, the one that serves again, the epoch of the route.

    Raises PolicyError when no version on record may serve again.
    """
    model = spec.model
    champion, route = tx.versions.champion(model), tx.routes.get(model)
    good = recorded_before(tx, model) if to is None else _recent_champion(services, spec, tx, VersionRef(model, to))
    if champion is None or route is None or good is None:
        raise PolicyError(
            "there is no recorded champion to go back to",
            where=model,
            hint="train and approve a version, or retire the model if it must stop serving",
        )
    tx.versions.move(champion.ref, State.CHAMPION, State.REJECTED)
    tx.versions.move(good.ref, State.SUPERSEDED, State.CHAMPION)
    standby = way_back(services, spec, tx, good.number)
    tx.routes.set(Route(model, good.number, None, 0, route.epoch + 1, services.clock.now(), standby=standby))
    return champion.number, good.number, route.epoch + 1


def recorded_before(tx: Transaction, model: str) -> ModelVersion | None:
    """The version that the present champion replaced: always a way back, however long ago it was."""
    champion = tx.versions.champion(model)
    promoted = tx.events.read(model=model, types=[EventType.VERSION_PROMOTED])
    mine = [event for event in promoted if champion and event.version == champion.number]
    if not mine or mine[-1].body["replaced"] is None:
        return None
    before = tx.versions.get(VersionRef(model, int(mine[-1].body["replaced"])))
    return before if before.state is State.SUPERSEDED else None


def _recent_champion(services: Services, spec: ModelSpec, tx: Transaction, ref: VersionRef) -> ModelVersion:
    """Raises PolicyError for a version that serves, never did, may not again, or did too long ago to skip the steps."""
    wanted, before = tx.versions.get(ref), recorded_before(tx, ref.model)
    if before is not None and wanted.number == before.number:
        return wanted
    hint = f"without a number, rollback goes to {before.ref}" if before else "train and approve a version"
    if wanted.state is not State.SUPERSEDED:
        raise PolicyError(f"{_NO_WAY_BACK[wanted.state]}: no rollback goes there", where=str(ref), hint=hint)
    replaced = tx.events.read(model=ref.model, types=[EventType.VERSION_PROMOTED])
    ended = max((event.at for event in replaced if event.body["replaced"] == ref.number), default=wanted.created_at)
    window = spec.deployment.rollback_window
    if ended is None or services.clock.now() - ended > window:
        since = f"its reign ended on {ended:%Y-%m-%d}" if ended else "nothing says when its reign ended"
        said = f"{since}; only a champion of the last {format_duration(window)} is gone back to without steps"
        raise PolicyError(said, where=str(ref), hint=f"{hint}; train it again to release it step by step")
    return wanted
