from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from steward.adapters.evidently_reports import EvidentlyDriftReporter
from steward.errors import DataError
from steward.monitoring.psi import psi

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


def test_the_report_opens_offline_and_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    EvidentlyDriftReporter(max_rows=200).write(a_side(), a_side(2), COLUMNS, path, "flight_delays@3 <April>")
    page = path.read_text(encoding="utf-8")
    title = "flight_delays@3 &lt;April&gt; (a sample: 200 of 300 reference rows, 200 of 300 current rows)"
    assert f"<title>{title}</title>" in page
    assert f">{title}</h1>" in page
    assert "temp" in page
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page) == []
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_a_column_that_changed_its_type_is_still_drawn(tmp_path: Path) -> None:
    broken = a_side().assign(temp=["warm"] * 150 + [1] * 150, origin=3)
    EvidentlyDriftReporter().write(a_side(), broken, COLUMNS, tmp_path / "r.html", "broken")
    assert (tmp_path / "r.html").stat().st_size > 100_000


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column has values on both sides"):
        EvidentlyDriftReporter().write(a_side(), a_side(), {"gone": "number"}, tmp_path / "r.html", "none")


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
