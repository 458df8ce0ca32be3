from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from steward.adapters.evidently_reports import EvidentlyDriftReporter
from steward.errors import DataError
from steward.gates import Finding, Outcome
from steward.monitoring.statistics.psi import psi

COLUMNS = {"temp": "number", "origin": "category", "remark": "text", "gone": "number", "hub": "boolean"}


def a_side(shift: float = 0.0, rows: int = 300) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "temp": draw.normal(shift, 1, rows),
            "origin": draw.choice(["EWR", "JFK", None], rows),
            "remark": "none",
            "hub": draw.random(rows) < 0.5,
        }
    )


def findings(**values: float) -> list[Finding]:
    """0.1 is allowed; a column called `temp` failed whatever its value."""
    return [
        Finding(f"drift.psi:{name}", Outcome.FAILED if name == "temp" else Outcome.PASSED, "…", value, 0.1)
        for name, value in values.items()
    ]


ALL = findings(temp=0.4321, origin=0.0123, hub=0.05)


def test_the_report_opens_offline_and_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    EvidentlyDriftReporter(max_rows=200).write(a_side(), a_side(2), COLUMNS, path, "flight_delays@3 <April>", ALL)
    page = path.read_text(encoding="utf-8")
    title = "flight_delays@3 &lt;April&gt; (a sample: 200 of 300 reference rows, 200 of 300 current rows)"
    assert f"<title>{title}</title>" in page
    assert f">{title}</h1>" in page
    assert "temp" in page
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page) == []
    assert sorted(p.name for p in path.parent.iterdir()) == ["report.html", "report.json"]
    assert "Not drawn, see the verdict: gone, remark." in page


def test_the_numbers_are_those_of_the_verdict_and_the_snapshot_opens_again(tmp_path: Path) -> None:
    """Sampled to 200 rows, and still the PSI of the whole window; what failed by chance's rule alone failed here."""
    from evidently.core.report import Snapshot

    EvidentlyDriftReporter(max_rows=200).write(a_side(), a_side(2), COLUMNS, tmp_path / "r.html", "April", ALL)
    found = json.loads(Snapshot.load(tmp_path / "r.json").json())["metrics"]
    drifts = {m["config"]["column"]: m for m in found if m["config"]["type"].endswith("ValueDrift")}
    assert {name: m["value"] for name, m in drifts.items()} == {"temp": 0.4321, "origin": 0.0123, "hub": 0.05}
    assert {m["config"]["threshold"] for m in drifts.values()} == {0.1}
    assert found[0]["value"]["count"] == 1
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "0.432" in page
    assert "Dataset Drift is detected" in page
    assert "Dataset Drift is NOT detected" not in page


def test_a_column_that_changed_its_type_is_still_drawn(tmp_path: Path) -> None:
    broken = a_side().assign(temp=["warm"] * 150 + [1] * 150, origin=3)
    EvidentlyDriftReporter().write(a_side(), broken, COLUMNS, tmp_path / "r.html", "broken", ALL)
    assert (tmp_path / "r.html").stat().st_size > 100_000


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column has a judged drift"):
        EvidentlyDriftReporter().write(a_side(), a_side(), {"gone": "number"}, tmp_path / "r.html", "none", ALL)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_evidently_computes_stewards_psi_on_its_own_edges(shift: float) -> None:
    """It pools both samples and bins them by Sturges' rule: another number, the same formula."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    draw = np.random.default_rng(3)
    reference, current = draw.normal(0, 1, 3000), draw.normal(shift, 1, 2000)
    about = DataDefinition(numerical_columns=["x"])
    sides = [Dataset.from_pandas(pd.DataFrame({"x": side}), about) for side in (current, reference)]
    (found,) = Report([ValueDrift(column="x", method="psi")]).run(*sides).dict()["metrics"]
    edges = np.histogram_bin_edges(np.r_[reference, current], bins="sturges")
    r, c = (np.histogram(side, edges)[0] / len(side) for side in (reference, current))
    assert psi(r, c) == pytest.approx(float(found["value"]), rel=1e-9)
