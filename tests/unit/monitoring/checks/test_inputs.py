"""Inputs of a window, broken or moved, each named and counted; judged on counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hypergeom
from tests.unit.monitoring.readings import bare_profile, bins_of, counted, profile_of, reading_of
from tests.unit.specs import a_data_section, a_spec

from steward.gates import Finding, Outcome, Verdict
from steward.gates.counts import by_count_alone
from steward.monitoring.checks.inputs import judge_inputs, number_of_tests
from steward.monitoring.tallies import ColumnTally
from steward.spec import ModelSpec
from steward.types import JsonObject

FEATURES: dict[str, dict[str, Any]] = {
    "temp": {"type": "number", "min": -40, "max": 130, "max_missing": 0.2, "max_out_of_range": 0.01},
    "weekday": {"type": "integer", "min": 0, "max": 6},
    "origin": {"type": "category", "levels": ["EWR", "JFK", "LGA"]},
    "dest": {"type": "category"},
    "hub": {"type": "boolean"},
    "free": {"type": "number", "max_missing": 1.0},
    "remark": {"type": "text"},
}


def the_spec(**drift: Any) -> ModelSpec:
    return a_spec(data=a_data_section(FEATURES), monitoring={"min_rows": 200, "drift": {"psi": {"max": 0.1}, **drift}})


def a_window(rows: int = 3000, seed: int = 1) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "f_temp": np.where(draw.random(rows) < 0.05, np.nan, draw.normal(40, 10, rows)),
            "f_weekday": draw.integers(0, 7, rows),
            "f_origin": draw.choice(["EWR", "JFK", "LGA"], rows),
            "f_dest": draw.choice(["BOS", "LAX", "ORD", "SFO"], rows),
            "f_hub": draw.random(rows) < 0.5,
            "f_free": draw.normal(size=rows),
            "f_remark": draw.choice(["", "late crew", "weather"], rows),
            "score": draw.random(rows),
            "label": (draw.random(rows) < 0.3).astype(float),
            "error": None,
        }
    )


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    return profile_of(the_spec(), a_window(10_000, seed=0))


def judged(profile: JsonObject, served: pd.DataFrame, spec: ModelSpec | None = None) -> dict[str, Finding]:
    found = judge_inputs(reading_of(spec or the_spec(), profile, served))
    assert len({finding.gate for finding in found}) == len(found)
    return {finding.gate: finding for finding in found}


def failed(found: dict[str, Finding]) -> set[str]:
    return {gate for gate, finding in found.items() if finding.outcome is Outcome.FAILED}


def test_a_steady_window_passes_every_check(profile: JsonObject) -> None:
    found = judged(profile, a_window())
    assert Verdict.of(found.values()).passed
    assert set(found) >= {
        "drift.psi:temp", "drift.psi:hub", "drift.psi:remark", "drift.missing:temp", "data.missing:temp",
        "data.range:weekday", "data.levels:origin", "drift.levels:dest", "drift.prediction_psi",
    }  # fmt: skip


Spoil = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("spoil", "gates", "said"),
    [
        (lambda w: w.drop(columns="f_temp"), {"data.column:temp"}, "temp is gone from the window"),
        (lambda w: w.assign(f_temp="warm"), {"data.type:temp"}, "3000 of 3000 values that are not of type number"),
        (lambda w: w.assign(f_temp=pd.Timestamp("2013-01-01")), {"data.type:temp"}, "not of type number"),
        (lambda w: w.assign(f_temp=np.nan), {"data.missing:temp"}, "missing in all 3000 rows"),
        (
            lambda w: w.assign(f_temp=np.inf), {"data.missing:temp", "data.range:temp"},
            "missing in all 3000 rows, 3000 of them infinite",
        ),
        (lambda w: w.assign(f_temp=w["f_temp"].mask(w.index < 1000)), {"data.missing:temp"}, "above the contract's 20"),
        (lambda w: w.assign(f_temp=w["f_temp"].mask(w.index < 400)), {"drift.missing:temp"}, "more often than usual"),
        (lambda w: w.assign(f_temp=w["f_temp"].mask(w.index < 60, 1048)), {"data.range:temp"}, "to 1048)"),
        (lambda w: w.assign(f_free=w["f_free"].mask(w.index < 2, -np.inf)), {"data.range:free"}, "2 of them infinite"),
        (lambda w: w.assign(f_origin=w["f_origin"].mask(w.index < 1, "XXX")), {"data.levels:origin"}, "'XXX'"),
        (lambda w: w.assign(f_dest=w["f_dest"].mask(w.index < 40, "SEA")), {"drift.levels:dest"}, "in 1.33%"),
        (
            lambda w: w.assign(f_dest=[str(i) for i in range(len(w))]), {"data.levels:dest", "drift.psi:dest"},
            "in 100.00%",
        ),
        (lambda w: w.assign(f_temp=w["f_temp"] + 10), {"drift.psi:temp"}, "temp moved: PSI"),
        (lambda w: w.assign(f_hub=True), {"drift.psi:hub"}, "hub moved"),
        (lambda w: w.assign(f_remark=w["f_remark"] + " more"), {"drift.psi:remark"}, "the length of remark moved"),
        (lambda w: w.assign(score=w["score"] ** 2), {"drift.prediction_psi"}, "the prediction moved"),
    ],
)  # fmt: skip
def test_trouble_is_named_and_counted(profile: JsonObject, spoil: Spoil, gates: set[str], said: str) -> None:
    found = judged(profile, spoil(a_window()))
    assert failed(found) == gates
    assert any(said in found[gate].reason for gate in gates)


def test_a_column_gone_from_some_rows_is_counted(profile: JsonObject) -> None:
    whole, part = (reading_of(the_spec(), profile, a_window(seed=seed)).tally for seed in (1, 2))
    gone = reading_of(the_spec(), profile, a_window(600).drop(columns="f_temp")).tally
    reading = reading_of(the_spec(), profile, a_window(1))
    found = judge_inputs(type(reading)(reading.spec, profile, reading.window, whole + part + gone))
    (column,) = [finding for finding in found if finding.gate == "data.column:temp"]
    assert column.reason == "600 of 6600 rows came without temp"
    assert {f.gate for f in found if f.outcome is Outcome.FAILED} == {"data.column:temp"}


def test_values_are_judged_beside_the_broken_ones(profile: JsonObject) -> None:
    mixed = a_window()
    mixed["f_temp"] = mixed["f_temp"].astype(object).mask(mixed.index < 5, "warm")
    found = judged(profile, mixed)
    assert failed(found) == {"data.type:temp"}
    assert "5 of 3000 values" in found["data.type:temp"].reason
    assert "'warm'" in found["data.type:temp"].reason
    assert found["drift.psi:temp"].outcome is Outcome.PASSED


def test_what_privacy_keeps_from_the_log_is_not_judged(profile: JsonObject) -> None:
    spec = a_spec(data=a_data_section(FEATURES, privacy={"temp": "drop"}), monitoring={"min_rows": 200})
    found = judged(profile, a_window().drop(columns="f_temp"), spec)
    assert not [gate for gate in found if gate.endswith(":temp")]
    assert number_of_tests(spec) == number_of_tests(the_spec()) - 3


def test_a_feature_the_profile_does_not_know_decides_nothing(profile: JsonObject) -> None:
    known = {name: about for name, about in profile["features"].items() if name != "temp"}
    found = judged({**profile, "features": known}, a_window())
    assert found["drift.psi:temp"].outcome is Outcome.INCONCLUSIVE
    assert "not in the version's profile" in found["drift.psi:temp"].reason


def test_a_feature_has_its_own_limit(profile: JsonObject) -> None:
    moved = a_window().assign(f_temp=lambda w: w["f_temp"] + 10)
    assert "drift.psi:temp" not in failed(judged(profile, moved, the_spec(features={"temp": {"max": 9.0}})))
    slightly = a_window().assign(f_free=lambda w: w["f_free"] + 0.25)
    assert not failed(judged(profile, slightly))
    assert failed(judged(profile, slightly, the_spec(features={"free": {"max": 0.02}}))) == {"drift.psi:free"}


def test_an_empty_window_and_an_empty_reference_raise_nothing(profile: JsonObject) -> None:
    empty = judged(profile, a_window(0))
    assert set(empty) == {"drift.prediction_psi"}
    bare = bare_profile({"temp": bins_of([0, 0]), "dest": bins_of([0], kind="levels")}, [0, 0])
    columns = {name: ColumnTally(rows=300, counts=counts) for name, counts in [("temp", (100, 200)), ("dest", (300,))]}
    spec = a_spec(data=a_data_section({name: FEATURES[name] for name in columns}), monitoring={"min_rows": 200})
    found = judge_inputs(counted(spec, bare, columns))
    assert {f.outcome for f in found if f.gate.startswith("drift.psi")} == {Outcome.INCONCLUSIVE}


def test_a_share_that_chance_may_give_decides_nothing(profile: JsonObject) -> None:
    """Two of eight rows missing where one in twenty is usual: a rise of 20 points, and nothing known."""
    few = a_window(8).assign(f_temp=lambda w: w["f_temp"].fillna(40).mask(w.index < 2))
    roomy = {**FEATURES, "temp": {**FEATURES["temp"], "max_missing": 0.9}}
    spec = a_spec(data=a_data_section(roomy), monitoring={"min_rows": 1})
    found = judged(profile, few, spec)["drift.missing:temp"]
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "chance may do as much at 8 rows" in found.reason


def test_levels_seen_once_foretell_levels_never_seen() -> None:
    """A tenth of the reference's rows had a level of their own: a tenth of the window's rows will too."""
    spec = a_spec(data=a_data_section({"dest": {"type": "category"}}), monitoring={"min_rows": 100})
    reference = bins_of([900, *[1] * 100, 0], kind="levels")
    for strange, outcome in [(24, Outcome.INCONCLUSIVE), (60, Outcome.FAILED)]:
        came = ColumnTally(rows=200, counts=(200 - strange, *[0] * 100, strange))
        found = judge_inputs(counted(spec, bare_profile({"dest": reference}, [50, 50]), {"dest": came}))
        (levels,) = [finding for finding in found if finding.gate == "drift.levels:dest"]
        assert levels.outcome is outcome


@pytest.mark.parametrize(
    ("hits", "rows", "before", "reference"), [(3, 50, 10, 900), (40, 200, 1, 20), (1, 10, 0, 5), (9, 9, 0, 3000)]
)
def test_chance_of_a_share_is_fishers(hits: int, rows: int, before: int, reference: int) -> None:
    expected = hypergeom.sf(hits - 1, rows + reference, hits + before, rows)
    assert by_count_alone(hits, rows, before, reference) == pytest.approx(expected, rel=1e-6)


def test_chance_of_no_hit_or_of_no_rows_is_certain() -> None:
    assert by_count_alone(0, 10, 3, 10) == by_count_alone(1, 10, 3, 0) == 1.0
    assert math.isclose(by_count_alone(5, 1_000_000, 5, 1_000_000), 0.623, abs_tol=0.001)
