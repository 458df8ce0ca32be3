"""Messages to people through Airflow: channels that only a task can reach, and the faults of tasks themselves."""

from __future__ import annotations

import html
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier, Connection, Context

from steward.errors import StewardError, UnavailableError
from steward.monitoring.messages import Message
from steward.monitoring.notifications import Channel
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.actions.state import Services

log = logging.getLogger(__name__)

TELLING = frozenset(
    {
        "audit_inventory",
        "heal",
        "heal_window",
        "maintain_log",
        "note_scoring",
        "open_incident",
        "roll_back",
        "settle_rollout",
    }
)
"""Actions after which their task delivers what waits for a channel of Airflow."""


class AirflowCourier:
    """Delivers to channels that name a notifier or a connection of Airflow. No address gets into an error."""

    def reaches(self, name: str, channel: Channel | None) -> bool:
        return channel is not None and channel.by_airflow

    def notify(self, name: str, channel: Channel | None, message: Message) -> None:
        assert channel is not None
        try:
            if channel.connection is not None:
                _send(name, channel.connection, message)
            else:
                _call(channel, message)
        except StewardError:
            raise
        except Exception as error:  # noqa: BLE001, a provider may raise anything, with what it connects to in it
            said = f"{channel.notifier or channel.connection} broke down ({type(error).__name__})"
            raise UnavailableError(said, where=f"channel {name}", hint="see its provider's documentation") from None


def _send(name: str, connection: str, message: Message) -> None:
    from steward.adapters.notices import send

    address = Connection.get(connection).password
    if not address:
        said = f"the connection {connection} has no password: it must be an Apprise address"
        raise UnavailableError(said, where=f"channel {name}")
    send(name, address, message)


def _call(channel: Channel, message: Message) -> None:
    """What was said is given as values to the templates of the arguments, and never read as a template itself."""
    notifier = _class_of(channel)(**channel.arguments)
    context: Any = {"steward": facts_of(message)}
    notifier.render_template_fields(context)
    notifier.notify(context)


def _class_of(channel: Channel) -> type[BaseNotifier]:
    module, _, name = (channel.notifier or "").rpartition(".")
    found = getattr(import_module(module), name, None)
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise UnavailableError(f"{channel.notifier} is no notifier", hint="name a class that is a BaseNotifier")
    return found


def facts_of(message: Message) -> JsonObject:
    """What templates may use as `{{ steward.… }}`; `html` is the body, safe to put into a page or a mail."""
    return {**message.to_json(), "html": f"<pre>{html.escape(message.body)}</pre>"}


def deliver_by_airflow() -> None:
    """Deliver what waits for channels of Airflow. What cannot be stays where it is and fails no task."""
    from steward import wiring

    try:
        if any(channel.by_airflow for channel in wiring.notifications().channels.values()):
            _deliver(wiring.services())
    except StewardError as error:
        log.warning("messages wait for the next task: %s", error.what)


def _deliver(services: Services) -> None:
    from steward.actions.incidents.messaging import deliver_messages

    deliver_messages(services, AirflowCourier())


class StewardNotifier(BaseNotifier):
    """Tells people of a task that failed for good, through Steward's channels, once per run.

    For `on_failure_callback` of a task or a DAG. Generated DAGs have it; others may use it, with the id of a `model`
    whose owner should hear of it, or without.
    """

    def __init__(self, model: str | None = None) -> None:
        super().__init__()
        self.model = model

    def notify(self, context: Context) -> None:
        """Never raises what would hide the fault itself."""
        from steward import wiring
        from steward.actions.incidents.notifying import report_fault

        try:
            where = {"dag": context["dag"].dag_id, "run": context["run_id"], "task": context["ti"].task_id}
            report_fault(wiring.services(), **where, model=self.model, error=_said(context.get("exception")))
        except StewardError as error:
            log.warning("nobody was told of this fault: %s", error.what)
        deliver_by_airflow()


def _said(error: object) -> str:
    """Steward's own words hold no secret, and Airflow's errors wrap them. What others said may: of that only the kind
    is told, also where Steward's error repeats it."""
    from airflow.sdk.exceptions import AirflowException

    if not isinstance(error, StewardError | AirflowException):
        return f"{type(error).__name__}; its log says more" if error else "no reason was given; its log says more"
    said, cause = str(error), error.__cause__ or error.__context__
    while cause is not None:
        if not isinstance(cause, StewardError | AirflowException) and str(cause):
            said = said.replace(str(cause), "…")
        cause = cause.__cause__ or cause.__context__
    return said
