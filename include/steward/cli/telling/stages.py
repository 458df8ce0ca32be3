"""stage: where a model is in its life, on what grounds, and what it lacks for the next step."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli import completion
from steward.cli.arguments import instant_of
from steward.cli.output import Json, print_json, print_table
from steward.types import JsonObject, Stage, VersionRef

if TYPE_CHECKING:
    from steward.actions.state import Transaction
    from steward.ledger.governance import EnteredStage
    from steward.registry import ModelVersion


def add_to(app: typer.Typer) -> None:
    app.command()(stage)


def stage(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[@N]", help="What is missing: for this version.", autocompletion=completion.versions
        ),
    ],
    at: Annotated[str | None, typer.Option("--at", help="The stage then: 2013-06-01, or an ISO instant (UTC).")] = None,
    as_json: Json = False,
) -> None:
    """The stages a model has entered, by what evidence, and what is missing for the next one.

    Without @N it is looked at for the newest challenger, if there is one.

    Example: steward stage loan_approval@3
    """
    from steward import wiring

    ref = VersionRef.parse(target) if "@" in target else None
    model = ref.model if ref else target
    with wiring.database().begin() as tx:
        entered = _entered(tx, model, instant_of(at) if at else None)
        told: JsonObject = {"model": model, "stages": [each.to_json() for each in entered]}
        if at is None:
            told |= _outlook(tx, model, entered, ref.number if ref else None)
    told["stage"] = entered[-1].stage.value if entered else None
    if as_json:
        print_json(told)
    else:
        _print(told, entered)


def _entered(tx: Transaction, model: str, until: datetime | None) -> list[EnteredStage]:
    from steward import wiring
    from steward.ledger.governance import STAGE_EVENTS, stages_of

    entered = stages_of(tx.events.read(model=model, types=STAGE_EVENTS, until=until))
    if not entered and not tx.events.read(model=model, limit=1):
        wiring.specs().module_path(model)  # a name nobody knows is an error, not a model without a stage
    return entered


def _outlook(tx: Transaction, model: str, entered: list[EnteredStage], number: int | None) -> JsonObject:
    """What the next stage asks for, and what of it is not there. A newer version meets every stage anew."""
    from steward import wiring
    from steward.actions.governance.stages import readiness_of

    present = entered[-1].stage if entered else None
    if present is Stage.RETIRED:
        return {"next": None, "version": None, "missing": []}
    version = _looked_at(tx, model, number)
    after = _next(present, version)
    standing = readiness_of(
        wiring.stages(), wiring.policy(), wiring.specs().get(model), tx, after, version.number if version else None
    )
    missing = [each.to_json() for each in standing.missing]
    return {"next": after.value, "version": version.number if version else None, "missing": missing}


def _looked_at(tx: Transaction, model: str, number: int | None) -> ModelVersion | None:
    from steward.registry import State

    if number is not None:
        return tx.versions.get(VersionRef(model, number))
    waiting = [each for each in tx.versions.all(model) if each.state is State.CHALLENGER]
    return max(waiting, key=lambda each: each.number, default=None)


def _next(present: Stage | None, version: ModelVersion | None) -> Stage:
    """Without a version to look at a model can go no further than to its development, or out of use."""
    from steward.registry import State

    if version is None:
        early = present is None or present is Stage.USE_CASE
        return Stage.DEVELOPMENT if early else Stage.VALIDATION if present is Stage.DEVELOPMENT else Stage.RETIRED
    if version.state is State.CHALLENGER:
        return Stage.DEPLOYMENT  # what its run comes to: the papers for both stages are better written at once
    return Stage.RETIRED


def _print(told: JsonObject, entered: list[EnteredStage]) -> None:
    rows = ((f"{each.at:%Y-%m-%d %H:%M}", each.stage, each.by, _artefacts(each.artefacts)) for each in entered)
    print_table(("since", "stage", "entered by", "on the ground of"), rows, title=f"{told['model']}")
    if not told.get("next"):
        return
    name = told["model"] if told["version"] is None else f"{told['model']}@{told['version']}"
    if not told["missing"]:
        typer.echo(f"{name} lacks nothing for the stage {told['next']}")
        return
    typer.echo(f"{name} lacks for the stage {told['next']}:")
    for each in told["missing"]:
        typer.echo(f"  {each['criterion']} (for {each['stage']}): {each['way_out']}")


def _artefacts(artefacts: JsonObject) -> str:
    return ", ".join(f"{name} {value[:12]}" if len(value) == 64 else name for name, value in artefacts.items())
