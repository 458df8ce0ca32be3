"""The split is by time, the seed reaches every open random state, and a model's answers have one form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from tests.unit.specs import a_spec

from steward.errors import DataError, ModelCodeError
from steward.training import ModelCode
from steward.training.fitting import fit, score, split
from steward.types import Window

END = datetime(2013, 4, 1, tzinfo=UTC)


@pytest.fixture
def spec() -> Any:
    return a_spec(
        training={"window": {"days": 20}, "seed": 11},
        evaluation=a_spec().evaluation.model_dump() | {"holdout": {"days": 5}},
    )


def rows(days: int = 20, labelled: bool = True) -> pd.DataFrame:
    times = pd.date_range(END - timedelta(days=days), END, freq="1h", inclusive="left")
    frame = pd.DataFrame({"flight_id": times.astype(str), "departure": times, "distance": 1.0, "carrier": "UA"})
    frame["late"] = np.arange(len(frame)) % 2 if labelled else np.nan
    return frame


def test_the_holdout_is_the_last_days_and_nothing_else(spec: Any) -> None:
    parts = split(spec, rows(), Window.ending(END, timedelta(days=20)))
    cut = pd.Timestamp(END - timedelta(days=5))
    assert parts.fit["departure"].max() < cut <= parts.holdout["departure"].min()
    assert len(parts.fit) == 15 * 24
    assert len(parts.holdout) == 5 * 24


def test_labels_that_never_arrived_are_said(spec: Any) -> None:
    with pytest.raises(DataError, match="no labelled rows"):
        split(spec, rows(labelled=False), Window.ending(END, timedelta(days=20)))


def test_every_open_random_state_gets_the_seed(spec: Any, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import FunctionTransformer\n"
        "from sklearn.ensemble import RandomForestClassifier\n"
        "def build(params):\n    return RandomForestClassifier(n_estimators=3)\n"
    )
    part = rows().assign(carrier=1.0)
    fitted = fit(spec, ModelCode(tmp_path / "model.py"), part, {})
    assert isinstance(fitted.model, RandomForestClassifier)
    assert fitted.model.random_state == 11
    assert fitted.cpu_seconds > 0


def test_something_that_cannot_be_fitted_is_refused(spec: Any, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def build(params):\n    return 3\n")
    with pytest.raises(ModelCodeError, match="returned int, which has no fit"):
        fit(spec, ModelCode(tmp_path / "model.py"), rows(), {})


def test_scores_are_probabilities_or_predictions() -> None:
    frame = pd.DataFrame({"x": [0.0, 1.0]})
    assert score(LinearRegression().fit(frame, [0.0, 2.0]), frame).tolist() == pytest.approx([0.0, 2.0])
