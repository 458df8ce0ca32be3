"""Nightly work: verify the ledger, deliver what waits, set aliases back."""

from __future__ import annotations

from steward.actions.effects import aliases, deliver
from steward.actions.state import Services
from steward.ledger import EventDraft, EventType
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
