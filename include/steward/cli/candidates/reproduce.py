"""reproduce: train a version again from its record, and say how far it is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import typer

from steward.cli.arguments import OneVersion, caller
from steward.cli.output import Json, print_json, print_table
from steward.cli.progress import working
from steward.types import JsonObject, VersionRef

if TYPE_CHECKING:
    from steward.spec import ModelSpec

NOT_REPRODUCIBLE = 1


def add_to(app: typer.Typer) -> None:
    app.command()(reproduce)


def reproduce(
    version: OneVersion,
    as_json: Json = False,
) -> None:
    """Train a version again: the same rows, spec, code, parameters, seed. Exit code 1 when it is not reproducible.

    Example: steward reproduce flight_delays@3
    """
    from steward import actions, wiring

    ref = VersionRef.parse(version)
    with working(f"training {ref} again from its record"):
        answer = actions.reproduce(wiring.services(), _named(ref.model), run=None, actor=caller(), version=ref.number)
    if as_json:
        print_json(answer)
    else:
        _print(ref, answer)
    if answer["verdict"] == "not reproducible":
        raise typer.Exit(NOT_REPRODUCIBLE)


def _named(model: str) -> ModelSpec:
    """Reproduction reads the recorded spec: of a model whose folder is gone or broken the id is enough."""
    from steward.spec import ModelSpec

    return ModelSpec.model_construct(**cast("dict[str, Any]", {"model": model}))


def _print(ref: VersionRef, answer: JsonObject) -> None:
    typer.echo(f"{ref}: {answer['verdict']}")
    taken, environment = answer["data"]["snapshot"], answer["environment"]
    rows = [
        ("rows", f"{taken['rows']} of {taken['table']} version {taken['version']}, from {answer['data']['from']}"),
        ("code", answer["code"]["used"]),
        ("packages", _packages(environment)),
        *(("scores", answer["said"]) for _ in (1,) if "scores" in answer),
        *(_metric(name, found) for name, found in answer.get("scores", {}).get("metrics", {}).items()),
        *(("because", reason) for reason in answer["reasons"]),
        *(("doubt", doubt) for doubt in answer["doubts"]),
        ("evidence", answer["evidence"]),
    ]
    print_table(("", ""), rows)


def _packages(found: JsonObject) -> str:
    named = [f"{name} {then or 'absent'} then, {now or 'absent'} now" for name, (then, now) in found["matter"].items()]
    return "; ".join(named) or f"those a fit goes through are the same ({found['others']} others differ)"


def _metric(name: str, found: JsonObject) -> tuple[str, str]:
    def shown(value: float | None) -> str:
        return "none" if value is None else f"{value:.6f}"

    return name, f"{shown(found['stored'])} as stored, {shown(found['again'])} again"
