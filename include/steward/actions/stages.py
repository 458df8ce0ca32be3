"""Entering a stage of a model's life, in the transaction of the step that enters it."""

from __future__ import annotations

from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.ledger import EventType, stage_of
from steward.ledger.governance import STAGE_EVENTS
from steward.spec import ModelSpec
from steward.types import Stage


def enter_stage(
    services: Services, spec: ModelSpec, tx: Transaction, op: Operation, stage: Stage, version: int | None = None
) -> None:
    """Check the criteria of `stage` for this model, and of every stage between; record each that is new.

    Asked anew for every version: a model that is monitored still may not deploy a version without its documents.
    Raises PolicyError that lists all that is missing.
    """
    present = stage_of(tx.events.read(model=spec.model, types=STAGE_EVENTS))
    reached = present.stage.place if present else -1
    for entered in list(Stage)[reached + 1 : stage.place + 1]:
        said = f"entered the stage {entered}"
        tx.events.append(op.event(EventType.STAGE_ENTERED, said, version=version, stage=entered, artefacts={}))
