"""What is counted of served rows, against the rows themselves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import confusion_matrix, log_loss, roc_auc_score
from tests.unit.monitoring.tallies.rows import FEATURES, binary_spec, other_spec, plain, profile_of, rows
from tests.unit.specs import a_data_section, a_spec

from steward.evaluation.fairness import measure_grouping
from steward.gates.measurement import measure
from steward.gates.slices import cut
from steward.monitoring.profiles.bins import Bins, is_known, read_column
from steward.monitoring.profiles.profile import build_profile
from steward.monitoring.statistics.psi import psi
from steward.monitoring.tallies import CELLS, Tally
from steward.monitoring.tallies.answer_counts import cells_of
from steward.monitoring.tallies.counting import BATCH_ROWS, count_rows, counted_features, tally_of
from steward.monitoring.tallies.operation import latency_cell
from steward.types import JsonObject

Draw = Callable[[np.random.Generator], np.ndarray]

SPEC = binary_spec()
NEAR = 1e-9


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    return profile_of(SPEC, rows(5000, seed=0))


@pytest.fixture(scope="module")
def served() -> pd.DataFrame:
    return rows()


@pytest.fixture(scope="module")
def tally(profile: JsonObject, served: pd.DataFrame) -> Tally:
    return tally_of(SPEC, profile, "digest", served)


def test_every_row_of_every_feature_is_somewhere(tally: Tally, served: pd.DataFrame, profile: JsonObject) -> None:
    assert list(tally.columns) == list(FEATURES)
    assert tally.profile == "digest"
    for name, column in tally.columns.items():
        assert column.rows == tally.rows == len(served)
        assert sum(column.counts) == column.known
        values = read_column(served[f"f_{name}"], SPEC.data.features[name].type)
        known = values[is_known(values)]
        bins = Bins.from_json(profile["features"][name]["bins"])
        assert column.counts == tuple(bins.count(known).tolist())
        assert column.missing == len(values) - len(known)


def test_moments_are_those_of_the_numbers(tally: Tally, served: pd.DataFrame) -> None:
    found, known = tally.columns["temp"].moments, served["f_temp"].dropna()
    assert (found.n, found.low, found.high) == (len(known), known.min(), known.max())
    assert found.mean == pytest.approx(known.mean(), rel=NEAR)
    assert found.variance == pytest.approx(known.var(ddof=1), rel=NEAR)
    lengths = served["f_remark"].str.len()
    assert tally.columns["remark"].moments.mean == pytest.approx(lengths.mean(), rel=NEAR)


def test_words_of_a_text_are_counted_against_those_of_the_reference(
    tally: Tally, profile: JsonObject, served: pd.DataFrame
) -> None:
    found = tally.columns["remark"].words
    assert found is not None
    assert found.total == served["f_remark"].str.split().str.len().sum()
    assert found.unseen == 0
    new = tally_of(SPEC, profile, "", served.assign(f_remark="volcanic ash")).columns["remark"].words
    assert new is not None
    assert (new.total, new.unseen) == (2 * len(served), 2 * len(served))


@pytest.mark.parametrize(
    ("reference", "current", "expected"),
    [
        (lambda d: d.normal(0, 1, 10_000), lambda d: d.normal(0, 1, 10_000), 0.0012327),
        (lambda d: d.normal(0, 1, 10_000), lambda d: d.normal(0.25, 1, 10_000), 0.0605003),
        (lambda d: d.normal(0, 1, 10_000), lambda d: d.normal(0.5, 1, 10_000), 0.2390695),
        (lambda d: d.lognormal(0, 1, 10_000), lambda d: d.lognormal(0.3, 1, 10_000), 0.0867197),
        (lambda d: d.uniform(0, 0.5, 10_000), lambda d: d.uniform(0.5, 1, 10_000), 8.2830893),
    ],
    ids=["same", "quarter", "half", "lognormal", "disjoint"],
)
def test_the_pinned_index_from_counts_of_days(reference: Draw, current: Draw, expected: float) -> None:
    spec, draw = a_spec(data=a_data_section({"x": {"type": "number"}})), np.random.default_rng(0)
    profile = build_profile(spec, pd.DataFrame({"x": reference(draw)}), [0.5], [np.nan])
    served = pd.DataFrame({"f_x": current(draw)})
    days = (tally_of(spec, profile, "d", served[start::7]) for start in range(7))
    counts = np.array(Tally.total("d", days).columns["x"].counts)
    bins = profile["features"]["x"]["bins"]
    # The recorded seventh digits are up to 2e-7 off: see the closed form of the disjoint case in test_psi.
    assert psi(np.array(bins["counts"]) / 10_000, counts / counts.sum()) == pytest.approx(expected, abs=3e-7)


def test_beyond_the_contract_is_counted_and_unseen_levels_are_named(profile: JsonObject, served: pd.DataFrame) -> None:
    strange = served.assign(
        f_temp=np.where(np.arange(len(served)) < 7, 131.0, 20.0),
        f_origin=["SEA", "PDX", "PDX", *served["f_origin"][3:]],
        f_dest=["HNL", *served["f_dest"][1:]],
    )
    found = tally_of(SPEC, profile, "", strange).columns
    assert found["temp"].outside == 7
    assert (found["origin"].outside, found["origin"].strange) == (3, {"PDX": 2, "SEA": 1})
    assert (found["dest"].outside, found["dest"].strange) == (0, {"HNL": 1})
    assert found["dest"].counts[-1] == 1


def test_answers_are_counted_in_the_bins_of_the_profile(
    tally: Tally, served: pd.DataFrame, profile: JsonObject
) -> None:
    scores = served["score"].dropna().to_numpy()
    answers = tally.answers
    assert (answers.rows, answers.unscored) == (len(scores), 0)
    assert answers.counts == tuple(Bins.from_json(profile["score"]["bins"]).count(scores).tolist())
    assert answers.cells == pd.Series(cells_of(scores)).value_counts().to_dict()
    assert answers.confidence.mean == pytest.approx(np.where(scores >= 0.4, scores, 1 - scores).mean(), rel=NEAR)
    assert answers.scores.mean == pytest.approx(scores.mean(), rel=NEAR)


def test_a_cell_holds_its_lower_edge(profile: JsonObject) -> None:
    edges = np.arange(CELLS + 1) / CELLS
    assert cells_of(edges).tolist() == [*range(CELLS), CELLS - 1]
    assert cells_of(np.nextafter(edges[1:], 0)).tolist() == list(range(CELLS))


@pytest.mark.parametrize("name", ["accuracy", "brier", "log_loss", "calibration_gap"])
def test_metrics_of_rows_follow_from_the_counts(tally: Tally, served: pd.DataFrame, name: str) -> None:
    told = served.dropna(subset=["label", "score"])
    labels, scores = told["label"].to_numpy(), told["score"].to_numpy()
    kept = {"brier": "squared_error", "calibration_gap": "residual"}.get(name, name)
    found = tally.overall.per_row[kept]
    expected = measure(name, labels, scores, threshold=0.4)
    assert found.n == tally.overall.rows == len(told)
    value = abs(found.mean) if name == "calibration_gap" else found.mean
    assert value == pytest.approx(expected.value, rel=NEAR)
    if expected.error is not None:
        assert found.error == pytest.approx(expected.error, rel=1e-6)


def test_ranking_follows_from_the_cells_within_their_width(tally: Tally, served: pd.DataFrame) -> None:
    told = served.dropna(subset=["label", "score"])
    counts = [np.array([cells.get(cell, 0) for cell in range(CELLS)])
              for cells in (tally.overall.negatives, tally.overall.positives)]  # fmt: skip
    negatives, positives = counts
    below = np.cumsum(negatives) - 0.5 * negatives
    ties = float((positives * negatives).sum()) / (positives.sum() * negatives.sum())
    auc = float((positives * below).sum() / (positives.sum() * negatives.sum()))
    assert auc == pytest.approx(roc_auc_score(told["label"], told["score"]), abs=ties / 2 + NEAR)
    assert auc == pytest.approx(roc_auc_score(told["label"], cells_of(told["score"].to_numpy())), abs=NEAR)


def test_slices_are_those_of_the_evaluation(tally: Tally, served: pd.DataFrame) -> None:
    frame = plain(served)
    sliced = [part for text in SPEC.evaluation.slices for part in cut(text, frame)]
    assert [*tally.outcomes] == ["overall", *(part.name for part in sliced)]
    for part in sliced:
        theirs = served[part.rows.to_numpy()]
        found = tally.outcomes[part.name]
        assert (found.answered, found.rows) == (theirs["score"].notna().sum(), theirs["label"].notna().sum())
        told = theirs.dropna(subset=["label"])
        expected = measure("log_loss", told["label"].to_numpy(), told["score"].to_numpy(), min_rows=1)
        assert found.per_row["log_loss"].mean == pytest.approx(expected.value, rel=NEAR)


def test_groups_are_those_of_the_fairness_gates(tally: Tally, served: pd.DataFrame) -> None:
    told = served.dropna(subset=["label", "score"])
    frame = plain(told).assign(sex=told["g_sex"])
    positive, decided = told["label"].to_numpy() == 1, told["score"].to_numpy() >= 0.4
    assert list(tally.groups) == ["origin", "sex", "origin × sex"]
    for by in tally.groups:
        expected = measure_grouping(frame, by.split(" × "), positive, decided, 1).groups
        assert sorted(tally.groups[by]) == [group.name for group in expected]
        for group in expected:
            found = tally.groups[by][group.name]
            assert (found.tp, found.fp) == (group.true_positive.count, group.false_positive.count)
            assert found.tp + found.fn == group.true_positive.rows
            assert found.fp + found.tn == group.false_positive.rows
    answered = served[served["score"].notna()]
    women = answered[answered["g_sex"] == "f"]
    found = tally.groups["sex"]["f"]
    assert (found.rows, found.selected) == (len(women), (women["score"] >= 0.4).sum())


def test_the_favourable_side_may_be_a_no(profile: JsonObject, served: pd.DataFrame) -> None:
    fair = {"favourable": 0, "demographic_parity_ratio": {"min": 0.8}, "intersections": False}
    spec = SPEC.model_copy(update={"monitoring": SPEC.monitoring.model_validate({"fairness": fair})})
    yes, no = tally_of(SPEC, profile, "", served), tally_of(spec, profile, "", served)
    assert list(no.groups) == ["origin", "sex"]
    mine, theirs = no.groups["sex"]["f"], yes.groups["sex"]["f"]
    assert (mine.tp, mine.fp, mine.fn, mine.tn) == (theirs.tn, theirs.fn, theirs.fp, theirs.tp)
    assert mine.selected == theirs.rows - theirs.selected


def test_calibration_and_business_are_counted_overall_alone(tally: Tally, served: pd.DataFrame) -> None:
    told = served.dropna(subset=["label", "score"])
    pairs = tally.overall.calibration
    assert sum(said.n for said, _ in pairs) == len(told)
    assert sum(seen.n * seen.mean for _, seen in pairs) == pytest.approx(told["label"].sum(), rel=NEAR)
    assert all(said.high <= following.low for (said, _), (following, _) in pairwise(pairs))
    assert tally.overall.business.correlation == pytest.approx(told["score"].corr(told["value"]), rel=NEAR)
    assert tally.outcomes["origin = JFK"].calibration == ()


def test_how_rows_were_answered(tally: Tally, served: pd.DataFrame) -> None:
    found = tally.operation
    assert found.errors == {"timeout": int(served["error"].notna().sum())}
    assert found.asked == served["source"].value_counts().to_dict()
    assert found.failed == served[served["error"].notna()]["source"].value_counts().to_dict()
    assert found.hours == served["at"].dt.strftime("%Y-%m-%dT%H").value_counts().sort_index().to_dict()
    assert found.newest == served["at"].max().to_pydatetime()
    assert found.latency == pd.Series(map(latency_cell, served["latency_ms"])).value_counts().sort_index().to_dict()
    assert found.latency_quantile(0.95) == pytest.approx(served["latency_ms"].quantile(0.95), rel=0.02)
    assert (found.ahead, found.early, found.doubled, found.corrected, found.late) == (0, 0, 0, 0, 0)


def test_a_source_nobody_named_is_counted_too(profile: JsonObject, served: pd.DataFrame) -> None:
    unnamed = served.assign(source=None)
    assert tally_of(SPEC, profile, "", unnamed).operation.asked == {"": len(served)}
    assert tally_of(SPEC, profile, "", served.drop(columns="source")).operation.asked == {"": len(served)}


def test_a_feature_that_the_log_hashes_is_not_counted() -> None:
    spec = binary_spec(privacy={"dest": "hash", "remark": "drop", "temp": "keep"})
    assert counted_features(spec) == ["temp", "weekday", "origin", "hub"]


def test_batches_of_any_size_come_to_the_same(profile: JsonObject, served: pd.DataFrame, tally: Tally) -> None:
    frame = served.assign(f_hub=served["f_hub"].astype(float))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for size in (1, 33, BATCH_ROWS):
        found = count_rows(SPEC, profile, "digest", table.slice(0, 90).to_batches(max_chunksize=size))
        whole = tally_of(SPEC, profile, "digest", frame.head(90))
        assert found.columns["origin"] == whole.columns["origin"]
        assert found.operation == whole.operation
        assert found.groups == whole.groups
        assert found.overall.rows == whole.overall.rows
        assert found.columns["temp"].moments.m2 == pytest.approx(whole.columns["temp"].moments.m2, rel=NEAR)


def test_a_dictionary_and_a_plain_column_are_counted_alike(profile: JsonObject, served: pd.DataFrame) -> None:
    encoded = served.assign(
        f_origin=served["f_origin"].astype("category"), f_weekday=served["f_weekday"].astype("Int8")
    )
    found, whole = tally_of(SPEC, profile, "", encoded), tally_of(SPEC, profile, "", served)
    assert found == whole


# --- other tasks ----------------------------------------------------------------------------------


def test_a_regression_is_counted_by_its_errors(served: pd.DataFrame) -> None:
    spec = other_spec("regression", "mae")
    minutes = served.assign(score=served["f_temp"] * 3, label=served["f_weekday"] * 20.0)
    known = minutes.dropna(subset=["score"])
    profile = build_profile(spec, plain(minutes), known["score"], known["label"])
    found = tally_of(spec, profile, "", minutes.assign(error=None))
    assert found.answers.cells == {} == found.overall.negatives
    assert found.answers.confidence.n == 0
    for metric, kept in (("mae", "absolute_error"), ("rmse", "squared_error")):
        expected = measure(metric, known["label"].to_numpy(), known["score"].to_numpy()).value
        value = found.overall.per_row[kept].mean
        assert (value if metric == "mae" else value**0.5) == pytest.approx(expected, rel=NEAR)
    assert found.answers.unscored == len(minutes) - len(known)


def multiclass(served: pd.DataFrame) -> pd.DataFrame:
    chances = np.random.default_rng(4).dirichlet([1, 2, 3], len(served))
    decided = chances.argmax(axis=1).astype(float)
    return served.assign(probabilities=list(chances), score=decided, label=served["f_weekday"] % 3, error=None)


def test_several_classes_are_counted_as_decided_and_true(served: pd.DataFrame) -> None:
    spec = other_spec("multiclass_classification", "log_loss", classes=["early", "on time", "late"])
    frame = multiclass(served)
    chances = np.stack(frame["probabilities"])
    profile = build_profile(spec, plain(frame), chances, frame["label"])
    found = tally_of(spec, profile, "", frame)
    assert found.answers.counts == (*np.bincount(frame["score"].astype(int), minlength=3).tolist(), 0)
    expected = confusion_matrix(frame["score"], frame["label"])
    assert np.array(found.overall.confusion).reshape(3, 3).tolist() == expected.tolist()
    assert found.overall.per_row["accuracy"].mean == pytest.approx((frame["score"] == frame["label"]).mean(), rel=NEAR)
    assert found.overall.per_row["log_loss"].mean == pytest.approx(log_loss(frame["label"], chances), rel=NEAR)
    assert found.answers.confidence.mean == pytest.approx(chances.max(axis=1).mean(), rel=NEAR)
    assert sum(said.n for said, _ in found.overall.calibration) == len(frame)


def test_a_class_nobody_has_and_probabilities_of_another_length_are_no_answer(served: pd.DataFrame) -> None:
    spec = other_spec("multiclass_classification", "log_loss", classes=["early", "on time", "late"])
    frame = multiclass(served)
    profile = build_profile(spec, plain(frame), np.stack(frame["probabilities"]), frame["label"])
    frame.loc[0, "score"], frame.loc[1, "score"], frame.loc[2, "label"] = 3.0, 0.5, 7.0
    frame.at[3, "probabilities"], frame.at[4, "probabilities"] = [0.5, 0.5], None
    found = tally_of(spec, profile, "", frame)
    assert (found.answers.unscored, found.overall.unusable) == (2, 1)
    assert found.answers.confidence.n == len(frame) - 4
    assert found.overall.rows == len(frame) - 3
