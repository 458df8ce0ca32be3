"""What bench_serving serves: 20 raw columns, one-hot and hist-boosting, fitted on made data; its spec, and requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from steward.adapters.onnx_models import TWIN_FILE
from steward.adapters.onnx_twin import OnnxTwins
from steward.adapters.skops_models import save_model
from steward.spec import ModelSpec

MODEL = "pipeline"
NUMBERS = tuple(f"n{place}" for place in range(12))
CATEGORIES = tuple(f"c{place}" for place in range(8))
_ROWS, _LEVELS = 4_000, 6


def made_frame() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    levels = [f"level_{place}" for place in range(_LEVELS)]
    numbers = {name: draw.normal(size=_ROWS) for name in NUMBERS}
    return pd.DataFrame({**numbers, **{name: draw.choice(levels, _ROWS) for name in CATEGORIES}})


def fitted(frame: pd.DataFrame) -> Pipeline:
    noise = np.random.default_rng(1).normal(size=len(frame))
    signal = frame["n0"] + (frame["c0"] == "level_1") + frame["n1"] * frame["n2"] + noise
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("one-hot", one_hot, list(CATEGORIES))], remainder="passthrough")
    steps = [("columns", columns), ("model", HistGradientBoostingClassifier(random_state=0))]
    return Pipeline(steps).fit(frame, (signal > 0).to_numpy().astype(int))


def made_spec() -> ModelSpec:
    features = {name: {"type": "number"} for name in NUMBERS}
    features |= {name: {"type": "category"} for name in CATEGORIES}
    return ModelSpec.model_validate(
        {
            "model": MODEL,
            "title": "Made data",
            "purpose": "Figures",
            "owner": {"team": "bench", "name": "Ada", "email": "ada@example.com", "user": "ada"},
            "risk_tier": "low",
            "task": "binary_classification",
            "data": {"id": "id", "time": "at", "label": {"column": "y"}, "features": features},
            "training": {"window": {"days": 90}},
            "evaluation": {"holdout": {"days": 14}, "metrics": {"roc_auc": {"min": 0.5}}},
            "deployment": {"strategy": "direct"},
        }
    )


def save(model: Pipeline, folder: Path, *, twin: bool) -> None:
    """The artefact folder as a trained version has it."""
    save_model(model, folder)
    if twin:
        types = {name: feature.type for name, feature in made_spec().data.features.items()}
        (folder / TWIN_FILE).write_bytes(OnnxTwins().make(model, types))


def tensors(frame: pd.DataFrame) -> bytes:
    """One Open Inference Protocol request of these rows."""
    kinds = dict.fromkeys(NUMBERS, "FP64") | dict.fromkeys(CATEGORIES, "BYTES")
    inputs: list[dict[str, Any]] = [
        {"name": name, "shape": [len(frame)], "datatype": kinds[name], "data": frame[name].tolist()} for name in frame
    ]
    return json.dumps({"inputs": inputs}).encode()


def split_frame(frame: pd.DataFrame) -> bytes:
    """One MLflow request of these rows, in the shortest of its forms."""
    return json.dumps({"dataframe_split": frame.to_dict(orient="split", index=False)}).encode()
