"""Nightly work: verify the ledger, deliver what waits, set aliases back."""

from __future__ import annotations

from steward.actions.effects import aliases, deliver
from steward.actions.state import Services
from steward.actions.verifying import require_whole
from steward.ledger import EventDraft, EventType, export_checkpoint, parse_checkpoints
from steward.types import JsonObject


def reassert_aliases(services: Services, *, actor: str) -> JsonObject:
    """Set the registry's aliases to what the ledger says; each that differed is an event."""
    left = deliver(services)
    changed: JsonObject = {}
    for model in services.specs.ids():
        with services.database.begin() as tx:
            wanted = aliases(tx, model)
        if not any(wanted.values()):
            continue
        for alias, found in services.mirror.assert_aliases(model, wanted).items():
            changed[f"{model}:{alias}"] = {"found": found, "set": wanted[alias]}
            said = f"@{alias} pointed at {found}, the ledger says {wanted[alias]}"
            with services.database.begin() as tx:
                tx.events.append(
                    EventDraft(EventType.ALIAS_REASSERTED, model, actor, said, wanted[alias], None, {"alias": alias})
                )
    return {"changed": changed, "waiting": left}


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
