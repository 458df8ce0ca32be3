from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.specs import a_spec

from steward.data.contract import EXPECTATIONS, contract_of, judge_contract
from steward.gates import Outcome
from steward.types import Window

WINDOW = Window.ending(datetime(2013, 4, 1, tzinfo=UTC), timedelta(days=90))


def a_row(expectation: str, **about: object) -> dict[str, object]:
    base = {"column": "distance", "success": False, "observed": "7000", "unexpected_share": 0.25, "limit": 0.1}
    return {"expectation": expectation, **base, **about}


def test_the_contract_is_plain_json_of_the_spec() -> None:
    contract = contract_of(a_spec(), WINDOW)
    assert json.loads(json.dumps(contract)) == contract
    assert contract["columns"] == ["flight_id", "departure", "late", "distance", "carrier"]
    assert contract["features"]["distance"]["max"] == 6000
    assert contract["label"] == {"column": "late", "binary": True}
    assert contract["window"] == WINDOW.to_json()
    assert contract_of(a_spec())["window"] is None


@pytest.mark.parametrize(
    ("row", "gate", "sentence"),
    [
        (
            a_row("rows", column=None, observed=12, unexpected_share=None, limit=100),
            "data.rows",
            "the window has 12 rows, at least 100 are needed",
        ),
        (a_row("column"), "data.column:distance", "column distance is not in the data"),
        (a_row("type"), "data.type:distance", "distance holds values of another type than declared: 7000"),
        (a_row("missing"), "data.missing:distance", "distance is missing in 25.00% of rows, 10.00% is allowed"),
        (
            a_row("range"),
            "data.range:distance",
            "distance is outside its range in 25.00% of values, 10.00% is allowed (seen: 7000)",
        ),
        (
            a_row("levels", limit=None),
            "data.levels:distance",
            "distance is outside its levels in 25.00% of values (seen: 7000)",
        ),
        (
            a_row("unique"),
            "data.unique:distance",
            "distance is not unique: 25.00% of rows share an id (for example 7000)",
        ),
        (
            a_row("window"),
            "data.window:distance",
            "distance lies outside the window in 25.00% of rows (seen: 7000)",
        ),
        (a_row("freshness"), "data.freshness:distance", "the newest distance is 7000: the data is late or absent"),
        (a_row("new_rule"), "data.new_rule:distance", "new_rule of distance does not hold: 7000"),
    ],
)
def test_a_broken_line_is_a_failed_finding_with_a_sentence(row: dict[str, object], gate: str, sentence: str) -> None:
    (finding,) = judge_contract({"success": False, "results": [row]}).findings
    assert (finding.gate, finding.outcome, finding.reason) == (gate, Outcome.FAILED, sentence)


def test_every_expectation_has_a_sentence_of_its_own() -> None:
    for name in EXPECTATIONS:
        assert "does not hold" not in judge_contract({"success": False, "results": [a_row(name)]}).reasons[0]


def test_a_kept_contract_passes_and_an_empty_result_is_no_consent() -> None:
    kept = a_row("range", success=True)
    assert judge_contract({"success": True, "results": [kept]}).passed
    assert judge_contract({"success": True, "results": []}).outcome is Outcome.INCONCLUSIVE
