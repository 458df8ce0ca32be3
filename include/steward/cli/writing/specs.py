"""check, init, schema: what a team writes, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.output import Json, print_json

if TYPE_CHECKING:
    from steward.approval.policy import Policy
    from steward.spec import Fault, ModelSpec
    from steward.spec.loading import Rule

FAULTY = 2

schema = typer.Typer(help="The JSON schema that editors check a model.yaml with.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.command()(check)
    app.command()(init)
    schema.command("write")(write)
    app.add_typer(schema, name="schema")


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Model folders or model.yaml files; all models when none is given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check specs, the functions they name, policy, stages and inventory. Exit code 2 when there are faults.

    Example: steward check include/models/flight_delays
    """
    sound, faults = all_faults(paths)
    _report(sound, faults, as_json)
    raise typer.Exit(FAULTY if faults else 0)


def all_faults(paths: list[Path] | None = None) -> tuple[list[ModelSpec], list[Fault]]:
    """The sound specs, and every fault of the others, of policy, stages and inventory."""
    from steward import wiring

    policy, faults = _policy()
    faults += [*_stages(policy), *_external()]
    rules = wiring.spec_rules(lambda: policy)
    sound: list[ModelSpec] = []
    folders = _folders(paths)
    if not paths:
        faults += _misnamed()
    for folder in folders:
        spec, found = _checked(folder, rules)
        faults += found
        sound += [spec] if spec else []
    return sound, faults


def init(
    model: Annotated[str, typer.Argument(help="The new model's id: lower-case letters, digits and _.")],
    into: Annotated[Path | None, typer.Option(help="Where the models are; the configured folder if left out.")] = None,
) -> None:
    """Write a new model's two files: a small model that works, to be changed into yours.

    Example: steward init churn
    """
    from steward.cli.templates import write_model

    for path in write_model(into or _models_dir(), model):
        typer.echo(f"wrote {path}")
    typer.echo(f"→ change both, then run `steward check` and `steward plan show {model}`")


def write(
    into: Annotated[Path | None, typer.Option(help="The folder to write to; that of the models if left out.")] = None,
) -> None:
    """Write model.schema.json beside the models.

    Example: steward schema write
    """
    from steward.spec.schema import write_schema

    typer.echo(f"wrote {write_schema(into or _models_dir())}")


def _models_dir() -> Path:
    from steward import wiring

    return wiring.settings().models_dir


def _folders(paths: list[Path] | None) -> list[Path]:
    from steward.errors import NotFoundError
    from steward.spec import SPEC_FILE, SpecFolder

    if not paths:
        root = _models_dir()
        return [root / model for model in SpecFolder(root).ids()]
    folders = [path.parent if path.name == SPEC_FILE else path for path in paths]
    for folder in folders:
        if not (folder / SPEC_FILE).is_file():
            hint = f"name a model's folder or its {SPEC_FILE}"
            raise NotFoundError(f"there is no {SPEC_FILE}", where=str(folder), hint=hint)
    return folders


def _misnamed() -> list[Fault]:
    from steward.spec import SpecFolder

    return SpecFolder(_models_dir()).misnamed()


def _policy() -> tuple[Policy | None, list[Fault]]:
    from steward import wiring
    from steward.approval.policy import load_policy
    from steward.spec import FaultsError

    try:
        return load_policy(wiring.settings().policy_file), []
    except FaultsError as error:
        return None, list(error.faults)


def _external() -> list[Fault]:
    from steward import wiring
    from steward.inventory.external import load_external
    from steward.spec import FaultsError

    try:
        load_external(wiring.settings().inventory_path)
    except FaultsError as error:
        return list(error.faults)
    return []


def _stages(policy: Policy | None) -> list[Fault]:
    from steward import wiring
    from steward.inventory.stages import load_stages, unheld_roles
    from steward.spec import FaultsError

    path = wiring.settings().stages_path
    try:
        if policy is not None:
            return unheld_roles(path, {role for person in policy.people.values() for role in person.roles})
        load_stages(path)
    except FaultsError as error:
        return list(error.faults)
    return []


def _checked(folder: Path, rules: list[Rule]) -> tuple[ModelSpec | None, list[Fault]]:
    from steward.spec import FaultsError, load_model

    try:
        return load_model(folder, rules), []
    except FaultsError as error:
        return None, list(error.faults)


def _report(sound: list[ModelSpec], faults: list[Fault], as_json: bool) -> None:
    if as_json:
        models = [{"model": spec.model, "digest": spec.digest, "notes": _notes(spec)} for spec in sound]
        print_json({"sound": models, "faults": [fault.to_json() for fault in faults]})
        return
    for spec in sound:
        typer.echo(f"{spec.model}: sound (spec {spec.digest[:12]})")
        for note in _notes(spec):
            typer.echo(f"{spec.model}: note: {note}")
    for fault in faults:
        typer.echo(str(fault), err=True)
    if faults:
        files = len({fault.file for fault in faults})
        typer.echo(f"{len(faults)} fault{'s' * (len(faults) != 1)} in {files} file{'s' * (files != 1)}", err=True)
    elif not sound:
        typer.echo("no models yet; `steward init MODEL` writes one")


def _notes(spec: ModelSpec) -> list[str]:
    """What is no fault, and still should be changed: a spec does not break on the day a framework ends."""
    if not spec.frameworks:
        return []
    from steward import wiring
    from steward.reporting.packs import superseded_frameworks

    return superseded_frameworks(wiring.packs(), spec.frameworks, wiring.clock().now().date())
