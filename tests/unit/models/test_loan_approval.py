"""The mortgage model: its data, the profile's numbers, and a life in which the plain model is refused."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from steward import actions
from steward.approval.policy import load_policy
from steward.gates import Outcome
from steward.gates.fairness import odds_difference, parity_difference, parity_ratio
from steward.gates.groups import groups_of
from steward.rollout.smoke import judge_smoke, smoke_frame
from steward.spec import ModelSpec, SpecFolder
from steward.testing import FrozenClock
from steward.testing.services import services_in_memory
from steward.types import JsonObject

MODELS = Path(__file__).parents[3] / "include" / "models"
YEAR = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
LEAKS = {"action", "reject", "typur", "inss", "inson"}
GROUPS = {"black", "hispan", "white", "male", "married", "old", "min30", "race", "sex"}
RATIO = "fairness.demographic_parity_ratio"


@pytest.fixture(scope="module")
def model() -> ModuleType:
    found = importlib.util.spec_from_file_location("loan_approval_model", MODELS / "loan_approval" / "model.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return SpecFolder(MODELS).get("loan_approval")


@pytest.fixture(scope="module")
def year(model: ModuleType) -> pd.DataFrame:
    return model.load(*YEAR)


# --- the data ------------------------------------------------------------------------------------


def test_every_application_has_one_place_in_every_year(model: ModuleType, year: pd.DataFrame) -> None:
    assert len(year) == 1989
    assert year["application_id"].is_unique
    again = model.load(YEAR[1], YEAR[1] + timedelta(days=365))
    for frame, number in ((year, 2024), (again, 2025)):
        lines = frame["application_id"].str.removeprefix(f"{number}-").astype(int)
        assert sorted(lines) == list(range(1, 1990))
    assert again["application_id"].iloc[0] == year["application_id"].iloc[0].replace("2024", "2025")
    assert again["decided_at"].iloc[0] - year["decided_at"].iloc[0] == timedelta(days=366)
    pd.testing.assert_frame_equal(
        year.drop(columns=["application_id", "decided_at"]), again.drop(columns=["application_id", "decided_at"])
    )


def test_the_place_is_drawn_and_says_nothing_of_the_decision(year: pd.DataFrame) -> None:
    months = year.groupby(year["decided_at"].dt.month)
    assert 130 < months.size().min() <= months.size().max() < 205
    assert months["approve"].mean().between(0.80, 0.94).all()


def test_windows_fit_together(model: ModuleType, year: pd.DataFrame) -> None:
    instant = year["decided_at"].iloc[700].to_pydatetime()
    before, after = model.load(YEAR[0], instant), model.load(instant, YEAR[1])
    pd.testing.assert_frame_equal(pd.concat([before, after], ignore_index=True), year)
    across = model.load(instant, instant + timedelta(days=365))
    assert across["application_id"].is_unique
    assert across["decided_at"].is_monotonic_increasing


def test_rates_by_group_are_those_of_the_profile(year: pd.DataFrame) -> None:
    assert year["approve"].mean() == pytest.approx(0.8773, abs=5e-5)
    by_race = year.groupby("race")["approve"].agg(["size", "mean"])
    assert by_race["size"].to_dict() == {"black": 197, "hispanic": 111, "white": 1681}
    assert by_race["mean"].round(4).to_dict() == {"black": 0.6751, "hispanic": 0.7658, "white": 0.9084}
    by_sex = year.groupby("sex", dropna=False)["approve"].agg(["size", "mean"])
    assert by_sex["size"].tolist() == [369, 1605, 15]
    assert by_sex["mean"].round(4).tolist()[:2] == [0.8645, 0.8791]


def test_codes_in_place_of_values_are_missing(model: ModuleType, year: pd.DataFrame) -> None:
    missing = year[model.FEATURES].isna().sum()
    assert missing[missing > 0].to_dict() == {"gdlin": 2, "dep": 3, "liq": 9, "term": 4, "multi": 4}


def test_neither_the_decision_nor_a_group_is_a_feature(model: ModuleType, spec: ModelSpec) -> None:
    assert list(spec.data.features) == model.FEATURES
    assert not set(model.FEATURES) & (LEAKS | GROUPS)
    assert set(spec.data.protected) == {"race", "sex"}
    assert all(feature.reason for feature in spec.data.features.values())


def test_a_window_without_time_zone_is_refused(model: ModuleType) -> None:
    with pytest.raises(TypeError, match="time zone"):
        model.load(YEAR[0].replace(tzinfo=None), YEAR[1])


def test_a_missing_package_is_named_with_its_remedy(model: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PACKAGE", "no_such_loans")
    with pytest.raises(FileNotFoundError, match="pip install no_such_loans"):
        model._read(model.FILE)


def test_examples_are_missed_by_a_constant_and_by_an_inverted_model(
    model: ModuleType, spec: ModelSpec, year: pd.DataFrame
) -> None:
    rows = model.examples()
    fitted = model.build({}).fit(year[model.FEATURES], year["approve"])
    scores = fitted.predict_proba(smoke_frame(rows, spec))[:, 1]
    assert judge_smoke(rows, scores).passed
    assert judge_smoke(rows, 1 - scores).outcome is Outcome.FAILED
    for constant in (0.0, 0.35, 0.5, 0.88, 1.0):
        assert judge_smoke(rows, [constant] * len(rows)).outcome is Outcome.FAILED


# --- the profile's numbers -----------------------------------------------------------------------

# Made by other code than ours, from the file as it is: codes in place, races in the file's columns, file order.
UNDERWRITING = [
    "hrat", "obrat", "loanprc", "unem", "gdlin", "mortg", "cons", "pubrec", "unver", "chist", "cosign", "dep", "sch",
    "emp", "yjob", "self", "atotinc", "netw", "liq", "price", "loanamt", "term", "fixadj", "multi",
]  # fmt: skip
PROFILE = {
    0.5: ((0.7208, 0.8559, 0.9292), 0.7757, 0.2084, 0.2656),
    0.8: ((0.6599, 0.7928, 0.8977), 0.7351, 0.2378, 0.2112),
}


@pytest.fixture(scope="module")
def out_of_fold(model: ModuleType) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Race, outcome and score of every application in the file."""
    raw = model._read(model.FILE)
    outcome, scores = raw["approve"].to_numpy(), np.zeros(len(raw))
    for known, asked in StratifiedKFold(5, shuffle=True, random_state=0).split(raw, outcome):
        trees = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.06, max_leaf_nodes=8, random_state=0)
        trees.fit(raw[UNDERWRITING].iloc[known], outcome[known])
        scores[asked] = trees.predict_proba(raw[UNDERWRITING].iloc[asked])[:, 1]
    race = np.where(raw["black"] == 1, "black", np.where(raw["hispan"] == 1, "hispanic", "white")).astype(object)
    return race, outcome == 1, scores


def test_the_profiles_model_ranks_as_the_profile_says(out_of_fold: Any) -> None:
    _, outcome, scores = out_of_fold
    assert roc_auc_score(outcome, scores) == pytest.approx(0.8473, abs=5e-5)


@pytest.mark.parametrize("threshold", PROFILE)
def test_the_profiles_shares_and_disparities(out_of_fold: Any, threshold: float) -> None:
    race, outcome, scores = out_of_fold
    selected, ratio, difference, odds = PROFILE[threshold]
    groups = groups_of(race, outcome, scores >= threshold)
    assert tuple(round(float(group.selected.value or 0), 4) for group in groups) == selected
    assert parity_ratio(groups, 30).value == pytest.approx(ratio, abs=5e-5)
    assert parity_difference(groups, 30).value == pytest.approx(difference, abs=5e-5)
    assert odds_difference(groups, 20).value == pytest.approx(odds, abs=5e-5)
    assert odds_difference(groups, 30).small == (("hispanic", 26),)  # too few were refused


# --- a life --------------------------------------------------------------------------------------

Train = Callable[..., tuple[JsonObject, JsonObject, JsonObject]]


@pytest.fixture
def train(tmp_path: Path, spec: ModelSpec) -> Train:
    """As the DAG does it → what `register` answered, the training's evidence and the evaluation's."""
    policy = load_policy(MODELS.parent / "policy.yaml")
    services = services_in_memory(SpecFolder(MODELS), policy, FrozenClock(YEAR[1]), tmp_path)

    def run(as_of: str, threshold: float | None = None) -> tuple[JsonObject, JsonObject, JsonObject]:
        def do(action: str, **inputs: Any) -> JsonObject:
            name = f"{as_of} at {threshold}"
            answer: JsonObject = getattr(actions, action)(services, spec, run=name, actor="airflow:sam", **inputs)
            return answer

        snapshot = do("take_snapshot", as_of=as_of)["snapshot"]
        validation = do("validate_data", snapshot=snapshot)
        assert validation["outcome"] == "PASSED"
        training = do("train", snapshot=snapshot, threshold=threshold)["training"]
        evaluation = do("evaluate", training=training)["evaluation"]
        digests = {"validation": validation["validation"], "training": training, "evaluation": evaluation}
        answer = do("register", **digests)
        with services.database.begin() as tx:
            return answer, tx.evidence.get(training).body, tx.evidence.get(evaluation).body

    return run


def ratio_by(evaluation: JsonObject, by: str) -> JsonObject:
    (found,) = [g["measures"]["demographic_parity_ratio"] for g in evaluation["fairness"]["groupings"] if g["by"] == by]
    return dict(found)


def outcomes(evaluation: JsonObject) -> dict[str, str]:
    return {f["slice"]: f["outcome"] for f in evaluation["verdict"]["findings"] if f["gate"] == RATIO}


def test_the_plain_model_is_refused_for_its_disparity_and_nothing_else(train: Train) -> None:
    answer, training, evaluation = train("2024-01-01", threshold=0.5)
    assert (answer["outcome"], answer["proceed"]) == ("FAILED", False)
    assert training["threshold"] == {"value": 0.5, "chosen_by": "run"}
    assert "by race is 0.72" in answer["reasons"][0]
    assert "black to white" in answer["reasons"][0]
    failed = {f["gate"] for f in evaluation["verdict"]["findings"] if f["outcome"] == "FAILED"}
    assert failed == {RATIO}


def test_the_mitigated_one_is_registered_and_goes_to_people_with_small_groups_named(train: Train) -> None:
    answer, training, evaluation = train("2024-01-01")
    assert answer["proceed"]
    assert outcomes(evaluation) == {"race": "PASSED", "sex": "PASSED", "race × sex": "PASSED"}
    assert training["threshold"]["met"]
    assert evaluation["threshold"] == training["threshold"]["value"] < 0.5
    open_questions = [f for f in evaluation["verdict"]["findings"] if f["outcome"] == "INCONCLUSIVE"]
    assert {f["gate"] for f in open_questions} == {"fairness.rows"}
    assert {"sex = missing", "race × sex = black × female"} <= {f["slice"] for f in open_questions}
    json.dumps(evaluation, allow_nan=False)


def test_parity_costs_accuracy_and_the_table_of_the_search_shows_it(train: Train) -> None:
    _, plain, before = train("2024-01-01", threshold=0.5)
    _, mitigated, after = train("2024-01-01")
    assert plain["record"]["params"] == mitigated["record"]["params"]
    assert before["metrics"]["roc_auc"] == after["metrics"]["roc_auc"]  # the same scores, read otherwise
    accuracies = [each["metrics"]["accuracy"]["value"] for each in (before, after)]
    assert accuracies == [pytest.approx(0.916, abs=1e-3), pytest.approx(0.904, abs=1e-3)]
    table = {row["threshold"]: row for row in mitigated["threshold"]["table"]}
    chosen = table[mitigated["threshold"]["value"]]
    assert min(chosen["parity"].values()) >= 0.9 > min(table[0.5]["parity"].values())


def test_through_a_year_of_training_dates(train: Train) -> None:
    """Four windows, each with a hold-out of its own: the mitigated model passes every time, the plain one seldom."""
    dates = ["2023-02-01", "2023-05-01", "2023-08-01", "2023-11-01"]
    plain = [train(date, threshold=0.5) for date in dates]
    mitigated = [train(date) for date in dates]
    assert [answer["proceed"] for answer, *_ in mitigated] == [True] * 4
    assert sum(answer["proceed"] for answer, *_ in plain) <= 1
    lowest = [[ratio_by(evaluation, "race")["value"] for *_, evaluation in each] for each in (plain, mitigated)]
    assert all(after > before for before, after in zip(*lowest, strict=True))
