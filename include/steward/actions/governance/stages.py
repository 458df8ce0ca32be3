"""Entering a stage of a model's life, in the transaction of the step that enters it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import TYPE_CHECKING

from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.approval import RequestState
from steward.errors import PolicyError
from steward.inventory.readiness import Readiness, StageFacts
from steward.inventory.stages import OWNER
from steward.ledger import EventType, documents_of, stage_of
from steward.ledger.governance import DOCUMENT_EVENTS, STAGE_EVENTS
from steward.spec import ModelSpec
from steward.types import JsonObject, Stage, VersionRef

if TYPE_CHECKING:
    from steward.approval.policy import Policy
    from steward.inventory.stages import StageCatalogue

NOBODY_ASKED = "the policy asks nobody"


def enter_stage(
    services: Services, spec: ModelSpec, tx: Transaction, op: Operation, stage: Stage, version: int | None = None
) -> None:
    """Check the criteria of `stage` for this model, and of every stage before; record each stage that is new.

    Asked anew for every version: a model that is monitored still may not deploy a version without its documents.
    Raises PolicyError that lists all that is missing.
    """
    catalogue, policy = services.stages(), services.policy()
    ready = readiness_of(catalogue, policy, spec, tx, stage, version)
    if ready.missing:
        raise _refusal(spec, stage, version, ready)
    for entered in _new_stages(_present(tx, spec.model), stage):
        tx.events.append(
            op.event(
                EventType.STAGE_ENTERED,
                f"entered the stage {entered}",
                version=version,
                stage=entered,
                artefacts=ready.met[entered],
                accountable=accountable_people(catalogue, policy, spec, entered, services.clock.now().date()),
                catalogue={"version": catalogue.version, "digest": catalogue.digest},
            )
        )


def missing_for(
    services: Services, spec: ModelSpec, tx: Transaction, stage: Stage, version: int | None = None
) -> list[str]:
    """What must still be there before `stage`, each with the way out, but for people's approval.

    Empty: a person may say yes. Nothing is raised and nothing written.
    """
    ready = readiness_of(services.stages(), services.policy(), spec, tx, stage, version)
    return [str(each) for each in ready.missing if each.criterion.kind != "approval"]


def readiness_of(
    catalogue: StageCatalogue, policy: Policy, spec: ModelSpec, tx: Transaction, stage: Stage, version: int | None
) -> Readiness:
    """How the record meets all that `stage` and the stages before it ask for."""
    asked = catalogue.asked(spec, stage, _present(tx, spec.model))
    types = {each.event for criteria in asked.values() for each in criteria if each.event is not None}
    return Readiness.of(catalogue, _facts(policy, spec, tx, version, types), asked)


def accountable_people(
    catalogue: StageCatalogue, policy: Policy, spec: ModelSpec, stage: Stage, on: date
) -> JsonObject:
    """By role, who answers for the stage on that day."""
    return {
        role: [spec.owner.user] if role == OWNER else sorted(p for p in policy.people if role in policy.roles_of(p, on))
        for role in catalogue.accountable(spec, stage)
    }


def _refusal(spec: ModelSpec, stage: Stage, version: int | None, ready: Readiness) -> PolicyError:
    name = spec.model if version is None else f"{spec.model}@{version}"
    return PolicyError(
        f"{name} may not enter the stage {stage} yet; missing: "
        + ", ".join(f"{each.criterion} (for {each.stage})" for each in ready.missing),
        where=f"{spec.model}, tier {spec.risk_tier}",
        hint="\n  ".join(
            [
                "do this, then clear the task that was refused:",
                *(f"{each.criterion}: {each.way_out}" for each in ready.missing),
            ]
        ),
    )


def _present(tx: Transaction, model: str) -> Stage | None:
    present = stage_of(tx.events.read(model=model, types=STAGE_EVENTS))
    return present.stage if present else None


def _new_stages(present: Stage | None, stage: Stage) -> list[Stage]:
    """Those between, and the stage itself. A model is retired from wherever it is."""
    if stage is Stage.RETIRED:
        return [] if present is stage else [stage]
    reached = present.place if present else -1
    return list(Stage)[reached + 1 : stage.place + 1]


def _facts(
    policy: Policy, spec: ModelSpec, tx: Transaction, version: int | None, types: Collection[EventType]
) -> StageFacts:
    documents = documents_of(tx.events.read(model=spec.model, types=DOCUMENT_EVENTS), version)
    if version is None:
        return StageFacts(spec, documents=documents)
    wanted = sorted({EventType.VERSION_REGISTERED, *types})
    events = [e for e in tx.events.read(model=spec.model, types=wanted) if e.version in (None, version)]
    return StageFacts(
        spec,
        version,
        documents,
        tx.versions.get(VersionRef(spec.model, version)).evidence,
        {event.type: event.seq for event in events},
        _approval(policy, spec, tx, version),
    )


def _approval(policy: Policy, spec: ModelSpec, tx: Transaction, version: int) -> str | None:
    """That there is one. Whether it still holds is judged where traffic is given: `require_approval`."""
    from steward.approval.policy import requirement

    if requirement(policy, spec).quorum == 0:
        return NOBODY_ASKED
    found = tx.approvals.find(spec.model, version, RequestState.APPROVED)
    return found[-1].id if found else None
