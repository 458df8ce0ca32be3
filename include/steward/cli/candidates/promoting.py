"""promote: an approved version whose run ended before its release, taken up again by that same run in Airflow.

There is no other way into production: smoke rows, shadow, canary and their verdicts are steps of the version's own
run, and this starts it again where it stopped. Nothing here changes the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from steward.cli import door
from steward.cli.arguments import OneVersion, reason_of
from steward.cli.output import Json, Reason, print_json
from steward.types import VersionRef

if TYPE_CHECKING:
    from steward.actions.state import Transaction
    from steward.adapters.airflow_rest import AirflowClient
    from steward.registry import ModelVersion

FIRST_STEP = "rollout.start"
UNDER_WAY = ("queued", "running", "restarting", "up_for_retry", "deferred")


def add_to(app: typer.Typer) -> None:
    app.command()(promote)


def promote(version: OneVersion, reason: Reason, as_json: Json = False) -> None:
    """Take up the release of an approved version again, after a freeze, a fault or a late answer. Through Airflow.

    The rollout begins at its first step; no step can be left out. Exit code 3 without a valid approval, 4 when it
    serves, is being rolled out, or its run is still under way.

    Example: steward promote flight_delays@3 --reason "the freeze of the holidays is over"
    """
    ref, said = VersionRef.parse(version), reason_of(reason)
    run = _run_of(ref)
    client, dag = door.airflow(), f"{ref.model}__train"
    _require_ended(client, dag, run, ref)
    cleared = client.clear(dag, run, FIRST_STEP, f"steward promote {ref}: {said}")
    where = f"{client.url}/dags/{dag}/runs/{run}"
    if as_json:
        print_json({"model": ref.model, "version": ref.number, "run": run, "tasks": len(cleared), "url": where})
    else:
        typer.echo(f"{ref}: its rollout begins again in run {run}\n  {where}\n  steward status {ref.model}")


def _run_of(ref: VersionRef) -> str:
    """The run that made it. Raises what stands in the way, before Airflow is asked."""
    from steward import wiring
    from steward.actions.approvals.approving import require_approval
    from steward.ledger import EventType

    services, spec = wiring.services(), wiring.specs().get(ref.model)
    with services.database.begin() as tx:
        candidate = tx.versions.get(ref)
        _require_waiting(tx, candidate)
        require_approval(services, spec, tx, candidate)
        made = tx.events.read(model=ref.model, types=[EventType.VERSION_REGISTERED])
    return str(next(event.body["run"] for event in made if event.version == ref.number))


def _require_waiting(tx: Transaction, candidate: ModelVersion) -> None:
    from steward.approval import RequestState
    from steward.errors import ConflictError, PolicyError
    from steward.registry import State

    ref = candidate.ref
    if candidate.state is State.CHAMPION:
        raise ConflictError(f"{ref} is the champion already", hint=f"see `steward status {ref.model}`")
    if candidate.state is not State.CHALLENGER:
        hint = f"only a challenger is released; train another: `steward retrain {ref.model}`"
        raise PolicyError(f"{ref} is {candidate.state}", hint=hint)
    if going := tx.rollouts.running(ref.model):
        said = f"{ref.model}@{going.version} is being rolled out"
        raise ConflictError(said, hint=f"see `steward status {ref.model}`; it goes on, or back, by itself")
    if tx.approvals.find(ref.model, ref.number, RequestState.OPEN):
        hint = f"`steward approve {ref}`: its run waits for the answer and goes on by itself"
        raise PolicyError(f"{ref} waits for approval", hint=hint)


def _require_ended(client: AirflowClient, dag: str, run: str, ref: VersionRef) -> None:
    from steward.errors import ConflictError, NotFoundError, PolicyError

    try:
        state = client.run(dag, run)["state"]
    except NotFoundError as unknown:
        raise PolicyError(
            f"{ref} was not made by a run of {dag}, or Airflow has forgotten it ({run})",
            where=client.url,
            hint=f"what serves comes through the pipeline: `steward retrain {ref.model}` trains a candidate there",
        ) from unknown
    if state in UNDER_WAY:
        raise ConflictError(
            f"run {run} of {dag} is under way", hint=f"it goes on by itself: `steward status {ref.model}`"
        )
