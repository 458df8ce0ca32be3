"""A batch target: the champion over a window of the source, and later what became of it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any

from steward.actions.candidates.preparing import LOAD_LIMIT, read_source
from steward.actions.effects import logged_model
from steward.actions.operation import Operation, day_of, ended_since
from steward.actions.state import Services, Transaction
from steward.data import PROBABILITIES
from steward.errors import ConflictError, DataError, IntegrityError, PolicyError
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.ledger import EventType
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.training import ModelCode
from steward.types import JsonObject, VersionRef, Window

if TYPE_CHECKING:
    import pandas as pd


def score_window(
    services: Services,
    spec: ModelSpec,
    *,
    run: str | None,
    actor: str,
    as_of: str | None = None,
    window_days: int | None = None,
) -> JsonObject:
    """Score the window that ends with the last full day before `as_of`; all of it becomes readable at once, or nothing.

    A window that breaks the data contract is not scored. That is not kept: the same task, cleared once the data is
    mended, looks again. The same window scored again by the same version changes nothing.
    """
    _require_batch(spec)
    if ended := ended_since(services, spec.model):
        return _nothing_scored(Outcome.INCONCLUSIVE, [ended])
    op = Operation.begin(services, "score_window", spec.model, run, actor, as_of=as_of, window_days=window_days)
    if done := op.earlier():
        return done
    length = timedelta(days=window_days) if window_days else spec.deployment.scoring.window.length
    window = Window.ending(day_of(services, as_of), length)
    with services.database.begin() as tx:
        champion = tx.versions.champion(spec.model)
    if champion is None:
        return _nothing_scored(Outcome.INCONCLUSIVE, [f"{spec.model} has no champion: nothing was scored"])
    with tempfile.TemporaryFile() as aside:  # it has no name: a kill leaves nothing of anybody on the disk
        scored = _score(services, spec, champion, window, aside)
        if not scored.verdict.passed:
            return _refused(services, spec, op, champion, window, scored.verdict)
        _require_still(services, champion)
        with scored.reader() as rows:
            written = services.predictions.replace_window(spec.model, window, champion.number, rows, scored.digest)
    return _record(op, spec, champion, window, scored, written)


def _require_batch(spec: ModelSpec) -> None:
    if spec.deployment.target != "batch":
        hint = "write deployment.target: batch, or ask the model server"
        raise PolicyError(f"the target of {spec.model} is {spec.deployment.target}", where="score_window", hint=hint)


def _require_still(services: Services, champion: ModelVersion) -> None:
    """Scoring takes its time: a version that was rolled back meanwhile must not put its scores over its successor's."""
    with services.database.begin() as tx:
        now = tx.versions.champion(champion.model)
    if now is None or now.number != champion.number:
        hint = "nothing of the window was stored; score it again, by the present champion"
        raise ConflictError("it ceased to be the champion while it scored", where=str(champion.ref), hint=hint)


def _nothing_scored(outcome: Outcome, reasons: list[str], **more: Any) -> JsonObject:
    return {"outcome": outcome.value, "reasons": reasons, "version": None, "rows": 0, "refused": False, **more}


@dataclass(frozen=True)
class _Scored:
    """Rows scored and set aside in a file; `digest` is of decision ids and scores, in order."""

    aside: IO[bytes]
    verdict: Verdict
    rows: int
    digest: str
    threshold: float | None

    def reader(self) -> Any:
        import pyarrow as pa

        self.aside.seek(0)
        return pa.ipc.open_stream(self.aside)


def _score(services: Services, spec: ModelSpec, champion: ModelVersion, window: Window, aside: IO[bytes]) -> _Scored:
    """Part by part, so that memory does not grow with the window. After a broken part the rest is only judged."""
    from steward.data.contract import judge_contract
    from steward.data.scored import Whole, in_parts, scored_rows, scoring_contract
    from steward.data.sources import unlabelled_columns
    from steward.training.fitting import decision_threshold

    model = services.models.load(logged_model(champion))
    contract, whole = scoring_contract(spec, unlabelled_columns(spec)), Whole(spec, window)
    parts: list[Verdict] = []
    with _Spool(aside) as spool:
        for part in in_parts(_days(services, spec, window)):
            whole.add(part)
            parts.append(judge_contract(services.validator.validate(contract, part)))
            if all(verdict.passed for verdict in parts):
                scores = _scores(champion.ref, model, part, spec.data.label.classes)
                table = scored_rows(spec, champion.ref, part, scores, services.wall(), services.log_key)
                spool.add(table)
    verdict = Verdict.of([*whole.findings(), *_findings(parts)])
    return _Scored(aside, verdict, whole.rows, spool.digest.hexdigest(), decision_threshold(model))


def _findings(parts: list[Verdict]) -> list[Finding]:
    """Everything that failed in any part; of a window without fault, what held in the first. Ids are judged whole."""
    failed = [finding for verdict in parts for finding in verdict.failed()]
    held = parts[0].findings if parts and not failed else failed
    return [finding for finding in held if not finding.gate.startswith(("data.rows", "data.unique"))]


def _days(services: Services, spec: ModelSpec, window: Window) -> Iterator[pd.DataFrame]:
    from steward.data.scored import days_of
    from steward.data.sources import read_unlabelled

    code = ModelCode(services.specs.module_path(spec.model))
    for day in days_of(window):
        yield read_unlabelled(spec, day, lambda a, b: code.call(spec.data.source, a, b, limit=LOAD_LIMIT))


def _scores(ref: VersionRef, model: Any, part: pd.DataFrame, classes: Sequence[str] | None) -> Any:
    """By the columns the version was fitted on, in their order."""
    import numpy as np

    from steward.training.fitting import fitted_on, score

    wanted = fitted_on(model, part.columns)
    if absent := [name for name in wanted if name not in part.columns]:
        hint = "declare them again, or train a version for the new spec"
        raise IntegrityError(f"the spec no longer declares {', '.join(absent)}", where=str(ref), hint=hint)
    scores = score(model, part[wanted], classes)
    if wrong := int((~np.isfinite(scores).reshape(len(part), -1).all(axis=1)).sum()):
        hint = "nothing of the window was stored; roll back, or mend the model"
        raise DataError(f"{wrong} of {len(part)} rows have no finite score", where=str(ref), hint=hint)
    return scores


class _Spool:
    """Tables written to a file one after another."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()
        self._writer: Any = None

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, rows: Any) -> None:
        import pyarrow as pa

        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._file, rows.schema)
        self._writer.write_table(rows)
        self.digest.update("\0".join(rows.column("decision_id").to_pylist()).encode())
        self.digest.update(rows.column("score").to_numpy().astype("<f8").tobytes())
        if PROBABILITIES in rows.column_names:
            flat = rows.column(PROBABILITIES).combine_chunks().flatten()
            self.digest.update(flat.to_numpy().astype("<f8").tobytes())


def _refused(
    services: Services, spec: ModelSpec, op: Operation, champion: ModelVersion, window: Window, verdict: Verdict
) -> JsonObject:
    reasons = list(verdict.reasons)
    body = {"version": champion.number, "window": window.to_json(), "rows": 0, "verdict": verdict.to_json()}
    with services.database.begin() as tx:
        digest = tx.evidence.put(Evidence("scores", spec.model, body))
        said = f"{window} was not scored: {'; '.join(reasons[:3])}"
        tx.events.append(op.event(EventType.DATA_VALIDATED, said, evidence=digest, outcome=verdict.outcome))
    told = {"window": window.to_json(), "evidence": digest, "refused": True}
    return {**_nothing_scored(verdict.outcome, reasons[:20]), **told}


def _record(
    op: Operation, spec: ModelSpec, champion: ModelVersion, window: Window, scored: _Scored, written: bool
) -> JsonObject:
    about: JsonObject = {
        "window": window.to_json(),
        "rows": scored.rows,
        "digest": scored.digest,
        "threshold": scored.threshold,
        "artefact": champion.artefact_digest,
    }
    evidence = Evidence(
        "scores", spec.model, {**about, "version": champion.number, "verdict": scored.verdict.to_json()}
    )

    def write(tx: Transaction) -> JsonObject:
        digest = tx.evidence.put(evidence)
        tx.tallies.drop(spec.model, window.start.date(), (window.end - timedelta(days=1)).date())
        said = f"{scored.rows} rows of {window}" + ("" if written else ", which the table held already")
        tx.events.append(
            op.event(EventType.WINDOW_SCORED, said, version=champion.number, evidence=digest, written=written, **about)
        )
        kept = {"version": champion.number, "evidence": digest, "written": written, "refused": False}
        return {"outcome": scored.verdict.outcome.value, "reasons": [], **about, **kept}

    return op.commit(write)


def record_outcomes(
    services: Services,
    spec: ModelSpec,
    *,
    run: str | None,
    actor: str,
    as_of: str | None = None,
    window_days: int | None = None,
) -> JsonObject:
    """Labels that the source knows by now, for rows that were scored: new ones, and those that were corrected.

    Looks at the window whose labels were to arrive by the last full day before `as_of`.
    """
    from steward.data.scored import days_of

    _require_batch(spec)
    if ended := ended_since(services, spec.model):
        return {"recorded": 0, "reasons": [ended]}
    length = timedelta(days=window_days) if window_days else spec.deployment.scoring.window.length
    now, late = day_of(services, as_of), timedelta(days=-(-spec.data.label.arrives_after // timedelta(days=1)))
    window = Window.ending(now - late, length)
    recorded = sum(_record_labels(services, spec, day, now) for day in days_of(window))
    return {"recorded": recorded, "window": window.to_json()}


def _record_labels(services: Services, spec: ModelSpec, day: Window, now: Any) -> int:
    import pyarrow as pa

    from steward.data.scored import decision_ids
    from steward.gates.classes import label_numbers

    known = services.predictions.served(spec.model, day, ["decision_id", "label"])
    if known.empty:
        return 0
    frame = read_source(services, spec, day, now)
    frame = frame.assign(decision=decision_ids(spec, frame, services.log_key))
    frame = frame[frame[spec.data.label.column].notna() & frame["decision"].isin(known["decision_id"])]
    told = known.drop_duplicates("decision_id").set_index("decision_id")["label"]
    labels = label_numbers(frame[spec.data.label.column].to_numpy(), spec.data.label.classes, spec.model)
    changed = frame["decision"].map(told).to_numpy() != labels
    news = frame[changed]
    if news.empty:
        return 0
    instant = pa.timestamp("us", "UTC")
    rows = {
        "decision_id": pa.array(news["decision"], pa.string()),
        "label": pa.array(labels[changed], pa.float64()),
        "observed_at": pa.array(news[spec.data.time] + spec.data.label.arrives_after, instant),
        "recorded_at": pa.array([services.wall()] * len(news), instant),
    }
    services.predictions.append_outcomes(spec.model, pa.table(rows))
    return len(news)
