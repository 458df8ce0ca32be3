"""The tree of commands. Nothing heavy is imported here: each command imports what it needs."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any

import typer
from typer._click.exceptions import UsageError
from typer.core import TyperGroup

from steward import __version__
from steward.cli import (
    completion,
    decisions,
    doctor,
    documents,
    governance,
    measures,
    notices,
    reports,
    retirement,
    retraining,
    scoring,
    stack,
    upkeep,
    ways_back,
)
from steward.cli.candidates import promoting, reproduce, steps, training
from steward.cli.telling import (
    audits,
    drift,
    explain,
    figures,
    incidents,
    inventory,
    records,
    replays,
    stages,
    status,
    why,
)
from steward.cli.writing import plans, policy, specs

EXIT_CODES = """
Exit codes: 0 done, 1 failed, 2 wrong usage or a spec with faults, 3 refused by policy, 4 conflict (somebody
was faster), 5 not found, 75 a service is away: try again, 130 interrupted.

With `--debug`, anywhere, an error shows its traceback.
"""


class Commands(TyperGroup):
    """A model's name where a command belongs is a frequent slip: the nearest of both is told."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            close = get_close_matches(args[0], completion.models(""), 1)
            if close and "Did you mean" not in error.message:
                error.message += f" Did you mean 'status {close[0]}' or 'why {close[0]}'?"
            raise


app = typer.Typer(
    name="steward",
    help="The whole life of machine-learning models on Airflow.",
    epilog=EXIT_CODES,
    cls=Commands,
    no_args_is_help=True,
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
    training,
    status,
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
    promoting,
    ways_back,
    governance,
    policy,
    retraining,
    retirement,
    reproduce,
    replays,
    explain,
    scoring,
    upkeep,
    measures,
    figures,
    steps,
    stack,
    doctor,
):
    _module.add_to(app)
