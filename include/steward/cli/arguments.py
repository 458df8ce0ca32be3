"""What commands take, how the shell completes it, and how they read what people type."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from steward.cli import completion
from steward.errors import RequestError
from steward.types import FROM_A_SHELL, parse_instant

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="The model's id.", autocompletion=completion.models, show_default=False)
]
AnyModel = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="One model; all, if left out.", autocompletion=completion.models)
]
ModelOrVersion = Annotated[
    str,
    typer.Argument(metavar="MODEL[@N]", help="The model, or one version of it.", autocompletion=completion.versions),
]
OneVersion = Annotated[
    str, typer.Argument(metavar="MODEL@N", help="One version: flight_delays@3.", autocompletion=completion.versions)
]


def instant_of(text: str) -> datetime:
    """Raises RequestError for what is no date."""
    try:
        return parse_instant(text)
    except ValueError as error:
        raise RequestError(f"{text!r} is no date", hint="write 2013-06-01 or 2013-06-01T12:00:00Z") from error


def reason_of(text: str) -> str:
    """Raises RequestError for an empty one."""
    if not text.strip():
        raise RequestError("the reason is empty", hint="say why with --reason; it is kept in the ledger")
    return text.strip()


def caller() -> str:
    """Who types, as the ledger names them. What only named persons may decide goes through Airflow, not by this."""
    import getpass

    return f"{FROM_A_SHELL}{getpass.getuser()}"
