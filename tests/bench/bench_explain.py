"""What an explanation costs beside the answer it explains: the shipped model, one process, no server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.bench.flights import flights_model, plain

from steward.serving.answers.contract import RequestContract
from steward.serving.answers.explaining import explain_batch
from steward.serving.memory.versions import LoadedVersion
from steward.spec import load_spec
from steward.types import VersionRef

pytestmark = [pytest.mark.bench, pytest.mark.timeout(240)]

ROWS, ROUNDS = 40, 3


def test_explained_decisions_a_second(report: Report) -> None:
    model, frame = flights_model()
    spec = load_spec(Path("include/models/flight_delays/model.yaml"))
    rows = plain(frame.head(ROWS + 1))
    version, contract = LoadedVersion(VersionRef(spec.model, 1), "", model, spec, rows[-1]), RequestContract(spec)
    batches = [contract.batch_of([row]) for row in rows[:ROWS]]
    answered = fastest(lambda: [version.answer(batch) for batch in batches])
    accounts: list[Any] = []
    explained = fastest(lambda: accounts.extend(explain_batch(version, spec, batch, ["d"])[0] for batch in batches))
    assert not any("problem" in account for account in accounts)
    worst = max(abs(a["reference_score"] + sum(c["amount"] for c in a["contributions"]) - a["score"]) for a in accounts)
    assert worst < 1e-9
    what = f"Decisions of one row, {len(spec.data.features)} features, seconds of CPU for {ROWS}"
    report.headline(
        "One explained decision, CPU ms, beside the plain answer", explained / ROWS * 1e3, answered / ROWS * 1e3, "ms"
    )
    figures = [
        Figure("answered", answered, "CPU s", 1.0),
        Figure("explained", explained, "CPU s", explained / answered),
    ]
    report.table(what, "the plain answer", *figures)


def fastest(work: Any) -> float:
    """CPU seconds of the fastest of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)
