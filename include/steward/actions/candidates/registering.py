"""A judged candidate becomes a version; a run ends."""

from __future__ import annotations

from itertools import pairwise

from steward.actions.approvals.waiving import settle_verdict, waivers_on_record
from steward.actions.effects import want_aliases, want_registration
from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.errors import ConflictError, PolicyError
from steward.evaluation.decision import decision
from steward.gates import Evidence, Outcome
from steward.ledger import AuditEvent, EventType, Waiver
from steward.registry import NewVersion, State
from steward.spec import ModelSpec
from steward.types import JsonObject, Window

LAST_FEW = 20  # refusals to let a run in: one that ends now was told so moments ago


def register(
    services: Services,
    spec: ModelSpec,
    *,
    run: str,
    actor: str,
    validation: str,
    training: str,
    evaluation: str,
) -> JsonObject:
    """Give the candidate a number: CHALLENGER when its gates let it proceed, REJECTED when they do not.

    A live waiver sets a gate's no aside: the event names it, the verdict on record stays what it was. Follows the
    evidence back to one snapshot; raises PolicyError when the three digests do not belong together, ConflictError when
    another candidate took the number a waiver was matched with.
    """
    inputs = {"validation": validation, "training": training, "evaluation": evaluation}
    op = Operation.begin(services, "register", spec.model, run, actor, **inputs)

    def write(tx: Transaction) -> JsonObject:
        found = {kind: tx.evidence.get(digest) for kind, digest in inputs.items()}
        _check_chain(inputs, found)
        verdict = found["evaluation"].verdict
        training = found["training"].body
        effective, waivers, expected = settle_verdict(services, spec, tx, verdict, training)
        proceed = decision(effective, spec.risk_tier) != "stop"
        taken = waivers if proceed else []
        snapshot = tx.evidence.get(training["snapshot"])
        state = State.CHALLENGER if proceed else State.REJECTED
        version = tx.versions.add(_new_version(spec, actor, state, inputs, found, snapshot))
        if taken and version.number != expected:
            raise ConflictError(f"{version.ref} was registered meanwhile", hint="repeat the step")
        reasons = [*map(_under, taken), *verdict.reasons]
        kind = EventType.VERSION_REGISTERED if proceed else EventType.VERSION_REJECTED
        reason = "; ".join(reasons[:3]) or "passed every gate on every slice"
        tx.events.append(
            op.event(
                kind,
                reason,
                version=version.number,
                evidence=evaluation,
                outcome=verdict.outcome,
                waivers=waivers_on_record(taken),
                spec=spec.model_dump(mode="json"),
                **inputs,
            )
        )
        want_registration(tx, version)
        want_aliases(tx, spec.model)
        outcome = verdict.outcome.value
        return {"version": version.number, "outcome": outcome, "proceed": proceed, "reasons": reasons}

    return op.commit(write)


def _under(waiver: Waiver) -> str:
    return f"{waiver.gate} waived by {waiver.by} until {waiver.expires_at:%Y-%m-%d}"


def _check_chain(inputs: JsonObject, found: dict[str, Evidence]) -> None:
    """The evaluation is of this training, on the snapshot that this validation passed."""
    whole = (
        found["evaluation"].body["training"] == inputs["training"]
        and found["training"].body["snapshot"] == found["validation"].body["snapshot"]
        and all(evidence.kind == kind for kind, evidence in found.items())
    )
    if not whole:
        raise PolicyError(
            "the evidence does not belong together",
            where=str(inputs),
            hint="register a candidate with the digests its own run returned",
        )
    if found["validation"].verdict.outcome is Outcome.FAILED:
        raise PolicyError(
            "the data broke its contract", where=inputs["validation"], hint="mend the data and train again"
        )


def _new_version(
    spec: ModelSpec,
    actor: str,
    state: State,
    inputs: JsonObject,
    found: dict[str, Evidence],
    snapshot: Evidence,
) -> NewVersion:
    training = found["training"].body
    logged = training["logged"]
    return NewVersion(
        model=spec.model,
        state=state,
        author=training["author"],
        spec_digest=training["record"]["spec_digest"],
        run_id=logged["run_id"],
        artefact_uri=logged["uri"],
        artefact_digest=logged["digest"],
        training_window=Window.from_json(snapshot.body["snapshot"]["window"]),
        evidence={**inputs, "snapshot": training["snapshot"]},
        profile=found["evaluation"].body["profile"],
        params=training["record"]["params"],
    )


def close_run(services: Services, spec: ModelSpec, *, run: str, actor: str) -> JsonObject:
    """Say in one line how the run ended, from its own events. A run that went on after its end is closed again."""
    with services.database.begin() as tx:
        reopened = len(_endings_overtaken(_events_of(tx, spec.model, run)))
    op = Operation.begin(services, "close_run", spec.model, run, actor).again(reopened)

    def write(tx: Transaction) -> JsonObject:
        mine = _events_of(tx, spec.model, run)
        last = next((event for event in reversed(mine) if event.type is not EventType.REPORT_MADE), None)
        version = next((event.version for event in reversed(mine) if event.version), None)
        summary = f"ended after {last.type}: {last.reason}" if last else "ended before anything happened"
        tx.events.append(op.event(EventType.RUN_CLOSED, summary, version=version))
        return {"summary": summary, "version": version}

    return op.commit(write)


def _events_of(tx: Transaction, model: str, run: str) -> list[AuditEvent]:
    begun = _begun(tx, model, run)
    # A model has many events and a run few, and nothing a run ends with is before it was let in.
    later = tx.events.read(model=model, after_seq=begun[0] - 1 if begun else 0)
    return [event for event in later if event.body.get("run") == run]


def _begun(tx: Transaction, model: str, run: str) -> list[int]:
    """Where the run was let in and took its snapshot; of one that was not let in, where it was told so just now."""
    begun = tx.events.read(model=model, types=[EventType.RETRAINING_ADMITTED, EventType.SNAPSHOT_TAKEN])
    declined = tx.events.read(model=model, types=[EventType.RETRAINING_DECLINED], limit=LAST_FEW)
    told = [event for event in declined if "requests" in event.body]
    return sorted(event.seq for event in (*begun, *told) if event.body.get("run") == run)


def _endings_overtaken(mine: list[AuditEvent]) -> list[AuditEvent]:
    """The ends of a run after which somebody cleared a step and it went on."""
    return [event for event, _ in pairwise(mine) if event.type is EventType.RUN_CLOSED]
