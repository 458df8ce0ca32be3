"""A model of three classes over HTTP: a real server answers in names, and logs in the order of the spec."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.contract.test_prediction_batches import rows_of
from tests.contract.test_prediction_log import (
    APRIL_FIRST,
    MODEL,
    answer,
    log,  # noqa: F401 — a fixture
    make_delta,
    make_segmented,
    predictions,
)
from tests.contract.test_served_estate import server
from tests.unit.serving.conftest import make_spec

from steward.adapters.onnx_twin import OnnxTwins
from steward.adapters.served_estate import HttpServedEstate
from steward.data import PROBABILITIES, PredictionLog
from steward.rollout.smoke import judge_smoke
from steward.serving.http.app import ServerOptions, create_app
from steward.spec import ModelSpec
from steward.testing.control_plane import FakeServingSources
from steward.testing.data_stores import FakePredictionLog
from steward.training.fitting import score
from steward.training.twins import make_twin

CLASSES = ("small", "medium", "large")  # an estimator has them as large, medium, small
ROWS = [{"x": -3.0, "y": 0.0}, {"x": 0.0, "y": 0.0}, {"x": 3.0, "y": 0.0}]
SMOKE: list[dict[str, Any]] = [
    {"row": row, "expect": {"label": name, "min": 0.5}} for row, name in zip(ROWS, CLASSES, strict=True)
]


def spec_of_classes(**deployment: Any) -> ModelSpec:
    made = make_spec().model_dump(mode="json")
    features = {"x": {"type": "number"}, "y": {"type": "number"}}
    data = {**made["data"], "features": features, "label": {"column": "size", "classes": list(CLASSES)}}
    metrics = {"macro_f1": {"min": 0.5}}
    whole = {
        "task": "multiclass_classification",
        "data": data,
        "evaluation": {"holdout": {"days": 14}, "metrics": metrics},
    }
    return ModelSpec.model_validate({**made, **whole, "deployment": {**made["deployment"], **deployment}})


def rows_and_labels(rows: int = 600) -> tuple[pd.DataFrame, Any]:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(0, 2, rows), "y": draw.normal(size=rows)})
    return frame, np.select([frame["x"] < -1, frame["x"] > 1], ["small", "large"], "medium").astype(object)


def an_estimator() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=10)).fit(*rows_and_labels())


class MonthOfApril:
    def now(self) -> datetime:
        return datetime(2013, 4, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("onnx", [True, False])
def test_a_server_answers_in_classes(tmp_path: Path, onnx: bool) -> None:
    spec, sources, stored = spec_of_classes(), FakeServingSources(tmp_path / "store"), FakePredictionLog()
    estimator = an_estimator()
    twin = make_twin(spec, OnnxTwins(), estimator, rows_and_labels()[0])
    assert twin.content is not None, twin.body
    version = sources.register(spec, 1, estimator, SMOKE, **({"twin": twin.content} if onnx else {}))
    sources.references[version.ref] = ROWS[1]
    app = create_app(sources, stored, MonthOfApril(), ServerOptions(home=tmp_path / "home", flush_interval=0.05))
    wanted = score(estimator, pd.DataFrame(ROWS), CLASSES)
    with server(app) as url, httpx.Client(base_url=url, timeout=10) as client:
        sources.route(spec.model, 1)
        wait_until_ready(client)
        metadata = client.get(f"/v2/models/{spec.model}").json()
        assert metadata["platform"] == ("onnx" if onnx else "scikit-learn")
        assert metadata["parameters"]["classes"] == list(CLASSES)
        assert [(o["name"], o["datatype"], o["shape"]) for o in metadata["outputs"]] == [
            ("label", "BYTES", [-1]),
            ("probabilities", "FP64", [-1, 3]),
        ]
        inputs = [
            {"name": name, "shape": [3], "datatype": "FP64", "data": [row[name] for row in ROWS]} for name in ("x", "y")
        ]
        told = client.post(f"/v2/models/{spec.model}/infer", json={"inputs": inputs}).json()
        label, shares = told["outputs"]
        assert (label["datatype"], label["data"]) == ("BYTES", list(CLASSES))
        assert (shares["shape"], shares["datatype"]) == ([3, 3], "FP64")
        assert np.allclose(np.reshape(shares["data"], (3, 3)), wanted, atol=1e-5)
        refused = client.post(f"/v2/models/{spec.model}/infer", json={"inputs": inputs, "outputs": [{"name": "score"}]})
        assert (refused.status_code, refused.json()["code"]) == (400, "unknown_output")
        assert refused.json()["hint"].startswith("ask for label, probabilities")
        invoked = client.post(f"/models/{spec.model}/invocations", json={"dataframe_records": ROWS[2:]}).json()
        assert invoked["predictions"] == ["large"]
        assert invoked["probabilities"][0] == pytest.approx(dict(zip(CLASSES, wanted[2], strict=True)), abs=1e-5)
        why = client.post(
            f"/models/{spec.model}/invocations", json={"dataframe_records": ROWS[2:], "params": {"explain": True}}
        ).json()
        (found,) = why["explanations"]
        assert (found["decision"], found["contributions"][0]["feature"]) == ("large", "x")
        assert found["score"] == pytest.approx(wanted[2][2], abs=1e-5)
        outcomes_are_told_by_name(client, spec.model, told["parameters"]["decision_ids"])
        (tried,) = HttpServedEstate([url]).tried(spec.model, 1, [row["row"] for row in SMOKE])
        assert judge_smoke(SMOKE, tried.scores).passed, tried
    logged = pa.concat_tables(stored.rows[spec.model]).to_pandas()
    first = logged[logged["decision_id"].isin(told["parameters"]["decision_ids"])]
    assert first["score"].tolist() == [0.0, 1.0, 2.0]
    assert np.allclose(np.stack(first[PROBABILITIES]), wanted, atol=1e-5)
    assert pa.concat_tables(stored.outcomes[spec.model])["label"].to_pylist() == [0.0, 2.0]


def wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if client.get("/v2/health/ready").status_code == 200 and client.get("/v2/health/ready").json()["epochs"]:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError(client.get("/v2/health/ready").text)


def outcomes_are_told_by_name(client: httpx.Client, model: str, ids: list[str]) -> None:
    def tell(*labels: Any) -> httpx.Response:
        observed = "2013-04-02T00:00:00Z"
        told = [
            {"decision_id": i, "label": label, "observed_at": observed} for i, label in zip(ids, labels, strict=False)
        ]
        return client.post(f"/v2/models/{model}/outcomes", json={"outcomes": told})

    assert tell("small", "large").json() == {"stored": 2}
    for wrong in ("Large", 2, True):
        refused = tell("small", wrong)
        assert (refused.status_code, refused.json()["code"]) == (400, "unknown_class")
        assert "small, medium, large" in refused.json()["hint"]


# --- the log --------------------------------------------------------------------------------------


def with_probabilities(*rows: dict[str, Any], shares: list[list[float] | None]) -> pa.Table:
    return predictions(*rows).append_column(PROBABILITIES, pa.array(shares, pa.list_(pa.float64())))


SHARES: list[list[float] | None] = [[0.1, 0.2, 0.7], None]


def test_probabilities_come_back_as_they_were_logged(log: PredictionLog) -> None:  # noqa: F811
    log.append(MODEL, with_probabilities(answer("a", score=2.0), answer("b", error="boom", score=None), shares=SHARES))
    found = rows_of(log.batches(MODEL, APRIL_FIRST, ["decision_id", "score", PROBABILITIES]))
    assert (found["a"][PROBABILITIES], found["b"][PROBABILITIES]) == (SHARES[0], None)
    served = log.served(MODEL, APRIL_FIRST).set_index("decision_id")
    assert list(served.loc["a", PROBABILITIES]) == SHARES[0]


@pytest.mark.parametrize("make", [make_delta, make_segmented])
def test_a_table_of_an_earlier_release_goes_on(make: Any, tmp_path: Path) -> None:
    kept: PredictionLog = make(tmp_path)
    kept.append(MODEL, predictions(answer("old")))
    kept.maintain(MODEL, APRIL_FIRST.start)
    kept.append(MODEL, with_probabilities(answer("new", score=2.0), answer("b"), shares=SHARES))
    for _ in range(2):
        found = rows_of(kept.batches(MODEL, APRIL_FIRST, ["decision_id", "score", PROBABILITIES]))
        assert sorted(found) == ["b", "new", "old"]
        assert found["new"][PROBABILITIES] == SHARES[0]
        assert found["old"].get(PROBABILITIES) is None
        kept.maintain(MODEL, APRIL_FIRST.start)
    kept.append(MODEL, predictions(answer("binary")))
    assert len(kept.served(MODEL, APRIL_FIRST)) == 4
