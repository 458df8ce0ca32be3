"""The shipped flights model, for benches that ask it."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

MODEL = "flight_delays"


def flights_model() -> tuple[Any, pd.DataFrame]:
    """The shipped model, fitted on two weeks, and some rows to ask about."""
    file = Path("include/models") / MODEL / "model.py"
    described = importlib.util.spec_from_file_location("bench_flights", file)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    frame = module.load(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 15, tzinfo=UTC)).dropna(subset="late")
    return module.build({}).fit(frame[module.FEATURES], frame["late"]), frame[module.FEATURES]


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(frame.to_json(orient="records"))
