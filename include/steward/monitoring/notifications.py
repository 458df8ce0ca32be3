"""Who hears of what, where and when: channels, routes and quiet hours, as `include/notifications.yaml` says.

No secret stands in the file: an address is in an environment variable or an Airflow connection that the file names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from steward.monitoring.messages import Message, Occasion
from steward.monitoring.severity import at_least
from steward.spec.documents import read_document
from steward.spec.faults import Fault, FaultsError, nearest
from steward.spec.fields import Contradiction, Identifier, Section
from steward.spec.validation import validate
from steward.types import JsonObject, format_instant

Severity = Literal["low", "medium", "high"]
NOTICES = "notices"
"""The channel that is always there and hears everything at once: a file that an operator can read."""

_CALMING = ("acknowledged", "resolved")
_NOTIFIER = re.compile(r"airflow\.providers(\.[a-z_]\w*)+\.notifications(\.[a-z_]\w*)*\.[A-Z]\w*")
_SECRET = re.compile(r"(pass|secret|token|api_?key|credential|authori[sz]ation)(?!.*conn_id$)", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|(bearer|basic)\s+\S", re.IGNORECASE)
_PLAIN_PATH = re.compile(r"[\w.\[\]-]*")


def _environment(value: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value) is None:
        raise ValueError("name the environment variable that holds the address; never the address itself")
    return value


def _connection(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,250}", value) is None:
        raise ValueError("name the Airflow connection whose password is the address; never the address itself")
    return value


def _notifier(value: str) -> str:
    if _NOTIFIER.fullmatch(value) is None:
        raise ValueError("name a notifier of an Airflow provider: airflow.providers.….notifications.….ClassName")
    return value


def _time_of_day(value: str) -> str:
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value) is None:
        raise ValueError('write a time of day in quotes: "22:00"')
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("write a time zone such as Europe/Berlin or UTC") from None
    return value


def _may_hold_a_secret(value: object) -> bool:
    """An address, or anything by a telling name, however deep."""
    if isinstance(value, Mapping):
        return any(_SECRET.search(str(name)) or _may_hold_a_secret(each) for name, each in value.items())
    if isinstance(value, str):
        return _ADDRESS.match(value) is not None
    return isinstance(value, Sequence) and any(map(_may_hold_a_secret, value))


class Channel(Section):
    """One of three: an Apprise address from the environment or from a connection, or a notifier of Airflow."""

    environment: Annotated[str, AfterValidator(_environment)] | None = Field(
        default=None, description="Environment variable that holds an Apprise address"
    )
    connection: Annotated[str, AfterValidator(_connection)] | None = Field(
        default=None, description="Airflow connection whose password is an Apprise address; Airflow's tasks deliver"
    )
    notifier: Annotated[str, AfterValidator(_notifier)] | None = Field(
        default=None, description="Notifier class of an Airflow provider; Airflow's tasks deliver"
    )
    arguments: dict[str, Any] = Field(
        default={}, description="Of the notifier; templates may use {{ steward.title }} {{ steward.body }} and more"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        given = [name for name in ("environment", "connection", "notifier") if getattr(self, name) is not None]
        if len(given) != 1:
            yield Contradiction((), "give exactly one of environment, connection, notifier")
        if self.arguments and self.notifier is None:
            yield Contradiction(("arguments",), "only a notifier takes arguments")
        for name, value in self.arguments.items():
            if _SECRET.search(name) or _may_hold_a_secret(value):
                sentence = f"{name} may hold a secret: let the notifier take it from an Airflow connection"
                yield Contradiction(("arguments", name), sentence)

    @property
    def by_airflow(self) -> bool:
        """Whether only a task of Airflow can deliver it."""
        return self.environment is None


class Route(Section):
    """What goes to which channels; a message goes where any route sends it, once."""

    to: tuple[Identifier, ...] = Field(min_length=1, description="Channels")
    severity: Severity = Field(default="low", description="This or worse")
    teams: tuple[str, ...] = Field(default=(), description="Teams of the models' owners; none named: all")
    models: tuple[str, ...] = Field(default=(), description="None named: all")
    causes: tuple[str, ...] = Field(default=(), description="Causes of incidents; none named: all")
    tell: tuple[Occasion, ...] = Field(
        default=("opened", "rose", "resolved", "fault", "letter"), description="Occasions"
    )

    def takes(self, message: Message, team: str | None) -> bool:
        return (
            message.occasion in self.tell
            and at_least(message.severity, self.severity)
            and (not self.teams or team in self.teams)
            and (not self.models or message.model in self.models)
            and (not self.causes or message.cause in self.causes)
        )


class Quiet(Section):
    """Hours in which what can wait does; it is told as one message when they end."""

    begins: Annotated[str, AfterValidator(_time_of_day)]
    ends: Annotated[str, AfterValidator(_time_of_day)]
    zone: Annotated[str, AfterValidator(_zone)]
    below: Literal["medium", "high"] = Field(
        default="high", description="Messages less severe than this wait; that an incident is over always does"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        if self.begins == self.ends:
            yield Contradiction(("ends",), "quiet hours that begin when they end are none, or last for ever")

    def until(self, at: datetime) -> datetime | None:
        """When the quiet hours that hold at `at` are over; None outside of them. In wall-clock time of the zone, so
        they are an hour shorter or longer in the night the clocks change."""
        local = at.astimezone(ZoneInfo(self.zone))
        begins, ends, hour = time.fromisoformat(self.begins), time.fromisoformat(self.ends), local.time()
        over_midnight = begins > ends
        if not (hour >= begins or hour < ends if over_midnight else begins <= hour < ends):
            return None
        day = local.date() + timedelta(days=over_midnight and hour >= begins)
        over = datetime.combine(day, ends, ZoneInfo(self.zone)).astimezone(at.tzinfo)
        if over <= at:  # the hour that comes twice: the quiet hours end with the second
            over = datetime.combine(day, ends.replace(fold=1), ZoneInfo(self.zone)).astimezone(at.tzinfo)
        return over


class Notifications(Section):
    """The whole of notifications.yaml. Without routes, every message goes to every channel."""

    channels: dict[Identifier, Channel] = Field(default={})
    routes: tuple[Route, ...] = ()
    quiet: Quiet | None = None

    def contradictions(self) -> Iterator[Contradiction]:
        return _names_known(dict(self))


def load_notifications(path: Path) -> Notifications:
    """No channel but the file of notices where there is no such file. Raises FaultsError with every fault of it, and
    without what may be an address: the faults are printed, and logged where the file is shipped from."""
    if not path.exists():
        return Notifications()
    try:
        return validate(read_document(path), Notifications, _names_known)
    except FaultsError as error:
        raise FaultsError([_discreet(fault) for fault in error.faults]) from None


def _discreet(fault: Fault) -> Fault:
    """Without the value where an address could stand, or was written where none belongs; line and column stay."""
    top = fault.path.partition(".")[0]
    if _PLAIN_PATH.fullmatch(fault.path) is None:
        fault = replace(fault, path=top if _PLAIN_PATH.fullmatch(top) else "")
    elsewhere = top.partition("[")[0] in ("routes", "quiet") and "://" not in (fault.value or "")
    return fault if elsewhere else replace(fault, value=None)


def _names_known(sections: Mapping[str, Any]) -> Iterator[Contradiction]:
    channels = sections.get("channels", {})
    if NOTICES in channels:
        yield Contradiction(("channels", NOTICES), f"{NOTICES} is the file that is always written: take another name")
    for place, route in enumerate(sections.get("routes", ())):
        for position, name in enumerate(route.to):
            if name not in channels:
                sentence = f"there is no channel {name}"
                yield Contradiction(("routes", place, "to", position), sentence, nearest(name, channels))


@dataclass(frozen=True)
class Dispatch:
    """One message for one channel, `not_before` the end of quiet hours if it waits for that."""

    channel: str
    message: Message
    not_before: datetime | None = None


def dispatches(rules: Notifications, message: Message, team: str | None) -> list[Dispatch]:
    """Where and when a message goes: the file at once, then the channels in the order the rules name them. That
    somebody looks, or that it is over, wakes nobody, however severe it was."""
    urgent = rules.quiet is None or (at_least(message.severity, rules.quiet.below) and message.occasion not in _CALMING)
    wait = rules.quiet.until(message.at) if rules.quiet and not urgent else None
    return [Dispatch(NOTICES, message), *(Dispatch(name, message, wait) for name in _channels(rules, message, team))]


def _channels(rules: Notifications, message: Message, team: str | None) -> list[str]:
    if not rules.routes:
        return list(rules.channels)
    wanted = [name for route in rules.routes if route.takes(message, team) for name in route.to]
    return list(dict.fromkeys(wanted))


def digest(messages: Sequence[Message]) -> Message:
    """What waited for one channel, as one message; a single one as it is."""
    if len(messages) == 1:
        return messages[0]
    first, worst_of = messages[0], max(messages, key=lambda message: ("low", "medium", "high").index(message.severity))
    return Message(
        id="+".join(message.id for message in messages),
        occasion=first.occasion,
        model=first.model if len({message.model for message in messages}) == 1 else None,
        cause="digest",
        severity=worst_of.severity,
        at=messages[-1].at,
        title=f"Steward: {len(messages)} messages of the quiet hours",
        body="\n\n".join(f"{message.title}\n{message.body}" for message in messages),
        to=tuple(dict.fromkeys(address for message in messages for address in message.to)),
    )


def dispatch_to_json(one: Dispatch) -> JsonObject:
    return {
        "channel": one.channel,
        "message": one.message.to_json(),
        "not_before": one.not_before and format_instant(one.not_before),
    }
