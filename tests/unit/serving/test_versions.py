"""A version in memory: its own spec, its twin, what it takes, and what else is loaded beside it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from steward.adapters.onnx_models import OnnxModel
from steward.adapters.onnx_twin import OnnxTwins
from steward.adapters.skops_models import memory_of, save_model
from steward.errors import IntegrityError
from steward.serving.answers.contract import RequestContract
from steward.serving.answers.failures import VersionFaultError
from steward.serving.memory.artefact_cache import KEPT_SECONDS, ArtefactCache
from steward.serving.memory.versions import LoadedVersion, prepare
from steward.spec import ModelSpec
from steward.training.thresholds import with_threshold
from steward.training.twins import TWIN_FILE
from steward.types import VersionRef

from .conftest import (
    MODEL,
    ROW,
    Stack,
    at_epoch,
    make_estimator,
    make_spec,
    ready,
    tensors,
    training_frame,
    wait_until,
)

INFER = f"/v2/models/{MODEL}/infer"
REF = VersionRef(MODEL, 1)


def features(spec: ModelSpec) -> dict[str, Any]:
    return {name: feature.type for name, feature in spec.data.features.items()}


def twin_of(estimator: Any, spec: ModelSpec) -> bytes:
    return OnnxTwins().make(estimator, features(spec))


def loaded(spec: ModelSpec, estimator: Any, twin: bytes | None) -> LoadedVersion:
    opened = OnnxModel(twin, features(spec), tuple(features(spec)), "here") if twin else None
    return LoadedVersion(REF, "d", estimator, spec, None, opened)


def rows(client: TestClient) -> list[dict[str, Any]]:
    return client.get("/v2/repository/index").json()


def test_a_twin_answers_in_place_of_the_model(spec: ModelSpec) -> None:
    model = make_estimator()
    plain, twin = loaded(spec, model, None), loaded(spec, model, twin_of(model, spec))
    batch = RequestContract(spec).batch_of([ROW, {**ROW, "temp": None}, {**ROW, "carrier": "XX", "distance": 2500.0}])
    assert (plain.runtime, twin.runtime) == ("scikit-learn", "onnx")
    assert twin.answer(batch).scores == pytest.approx(plain.answer(batch).scores, abs=1e-6)
    assert twin.answer(batch).labels == plain.answer(batch).labels
    assert (twin.predict_plainly(batch).scores == plain.answer(batch).scores).all()


def test_a_twin_decides_at_the_versions_threshold(spec: ModelSpec) -> None:
    frame, late = training_frame()
    model = with_threshold(make_estimator(), {"value": 0.9, "chosen_by": "run"}, frame, late)
    batch = RequestContract(spec).batch_of([{**ROW, "distance": distance} for distance in range(100, 3000, 50)])
    twin = loaded(spec, model, twin_of(model, spec))
    assert twin.threshold == 0.9
    assert twin.answer(batch).labels == [int(score >= 0.9) for score in twin.answer(batch).scores]
    assert 0.5 < twin.answer(batch).scores[np.array(twin.answer(batch).labels) == 0].max() < 0.9


def test_a_number_that_the_twin_cannot_hold_is_answered_by_the_model(spec: ModelSpec) -> None:
    model = make_estimator()
    batch = RequestContract(spec).batch_of([{**ROW, "distance": 1e300}])
    plain, twin = loaded(spec, model, None), loaded(spec, model, twin_of(model, spec))
    assert twin.answer(batch).scores.tolist() == plain.answer(batch).scores.tolist()


def test_a_feature_that_nobody_sent_is_named_by_either_form(spec: ModelSpec) -> None:
    model = make_estimator()
    batch = RequestContract(spec).batch_of([ROW])
    del batch.columns["temp"]
    for version in (loaded(spec, model, None), loaded(spec, model, twin_of(model, spec))):
        with pytest.raises(VersionFaultError, match="needs the feature 'temp'"):
            version.answer(batch)


def test_both_forms_must_answer_the_smoke_rows(tmp_path: Path, spec: ModelSpec) -> None:
    smoke = [{"row": {**ROW, "distance": 2900.0}, "expect": {"min": 0.5}}]
    for good, bad, form in ((True, False, "onnx"), (False, True, "scikit-learn")):
        folder = tmp_path / form
        save_model(make_estimator(flip=not good), folder)
        (folder / TWIN_FILE).write_bytes(twin_of(make_estimator(flip=not bad), spec))
        from steward.adapters.skops_models import folder_digest

        with pytest.raises(VersionFaultError, match=f"smoke rows, by {form}: smoke row 0 scored"):
            prepare(REF, folder_digest(folder), folder, spec, smoke)


def test_a_twin_that_the_digest_does_not_cover_is_refused(tmp_path: Path, spec: ModelSpec) -> None:
    digest = save_model(make_estimator(), tmp_path / "m")
    (tmp_path / "m" / TWIN_FILE).write_bytes(twin_of(make_estimator(flip=True), spec))
    with pytest.raises(IntegrityError, match="as approved"):
        prepare(REF, digest, tmp_path / "m", spec, [])


def test_which_runtime_serves_is_to_be_seen(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator(), twin=twin_of(make_estimator(), spec))
    stack.sources.register(spec, 2, make_estimator())
    stack.sources.route(MODEL, champion=1, canary=2, percent=10)
    client = ready(stack.start())
    wait_until(lambda: [row["runtime"] for row in rows(client)] == ["onnx", "scikit-learn"])
    assert all(row["memory_bytes"] > 1000 for row in rows(client))


def test_going_back_restores_features_and_threshold_with_the_model(stack: Stack, spec: ModelSpec) -> None:
    wider = make_spec(features={**spec.model_dump(mode="json")["data"]["features"], "wind": {"type": "number"}})
    frame, late = training_frame()
    later = with_threshold(make_estimator(), {"value": 0.999, "chosen_by": "run"}, frame, late)
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.register(wider, 2, later)
    stack.sources.route(MODEL, champion=2, standby=1)
    client = ready(stack.start())
    asked = tensors({**ROW, "distance": 2000.0})

    def told() -> tuple[str, float, list[str]]:
        answer = client.post(INFER, json=asked).json()
        metadata = client.get(f"/v2/models/{MODEL}").json()
        data = {output["name"]: output["data"][0] for output in answer["outputs"]}
        return answer["model_version"], data["label"], [each["name"] for each in metadata["inputs"]]

    version, label, names = told()
    assert (version, float(label), "wind" in names) == ("2", 0.0, True)
    stack.sources.route(MODEL, champion=1)
    at_epoch(client, 2)
    version, label, names = told()
    assert (version, float(label), "wind" in names) == ("1", 1.0, False)


def test_a_canary_is_asked_with_features_that_the_champion_does_not_know(stack: Stack, spec: ModelSpec) -> None:
    wider = make_spec(features={**spec.model_dump(mode="json")["data"]["features"], "wind": {"type": "number"}})
    frame, late = training_frame()
    frame["wind"] = frame["distance"]
    needs_wind = make_estimator().fit(frame, late)
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.register(wider, 2, needs_wind)
    stack.sources.route(MODEL, champion=1, canary=2, percent=100)
    client = ready(stack.start())
    sent = client.post(INFER, json=tensors({**ROW, "wind": 7.0})).json()
    assert sent["model_version"] == "2"
    assert client.post(INFER, json=tensors(ROW)).json()["model_version"] == "1"


def test_a_tester_asks_a_version_by_its_own_features(stack: Stack, spec: ModelSpec) -> None:
    """The way back is tried with the rows of the version it leads to, whatever the champion has learned since."""
    wider = make_spec(features={**spec.model_dump(mode="json")["data"]["features"], "wind": {"type": "number"}})
    frame, late = training_frame()
    frame["wind"] = frame["distance"]
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.register(wider, 2, make_estimator().fit(frame, late))
    stack.sources.route(MODEL, champion=2, standby=1)
    client = ready(stack.start())
    wait_until(lambda: [row["state"] for row in rows(client)] == ["READY", "READY"])
    refused = client.post(INFER, json=tensors(ROW))
    assert (refused.status_code, refused.json()["code"]) == (400, "missing_feature")
    before = client.post(INFER, json=tensors(ROW), headers={"x-steward-version": "1"})
    assert (before.status_code, before.json()["model_version"]) == (200, "1")
    in_order = {"inputs": [[ROW[name] for name in spec.data.features]]}
    assert client.post("/invocations", json=in_order, headers={"x-steward-version": "1"}).status_code == 200
    logged = stack.logged()
    assert logged["role"].tolist() == ["tester", "tester"]
    assert "f_wind" not in logged


def test_what_was_not_released_is_not_served(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.register(spec, 2, make_estimator(flip=True))
    stack.sources.route(MODEL, champion=1)
    client = ready(stack.start())
    stack.sources.unreleased[VersionRef(MODEL, 2)] = "the record holds no release of it"
    stack.sources.route(MODEL, champion=2)
    wait_until(lambda: "no release of it" in str(client.get("/v2/health/ready").json()["reasons"]))
    assert client.post(INFER, json=tensors(ROW)).json()["model_version"] == "1"


def test_shadow_and_standby_are_loaded_and_hold_up_nobody(stack: Stack, spec: ModelSpec) -> None:
    for number in (1, 2, 3):
        stack.sources.register(spec, number, make_estimator())
    (stack.sources.folder / f"{MODEL}@3" / "extra.txt").write_text("not approved")
    stack.sources.route(MODEL, champion=1, shadow=2, standby=3)
    client = ready(stack.start())
    assert client.post(INFER, json=tensors(ROW)).json()["model_version"] == "1"
    wait_until(lambda: [row["state"] for row in rows(client)] == ["READY", "READY", "UNAVAILABLE"])
    wait_until(lambda: "as approved" in rows(client)[2]["reason"])
    assert [(row["role"], row["percent"]) for row in rows(client)] == [("champion", 100), ("shadow", 0), ("standby", 0)]
    assert "the standby is not loaded" in client.get("/v2/health/ready").json()["reasons"][0]


def test_a_version_leaves_when_no_route_names_it(stack: Stack, spec: ModelSpec) -> None:
    for number in (1, 2):
        stack.sources.register(spec, number, make_estimator())
    stack.sources.route(MODEL, champion=1, standby=2)
    client = ready(stack.start())
    wait_until(lambda: 'steward_version_memory_bytes{model="flight_delays",version="2"}' in client.get("/metrics").text)
    stack.sources.route(MODEL, champion=1)
    at_epoch(client, 2)
    assert 'version="2"' not in "".join(
        line for line in client.get("/metrics").text.splitlines() if line.startswith("steward_version_memory")
    )
    assert [row["version"] for row in rows(client)] == ["1"]


def test_what_stands_by_gives_way_to_what_serves(stack: Stack, spec: ModelSpec) -> None:
    for number in (1, 2, 3):
        stack.sources.register(spec, number, make_estimator())
    stack.sources.route(MODEL, champion=1, standby=2)
    size = expected(stack, 1)
    client = ready(stack.start(memory=size * 2 + size // 2))
    wait_until(lambda: [row["state"] for row in rows(client)] == ["READY", "READY"])
    stack.sources.route(MODEL, champion=1, canary=3, percent=100, standby=2)
    at_epoch(client, 2)
    assert [(row["role"], row["state"]) for row in rows(client)] == [
        ("champion", "READY"),
        ("canary", "READY"),
        ("standby", "UNAVAILABLE"),
    ]
    assert "gave way to flight_delays@3" in rows(client)[2]["reason"]
    assert client.post(INFER, json=tensors(ROW)).json()["model_version"] == "3"
    stack.sources.route(MODEL, champion=1, standby=2)
    at_epoch(client, 3)
    stack.sources.route(MODEL, champion=2)  # it is needed now, whatever it gave way to before
    at_epoch(client, 4)
    assert client.post(INFER, json=tensors(ROW)).json()["model_version"] == "2"


def test_what_serves_is_never_loaded_beyond_the_bound(stack: Stack, spec: ModelSpec) -> None:
    for number in (1, 2):
        stack.sources.register(spec, number, make_estimator())
    stack.sources.route(MODEL, champion=1)
    client = ready(stack.start(memory=expected(stack, 1) * 3 // 2))
    stack.sources.route(MODEL, champion=2)
    wait_until(lambda: "STEWARD_SERVER_MEMORY" in str(client.get("/v2/health/ready").json()["reasons"]))
    assert client.get("/v2/health/ready").json()["epochs"] == {MODEL: 1}
    assert client.post(INFER, json=tensors(ROW)).json()["model_version"] == "1"


def expected(stack: Stack, number: int) -> int:
    """What a version is taken to need: the larger of its file and of what it is in memory."""
    folder = stack.sources.folder / f"{MODEL}@{number}"
    from steward.serving.memory.loading import _expected_bytes

    return max(_expected_bytes(folder), memory_of(make_estimator()))


def test_what_a_version_takes_is_the_same_every_time() -> None:
    from sklearn.ensemble import RandomForestClassifier

    frame, late = training_frame()
    few, many = (RandomForestClassifier(count, random_state=0).fit(frame[["distance"]], late) for count in (5, 50))
    assert memory_of(few) == memory_of(few)
    assert memory_of(many) > 5 * memory_of(few)


def test_copies_that_nobody_named_for_a_day_are_removed(tmp_path: Path) -> None:
    cache = ArtefactCache(tmp_path)
    for name in ("old", "named", "fresh"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    now = time.time()
    for name in ("old", "named"):
        os.utime(tmp_path / name, (now - KEPT_SECONDS - 1, now - KEPT_SECONDS - 1))
    assert cache.prune({"named"}, now) == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "named"]
