"""Groups in service: the numbers of the gate from counts, stricter chance, no silent pass, and trends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.checks.served import a_reading, a_tally, at_once, by_gate, watched
from tests.unit.specs import a_data_section, a_spec

from steward.evaluation.fairness import assess_fairness
from steward.gates import Outcome
from steward.gates.fairness import z_test
from steward.gates.groupings import judge_grouping
from steward.monitoring.checks.fairness import judge_fairness
from steward.monitoring.performance.served_groups import group_baseline, group_shares, measure_window
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each
from steward.monitoring.tallies.answers import OTHERS, GroupTally
from steward.monitoring.tallies.counting import tally_of
from steward.spec import ModelSpec

ALL = {
    "demographic_parity_ratio": {"min": 0.8},
    "demographic_parity_difference": {"max": 0.1},
    "equalized_odds_difference": {"max": 0.1},
    "adverse_action_rate": {"max": 0.9},
    "accuracy_difference": {"max": 0.1},
}
FOUR_FIFTHS = {"demographic_parity_ratio": {"min": 0.8}}


def the_spec(rules: Mapping[str, Any] | None = None, *, protected: Sequence[str] = ("race",), **more: Any) -> ModelSpec:
    fairness = {"min_rows": 10, **(FOUR_FIFTHS if rules is None else rules), **more}
    return watched({"fairness": fairness}, protected=list(protected), other_columns=list(protected))


def cells(tp: int, fp: int, fn: int, tn: int) -> GroupTally:
    return GroupTally(tp + fp + fn + tn, tp + fp, tp, fp, fn, tn)


def chosen(selected: int, rows: int) -> GroupTally:
    """Everyone selected deserved it, the others did not."""
    return cells(selected, 0, 0, rows - selected)


def of(groups: Mapping[str, GroupTally], spec: ModelSpec | None = None, **more: Any) -> Reading:
    return at_once(spec or the_spec(), a_tally(groups={"race": groups}), **more)


GATE = "fairness.demographic_parity_ratio:race"


# --- golden numbers -------------------------------------------------------------------------------

TWO = {"A": cells(3, 1, 1, 5), "B": cells(2, 0, 2, 6)}


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        ("demographic_parity_ratio", 0.5),
        ("demographic_parity_difference", 0.2),
        ("equalized_odds_difference", 0.25),
        ("adverse_action_rate", 0.8),
        ("accuracy_difference", 0.0),
    ],
)
def test_the_golden_table_from_counts(measure: str, value: float) -> None:
    found = by_gate(judge_fairness, of(TWO, the_spec(ALL, min_rows=1)))
    assert found[f"fairness.{measure}:race"].value == pytest.approx(value)


CASES = [
    ((21, 50), (48, 80), 0.7, 0.0454, Outcome.FAILED),
    ((4, 10), (6, 10), 0.667, 0.37, Outcome.INCONCLUSIVE),
    ((510, 1000), (600, 1000), 0.85, 5.1e-5, Outcome.PASSED),
]


@pytest.mark.parametrize(("low", "high", "ratio", "p", "outcome"), CASES)
def test_the_gates_rule_on_the_counts_of_a_window(
    low: tuple[int, int], high: tuple[int, int], ratio: float, p: float, outcome: Outcome
) -> None:
    """At the gate's own level: of a single look at a candidate."""
    reading = of({"low": chosen(*low), "high": chosen(*high)})
    (grouping,) = measure_window(reading)
    found = grouping.measures["demographic_parity_ratio"]
    assert found.value == pytest.approx(ratio, abs=5e-4)
    assert found.p == pytest.approx(p, rel=0.02)
    rules = reading.spec.monitoring.fairness
    assert rules is not None
    assert next(iter(judge_grouping(rules, grouping))).outcome is outcome


def test_every_night_a_gap_must_be_surer_than_once_at_the_gate() -> None:
    reading = of({"low": chosen(21, 50), "high": chosen(48, 80)})
    found = by_gate(judge_fairness, reading)[GATE]
    assert found.outcome is Outcome.INCONCLUSIVE, "p = 0.045: one window in twenty shows as much of equal groups"
    assert "p = 0.045" in found.reason
    assert "proven below p = " in found.reason
    ten_times = of({"low": chosen(210, 500), "high": chosen(480, 800)})
    assert by_gate(judge_fairness, ten_times)[GATE].outcome is Outcome.FAILED


def test_equal_groups_alarm_less_often_than_the_family_may() -> None:
    draw, alarms, spec = np.random.default_rng(5), 0, the_spec(ALL)
    for _ in range(400):
        groups = {}
        for name, rows in {"a": 60, "b": 90, "c": 40}.items():
            right = draw.random(rows) < 0.6
            yes = np.where(right, draw.random(rows) < 0.7, draw.random(rows) < 0.4)
            groups[name] = cells(*(int((right == r)[yes == y].sum()) for r, y in [(1, 1), (0, 1), (1, 0), (0, 0)]))
        alarms += any(f.outcome is Outcome.FAILED for f in judge_fairness(of(groups, spec)))
    family = alpha_each(of(TWO, spec), 1)
    assert alarms / 400 <= family + 2 * np.sqrt(family * (1 - family) / 400)


@pytest.mark.parametrize(
    ("rules", "sizes", "base", "yes"),
    [
        ({"equalized_odds_difference": {"max": 0.05}}, [200, 200], 0.5, 0.5),
        ({"adverse_action_rate": {"max": 0.6}}, [60] * 6, 0.0, 0.4),
        (FOUR_FIFTHS, [30, 20_000], 0.5, 0.01),
    ],
    ids=["two kinds of rates", "one of many groups", "rare decisions of a small group"],
)
def test_a_measure_that_looks_more_than_once_takes_no_more_chance(
    rules: Mapping[str, Any], sizes: Sequence[int], base: float, yes: float
) -> None:
    draw, alarms, spec, windows = np.random.default_rng(1), 0, the_spec(rules), 3000
    for _ in range(windows):
        groups = {}
        for place, rows in enumerate(sizes):
            positives = draw.binomial(rows, base)
            right, wrong = draw.binomial(positives, yes), draw.binomial(rows - positives, yes)
            groups[f"g{place}"] = cells(right, wrong, positives - right, rows - positives - wrong)
        alarms += any(f.outcome is Outcome.FAILED for f in judge_fairness(of(groups, spec)))
    family = alpha_each(of(TWO, spec), 1)
    assert alarms / windows <= family + 3 * np.sqrt(family * (1 - family) / windows)


# --- no silent pass ---------------------------------------------------------------------------------


def test_without_groups_nothing_is_concluded() -> None:
    for groups in ({}, {"missing": chosen(30, 60)}):
        found = by_gate(judge_fairness, of(groups))[GATE]
        assert found.outcome is Outcome.INCONCLUSIVE
        assert "no answer of the window names a group of race" in found.reason


def test_a_group_without_positives_has_no_rate() -> None:
    groups = {"a": cells(20, 5, 5, 20), "b": cells(0, 5, 0, 45)}
    found = by_gate(judge_fairness, of(groups, the_spec({"equalized_odds_difference": {"max": 0.1}})))
    gate = found["fairness.equalized_odds_difference:race"]
    assert gate.outcome is Outcome.INCONCLUSIVE
    assert "true positive rates" in gate.reason


def test_a_small_group_is_named_and_keeps_nothing_open() -> None:
    found = by_gate(judge_fairness, of({"a": chosen(60, 100), "b": chosen(62, 100), "tiny": chosen(0, 4)}))
    assert set(found) == {GATE}
    assert found[GATE].outcome is Outcome.PASSED
    assert "tiny (4)" in found[GATE].reason


def test_too_many_groups_are_told_and_not_compared() -> None:
    many = {f"g{n}": chosen(20, 40) for n in range(201)}
    for groups in (many, {"a": chosen(20, 40), OTHERS: chosen(5, 40)}):
        found = by_gate(judge_fairness, of(groups))[GATE]
        assert found.outcome is Outcome.INCONCLUSIVE
        assert "at most 200 can be compared" in found.reason


def test_what_became_of_decisions_waits_for_outcomes_and_the_decisions_do_not() -> None:
    groups = {"a": GroupTally(500, 300), "b": GroupTally(500, 100)}
    spec = the_spec(ALL)
    found = by_gate(judge_fairness, at_once(spec, a_tally(groups={"race": groups}, outcomes=_none_told(1000))))
    assert found[GATE].outcome is Outcome.FAILED
    for name in ("equalized_odds_difference", "accuracy_difference"):
        waits = found[f"fairness.{name}:race"]
        assert (waits.outcome, waits.value) == (Outcome.INCONCLUSIVE, None)
        assert "outcome" in waits.reason


def _none_told(rows: int) -> Any:
    from steward.monitoring.tallies import OutcomeTally

    return OutcomeTally(rows)


def test_nothing_is_judged_that_is_not_declared() -> None:
    bare = watched({}, protected=["race"], other_columns=["race"])
    assert judge_fairness(of(TWO, bare)) == []
    shown = group_shares(of(TWO, bare))
    assert shown is not None
    (by_race,) = shown["groupings"]
    assert by_race["measures"]["demographic_parity_ratio"]["value"] is None, (
        "30 rows a group, unless the rules say less"
    )
    assert [group["rows"] for group in by_race["groups"]] == [10, 10]
    assert group_shares(of(TWO, watched({}))) is None


# --- from rows, crossed, and beside the evaluation --------------------------------------------------


def served(rows: int = 4000, seed: int = 3) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    race, sex = draw.choice(["black", "white"], rows), draw.choice(["f", "m", None], rows, p=[0.4, 0.5, 0.1])
    scores = np.clip(draw.beta(2, 2, rows) - 0.1 * (race == "black"), 0, 1)
    label = (draw.random(rows) < scores).astype(float)
    return pd.DataFrame(
        {"score": scores, "label": label, "g_race": race, "g_sex": sex, "f_distance": 1.0, "f_carrier": "x"}
    )


def both(rules: Mapping[str, Any] | None = None) -> ModelSpec:
    fairness = {"min_rows": 30, **(ALL if rules is None else rules)}
    data = a_data_section(
        {"distance": {"type": "number"}, "carrier": {"type": "category"}},
        protected=["race", "sex"], other_columns=["race", "sex"],
    )  # fmt: skip
    evaluation = {"holdout": {"days": 14}, "metrics": {"roc_auc": {"min": 0.5}}, "bootstrap": 100, "fairness": fairness}
    return a_spec(data=data, evaluation=evaluation, monitoring={"min_rows": 10, "fairness": fairness})


def test_counts_of_served_rows_say_what_evaluation_says_of_the_same_rows() -> None:
    spec, rows = both(), served()
    frame = rows.rename(columns={"g_race": "race", "g_sex": "sex"})
    body, _ = assess_fairness(spec, frame, rows["label"], rows["score"], 0.5)
    assert body is not None
    profile = {"features": {}, "threshold": 0.5, "score": None, "calibration": {"edges": []}}
    reading = at_once(spec, tally_of(spec, profile, "p", rows), profile)
    shown = group_shares(reading)
    assert shown is not None
    assert [grouping["by"] for grouping in shown["groupings"]] == ["race", "sex", "race × sex"]
    assert shown["groupings"] == body["groupings"]


def test_the_hold_out_stands_beside_the_window() -> None:
    spec, rows = both(), served()
    holdout = rows.rename(columns={"g_race": "race", "g_sex": "sex"})
    known = group_baseline(spec, rows["score"].to_numpy(), rows["label"].to_numpy(), 0.5, holdout)
    assert set(known) == {"race", "sex", "race × sex"}
    profile = {"groups": known, "threshold": 0.5}
    reading = of({"black": chosen(400, 1000), "white": chosen(700, 1000)}, spec, profile=profile)
    found = by_gate(judge_fairness, reading)[GATE]
    assert found.outcome is Outcome.FAILED
    assert f"; {known['race']['demographic_parity_ratio']:.4g} at evaluation" in found.reason


def test_without_a_hold_out_or_outcomes_there_is_no_baseline() -> None:
    spec, rows = both(), served(50)
    assert group_baseline(spec, rows["score"].to_numpy(), rows["label"].to_numpy(), 0.5, None) == {}
    nothing = np.full(50, np.nan)
    found = group_baseline(spec, rows["score"].to_numpy(), nothing, 0.5, rows.rename(columns={"g_race": "race"}))
    assert found["race"]["demographic_parity_ratio"] is None


# --- trends ---------------------------------------------------------------------------------------


def month(shares: Sequence[float], rows: int = 400, seed: int = 0) -> Reading:
    draw = np.random.default_rng(seed)
    days = [
        a_tally(
            groups={
                "race": {
                    "black": chosen(int(draw.binomial(rows, p)), rows),
                    "white": chosen(int(draw.binomial(rows, 0.7)), rows),
                }
            }
        )
        for p in shares
    ]
    return a_reading(the_spec(), days)


TREND = "fairness.trend_parity:race"


def test_a_group_that_falls_behind_is_told_before_the_limit_is_reached() -> None:
    reading = month(np.linspace(0.69, 0.59, 28).tolist(), rows=1500)
    found = by_gate(judge_fairness, reading)
    assert found[GATE].outcome is Outcome.PASSED, "the level is still within four fifths"
    assert found[TREND].outcome is Outcome.FAILED
    assert "black lost" in found[TREND].reason
    assert "beyond the ratio's limit 0.8 within" in found[TREND].reason


def test_steady_groups_have_no_trend_and_few_days_are_not_asked() -> None:
    assert by_gate(judge_fairness, month([0.65] * 28))[TREND].outcome is Outcome.PASSED
    assert TREND not in by_gate(judge_fairness, month([0.65] * 5))


def test_steady_groups_raise_no_more_trends_than_chance_may() -> None:
    alarms = sum(
        by_gate(judge_fairness, month([0.6] * 28, seed=n))[TREND].outcome is Outcome.FAILED for n in range(200)
    )
    assert alarms <= 4


def test_the_p_of_the_reason_is_that_of_the_z_test() -> None:
    from steward.gates.fairness import Share

    reading = of({"low": chosen(21, 50), "high": chosen(48, 80)})
    (grouping,) = measure_window(reading)
    assert grouping.measures["demographic_parity_ratio"].p == z_test(Share(21, 50), Share(48, 80))[1]
