"""serve, up, stop: the processes on this machine."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from steward.cli import completion


def add_to(app: typer.Typer) -> None:
    app.command()(serve)
    app.command()(up)
    app.command()(stop)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port.")] = 1,
) -> None:
    """Serve all models over HTTP, in this process or in several beneath it.

    Example: steward serve --port 8000 --workers 2
    """
    sys.stdout.flush()
    command = [sys.executable, "-m", "steward.serving", "--host", host, "--port", str(port)]
    command += ["--workers", str(workers)] if workers > 1 else []
    os.execv(sys.executable, command)


def up(
    services: Annotated[
        str,
        typer.Option(
            help="Only these, with commas between.",
            autocompletion=completion.services,
        ),
    ] = "all",
) -> None:
    """Start PostgreSQL, MLflow, Airflow and the model server, and wait until they are ready.

    Example: steward up --services airflow,mlflow
    """
    _local("up", services)


def stop() -> None:
    """End what `up` started; the data stays.

    Example: steward stop
    """
    _local("stop", "all")


def _local(command: str, services: str) -> None:
    from steward.local.commands import main

    raise typer.Exit(main([command, "--services", services]))
