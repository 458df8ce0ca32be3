"""Looking after what runs, from outside: every few minutes, over all models, and by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from steward.actions.effects import deliver
from steward.actions.healing.live_failures import heal_champions
from steward.actions.healing.overdue_monitors import heal_monitors
from steward.actions.healing.server_faults import heal_servers
from steward.actions.healing.stuck_runs import heal_runs
from steward.actions.state import Services
from steward.errors import StewardError
from steward.gates import Outcome
from steward.types import JsonObject

Healer = Callable[[Services, str, bool], Iterator[JsonObject]]

HEALERS: dict[str, Healer] = {
    "champions": lambda services, actor, dry: heal_champions(services, actor, dry_run=dry),
    "servers": lambda services, actor, dry: heal_servers(services, actor, dry_run=dry),
    "runs": lambda services, actor, dry: heal_runs(services, actor, dry_run=dry),
    "monitors": lambda services, actor, dry: heal_monitors(services, actor, dry_run=dry),
}


def heal(services: Services, *, actor: str, dry_run: bool = False) -> JsonObject:
    """Send failing champions back, note servers without theirs, close stuck runs, report silent monitors.

    Again is harmless: what is known is not told twice. With `dry_run` nothing is changed, and everything that is over
    or wrong now is told. `faults` kept part of it from being done; the rest was done all the same.
    """
    found: list[JsonObject] = []
    faults: list[str] = []
    for name, healer in HEALERS.items():
        try:
            for each in healer(services, actor, dry_run):
                found.append(each)
                faults += [f"{each['model']}: {each['fault']}"] if "fault" in each else []
        except StewardError as error:
            faults.append(f"{name}: {error}")
    if found and not dry_run:
        deliver(services)
    outcome = Outcome.FAILED if faults else Outcome.PASSED
    return {"outcome": outcome.value, "found": found, "faults": faults, "reasons": faults}
