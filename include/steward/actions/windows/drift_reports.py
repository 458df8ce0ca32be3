"""The picture of a judged window for people: drawn by Evidently, with the numbers of the verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from steward.actions.candidates.preparing import snapshot_of
from steward.actions.incidents.changing import monitored_incidents
from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.errors import DataError
from steward.gates import Verdict
from steward.ledger import EventType
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef, Window

if TYPE_CHECKING:
    import pandas as pd


WEEKLY = timedelta(days=7)
MOST_ROWS = 20_000  # of a window, held for the picture
_LOT = "lot of the row"


def write_report(
    services: Services, spec: ModelSpec, *, run: str, actor: str, evidence: str, asked: bool = False
) -> JsonObject:
    """Evidently's HTML report of the window against the version's training rows; linked from its incidents.

    Drawn when `asked` for, when an incident has none yet, and once a week. `report` is None, with the reason, when
    nobody needs one, or no drift was judged.
    """
    op = Operation.begin(services, "write_report", spec.model, run, actor, evidence=evidence)
    if done := op.earlier():
        return done
    with services.database.begin() as tx:
        body = tx.evidence.get(evidence).body
        version = tx.versions.get(VersionRef(spec.model, body["version"])) if body["version"] is not None else None
        due = asked or _due(tx, spec.model, services.clock.now())
    if version is None:
        return {"report": None, "reason": "no version served in the window"}
    if not due:
        return {"report": None, "reason": "the last one is not a week old, and no trouble is new"}
    window = Window.from_json(body["window"])
    name = f"{spec.model}/{window.end:%Y-%m-%d}-v{version.number}.html"
    try:
        _draw(services, spec, version, window, Verdict.from_json(body["verdict"]), services.reports_dir / name)
    except DataError as error:
        return {"report": None, "reason": error.what}

    def write(tx: Transaction) -> JsonObject:
        now = services.clock.now()
        for incident in monitored_incidents(tx, spec.model):
            tx.incidents.save(replace(incident.linked("report", name, now), report=name))
        tx.events.append(op.event(EventType.REPORT_MADE, name, version=version.number, evidence=evidence, report=name))
        return {"report": name}

    return op.commit(write)


def _due(tx: Transaction, model: str, now: datetime) -> bool:
    made = tx.events.read(model=model, types=[EventType.REPORT_MADE], limit=1)
    if not made or now - made[0].at >= WEEKLY:
        return True
    return any(not incident.passed and incident.report is None for incident in monitored_incidents(tx, model))


def _draw(
    services: Services, spec: ModelSpec, version: ModelVersion, window: Window, verdict: Verdict, path: Path
) -> None:
    reference = services.snapshots.read(snapshot_of(services, version.evidence["snapshot"]), list(spec.data.features))
    current, rows = _served(services, spec, version, window)
    columns = {name: feature.type.value for name, feature in spec.data.features.items()}
    title = f"{version.ref}: {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d} against its training window"
    if rows > len(current):
        title += f", {len(current)} of its {rows} answers"
    services.reporter.write(reference, current, columns, path, title, verdict.findings)


def _served(services: Services, spec: ModelSpec, version: ModelVersion, window: Window) -> tuple[pd.DataFrame, int]:
    """At most MOST_ROWS answers of the version, drawn evenly while they are read: the features by plain name. → and of
    how many."""
    import numpy as np
    import pandas as pd

    logged = {f"f_{name}": name for name in spec.data.features}
    draw, kept, rows = np.random.default_rng(0), pd.DataFrame({_LOT: []}), 0
    for batch in services.predictions.batches(spec.model, window, list(logged), version=version.number):
        part = batch.to_pandas().reindex(columns=list(logged)).assign(**{_LOT: draw.random(batch.num_rows)})
        kept = pd.concat([each for each in (kept, part) if len(each)] or [part]).nsmallest(MOST_ROWS, _LOT)
        rows += batch.num_rows
    return kept.reindex(columns=list(logged)).rename(columns=logged), rows
