"""metrics: the figures of the whole estate, for Prometheus."""

from __future__ import annotations

from typing import Annotated

import typer

from steward.cli.output import Json, print_json


def add_to(app: typer.Typer) -> None:
    app.command()(metrics)


def metrics(
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Answer GET /metrics there until it is stopped.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print what the control plane counts in Prometheus' text form: windows, checks, incidents, retraining, events.

    Example: steward metrics --listen 127.0.0.1:8701
    """
    from steward import wiring
    from steward.actions.telling.measuring import Memory, measure_estate
    from steward.adapters.prometheus_text import exporter, to_text
    from steward.serving.process.server import check_address

    services, memory = wiring.services(), Memory()
    if listen is None:
        figures = measure_estate(services, memory)
        if as_json:
            named = figures.values.items()
            print_json({name: [[*labels, value] for labels, value in found.items()] for name, found in named})
        else:
            typer.echo(to_text(figures), nl=False)
        return
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise typer.BadParameter(f"{listen!r} is no address: write 127.0.0.1:8701", param_hint="--listen")
    secret = wiring.settings().server_token
    token = secret.get_secret_value() if secret else None
    check_address(host, token)
    with exporter(lambda: measure_estate(services, memory), host, int(port), token) as server:
        typer.echo(f"http://{host}:{server.server_port}/metrics", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise typer.Exit from None
