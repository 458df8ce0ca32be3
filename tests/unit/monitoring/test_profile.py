"""The profile of a version: small, plain, versioned, and read by releases to come."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.tallies.rows import FEATURES, binary_spec, other_spec, plain, profile_of, rows
from tests.unit.specs import a_data_section, a_spec

from steward.errors import DataError
from steward.monitoring.profiles.bins import LEVEL_BYTES, MAX_LEVELS, Bins
from steward.monitoring.profiles.profile import FORMAT, build_profile, describe, read_profile, typical
from steward.monitoring.tallies import Moments
from steward.monitoring.tallies.counting import tally_of
from steward.spec import FeatureType, ModelSpec
from steward.types import JsonObject, digest_of

SPEC = binary_spec()
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    return profile_of(SPEC, rows(5000, seed=0))


def test_it_is_plain_json_of_a_stable_digest(profile: JsonObject) -> None:
    text = json.dumps(profile, allow_nan=False)
    assert len(text) < 64 * 1024
    assert digest_of(json.loads(text)) == digest_of(profile_of(SPEC, rows(5000, seed=0))) == digest_of(profile)
    assert profile["format"] == FORMAT == 2
    assert read_profile(profile) is profile


def test_what_it_knows_of_a_number(profile: JsonObject) -> None:
    frame, about = rows(5000, seed=0), profile["features"]["temp"]
    known = frame["f_temp"].dropna()
    assert about["missing"] == pytest.approx(frame["f_temp"].isna().mean())
    assert Moments.from_json(about["moments"]).variance == pytest.approx(known.var(ddof=1))
    assert sum(about["bins"]["counts"]) == about["rows"] == len(known)
    scored = frame["score"].dropna().to_numpy()
    said = np.where(scored >= 0.4, scored, 1 - scored)
    assert Moments.from_json(profile["confidence"]).mean == pytest.approx(said.mean())


def test_an_infinite_value_of_the_reference_counts_as_missing() -> None:
    frame = plain(rows(1000)).assign(temp=[np.inf, *([20.0] * 999)])
    about = build_profile(SPEC, frame, [0.5], [np.nan])["features"]["temp"]
    assert (about["missing"], about["max"]) == (pytest.approx(0.001), 20.0)


def test_every_class_has_a_bin_though_none_was_decided_for() -> None:
    spec = other_spec("multiclass_classification", "log_loss", classes=["a", "b", "c"])
    chances = np.tile([0.7, 0.2, 0.1], (100, 1))
    profile = build_profile(spec, plain(rows(100)), chances, np.zeros(100))
    assert profile["score"]["bins"]["counts"] == [100, 0, 0, 0]
    assert Moments.from_json(profile["confidence"]).mean == pytest.approx(0.7)


def test_a_regression_has_no_confidence() -> None:
    profile = build_profile(other_spec("regression", "mae"), plain(rows(100)), np.arange(100), np.arange(100))
    assert profile["confidence"] == []


# --- size -----------------------------------------------------------------------------------------


def wide_spec(kind: str, count: int = 200) -> ModelSpec:
    return a_spec(data=a_data_section({f"{kind}_{place}": {"type": kind} for place in range(count)}))


@pytest.mark.parametrize("kind", ["number", "category"])
def test_two_hundred_features_take_less_than_a_megabyte(kind: str) -> None:
    """With as many levels as are kept, of names as long as those of people's keys, as much as with numbers."""
    spec, count = wide_spec(kind), 2000
    draw = np.random.default_rng(0)
    names = np.array([f"0d1f{place:04d}-4c1e-4f9e-8b1d-3a0a4f3c9d11" for place in range(MAX_LEVELS)])
    column = draw.normal(size=count) if kind == "number" else names[draw.integers(0, MAX_LEVELS, count)]
    frame = pd.DataFrame(dict.fromkeys(spec.data.features, column))
    scores = draw.random(count)
    labels = (draw.random(count) < scores).astype(float)
    profile = build_profile(spec, frame, scores, labels, importance=dict.fromkeys(frame, 0.123456789))
    assert len(json.dumps(profile)) < MEGABYTE
    about = profile["features"][f"{kind}_0"]
    assert sum(about["bins"]["counts"]) == count
    day = tally_of(spec, profile, "d", frame.assign(score=scores, label=labels))
    assert len(json.dumps(day.to_json())) < MEGABYTE / 2


def test_the_most_frequent_levels_are_named_as_far_as_bytes_go() -> None:
    values = np.array([f"level {place // 2}" for place in range(1000)] + ["common"] * 10, dtype=object)
    bins = Bins.of(values, most_bytes=200)
    assert "common" in bins.cuts
    assert not bins.complete
    assert bins.rows == len(values)
    assert sum(len(json.dumps(cut)) for cut in bins.cuts) <= 200
    assert Bins.of(np.array(["x" * LEVEL_BYTES, "a"], dtype=object)).cuts == ("a",)


def test_a_budget_that_suffices_changes_nothing() -> None:
    values = np.array(["JFK", "EWR", "JFK"], dtype=object)
    assert Bins.of(values, most_bytes=100) == Bins.of(values) == Bins("levels", ("EWR", "JFK"), (1, 2, 0))


def test_a_typical_text_is_no_book() -> None:
    texts = pd.Series(["long " * 1000, "long " * 1000, "short"])
    assert len(typical(texts, FeatureType.TEXT)) == 1000


# --- formats --------------------------------------------------------------------------------------


def first_format(profile: JsonObject) -> JsonObject:
    """As the first release stored it."""
    features = {
        name: {key: value for key, value in about.items() if key not in ("moments", "words")}
        for name, about in profile["features"].items()
    }
    score = {key: value for key, value in profile["score"].items() if key != "moments"}
    kept = ("model", "spec", "rows", "reference", "threshold", "performance", "importance")
    return {"format": 1, **{key: profile[key] for key in kept}, "features": features, "score": score}


def test_a_version_of_the_first_release_goes_on_being_watched(profile: JsonObject) -> None:
    read = read_profile(first_format(profile))
    assert read["format"] == FORMAT
    for name in FEATURES:
        old = Moments.from_json(read["features"][name]["moments"])
        new = Moments.from_json(profile["features"][name]["moments"])
        assert (old.n, old.low, old.high) == (new.n, new.low, new.high)
        assert (old.mean, old.m2) == (pytest.approx(new.mean), pytest.approx(new.m2))
    assert Moments.from_json(read["confidence"]).n == 0
    served = rows(500)
    counted, again = (tally_of(SPEC, each, "d", served) for each in (profile, read))
    assert counted.columns["temp"] == again.columns["temp"]
    assert counted.answers == again.answers
    assert digest_of(read) == digest_of(read_profile(json.loads(json.dumps(first_format(profile)))))


@pytest.mark.parametrize("found", [3, None, "2"])
def test_a_profile_of_a_later_release_is_refused(profile: JsonObject, found: object) -> None:
    with pytest.raises(DataError, match=f"format {found!r}, this release reads 1 and 2") as caught:
        read_profile({**profile, "format": found})
    assert "train it again" in str(caught.value.hint)


# --- what it cannot be built from -----------------------------------------------------------------


def test_a_feature_that_is_absent_or_of_another_type_is_refused() -> None:
    frame = plain(rows(100))
    with pytest.raises(DataError, match="feature temp is not in the reference data"):
        build_profile(SPEC, frame.drop(columns="temp"), [0.5], [1.0])
    with pytest.raises(DataError, match="feature temp holds 100 of 100 values that are not numbers"):
        build_profile(SPEC, frame.assign(temp="warm"), [0.5], [1.0])
    with pytest.raises(DataError, match="2 scores and 1 labels do not align"):
        build_profile(SPEC, frame, [0.5, 0.6], [1.0])


def test_a_column_without_a_value_has_no_bins() -> None:
    about = describe(np.full(10, np.nan))
    assert (about["rows"], about["missing"], about["moments"], about["bins"]["counts"]) == (0, 1.0, [], [0])
