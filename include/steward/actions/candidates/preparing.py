"""From a data window to a judged candidate: snapshot, validation, training, evaluation."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from steward.actions.effects import logged_model
from steward.actions.governance.stages import enter_stage
from steward.actions.operation import Operation, day_of, person
from steward.actions.state import Services, Transaction
from steward.data import Snapshot
from steward.gates import Evidence, Verdict
from steward.ledger import EventType
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.training import LoggedModel, ModelCode, TrainingRecord
from steward.types import JsonObject, Stage, Window, digest_of

if TYPE_CHECKING:
    import pandas as pd

    from steward.actions.candidates.judging import Judged
    from steward.training.fitting import Fitted

LOAD_LIMIT = timedelta(minutes=10)


def take_snapshot(
    services: Services,
    spec: ModelSpec,
    *,
    run: str,
    actor: str,
    as_of: str | None = None,
    window_days: int | None = None,
    reason: str | None = None,
) -> JsonObject:
    """Freeze the training window that ends with the last full day before `as_of`. `reason` is why the run was begun.

    Raises DataError for rows that cannot be used, ModelCodeError when the model's own source fails.
    """
    op = Operation.begin(services, "take_snapshot", spec.model, run, actor, as_of=as_of, window_days=window_days)
    if done := op.earlier():
        return done
    end = day_of(services, as_of)
    length = timedelta(days=window_days) if window_days else spec.training.window.length
    window = Window.ending(end, length)
    frame = read_source(services, spec, window, end)
    snapshot = services.snapshots.write(spec.model, window, frame)
    evidence = Evidence("snapshot", spec.model, {"snapshot": snapshot.to_json(), "as_of": end})

    def write(tx: Transaction) -> JsonObject:
        enter_stage(services, spec, tx, op, Stage.DEVELOPMENT)
        digest = tx.evidence.put(evidence)
        said = f"{snapshot.rows} rows of {window}" + (f", because: {reason}" if reason else "")
        tx.events.append(op.event(EventType.SNAPSHOT_TAKEN, said, evidence=digest, snapshot=snapshot.to_json()))
        return {
            "snapshot": digest,
            "rows": snapshot.rows,
            "window": window.to_json(),
            "version": snapshot.version,
        }

    return op.commit(write)


def read_source(
    services: Services, spec: ModelSpec, window: Window, as_of: datetime, limit: timedelta = LOAD_LIMIT
) -> pd.DataFrame:
    from steward.data.sources import read_window

    code = ModelCode(services.specs.module_path(spec.model))
    return read_window(spec, window, as_of, lambda a, b: code.call(spec.data.source, a, b, limit=limit))


def validate_data(services: Services, spec: ModelSpec, *, run: str, actor: str, snapshot: str) -> JsonObject:
    """Judge a snapshot against the data contract."""
    from steward.data.contract import contract_of, judge_classes, judge_contract

    op = Operation.begin(services, "validate_data", spec.model, run, actor, snapshot=snapshot)
    if done := op.earlier():
        return done
    taken = snapshot_of(services, snapshot)
    contract = contract_of(spec, taken.window)
    frame = services.snapshots.read(taken)
    result = services.validator.validate(contract, frame)
    verdict = Verdict.of([*judge_contract(result).findings, *judge_classes(spec, frame)])
    body = {
        "snapshot": snapshot,
        "contract": digest_of(contract),
        "result": result,
        "verdict": verdict.to_json(),
    }
    evidence = Evidence("validation", spec.model, body)

    def write(tx: Transaction) -> JsonObject:
        digest = tx.evidence.put(evidence)
        reason = "; ".join(verdict.reasons) or "the data keeps its contract"
        tx.events.append(op.event(EventType.DATA_VALIDATED, reason, evidence=digest, outcome=verdict.outcome))
        return {"validation": digest, "outcome": verdict.outcome.value, "reasons": list(verdict.reasons)}

    return op.commit(write)


def snapshot_of(services: Services, digest: str) -> Snapshot:
    with services.database.begin() as tx:
        return Snapshot.from_json(tx.evidence.get(digest).body["snapshot"])


def train(
    services: Services,
    spec: ModelSpec,
    *,
    run: str,
    actor: str,
    snapshot: str,
    params: JsonObject | None = None,
    threshold: float | None = None,
) -> JsonObject:
    """Fit a candidate on the window less its hold-out, and keep it with everything needed to repeat it.

    `threshold` is one tried by hand, in place of the spec's. Raises DataError and ModelCodeError as `fit` does, and
    IntegrityError when the snapshot is no longer what was taken.
    """
    from steward.training import fitting
    from steward.training.provenance import code_editor, committed_at
    from steward.training.twins import TWIN_FILE, make_twin

    given = {"snapshot": snapshot, "params": params or {}, "threshold": threshold}
    op = Operation.begin(services, "train", spec.model, run, actor, **given)
    if done := op.earlier():
        return done
    taken = snapshot_of(services, snapshot)
    code = ModelCode(services.specs.module_path(spec.model))
    smoke = code.call(spec.deployment.smoke, limit=LOAD_LIMIT) if spec.deployment.smoke else []
    parts = fitting.split(spec, services.snapshots.read(taken), taken.window)
    fitted = fitting.fit(spec, code, parts.fit, params or {}, threshold)
    record = _record(spec, code, run, taken, fitted, len(parts.fit))
    twin = make_twin(spec, services.twins, fitted.model, parts.holdout)
    files = {TWIN_FILE: twin.content} if twin.content is not None else {}
    logged = services.tracker.log(record, fitted.model, parts.fit[list(spec.data.features)].head(5), files)
    evidence = Evidence(
        "training",
        spec.model,
        {
            "snapshot": snapshot,
            "record": vars(record),
            "logged": vars(logged),
            "smoke": smoke,
            "threshold": fitted.threshold,
            "twin": twin.body,
            "author": actor,
            "editor": code_editor(code.path.parent) or person(actor),
            "committed_at": committed_at(code.path.parent),
        },
    )
    return op.commit(lambda tx: _trained(tx, op, evidence))


def _trained(tx: Transaction, op: Operation, evidence: Evidence) -> JsonObject:
    digest, record, logged = tx.evidence.put(evidence), evidence.body["record"], evidence.body["logged"]
    told = {
        "artefact": logged["digest"],
        "snapshot": evidence.body["snapshot"],
        "committed_at": evidence.body["committed_at"],
        **{name: record[name] for name in ("cpu_seconds", "seed", "code_commit")},
    }
    reason = f"fitted on {record['rows']} rows in {record['cpu_seconds']:.1f} CPU s"
    tx.events.append(op.event(EventType.MODEL_TRAINED, reason, evidence=digest, **told))
    return {"training": digest, "run_id": logged["run_id"]}


def _record(spec: ModelSpec, code: ModelCode, run: str, taken: Snapshot, fitted: Fitted, rows: int) -> TrainingRecord:
    from steward.training.provenance import code_commit, environment

    packages = environment()
    return TrainingRecord(
        model=spec.model,
        run_name=run,
        params=fitted.params,
        seed=spec.training.seed,
        spec_digest=spec.digest,
        snapshot=taken.to_json(),
        code_commit=code_commit(code.path.parent),
        environment=packages,
        environment_digest=digest_of(packages),
        cpu_seconds=fitted.cpu_seconds,
        rows=rows,
    )


def evaluate(services: Services, spec: ModelSpec, *, run: str, actor: str, training: str) -> JsonObject:
    """Judge the candidate (as stored, not as fitted) on the hold-out, beside the champion on the same rows."""
    from steward.training.twins import with_twin_judged

    op = Operation.begin(services, "evaluate", spec.model, run, actor, training=training)
    if done := op.earlier():
        return done
    with services.database.begin() as tx:
        trained = tx.evidence.get(training).body
        champion = tx.versions.champion(spec.model)
    logged = LoggedModel(**trained["logged"])
    taken = snapshot_of(services, trained["snapshot"])
    judged = _judge_candidate(services, spec, taken, logged, champion)
    verdict = with_twin_judged(spec, trained.get("twin"), judged.verdict)
    profile = Evidence("profile", spec.model, judged.profile)
    evidence = Evidence(
        "evaluation",
        spec.model,
        {
            **judged.body,
            "training": training,
            "champion": champion.number if champion else None,
            "beside": judged.body["champion"],  # the champion's own figures on the same rows
            "profile": profile.digest,
            "twin": trained.get("twin"),
            "verdict": verdict.to_json(),
        },
    )
    services.tracker.log_evaluation(logged.run_id, judged.metrics)

    def write(tx: Transaction) -> JsonObject:
        tx.evidence.put(profile)
        digest = tx.evidence.put(evidence)
        reasons = list(verdict.reasons)
        outcome = verdict.outcome
        reason = "; ".join(reasons[:3]) or "passed every gate on every slice"
        tx.events.append(
            op.event(EventType.MODEL_EVALUATED, reason, evidence=digest, outcome=outcome, metrics=judged.metrics)
        )
        return {"evaluation": digest, "outcome": outcome.value, "reasons": reasons}

    return op.commit(write)


def _judge_candidate(
    services: Services, spec: ModelSpec, taken: Snapshot, logged: LoggedModel, champion: ModelVersion | None
) -> Judged:
    from steward.actions.candidates.judging import judge_candidate
    from steward.training import fitting

    parts = fitting.split(spec, services.snapshots.read(taken), taken.window)
    candidate = services.models.load(logged)
    incumbent = services.models.load(logged_model(champion)) if champion else None
    return judge_candidate(spec, parts, candidate, incumbent, champion.ref if champion else None)
