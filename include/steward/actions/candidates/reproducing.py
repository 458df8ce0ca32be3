"""Training a version again from its record alone, and saying how far the result is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from steward.actions.effects import logged_model
from steward.actions.operation import Operation
from steward.actions.retirement.draining import retirement_in
from steward.actions.state import Services, Transaction
from steward.data import Snapshot
from steward.errors import DataError, IntegrityError, ModelCodeError, NotFoundError, StewardError
from steward.gates import Evidence
from steward.ledger import EventType
from steward.registry import ModelVersion
from steward.spec import CODE_FILE, ModelSpec
from steward.training import ModelCode
from steward.types import JsonObject, VersionRef, digest_of

if TYPE_CHECKING:
    import pandas as pd

    from steward.training.past_code import PastCode

_REGISTERED = (EventType.VERSION_REGISTERED, EventType.VERSION_REJECTED)


@dataclass(frozen=True)
class OnRecord:
    """What the ledger holds of one version's making."""

    version: ModelVersion
    training: JsonObject
    snapshot: Snapshot
    spec: JsonObject | None

    @property
    def making(self) -> JsonObject:
        return dict(self.training["record"])


@dataclass
class Attempt:
    """What a repetition found. `reasons` say why it fails, `doubts` what weakens a success, `body` is what was seen."""

    reasons: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    body: JsonObject = field(default_factory=dict)


def reproduce(services: Services, spec: ModelSpec, *, run: str | None, actor: str, version: int) -> JsonObject:
    """Fit again on the recorded rows, with the recorded spec, code, parameters and seed; compare with the artefact.

    Of `spec` only the id is read. A store that is away raises UnavailableError: that is no verdict.
    """
    from steward.training.reproduction import METRICS, SCORES

    op = Operation.begin(services, "reproduce", spec.model, run, actor, version=version)
    if done := op.earlier():
        return done
    record = _on_record(services, VersionRef(spec.model, version))
    verdict, said, attempt = _attempt(services, record)
    body = {
        "version": version,
        "verdict": verdict,
        "said": said,
        "reasons": attempt.reasons,
        "doubts": attempt.doubts,
        "tolerance": {"scores": SCORES, "metrics": METRICS},
        "training": record.version.evidence["training"],
        **attempt.body,
    }
    evidence = Evidence("reproduction", spec.model, body)

    def write(tx: Transaction) -> JsonObject:
        digest = tx.evidence.put(evidence)
        tx.events.append(
            op.event(
                EventType.VERSION_REPRODUCED,
                f"{verdict}: {said}",
                version=version,
                evidence=digest,
                verdict=verdict,
                doubts=attempt.doubts,
            )
        )
        return {"evidence": digest, **evidence.body}

    return op.commit(write)


def _on_record(services: Services, ref: VersionRef) -> OnRecord:
    with services.database.begin() as tx:
        version = tx.versions.get(ref)
        training = tx.evidence.get(version.evidence["training"]).body
        snapshot = Snapshot.from_json(tx.evidence.get(version.evidence["snapshot"]).body["snapshot"])
        registered = [e for e in tx.events.read(model=ref.model, types=_REGISTERED) if "spec" in e.body]
    spec = next((event.body["spec"] for event in registered if event.version == ref.number), None)
    return OnRecord(version, training, snapshot, spec)


def _attempt(services: Services, record: OnRecord) -> tuple[str, str, Attempt]:
    from steward.training.past_code import code_at
    from steward.training.reproduction import Reproduction

    attempt = Attempt()
    rows = _rows(services, record, attempt)
    spec = _spec_then(record, attempt, rows)
    stored = _kept(attempt, "the artefact", lambda: services.models.load(logged_model(record.version)))
    with code_at(record.making["code_commit"], services.specs.folder / record.version.model) as code:
        _note_code(code, attempt)
        _note_environment(record, code, attempt)
        if not attempt.reasons and spec is not None:
            verdict, said = _repeat(record, spec, code, rows, stored, attempt)
            if verdict != Reproduction.NOT_REPRODUCIBLE:
                return verdict, said, attempt
            attempt.reasons.insert(0, said)
    _note_environment_as_reason(attempt)
    return Reproduction.NOT_REPRODUCIBLE.value, "; ".join(attempt.reasons), attempt


def _repeat(
    record: OnRecord, spec: ModelSpec, code: PastCode, rows: pd.DataFrame, stored: Any, attempt: Attempt
) -> tuple[str, str]:
    from steward.gates.classes import label_numbers
    from steward.training import fitting
    from steward.training.likeness import differing_parts
    from steward.training.reproduction import Reproduction, compare, judge

    assert code.folder is not None
    try:
        parts = fitting.split(spec, rows, record.snapshot.window)
        module = ModelCode(code.folder / CODE_FILE)
        fitted = fitting.fit(spec, module, parts.fit, record.making["params"], _threshold_by_hand(record))
    except (DataError, ModelCodeError) as error:
        return Reproduction.NOT_REPRODUCIBLE.value, f"it cannot be fitted any more: {error.what}"
    features, classes = list(spec.data.features), spec.data.label.classes
    labels = label_numbers(parts.holdout[spec.data.label.column].to_numpy(), classes, spec.model)
    scores = [fitting.score(model, parts.holdout[features], classes) for model in (stored, fitted.model)]
    thresholds = [fitting.decision_threshold(model) for model in (stored, fitted.model)]
    compared = compare(labels, scores[0], scores[1], spec.evaluation.metrics, thresholds[0])
    differing = differing_parts(stored, fitted.model)
    attempt.body |= {"scores": compared, "thresholds": thresholds, "differing_parts": differing}
    verdict, said = judge(compared)
    if thresholds[0] != thresholds[1]:
        return Reproduction.NOT_REPRODUCIBLE.value, f"it decides at {thresholds[1]:g}, not at {thresholds[0]:g}"
    same = f"; the models differ in {len(differing)} parts or more" if differing else "; the models hold the same"
    return verdict.value, said + same


def _threshold_by_hand(record: OnRecord) -> float | None:
    chosen = record.training.get("threshold") or {}
    return float(chosen["value"]) if chosen.get("chosen_by") == "run" else None


def _spec_then(record: OnRecord, attempt: Attempt, rows: pd.DataFrame | None) -> ModelSpec | None:
    """Its features in the order they were fitted in, which the rows kept: the ledger sorts every key."""
    if record.spec is None:
        attempt.reasons.append("its spec was not recorded")
        return None
    if digest_of(record.spec) != record.making["spec_digest"]:
        attempt.doubts.append("the spec was changed between training and registration; the one registered is used")
    try:
        spec = ModelSpec.model_validate(record.spec)
    except ValidationError as error:
        attempt.reasons.append(f"this release cannot read its spec: {error.error_count()} faults")
        return None
    if rows is None:
        return spec
    features = {name: spec.data.features[name] for name in rows.columns if name in spec.data.features}
    return spec.model_copy(update={"data": spec.data.model_copy(update={"features": features})})


def _rows(services: Services, record: OnRecord, attempt: Attempt) -> pd.DataFrame | None:
    """From the snapshot; of a retired model whose snapshot is gone, from its archive."""
    taken = record.snapshot
    attempt.body["data"] = {"snapshot": taken.to_json(), "from": "the snapshot"}
    with suppress(NotFoundError):
        return _altered(attempt, lambda: services.snapshots.read(taken))
    if (archived := _archived_rows(services, record)) is None:
        attempt.reasons.append(f"snapshot {taken.version} of {taken.table} is gone")
        return None
    attempt.body["data"]["from"] = "the archive"
    return archived


def _altered(attempt: Attempt, read: Callable[[], pd.DataFrame]) -> pd.DataFrame | None:
    try:
        return read()
    except IntegrityError as error:
        attempt.reasons.append(f"the rows were altered: {error.what}")
        return None


def _archived_rows(services: Services, record: OnRecord) -> pd.DataFrame | None:
    """None where there is no archive, or its file is gone or not as the manifest says."""
    import pyarrow.parquet as pq

    model, name = record.version.model, f"snapshots/{record.version.evidence['snapshot']}.parquet"
    with services.database.begin() as tx:
        known = retirement_in(tx, model)
        manifest = tx.evidence.get(known.archived.manifest).body if known and known.archived else {"files": {}}
    with suppress(NotFoundError):
        content = services.archive.get(f"{model}/{name}") if name in manifest["files"] else b""
        if content and hashlib.sha256(content).hexdigest() == manifest["files"][name]["sha256"]:
            return pq.read_table(BytesIO(content)).to_pandas(ignore_metadata=True)
    return None


def _kept(attempt: Attempt, what: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (NotFoundError, IntegrityError) as error:
        attempt.reasons.append(f"{what} is {_lost(error)}: {error.what}")
        return None


def _lost(error: StewardError) -> str:
    return "gone" if isinstance(error, NotFoundError) else "altered"


def _note_code(code: PastCode, attempt: Attempt) -> None:
    attempt.body["code"] = {"commit": code.commit, "used": code.used}
    if code.folder is None:
        attempt.reasons.append(f"its code is gone: {code.doubt}")
    elif code.doubt:
        attempt.doubts.append(code.doubt)


def _note_environment(record: OnRecord, code: PastCode, attempt: Attempt) -> None:
    from steward.training.provenance import environment
    from steward.training.reproduction import changed_packages, packages_of

    matter = packages_of(code.folder / CODE_FILE) if code.folder else set()
    attempt.body["environment"] = changed_packages(record.making["environment"], environment(), matter)


def _note_environment_as_reason(attempt: Attempt) -> None:
    """Other packages are a reason only where something else failed: they alone change nothing."""
    if changed := attempt.body["environment"]["matter"]:
        named = ", ".join(
            f"{name} {then or 'absent'} then, {now or 'absent'} now" for name, (then, now) in changed.items()
        )
        attempt.reasons.append(f"the environment differs: {named}")
