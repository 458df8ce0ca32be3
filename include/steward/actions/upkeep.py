"""Nightly work: verify the ledger, deliver what waits, set aliases back."""

from __future__ import annotations

from steward.actions.effects import aliases, deliver
from steward.actions.state import Services
from steward.actions.verifying import require_whole
from steward.errors import NotFoundError
from steward.ledger import EventDraft, EventType, export_checkpoint, parse_checkpoints
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
