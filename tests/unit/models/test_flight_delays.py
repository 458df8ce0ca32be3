"""The demo's model against the real flights: what it loads, builds and promises."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io

MODEL = Path(__file__).parents[3] / "include" / "models" / "flight_delays" / "model.py"
JANUARY, FEBRUARY = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)
LEAKS = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"}
TREES = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"


@pytest.fixture(scope="module")
def model() -> ModuleType:
    found = importlib.util.spec_from_file_location("flight_delays_model", MODEL)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def january(model: ModuleType) -> pd.DataFrame:
    return model.load(JANUARY, FEBRUARY)


@pytest.fixture(scope="module")
def fitted(model: ModuleType, january: pd.DataFrame) -> Any:
    known = january[january["late"].notna()]
    return model.build({"max_iter": 30, "learning_rate": 0.15}).fit(known[model.FEATURES], known["late"])


def one_row(january: pd.DataFrame, model: ModuleType, **changes: object) -> pd.DataFrame:
    """The first flight of January as a request would bring it, with some values replaced."""
    return pd.DataFrame([{**january[model.FEATURES].iloc[0].to_dict(), **changes}])


def test_load_brings_id_time_label_and_features_and_nothing_that_leaks(
    model: ModuleType, january: pd.DataFrame
) -> None:
    assert list(january.columns) == ["flight_id", "scheduled_departure", "late", *model.FEATURES]
    assert not LEAKS & set(january.columns)


def test_every_flight_of_the_year_has_its_own_id(model: ModuleType) -> None:
    year = model.load(JANUARY, datetime(2014, 2, 1, tzinfo=UTC))
    assert len(year) == 336_776
    assert year["flight_id"].is_unique


def test_the_id_and_instant_of_the_first_flight(january: pd.DataFrame) -> None:
    first = january.iloc[0]
    assert first["flight_id"] == "2013-01-01-UA-1545-EWR-0515"
    assert first["scheduled_departure"] == pd.Timestamp("2013-01-01T10:15Z")
    assert first["scheduled_minute"] == 5 * 60 + 15


def test_weather_and_aircraft_belong_to_the_flight(january: pd.DataFrame) -> None:
    first = january.iloc[0]
    assert (first["temp"], first["wind_dir"], first["plane_year"], first["seats"]) == (39.02, 260.0, 1999.0, 149.0)


def test_the_label_is_missing_only_where_a_flight_never_arrived(model: ModuleType) -> None:
    # The shares of the data's profile, which counts January in New York's time.
    midnight = timedelta(hours=5)
    january = model.load(JANUARY + midnight, FEBRUARY + midnight)
    assert len(january) == 27_004
    assert january["late"].isna().mean() == pytest.approx(0.0224, abs=5e-4)
    assert january["late"].mean() == pytest.approx(0.227, abs=1e-3)
    assert set(january["late"].dropna()) == {0.0, 1.0}


def test_windows_include_their_start_exclude_their_end_and_fit_together(
    model: ModuleType, january: pd.DataFrame
) -> None:
    instant = january["scheduled_departure"].iloc[1000].to_pydatetime()
    before, after = model.load(JANUARY, instant), model.load(instant, FEBRUARY)
    assert before["scheduled_departure"].max() < instant == after["scheduled_departure"].min()
    pd.testing.assert_frame_equal(pd.concat([before, after], ignore_index=True), january)


def test_rows_come_in_one_order_earliest_first(january: pd.DataFrame) -> None:
    keys = january["flight_id"].str.split("-", expand=True)
    order = january[["scheduled_departure"]].assign(origin=keys[5], carrier=keys[3], flight=keys[4].astype(int))
    assert order.equals(order.sort_values(list(order.columns), ignore_index=True))


def test_types_do_not_depend_on_what_the_window_holds(model: ModuleType, january: pd.DataFrame) -> None:
    hour = model.load(JANUARY + timedelta(hours=10), JANUARY + timedelta(hours=11))
    empty = model.load(datetime(2015, 1, 1, tzinfo=UTC), datetime(2015, 2, 1, tzinfo=UTC))
    assert len(hour) > 0 == len(empty)
    for window in (hour, empty):
        assert window.dtypes.equals(january.dtypes)
    assert set(january[model.NUMBERS].dtypes) == {np.dtype("float64")}
    assert {type(value) for name in model.CATEGORIES for value in january[name]} == {str}


def test_changing_a_loaded_frame_changes_no_later_one(model: ModuleType, january: pd.DataFrame) -> None:
    model.load(JANUARY, FEBRUARY)["distance"] = -1.0
    pd.testing.assert_frame_equal(model.load(JANUARY, FEBRUARY), january)


def test_a_window_without_time_zone_is_refused(model: ModuleType) -> None:
    with pytest.raises(TypeError, match="tz-naive"):
        model.load(JANUARY.replace(tzinfo=None), FEBRUARY)


def test_a_missing_package_is_named_with_its_remedy(model: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PACKAGE", "no_such_flights")
    with pytest.raises(FileNotFoundError, match="pip install no_such_flights"):
        model._read("weather.csv", ["origin"])


def test_a_small_model_ranks_days_it_has_not_seen(model: ModuleType, fitted: Any) -> None:
    from sklearn.metrics import roc_auc_score

    later = model.load(FEBRUARY, FEBRUARY + timedelta(days=7)).dropna(subset=["late"])
    assert roc_auc_score(later["late"], fitted.predict_proba(later[model.FEATURES])[:, 1]) > 0.6


def test_skops_keeps_the_model_trusting_nothing_but_its_trees(
    model: ModuleType, fitted: Any, january: pd.DataFrame
) -> None:
    stored = skops.io.dumps(fitted)
    assert skops.io.get_untrusted_types(data=stored) == [TREES]
    restored = skops.io.loads(stored, trusted=[TREES])
    rows = january[model.FEATURES].head(500)
    np.testing.assert_array_equal(restored.predict_proba(rows), fitted.predict_proba(rows))


def test_the_same_parameters_give_the_same_model(model: ModuleType, january: pd.DataFrame) -> None:
    known = january[january["late"].notna()]
    answers = [
        model.build({"max_iter": 5}).fit(known[model.FEATURES], known["late"]).predict_proba(known[model.FEATURES])
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*answers)


def test_parameters_of_the_spec_reach_the_classifier(model: ModuleType) -> None:
    chosen = model.build({"max_iter": 7, "class_weight": "balanced"})["classifier"].get_params()
    assert (chosen["max_iter"], chosen["class_weight"], chosen["random_state"]) == (7, "balanced", 0)


def test_an_unknown_parameter_is_refused(model: ModuleType) -> None:
    with pytest.raises(TypeError, match="max_leafs"):
        model.build({"max_leafs": 3})


@pytest.mark.parametrize("changes", [{"dest": "XXX"}, {"dest": None}, {"temp": None, "seats": float("nan")}])
def test_an_unseen_category_or_a_missing_value_still_gets_an_answer(
    model: ModuleType, fitted: Any, january: pd.DataFrame, changes: dict[str, object]
) -> None:
    assert 0 < fitted.predict_proba(one_row(january, model, **changes))[0, 1] < 1


def test_text_in_place_of_a_number_is_refused(model: ModuleType, fitted: Any, january: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="hot"):
        fitted.predict_proba(one_row(january, model, temp="hot"))


def test_a_row_without_a_feature_is_refused(model: ModuleType, fitted: Any, january: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="temp"):
        fitted.predict_proba(one_row(january, model).drop(columns="temp"))


def within(example: dict[str, Any], answer: float) -> bool:
    return bool(example["expect"]["min"] <= answer <= example["expect"]["max"])


def test_a_sensible_model_answers_every_example(model: ModuleType, fitted: Any) -> None:
    for example in model.examples():
        assert set(example["row"]) == set(model.FEATURES)
        answer = fitted.predict_proba(pd.DataFrame([example["row"]])[model.FEATURES])[0, 1]
        assert within(example, answer), (answer, example)


@pytest.mark.parametrize("constant", [0.0, 0.2, 0.5, 0.99, float("nan")])
def test_a_constant_misses_at_least_one_example(model: ModuleType, constant: float) -> None:
    assert not all(within(example, constant) for example in model.examples())


def test_a_model_that_mistakes_late_for_early_misses_an_example(model: ModuleType, fitted: Any) -> None:
    answers = [
        1 - fitted.predict_proba(pd.DataFrame([example["row"]])[model.FEATURES])[0, 1] for example in model.examples()
    ]
    assert not all(map(within, model.examples(), answers))
