"""rollback, rehearse: the way back, taken and tried. Both work while Airflow is down."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from steward.cli.arguments import Model, reason_of
from steward.cli.output import Json, Reason, print_json
from steward.types import JsonObject

_PASSED = "PASSED"

To = Annotated[
    int | None,
    typer.Option("--to", min=1, metavar="N", help="A champion of the last while; without it, the one before."),
]


def add_to(app: typer.Typer) -> None:
    app.command()(rollback)
    app.command()(rehearse)


def rollback(model: Model, reason: Reason, to: To = None, as_json: Json = False) -> None:
    """Send all traffic back to the champion recorded before, and ask every server what it answers now.

    Exit code 1 when the rollback stands, but a server does not answer as it should.

    Example: steward rollback flight_delays --reason "complaints from the desk"
    """
    from steward import wiring
    from steward.actions.releases.going_back import go_back

    why = reason_of(reason)
    answer = go_back(wiring.services(), wiring.spec_to_go_back(model), actor=_who(), reason=why, to=to)
    if as_json:
        print_json(answer)
    else:
        _tell(model, answer)
    if answer["proof"]["outcome"] != _PASSED:
        raise typer.Exit(1)


def rehearse(model: Model, as_json: Json = False) -> None:
    """Try the way back without going: is it open, and how long would it take? No user's answer changes.

    Exit code 1 unless all of it was found as it should be. The verdict is in the ledger.

    Example: steward rehearse flight_delays
    """
    from steward import actions, wiring

    answer = actions.rehearse_rollback(wiring.services(), wiring.spec_to_go_back(model), actor=_who())
    if as_json:
        print_json(answer)
    else:
        _tell_rehearsal(model, answer)
    if answer["outcome"] != _PASSED:
        raise typer.Exit(1)


def _who() -> str:
    return f"cli:{getpass.getuser()}"


def _tell(model: str, answer: JsonObject) -> None:
    back = f"{model}@{answer['to']}" if answer["to"] else "nothing: there is no earlier champion"
    typer.echo(f"traffic went from {model}@{answer['from']} to {back} in {answer['seconds']:.2f} s")
    for server in answer["proof"]["servers"]:
        typer.echo(f"  {server['server']}  {_server_in_words(server, answer['to'])}")
    if answer["proof"]["outcome"] == _PASSED:
        typer.echo(f"proved in {answer['seconds_to_proof']:.2f} s: every server answers as expected")
        return
    typer.echo("NOT PROVED: the rollback stands, but look at this at once:", err=True)
    for reason in answer["proof"]["reasons"]:
        typer.echo(f"  {reason}", err=True)


def _server_in_words(server: JsonObject, to: int | None) -> str:
    if server["followed"] is None:
        return "does not say that it follows"
    if server["fault"]:
        return str(server["fault"])
    holds = f", answers by version {to}, artefact {server['digest'][:12]}" if server["digest"] else ""
    return f"follows after {server['followed']:.2f} s{holds}"


def _tell_rehearsal(model: str, answer: JsonObject) -> None:
    for finding in answer["findings"]:
        typer.echo(f"{finding['outcome']:<13} {finding['said']}")
    if answer["outcome"] == _PASSED:
        parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in answer["parts"].items())
        typer.echo(f"the way back to {model}@{answer['to']} is open: {answer['seconds']:.2f} s ({parts})")
    else:
        typer.echo(f"{answer['outcome']}: the way back is not proved open", err=True)
