"""The shipped cases hold, and a policy that decides otherwise is caught by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steward.approval.cases import Case, load_cases, try_case
from steward.approval.policy import Policy, load_policy
from steward.spec import FaultsError

INCLUDE = Path(__file__).parents[3] / "include"
SHIPPED = load_cases(INCLUDE / "policy_cases.yaml").cases
POLICY = load_policy(INCLUDE / "policy.yaml")


@pytest.mark.parametrize("case", SHIPPED, ids=lambda case: case.name)
def test_the_shipped_policy_decides_as_written(case: Case) -> None:
    tried = try_case(POLICY, case)
    assert tried.passed, (tried.found, tried.told)


def caught(**changes: Any) -> set[str]:
    policy = Policy.model_validate({**POLICY.model_dump(mode="json"), **changes})
    return {case.name for case in SHIPPED if not try_case(policy, case).passed}


TIERS = POLICY.model_dump(mode="json")["tiers"]
PEOPLE = POLICY.model_dump(mode="json")["people"]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"tiers": {**TIERS, "medium": {"approvers": 0}}}, {"medium needs one approver"}),
        ({"tiers": {**TIERS, "high": {**TIERS["high"], "roles": ["approver"]}}}, {"one no ends it"}),
        ({"people": {**PEOPLE, "mo": {"roles": ["approver"]}}}, {"the last editor does not approve"}),
        ({"people": {**PEOPLE, "admin": {"roles": ["approver"]}}}, {"a stranger has no say"}),
        ({"people": {**PEOPLE, "ravi": {**PEOPLE["ravi"], "left_on": "2026-01-01"}}}, {"medium needs one approver"}),
        ({"waivers": None}, {"the risk officer may waive a metric"}),
        ({"waivers": {**POLICY.waivers.model_dump(mode="json"), "never": []}}, {"nobody waives everything"}),
        ({"break_glass": {"roles": ["approver"]}}, {"an approver may not break it"}),
        ({"freeze": [{"start": "2026-11-01", "end": "2026-11-02", "reason": "migration"}]}, {"an ordinary day"}),
    ],
)
def test_a_weakened_policy_is_caught(changes: dict[str, Any], names: set[str]) -> None:
    assert names <= caught(**changes)
    assert not caught()


BAD = """\
cases:
  - {name: a, date: 2026-11-02, answers: [{by: mo, aproves: true}], expect: approved}
  - {name: b, date: 2026-11-02, release: true, review: mo, expect: allowed}
  - {name: c, date: 2026-11-02, release: true, expect: approved}
  - {name: d, date: soon, release: true, expect: starts}
"""


def test_faulty_cases_are_told_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(BAD)
    with pytest.raises(FaultsError) as caught:
        load_cases(path)
    assert [(fault.line, fault.nearest) for fault in caught.value.faults] == [
        (2, "approves"),
        (3, None),
        (4, None),
        (5, None),
    ]


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    line = "  - {name: a, date: 2026-11-02, release: true, expect: starts}\n"
    path.write_text(f"cases:\n{line}{line}")
    with pytest.raises(FaultsError, match="another case has this name"):
        load_cases(path)
