"""Who may approve, how many, and which answers count."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.specs import a_spec

from steward.approval import Answer, ApprovalRequest, RequestState
from steward.approval.policy import (
    Policy,
    Requirement,
    judge_answer,
    judge_request,
    load_policy,
    requirement,
    weaker_than_policy,
)
from steward.gates import Outcome
from steward.spec import FaultsError
from steward.testing.builders import NOON, a_request

SHIPPED = Path(__file__).parents[3] / "include" / "policy.yaml"
POLICY = Policy.model_validate(
    {
        "tiers": {
            "low": {"approvers": 0},
            "medium": {"approvers": 1, "expires_after": "3d"},
            "high": {"approvers": 2, "roles": ["approver", "validator"], "expires_after": "2d"},
        },
        "people": {
            "ravi": {"roles": ["approver", "validator"]},
            "mo": {"roles": ["approver"], "email": "mo@example.com"},
            "vera": {"roles": ["validator"]},
            "anna": {"roles": ["approver"]},
            "rita": {"roles": ["approver"]},
            "olga": {"roles": ["approver"]},
            "dana": {},
        },
    }
)
MEDIUM = {"quorum": 1, "roles": ["approver"]}
HIGH = {"quorum": 2, "roles": ["approver", "validator"]}


def asked(**changes: Any) -> ApprovalRequest:
    """Made by anna, asked for by rita, on a model of olga's."""
    return a_request(**{"requester": "rita", "policy": MEDIUM, **changes})


def said(by: str, approved: bool = True, at: datetime = NOON, **changes: Any) -> Answer:
    request = asked()
    return replace(Answer(request.id, by, approved, "because", request.evidence, at, "airflow"), **changes)


def test_the_shipped_policy_is_sound() -> None:
    policy = load_policy(SHIPPED)
    assert [policy.tiers.low.approvers, policy.tiers.medium.approvers, policy.tiers.high.approvers] == [0, 1, 2]
    assert policy.roles_of("ravi") == {"approver", "validator"}
    assert policy.roles_of("admin") == policy.roles_of("nobody") == frozenset()


@pytest.mark.parametrize(
    ("tier", "approval", "needed"),
    [
        ("low", {}, Requirement(0, ("approver",), timedelta(days=7))),
        ("low", {"approvers": 1}, Requirement(1, ("approver",), timedelta(days=7))),
        ("medium", {}, Requirement(1, ("approver",), timedelta(days=3))),
        ("medium", {"approvers": 3, "expires_after": "1d"}, Requirement(3, ("approver",), timedelta(days=1))),
        ("high", {}, Requirement(2, ("approver", "validator"), timedelta(days=2))),
        ("high", {"approvers": 1, "expires_after": "9d"}, Requirement(2, ("approver", "validator"), timedelta(days=2))),
    ],
)
def test_the_stricter_of_tier_and_spec_applies(tier: str, approval: dict[str, Any], needed: Requirement) -> None:
    assert requirement(POLICY, a_spec(risk_tier=tier, approval=approval)) == needed


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"risk_tier": "high", "approval": {"approvers": 1}}, ("approval", "approvers")),
        ({"risk_tier": "high", "approval": {"expires_after": "3d"}}, ("approval", "expires_after")),
        ({"risk_tier": "medium", "approval": {"approvers": 6}}, ("owner", "user")),
    ],
)
def test_a_weaker_spec_is_found(spec: dict[str, Any], key: tuple[str, ...]) -> None:
    assert [one.key for one in weaker_than_policy(POLICY, a_spec(**spec))] == [key]
    assert weaker_than_policy(POLICY, a_spec(risk_tier=spec["risk_tier"])) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said("anna"), "anna trained the version and may not approve it"),
        (said("rita"), "rita asked for the approval and may not approve it"),
        (said("olga"), "olga owns the model and may not approve it"),
        (said("dana"), "dana has none of the roles approver"),
        (said("vera"), "vera has none of the roles approver"),
        (said("nobody"), "nobody has none of the roles approver"),
        (said("Mo"), "Mo has none of the roles approver"),
        (said("dana", approved=False), "dana has none of the roles approver"),
        (said("mo", evidence="0" * 64), "the answer was given on other evidence than the request's; read it again"),
        (said("mo", evidence=""), "the answer was given on other evidence than the request's; read it again"),
        (said("mo", request="another"), "the answer is to another request"),
        (said("mo", at=NOON + timedelta(days=3)), "the request expired at 2013-06-04 12:00 UTC"),
        (said("mo", at=NOON - timedelta(seconds=1)), "the answer is older than the request"),
    ],
)
def test_an_answer_that_does_not_count(answer: Answer, reason: str) -> None:
    finding = judge_answer(asked(), answer, POLICY, answer.at)
    assert (finding.outcome, finding.reason) == (Outcome.FAILED, reason)


@pytest.mark.parametrize("by", ["anna", "rita", "olga", "mo"])
def test_anyone_with_the_role_may_say_no(by: str) -> None:
    assert judge_answer(asked(), said(by, approved=False), POLICY, NOON).outcome is Outcome.PASSED


def test_a_second_person_with_the_role_may_say_yes() -> None:
    assert judge_answer(asked(), said("mo"), POLICY, NOON).outcome is Outcome.PASSED


@pytest.mark.parametrize("state", [RequestState.APPROVED, RequestState.REJECTED, RequestState.EXPIRED])
def test_a_closed_request_takes_no_answer(state: RequestState) -> None:
    finding = judge_answer(asked(state=state), said("mo"), POLICY, NOON)
    assert finding.reason == f"the request is closed already: {state}"
    assert judge_request(asked(state=state), [said("mo")], POLICY, NOON).state is state


def test_an_answer_read_after_the_expiry_does_not_count() -> None:
    finding = judge_answer(asked(), said("mo"), POLICY, NOON + timedelta(days=3))
    assert finding.outcome is Outcome.FAILED


def test_roles_are_those_of_today() -> None:
    left = Policy.model_validate(
        {
            **POLICY.model_dump(mode="json"),
            "people": {"ravi": {"roles": ["approver", "validator"]}, "vera": {"roles": ["validator"]}},
        }
    )
    assert judge_answer(asked(), said("mo"), left, NOON).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("policy", "answers", "state"),
    [
        (MEDIUM, [], RequestState.OPEN),
        (MEDIUM, [said("mo")], RequestState.APPROVED),
        (MEDIUM, [said("anna")], RequestState.OPEN),
        (MEDIUM, [said("anna", approved=False)], RequestState.REJECTED),
        (MEDIUM, [said("dana", approved=False)], RequestState.OPEN),
        (HIGH, [said("ravi")], RequestState.OPEN),
        (HIGH, [said("ravi"), said("mo")], RequestState.APPROVED),
        (HIGH, [said("mo"), said("vera")], RequestState.APPROVED),
        (HIGH, [said("ravi"), said("ravi")], RequestState.OPEN),
        (HIGH, [said("mo"), said("anna")], RequestState.OPEN),
        (HIGH, [said("ravi"), said("mo", approved=False)], RequestState.REJECTED),
        (HIGH, [said("ravi"), said("vera")], RequestState.APPROVED),
        ({"quorum": 2, "roles": ["approver"]}, [said("mo"), said("vera")], RequestState.OPEN),
        ({"quorum": 2, "roles": ["approver"]}, [said("mo"), said("ravi")], RequestState.APPROVED),
    ],
)
def test_where_a_request_stands(policy: dict[str, Any], answers: list[Answer], state: RequestState) -> None:
    assert judge_request(asked(policy=policy), answers, POLICY, NOON).state is state


def test_two_approvers_without_a_validator_are_not_enough() -> None:
    people = {**POLICY.model_dump(mode="json")["people"], "max": {"roles": ["approver"]}}
    policy = Policy.model_validate({**POLICY.model_dump(mode="json"), "people": people})
    assert judge_request(asked(policy=HIGH), [said("mo"), said("max")], policy, NOON).state is RequestState.OPEN


def test_the_first_counted_no_ends_it() -> None:
    answers = [said("mo", at=NOON + timedelta(hours=2)), said("ravi", approved=False, at=NOON + timedelta(hours=1))]
    judged = judge_request(asked(), answers, POLICY, NOON + timedelta(hours=3))
    assert judged.state is RequestState.REJECTED
    assert [answer.by for answer in judged.counted] == ["ravi"]


def test_time_running_out_is_not_an_approval() -> None:
    late = NOON + timedelta(days=4)
    assert judge_request(asked(policy=HIGH), [said("mo")], POLICY, late).state is RequestState.EXPIRED
    assert judge_request(asked(policy=MEDIUM), [said("mo")], POLICY, late).state is RequestState.APPROVED


def test_what_does_not_count_is_told() -> None:
    judged = judge_request(asked(), [said("anna"), said("mo")], POLICY, NOON)
    assert [(answer.by, finding.outcome) for answer, finding in judged.refused] == [("anna", Outcome.FAILED)]


PEOPLE = [*POLICY.people, "nobody"]


@given(
    st.lists(st.tuples(st.sampled_from(PEOPLE), st.booleans(), st.booleans()), max_size=8),
    st.sampled_from([MEDIUM, HIGH]),
)
def test_no_sequence_of_answers_approves_ones_own_work(
    answers: list[tuple[str, bool, bool]], policy: dict[str, Any]
) -> None:
    """Whatever is answered: an approval rests on enough others with the roles, on this evidence."""
    given_ = [said(by, approved, evidence=asked().evidence if right else "old") for by, approved, right in answers]
    judged = judge_request(asked(policy=policy), given_, POLICY, NOON)
    if judged.state is RequestState.APPROVED:
        yes = {answer.by for answer in judged.counted}
        assert all(answer.approved and answer.evidence == asked().evidence for answer in judged.counted)
        assert not yes & {"anna", "rita", "olga", "dana", "nobody"}
        assert len(yes) >= policy["quorum"]
        assert set(policy["roles"]) <= set().union(*(POLICY.roles_of(by) for by in yes))


BAD = """\
tiers:
  low: {approvers: 1, roles: [approver]}
  medium: {aprovers: 1}
  high: {approvers: 2, roles: [approver, validator, auditor], expires_after: soon}
people:
  ravi: approver
  "not a name!": {roles: [approver]}
freezes: []
"""


def test_a_bad_policy_is_refused_with_all_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(BAD)
    with pytest.raises(FaultsError) as caught:
        load_policy(path)
    assert [(fault.line, fault.path, fault.nearest) for fault in caught.value.faults] == [
        (3, "tiers.medium.aprovers", "approvers"),
        (4, "tiers.high.expires_after", None),
        (6, "people.ravi", None),
        (7, "people.not a name!", None),
        (8, "freezes", "freeze"),
    ]


TWO = "{a: {roles: [approver]}, b: {roles: [approver]}}"


@pytest.mark.parametrize(
    ("low", "medium", "high", "people", "told"),
    [
        ("approvers: 2", "approvers: 1", "approvers: 1", TWO, "a higher tier needs"),
        ("approvers: 0", "approvers: 0", "approvers: 1", "{}", "can never give 1 approvals as approver"),
        ("approvers: 0", "approvers: 1", "approvers: 1, roles: [a, b]", TWO, "2 roles need as many approvers"),
        ("approvers: 0", "approvers: 0", "approvers: 2, roles: [a, a]", TWO, "a role is named twice"),
        ("approvers: 0", "approvers: 0", "approvers: 0, expires_after: 0s", TWO, "needs some time"),
    ],
)
def test_a_policy_that_cannot_work(tmp_path: Path, low: str, medium: str, high: str, people: str, told: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"tiers:\n  low: {{{low}}}\n  medium: {{{medium}}}\n  high: {{{high}}}\npeople: {people}\n")
    with pytest.raises(FaultsError, match=told):
        load_policy(path)
