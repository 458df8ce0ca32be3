"""replay: the state of models told from their events alone, now or at any past moment, and held against the tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import AnyModel, instant_of
from steward.cli.output import Json, print_json, print_table
from steward.cli.progress import working
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.actions.governance.verifying import Difference
    from steward.ledger import RecordedState

COLUMNS = ("model", "versions", "serves", "rollout", "incidents", "settled by")
DIFFERS = 1


def add_to(app: typer.Typer) -> None:
    app.command()(replay)


def replay(
    model: AnyModel = None,
    at: Annotated[str | None, typer.Option("--at", help="The state then: 2013-06-01, or an ISO instant (UTC).")] = None,
    as_json: Json = False,
) -> None:
    """Rebuild the state from the signed events, and compare it with the tables. Writes nothing.

    The chain is verified first. With --at nothing is compared: the tables know the present only. Exit code 1 when the
    chain is broken, or a table says something the events do not.

    Example: steward replay flight_delays --at 2013-06-01
    """
    from steward import wiring

    moment = instant_of(at) if at else None
    with working("reading the ledger", 3) as tell:
        tell("verifying the chain")
        _verified()
        tell("replaying the events")
        states, events = _replayed(model, moment)
        if not states and model:
            wiring.specs().module_path(model)  # a name nobody knows is an error, not an empty state
        tell("comparing with the tables")
        differing = _differing(model) if moment is None else []
    if as_json:
        told = [_told(states[name]) for name in sorted(states)]
        print_json({"at": moment, "events": events, "models": told, "differences": differing})
    else:
        print_table(COLUMNS, (_cells(states[name]) for name in sorted(states)))
        typer.echo(f"{events} events replayed; " + _said(moment, differing))
    for each in differing:
        typer.echo(f"{each.model}: {each}", err=True)
    raise typer.Exit(DIFFERS if differing else 0)


def _verified() -> None:
    """Raises IntegrityError: of a chain that is broken nothing further can be told."""
    from steward import wiring

    with wiring.database().begin() as tx:
        verification = tx.events.verify([])
    if verification.broken is not None:
        verification.broken.refuse()


def _replayed(model: str | None, until: datetime | None) -> tuple[dict[str, RecordedState], int]:
    from steward import wiring
    from steward.ledger import replay as told_by
    from steward.ledger.replay import STATE_EVENTS

    with wiring.database().begin() as tx:
        events = tx.events.read(model=model, types=STATE_EVENTS, until=until)
    return told_by(events), len(events)


def _differing(model: str | None) -> list[Difference]:
    from steward import wiring
    from steward.actions.governance.verifying import differences

    with wiring.database().begin() as tx:
        return [each for each in differences(tx) if model in (None, each.model)]


def _said(moment: datetime | None, differing: list[Difference]) -> str:
    if moment is not None:
        return f"the state of {moment:%Y-%m-%d %H:%M} UTC"
    if differing:
        count = f"{len(differing)} difference{'s' * (len(differing) != 1)}"
        return f"{count} from the tables: somebody wrote past Steward"
    return "versions, routes, rollouts, approvals and incidents are what the events say"


def _told(state: RecordedState) -> JsonObject:
    return {
        "model": state.model,
        "versions": {str(number): said for number, said in sorted(state.versions.items())},
        "route": vars(state.route) if state.route else None,
        "rollout": state.running,
        "incidents": {name: each._asdict() for name, each in state.incidents.items()},
        "settled_by": state.settled_by,
    }


def _cells(state: RecordedState) -> tuple[object, ...]:
    counts = {
        said: [n for n, each in sorted(state.versions.items()) if each == said] for said in state.versions.values()
    }
    versions = "; ".join(f"{said} {', '.join(f'@{n}' for n in numbers)}" for said, numbers in counts.items())
    open_ = [name[:12] for name, each in state.incidents.items() if each.state != "resolved"]
    last = max(state.settled_by.values(), default=None)
    return state.model, versions, ", ".join(_served(state)), state.running, ", ".join(open_), last and f"event {last}"


def _served(state: RecordedState) -> Iterator[str]:
    if route := state.route:
        yield f"@{route.champion}" if route.champion else "none"
        yield from [f"canary @{route.canary} ({route.percent} %)"] * bool(route.canary)
        yield from [f"shadow @{route.shadow}"] * bool(route.shadow)
        yield from [f"@{route.standby} stands by"] * bool(route.standby)
