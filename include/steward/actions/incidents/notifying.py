"""Telling people of what is no incident, and what they would be told: faults of tasks, previews, trials."""

from __future__ import annotations

from datetime import datetime, timedelta

from steward.actions.effects import want_message
from steward.actions.incidents.messaging import CHANNEL, planned_dispatches
from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.actions.telling.retelling import retold_messages
from steward.errors import NotFoundError
from steward.ledger import ALL_MODELS
from steward.monitoring.messages import INCIDENT_EVENTS, Message, fault_of, message_of
from steward.monitoring.notifications import NOTICES, Dispatch, dispatch_to_json
from steward.types import JsonObject, format_instant


def report_fault(services: Services, *, dag: str, run: str, task: str, model: str | None, error: str) -> JsonObject:
    """Tell people that a task failed for good, once per run however many of its tasks fail."""
    op = Operation.begin(services, f"report_fault/{dag}", model or ALL_MODELS, run, "airflow")

    def write(tx: Transaction) -> JsonObject:
        spec = services.specs.all()[0].get(model) if model else None
        severity = spec.risk_tier.value if spec else "medium"
        want_message(tx, fault_of(dag, run, task, model, severity, error, services.clock.now()))
        return {"told": True, "task": task}

    return op.commit(write)


def preview_messages(services: Services, model: str, days: int, *, anew: bool = False) -> list[JsonObject]:
    """What the present rules would have told whom, and when, of the incidents of the last days. Tells nobody.

    Made from the same events, by the same words, as what was really sent. `anew`: of the incidents that the judged
    windows would have opened by the present spec, and not of those that were.
    """
    spec = services.specs.get(model)
    rules, since = services.notifications(), services.clock.now() - timedelta(days=days)
    with services.database.begin() as tx:
        messages = retold_messages(tx, spec, since) if anew else _told(tx, model, since)
    return [
        {
            "at": format_instant(message.at),
            "tells_at": format_instant(one.not_before or message.at),
            "waits": one.not_before is not None,
            "channel": one.channel,
            "occasion": message.occasion,
            "severity": message.severity,
            "to": list(one.message.to),
            "title": message.title,
        }
        for message in messages
        for one in planned_dispatches(services, rules, message)
    ]


def _told(tx: Transaction, model: str, since: datetime) -> list[Message]:
    events = tx.events.read(model=model, types=INCIDENT_EVENTS, since=since)
    return [message for event in events if (message := message_of(event)) is not None]


def try_channel(services: Services, name: str, by: str) -> JsonObject:
    """Send a trial to one channel, now. Raises NotFoundError; UnavailableError with what the channel said.

    A channel that only Airflow's tasks reach gets it from the next of them.
    """
    rules, now = services.notifications(), services.clock.now()
    channel = rules.channels.get(name)
    if channel is None and name != NOTICES:
        known = ", ".join([NOTICES, *rules.channels])
        raise NotFoundError(f"there is no channel {name}", hint=f"there are {known}")
    said = f"{by} tried the channel {name}. Nothing is wrong."
    trial = Message(f"trial:{format_instant(now)}", "letter", None, "trial", "low", now, "Steward: a trial", said)
    if services.notifier.reaches(name, channel):
        services.notifier.notify(name, channel, trial)
        return {"channel": name, "sent": True}
    with services.database.begin() as tx:
        tx.outbox.put(CHANNEL, dispatch_to_json(Dispatch(name, trial)))
    return {"channel": name, "sent": False}
