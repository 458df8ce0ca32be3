"""What people wrote: specs and policy, rules of notification, settings that open a door."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from steward.cli.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from steward.cli.doctor.around import Around

_ON = ("1", "true", "yes", "on", "t", "y")


class Opening(NamedTuple):
    """A variable that is better off, and what it opens."""

    variable: str
    opens: str


OPENINGS = (
    Opening("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "everybody is Airflow's administrator, without a log-in"),
    Opening("AIRFLOW__API__EXPOSE_CONFIG", "Airflow shows its configuration, passwords included"),
    Opening("AIRFLOW__API__EXPOSE_STACKTRACE", "Airflow shows the inside of its errors to everybody"),
    Opening("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "a model that MLflow loads may run any code"),
    Opening("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "a page in a browser may write to MLflow"),
)


def specs(_around: Around) -> Iterator[Finding]:
    from steward.cli.writing.specs import all_faults

    sound, faults = all_faults()
    if faults:
        first = str(faults[0]).splitlines()[0]
        yield fail(f"{len(faults)} faults, the first: {first}", "`steward check` shows each with its line and the mend")
    elif sound:
        yield ok(f"{len(sound)} specs, policy and stages are sound")
    else:
        yield warn("there is no model yet", "`steward init MODEL` writes one that works")


def notifications(_around: Around) -> Iterator[Finding]:
    """A rule with a fault raises, with its line."""
    from steward import wiring

    rules = wiring.notifications()
    if rules.channels:
        yield ok(f"{len(rules.channels)} channels beside the file of notices, {len(rules.routes)} routes")
    else:
        said = "people are told in a file only: no channel is set"
        yield warn(
            said, "name channels in notifications.yaml, or set STEWARD_NOTIFY_URLS; try one: `steward notices test`"
        )


def settings(around: Around) -> Iterator[Finding]:
    found = [*_addresses(around), *_openings(around)]
    yield from found or [ok("no setting opens a door")]


def _addresses(around: Around) -> Iterator[Finding]:
    given = around.settings
    far = [url for url in given.server_urls if not is_near(url)]
    if far and given.server_token is None:
        mend = "set STEWARD_SERVER_TOKEN for servers and whoever asks them"
        yield fail(f"{far[0]} is reached by others, and no token is set", mend, about="STEWARD_SERVER_TOKEN")
    plain = {"STEWARD_AIRFLOW_URL": given.airflow_url, "STEWARD_MLFLOW_URL": given.mlflow_url or ""}
    for variable, url in plain.items():
        if url.startswith("http://") and not is_near(url):
            said = f"{url} is spoken to in clear text: passwords and tokens can be read on the way"
            yield warn(said, f"give {variable} an https:// address", about=variable)
    if given.database_owner_url is not None:
        said = "the address of the tables' owner is set: whoever reads it can switch the ledger's guard off"
        yield warn(said, "set it for an upgrade only, and unset it again", about="STEWARD_DATABASE_OWNER_URL")


def _openings(around: Around) -> Iterator[Finding]:
    for variable, opens in OPENINGS:
        if around.environ.get(variable, "").strip().lower() in _ON:
            yield fail(f"{variable} is on: {opens}", f"unset {variable}", about=variable)


def is_near(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
