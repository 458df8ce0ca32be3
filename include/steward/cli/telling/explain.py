"""explain: why one decision came out as it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steward.cli import completion
from steward.cli.output import Json, print_json, print_table
from steward.types import JsonObject, VersionRef

if TYPE_CHECKING:
    from steward.registry import ModelVersion
    from steward.spec import ModelSpec


def add_to(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    version: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[@N]",
            help="The champion, or one version.",
            autocompletion=completion.versions,
        ),
    ],
    decision: Annotated[str | None, typer.Option("--decision", help="The id an answer of the server carried.")] = None,
    row: Annotated[Path | None, typer.Option("--row", help="A JSON object with a value per feature.")] = None,
    as_json: Json = False,
) -> None:
    """Which features moved the score, and the reasons a refused person is told.

    Example: steward explain loan_approval@3 --row application.json
    """
    from steward import wiring
    from steward.errors import RequestError

    if (decision is None) == (row is None):
        raise RequestError("give either --decision or --row", hint="see `steward explain --help`")
    model, _, number = version.partition("@")
    spec = wiring.specs().get(model)
    if decision is not None:
        values, served_by = _logged(spec, decision)
        ref = VersionRef.parse(version) if number else VersionRef(model, served_by)
        name = decision
    else:
        assert row is not None
        values, name = _read(spec, row), row.name
        ref = VersionRef.parse(version) if number else _champion(model)
    found = _account(spec, ref, values, name)
    if as_json:
        print_json({"version": str(ref), "decision_id": decision, **found})
    else:
        _print(spec, ref, found)


def _account(spec: ModelSpec, ref: VersionRef, row: JsonObject, name: str) -> JsonObject:
    from steward import wiring
    from steward.evaluation.explanation import account
    from steward.evaluation.explanation import explain as explain_row
    from steward.rollout.smoke import smoke_frame
    from steward.training import LoggedModel
    from steward.training.fitting import decision_threshold, score

    classes = spec.data.label.classes
    version, reference = _version(ref)
    logged = LoggedModel(version.run_id, version.artefact_uri, version.artefact_digest)
    model = wiring.services().models.load(logged)

    fitted = list(getattr(model, "feature_names_in_", spec.data.features))

    def predict(columns: dict[str, Any]) -> Any:
        import pandas as pd

        return score(model, pd.DataFrame(columns)[fitted], classes)

    if classes is None:
        return account(spec, explain_row(spec, predict, row, reference, name), decision_threshold(model))
    decided = int(score(model, smoke_frame([{"row": row}], spec)[fitted], classes)[0].argmax())
    found = explain_row(spec, lambda columns: predict(columns)[:, decided], row, reference, name)
    return {"decision": classes[decided], **found.to_json()}


def _version(ref: VersionRef) -> tuple[ModelVersion, JsonObject]:
    from steward import wiring
    from steward.errors import NotFoundError

    with wiring.database().begin() as tx:
        version = tx.versions.get(ref)
        profile = tx.evidence.get(version.profile).body if version.profile else {}
    if "reference" not in profile:
        hint = "train a version: from now on each keeps one"
        raise NotFoundError(f"{ref} was registered without a reference row to explain against", hint=hint)
    return version, profile["reference"]


def _champion(model: str) -> VersionRef:
    from steward import wiring
    from steward.errors import NotFoundError

    with wiring.database().begin() as tx:
        champion = tx.versions.champion(model)
    if champion is None:
        raise NotFoundError(f"{model} has no champion", hint="name a version: MODEL@N")
    return champion.ref


def _logged(spec: ModelSpec, decision: str) -> tuple[JsonObject, int]:
    """The features as they were logged, and the version that answered."""
    from steward import wiring
    from steward.errors import NotFoundError, RequestError

    found = wiring.services().predictions.decision(spec.model, decision)
    if found is None:
        hint = "ids are in the server's answers; a new one is logged within a second"
        raise NotFoundError(f"no decision {decision!r} is logged", where=spec.model, hint=hint)
    if hidden := [name for name in spec.data.features if spec.data.privacy.get(name, "keep") != "keep"]:
        said = f"the log does not hold {', '.join(hidden)} as they came (data.privacy)"
        raise RequestError(said, hint="ask with --row, or ask the server for the explanation with the answer")
    return {name: _typed(spec, name, found.get(f"f_{name}")) for name in spec.data.features}, int(found["version"])


def _typed(spec: ModelSpec, name: str, value: Any) -> Any:
    """Booleans are logged as numbers."""
    from steward.spec import FeatureType

    is_boolean = spec.data.features[name].type is FeatureType.BOOLEAN and value is not None
    return bool(value) if is_boolean else value


def _read(spec: ModelSpec, path: Path) -> JsonObject:
    from steward.errors import NotFoundError, RequestError

    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFoundError(f"the row cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise RequestError(f"not JSON: {error}", where=str(path), hint='write {"feature": value, …}') from error
    if not isinstance(row, dict) or (absent := sorted(set(spec.data.features) - set(row))):
        said = f"it lacks {', '.join(absent)}" if isinstance(row, dict) else "not one JSON object"
        raise RequestError(said, where=str(path), hint="give a value per feature, null where missing")
    return {name: row[name] for name in spec.data.features}


def _print(spec: ModelSpec, ref: VersionRef, found: JsonObject) -> None:
    typer.echo(f"{ref}: {_said(found)}; a typical row scores {found['reference_score']:.4f}")
    for place, reason in enumerate(found.get("reasons", []), start=1):
        typer.echo(f"reason {place}: {reason['text']} ({reason['code']})")
    rows = (
        (
            each["feature"],
            *map(_cell, (each["value"], each["reference"])),
            f"{each['amount']:+.4f}",
            f"{each['error']:.4f}",
        )
        for each in found["contributions"]
    )
    print_table(("feature", "value", "typical", "adds", "± error"), rows)


def _said(found: JsonObject) -> str:
    if "threshold" not in found:
        return f"probability {found['score']:.4f} of the decision, {found['decision']}"
    word = "favourable" if found["favourable"] else "unfavourable"
    relation = "at or above" if found["decision"] else "below"
    return (
        f"score {found['score']:.4f}, {relation} the threshold {found['threshold']:g}: "
        f"decision {found['decision']} ({word})"
    )


def _cell(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:g}" if isinstance(value, float) else str(value)
