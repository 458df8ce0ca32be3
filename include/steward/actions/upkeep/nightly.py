"""Nightly work: verify the ledger, deliver what waits, set aliases back, let go of champions of long ago."""

from __future__ import annotations

from dataclasses import replace

from steward.actions.effects import aliases, deliver
from steward.actions.governance.verifying import require_whole
from steward.actions.releases.rollouts import route_said, way_back
from steward.actions.state import Services, Transaction
from steward.errors import NotFoundError, StewardError
from steward.ledger import EventDraft, EventType, export_checkpoint, parse_checkpoints
from steward.spec import ModelSpec, format_duration
from steward.types import JsonObject


def reassert_aliases(services: Services, *, actor: str) -> JsonObject:
    """Set the registry's aliases to what the ledger says; each that differed is an event.

    Of every model: one whose folder is gone, or that has nothing to show, may still be pointed at by hand. `missing`
    are aliases that cannot be set, because the registry has lost the version.
    """
    left = deliver(services)
    changed: JsonObject = {}
    missing: JsonObject = {}
    with services.database.begin() as tx:
        models = {*services.specs.ids(), *(version.model for version in tx.versions.everywhere())}
    for model in sorted(models):
        with services.database.begin() as tx:
            wanted = aliases(tx, model)
        differing, lost = _assert(services, model, wanted)
        missing |= {f"{model}:{alias}": said for alias, said in lost.items()}
        for alias, found in differing.items():
            changed[f"{model}:{alias}"] = {"found": found, "set": wanted[alias]}
            with services.database.begin() as tx:
                tx.events.append(_reasserted(model, actor, alias, found, wanted[alias]))
    return {"changed": changed, "missing": missing, "waiting": left}


def _assert(
    services: Services, model: str, wanted: dict[str, int | None]
) -> tuple[dict[str, int | None], dict[str, str]]:
    """One by one, so that an alias that cannot be set keeps no other from being set back and told."""
    differing: dict[str, int | None] = {}
    lost: dict[str, str] = {}
    for alias, number in wanted.items():
        try:
            differing |= services.mirror.assert_aliases(model, {alias: number})
        except NotFoundError as error:
            lost[alias] = error.what
    return differing, lost


def _reasserted(model: str, actor: str, alias: str, found: int | None, number: int | None) -> EventDraft:
    said = f"@{alias} pointed at {_pointed(found)}, the ledger says {_pointed(number)}"
    body = {"alias": alias, "found": found}
    return EventDraft(EventType.ALIAS_REASSERTED, model, actor, said, number, None, body)


def _pointed(number: int | None) -> str:
    if number is None:
        return "nothing"
    return f"version {number}" if number > 0 else "a version that Steward did not register"


def release_standbys(services: Services, *, actor: str) -> JsonObject:
    """Tell servers to let go of a champion of before whose rollback window is over: `released`, by model.

    While a rollout runs its route stays as it is; its next step, or its end, keeps nobody for longer than the window.
    `unknown` are models whose spec does not say how long that is: they keep what they have.
    """
    released: JsonObject = {}
    unknown: JsonObject = {}
    with services.database.begin() as tx:
        kept = [route.model for route in tx.routes.all() if route.standby is not None]
    for model in kept:
        try:
            spec = services.specs.get(model)
        except StewardError as error:
            unknown[model] = error.what
            continue
        with services.database.begin() as tx:
            tx.claim()
            if (number := _released(services, spec, tx, actor)) is not None:
                released[model] = number
    return {"released": released, "unknown": unknown}


def _released(services: Services, spec: ModelSpec, tx: Transaction, actor: str) -> int | None:
    route = tx.routes.get(spec.model)
    if route is None or route.standby is None or tx.rollouts.running(spec.model):
        return None
    if way_back(services, spec, tx, route.champion) == route.standby:
        return None
    tx.routes.set(replace(route, standby=None, epoch=route.epoch + 1, updated_at=services.clock.now()))
    said = f"its rollback window of {format_duration(spec.deployment.rollback_window)} is over"
    body = {"epoch": route.epoch + 1, "route": route_said(tx, spec.model)}
    tx.events.append(EventDraft(EventType.STANDBY_RELEASED, spec.model, actor, said, route.standby, None, body))
    return route.standby


def verify_ledger(services: Services, *, actor: str) -> JsonObject:
    """Verify the chain against every checkpoint taken before, then take one more; then all that rests on the chain.

    Checkpoints live outside the database: whoever rewrites it cannot rewrite them. Raises IntegrityError that names the
    first event, evidence or row that cannot be trusted, or the guard that was removed; no checkpoint is taken of a
    broken chain.
    """
    path = services.checkpoints
    earlier = parse_checkpoints(path.read_text(), str(path)) if path.exists() else []
    with services.database.begin() as tx:
        found = tx.events.verify(earlier)
        found.require()
        if found.events and (not earlier or earlier[-1].seq < found.events):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(export_checkpoint(tx.events.checkpoint()))
        require_whole(tx)
        weaknesses = tx.events.weaknesses()
    return {**found.to_json(), "weaknesses": [each.to_json() for each in weaknesses]}
