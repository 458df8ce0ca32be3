"""The tree of commands. Nothing heavy is imported here: each command imports what it needs."""

from __future__ import annotations

from typing import Annotated

import typer

from steward import __version__
from steward.cli import (
    audits,
    decisions,
    doctor,
    documents,
    drift,
    explain,
    figures,
    governance,
    incidents,
    inventory,
    notices,
    plans,
    policy,
    records,
    reports,
    reproduce,
    retirement,
    retraining,
    scoring,
    specs,
    stack,
    stages,
    upkeep,
    ways_back,
    why,
)

EXIT_CODES = """
Exit codes: 0 done, 1 failed, 2 wrong usage or a spec with faults, 3 refused by policy, 4 conflict (somebody
was faster), 5 not found, 75 a service is away: try again, 130 interrupted.

With `--debug`, anywhere, an error shows its traceback.
"""

app = typer.Typer(
    name="steward",
    help="The whole life of machine-learning models on Airflow.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"steward {__version__}")
        raise typer.Exit


@app.callback(epilog=EXIT_CODES)
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The whole life of machine-learning models on Airflow."""


for _module in (
    specs,
    plans,
    records,
    why,
    drift,
    incidents,
    notices,
    audits,
    inventory,
    stages,
    documents,
    reports,
    decisions,
    ways_back,
    governance,
    policy,
    retraining,
    retirement,
    reproduce,
    explain,
    scoring,
    upkeep,
    figures,
    stack,
    doctor,
):
    _module.add_to(app)
