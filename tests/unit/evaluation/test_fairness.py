"""Gates on groups: by column and crossed, missing values and small groups named, evidence with or without gates."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.specs import a_data_section, a_spec

from steward.evaluation.decision import decision
from steward.evaluation.fairness import assess_fairness
from steward.evaluation.judgement import evaluate
from steward.gates import Finding, Outcome, Verdict
from steward.gates.groups import group_names
from steward.spec import ModelSpec
from steward.types import RiskTier


def spec_with(fairness: dict[str, Any] | None, protected: tuple[str, ...] = ("race", "sex")) -> ModelSpec:
    about: dict[str, Any] = {"holdout": {"days": 14}, "metrics": {"accuracy": {"min": 0.5}}, "bootstrap": 100}
    if fairness is not None:
        about["fairness"] = fairness
    data = a_data_section({"distance": {"type": "number"}}, protected=protected, other_columns=protected)
    return a_spec(data=data, evaluation=about)


def people(race: dict[str, tuple[int, int]], sex: Any = "female") -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """`race` → (approved, rows); everybody pays back, so approving is right. Sex goes round by row."""
    names = np.repeat(list(race), [rows for _, rows in race.values()])
    scores = np.concatenate([np.r_[np.full(yes, 0.9), np.full(rows - yes, 0.1)] for yes, rows in race.values()])
    sexes = np.resize(np.array(sex, dtype=object), len(names))
    return pd.DataFrame({"distance": 1.0, "race": names, "sex": sexes}), np.ones(len(names)), scores


def judged(spec: ModelSpec, *rows: Any, threshold: float = 0.5) -> tuple[Any, dict[tuple[str, str], Finding]]:
    body, findings = assess_fairness(spec, *rows, threshold)
    json.dumps(body, allow_nan=False, default=str)
    return body, {(f.gate, f.slice): f for f in findings}


FOUR_FIFTHS = {"demographic_parity_ratio": {"min": 0.8}}


def test_every_column_is_judged_and_the_columns_crossed() -> None:
    rows = people({"black": (70, 100), "white": (190, 200)}, ["female", "male"])
    body, found = judged(spec_with(FOUR_FIFTHS), *rows)
    ratio = "fairness.demographic_parity_ratio"
    assert {place: f.outcome for place, f in found.items()} == {
        (ratio, "race"): Outcome.FAILED,
        (ratio, "sex"): Outcome.PASSED,
        (ratio, "race × sex"): Outcome.FAILED,
    }
    assert [g["by"] for g in body["groupings"]] == ["race", "sex", "race × sex"]
    assert [g["group"] for g in body["groupings"][2]["groups"]] == [
        "black × female", "black × male", "white × female", "white × male",
    ]  # fmt: skip
    assert "black to white" in found[ratio, "race"].reason


def test_crossing_can_be_switched_off_and_three_columns_are_crossed_in_pairs_and_together() -> None:
    frame, labels, scores = people({"black": (70, 100), "white": (190, 200)}, ["female", "male"])
    alone, _ = judged(spec_with({**FOUR_FIFTHS, "intersections": False}), frame, labels, scores)
    assert [g["by"] for g in alone["groupings"]] == ["race", "sex"]
    three, _ = judged(spec_with(FOUR_FIFTHS, ("race", "sex", "old")), frame.assign(old=1.0), labels, scores)
    assert [g["by"] for g in three["groupings"]][3:] == ["race × sex", "race × old", "sex × old", "race × sex × old"]


def test_measures_are_in_the_evidence_without_any_gate() -> None:
    body, found = judged(spec_with(None), *people({"black": (60, 100), "white": (95, 100)}))
    assert not found
    (race, *_) = body["groupings"]
    assert race["measures"]["demographic_parity_ratio"]["value"] == pytest.approx(60 / 95)
    assert race["groups"][0]["selected"] == {
        "value": 0.6, "lower": pytest.approx(0.502, abs=1e-3), "upper": pytest.approx(0.6906, abs=1e-3),
        "count": 60, "rows": 100,
    }  # fmt: skip
    assert race["groups"][0]["refused"]["value"] == pytest.approx(0.4)
    assert "demographic_parity_ratio by race: black and white differ by more than chance" in body["warnings"]


def test_without_protected_columns_there_is_nothing_to_say() -> None:
    assert judged(spec_with(None, ()), *people({"white": (9, 10)})) == (None, {})


def test_a_small_group_is_named_and_leaves_the_verdict_to_a_person() -> None:
    spec = spec_with({**FOUR_FIFTHS, "intersections": False}, ("race",))
    frame, labels, scores = people({"black": (88, 100), "few": (1, 12), "white": (190, 200)})
    _, verdict = evaluate(spec, frame, labels, scores, seed=0)
    (small,) = [f for f in verdict.findings if f.gate == "fairness.rows"]
    assert (small.slice, small.rows, small.outcome) == ("race = few", 12, Outcome.INCONCLUSIVE)
    assert [f.outcome for f in verdict.findings if f.gate == "fairness.demographic_parity_ratio"] == [Outcome.PASSED]
    assert decision(verdict, RiskTier.HIGH) == "ask"
    assert decision(verdict, RiskTier.LOW) == "go"


def test_a_gap_that_may_be_chance_stops_the_high_tier() -> None:
    spec = spec_with({**FOUR_FIFTHS, "intersections": False, "min_rows": 10}, ("race",))
    _, verdict = evaluate(spec, *people({"black": (5, 10), "white": (160, 200)}), seed=0)
    found = Verdict.of(f for f in verdict.findings if f.gate.startswith("fairness"))
    assert found.outcome is Outcome.FAILED
    _, verdict = evaluate(spec, *people({"black": (6, 10), "white": (160, 200)}), seed=0)
    found = Verdict.of(f for f in verdict.findings if f.gate.startswith("fairness"))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert decision(found, RiskTier.HIGH) == "stop"


def test_missing_values_are_a_group_of_their_own() -> None:
    frame = pd.DataFrame({"sex": ["m", None, float("nan")], "old": [1, 0, 1], "score": [1.0, 2.5, None]})
    assert group_names(frame, ["sex"]).tolist() == ["m", "missing", "missing"]
    assert group_names(frame, ["old", "score"]).tolist() == ["1 × 1", "0 × 2.5", "1 × missing"]
    masked = frame.assign(sex=pd.array(["m", pd.NA, "m"], dtype="string"))
    assert group_names(masked, ["sex"]).tolist() == ["m", "missing", "m"]


def test_the_favourable_decision_may_be_a_no() -> None:
    """A fraud model: 1 is bad for the person, so those who are flagged less are the favoured."""
    rows = people({"black": (60, 100), "white": (20, 100)})
    good, _ = judged(spec_with({**FOUR_FIFTHS, "favourable": 0}, ("race",)), *rows)
    assert good["groupings"][0]["measures"]["demographic_parity_ratio"]["value"] == pytest.approx(40 / 80)
    assert good["groupings"][0]["groups"][0]["refused"]["value"] == pytest.approx(0.6)


def test_a_version_is_judged_at_its_own_threshold() -> None:
    frame, labels, scores = people({"black": (60, 100), "white": (95, 100)})
    body, found = judged(spec_with(FOUR_FIFTHS), frame, labels, scores, threshold=0.1)
    assert body["threshold"] == 0.1
    assert found["fairness.demographic_parity_ratio", "race"].value == 1.0


def test_the_gate_on_odds_names_groups_without_rows_for_a_rate() -> None:
    spec = spec_with({"equalized_odds_difference": {"max": 0.5}, "intersections": False}, ("race",))
    frame, _, scores = people({"black": (60, 100), "white": (95, 100), "other": (50, 100)})
    labels = np.where(frame["race"] == "other", 1.0, np.arange(len(frame)) % 2)
    _, found = judged(spec, frame, labels, scores)
    finding = found["fairness.equalized_odds_difference", "race"]
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "other had no rows to take such a rate from" in finding.reason
    labels[(frame["race"] == "other").to_numpy().nonzero()[0][:5]] = 0.0
    _, found = judged(spec, frame, labels, scores)
    assert found["fairness.rows", "race = other"].rows == 5


def test_a_column_of_too_many_levels_cannot_be_compared() -> None:
    frame, labels, scores = people({"white": (190, 300)})
    spec = spec_with({**FOUR_FIFTHS}, ("income",))
    body, found = judged(spec, frame.assign(income=np.arange(300.0)), labels, scores)
    assert "300 groups" in body["groupings"][0]["problem"]
    assert found["fairness.demographic_parity_ratio", "income"].outcome is Outcome.INCONCLUSIVE


def test_the_evaluation_carries_threshold_and_fairness() -> None:
    frame, labels, scores = people({"black": (88, 100), "white": (190, 200)}, ["female", "male"])
    beside = {"champion_scores": scores, "champion_name": "m@1"}
    body, _ = evaluate(spec_with(FOUR_FIFTHS), frame, labels, scores, seed=0, thresholds=(0.95, 0.5), **beside)
    assert (body["threshold"], body["fairness"]["threshold"], body["champion"]["threshold"]) == (0.95, 0.95, 0.5)
    assert body["metrics"]["accuracy"]["value"] == 0.0  # nobody reaches 0.95
    assert body["champion"]["metrics"]["accuracy"]["value"] == pytest.approx(278 / 300)
