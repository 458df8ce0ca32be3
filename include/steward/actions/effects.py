"""Effects outside the database: committed as wishes with the change that wants them, delivered after it.

A failed delivery stays in the outbox and is tried again by the next action and by the nightly audit; the change itself
stands, because the ledger is the truth and the registry its shadow.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from steward.actions.incidents.messaging import CHANNEL, NOTICE, address_message, deliver_messages, pending_effects
from steward.actions.state import Services, Transaction
from steward.errors import StewardError
from steward.ledger.outbox import PendingEffect
from steward.monitoring.messages import Message
from steward.registry import ModelVersion, State
from steward.training import LoggedModel

log = logging.getLogger(__name__)

REGISTER = "registry.register"
ALIASES = "registry.aliases"


def logged_model(version: ModelVersion) -> LoggedModel:
    return LoggedModel(version.run_id, version.artefact_uri, version.artefact_digest)


def want_registration(tx: Transaction, version: ModelVersion) -> None:
    tx.outbox.put(
        REGISTER,
        {
            "model": version.model,
            "number": version.number,
            "run_id": version.run_id,
            "uri": version.artefact_uri,
            "digest": version.artefact_digest,
            "tags": {"steward.state": version.state.value, "steward.author": version.author},
        },
    )


def want_aliases(tx: Transaction, model: str) -> None:
    tx.outbox.put(ALIASES, {"model": model})


def want_notice(tx: Transaction, to: Sequence[str], title: str, body: str, *, severity: str = "medium") -> None:
    """Write to people, by their addresses, once the change is committed."""
    tx.outbox.put(NOTICE, {"to": list(to), "title": title, "body": body, "severity": severity})


def want_message(tx: Transaction, message: Message) -> None:
    """Tell whoever the rules of the deployment name, once the change is committed."""
    tx.outbox.put(NOTICE, {"message": message.to_json()})


def aliases(tx: Transaction, model: str) -> dict[str, int | None]:
    """What the registry's aliases must say, from the ledger's side."""
    champion = tx.versions.champion(model)
    waiting = [v.number for v in tx.versions.all(model) if v.state is State.CHALLENGER]
    return {"champion": champion.number if champion else None, "challenger": max(waiting, default=None)}


def deliver(services: Services) -> int:
    """Deliver what is pending; returns how many could not be and are left for later."""
    left, told = 0, False
    for effect in pending_effects(services.database):
        told = told or effect.kind in (NOTICE, CHANNEL)
        try:
            _do(services, effect)
        except StewardError as error:  # no effect may stand in the way of another: each is safe in any order
            log.warning("effect %s for %s waits for the next try: %s", effect.kind, effect.body.get("model"), error)
            left += 1
    return left + (deliver_messages(services) if told else 0)


def _do(services: Services, effect: PendingEffect) -> None:
    body = effect.body
    if effect.kind == NOTICE:
        address_message(services, effect)
        return
    if effect.kind == REGISTER:
        logged = LoggedModel(body["run_id"], body["uri"], body["digest"])
        services.mirror.register(logged, body["model"], body["number"], body["tags"])
    elif effect.kind == ALIASES:
        with services.database.begin() as tx:
            wanted = aliases(tx, body["model"])
        services.mirror.assert_aliases(body["model"], wanted)
    else:
        return  # of a channel: delivered after all, or by who can
    with services.database.begin() as tx:
        tx.outbox.delivered(effect.id)
