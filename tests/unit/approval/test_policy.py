"""Who may approve, how many, and which answers count."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.specs import a_spec

from steward.approval import Answer, ApprovalRequest, RequestState
from steward.approval.policy import (
    Policy,
    Requirement,
    judge_answer,
    judge_request,
    load_policy,
    requirement,
    usable_until,
    weaker_than_policy,
)
from steward.approval.waivers import may_meet
from steward.gates import Outcome
from steward.spec import FaultsError
from steward.testing.builders import NOON, a_request
from steward.types import RiskTier

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


def with_people(**people: Any) -> Policy:
    return Policy.model_validate({**POLICY.model_dump(mode="json"), "people": people})


def frozen(*freezes: dict[str, Any]) -> Policy:
    return Policy.model_validate({**POLICY.model_dump(mode="json"), "freeze": list(freezes)})


@pytest.mark.parametrize(
    ("editor", "by", "counts"),
    [
        ("mo@example.com", "mo", False),
        ("MO@EXAMPLE.COM", "mo", False),
        ("mo", "mo", False),
        ("mo@example.com", "ravi", True),
        ("stranger@example.com", "mo", True),
        (None, "mo", True),
    ],
)
def test_the_last_editor_is_known_by_address_or_name(editor: str | None, by: str, counts: bool) -> None:
    finding = judge_answer(asked(editor=editor), said(by), POLICY, NOON)
    assert (finding.outcome is Outcome.PASSED) is counts
    if not counts:
        assert finding.reason == f"{by} changed the model's files last and may not approve it"


def test_roles_end_on_the_day_somebody_left() -> None:
    people = POLICY.model_dump(mode="json")["people"]
    policy = with_people(**{**people, "mo": {"roles": ["approver"], "left_on": "2013-06-02"}})
    assert judge_answer(asked(), said("mo"), policy, NOON).outcome is Outcome.PASSED
    day_after = NOON + timedelta(days=1)
    finding = judge_answer(asked(), said("mo", at=day_after), policy, day_after)
    assert finding.reason == "mo left on 2013-06-02"


def test_a_yes_of_somebody_who_left_before_the_quorum_is_not_counted_towards_it() -> None:
    people = POLICY.model_dump(mode="json")["people"]
    policy = with_people(**{**people, "mo": {"roles": ["approver"], "left_on": "2013-06-02"}})
    answers = [said("mo"), said("vera", at=NOON + timedelta(days=1))]
    assert judge_request(asked(policy=HIGH), answers, policy, NOON + timedelta(days=1)).state is RequestState.OPEN
    assert judge_request(asked(policy=HIGH), answers, POLICY, NOON + timedelta(days=1)).state is RequestState.APPROVED


def test_answers_on_overtaken_evidence_are_told_and_not_counted() -> None:
    rebound = asked(evidence="new", policy=HIGH)
    judged = judge_request(rebound, [said("mo"), said("vera"), said("vera", evidence="new")], POLICY, NOON)
    assert judged.state is RequestState.OPEN
    assert [(answer.by, answer.evidence) for answer in judged.counted] == [("vera", "new")]
    assert len(judged.refused) == 2


JUNE = {"start": "2013-06-02", "end": "2013-06-03", "reason": "half year"}


@pytest.mark.parametrize(
    ("at", "holds"),
    [
        (datetime(2013, 6, 1, 23, 59, tzinfo=UTC), False),
        (datetime(2013, 6, 2, tzinfo=UTC), True),
        (datetime(2013, 6, 3, 23, 59, tzinfo=UTC), True),
        (datetime(2013, 6, 4, tzinfo=UTC), False),
    ],
)
def test_a_freeze_holds_from_its_first_to_its_last_day(at: datetime, holds: bool) -> None:
    assert (frozen(JUNE).freeze_at(RiskTier.HIGH, at) is not None) is holds
    assert frozen({**JUNE, "tiers": ["low"]}).freeze_at(RiskTier.HIGH, at) is None


def test_of_two_freezes_the_one_that_ends_last_is_named() -> None:
    longer = {**JUNE, "end": "2013-06-09", "reason": "audit"}
    assert str(frozen(longer, JUNE).freeze_at(RiskTier.LOW, NOON + timedelta(days=1))) == (
        "frozen until the end of 2013-06-09: audit"
    )


def test_days_of_a_freeze_do_not_count_against_an_approval() -> None:
    request = asked()
    assert usable_until(request, POLICY, RiskTier.MEDIUM) == request.expires_at
    assert usable_until(request, frozen(JUNE), RiskTier.MEDIUM) == request.expires_at + timedelta(days=2)
    begun = {**JUNE, "start": "2013-05-20"}  # it had begun when people were asked
    assert usable_until(request, frozen(begun), RiskTier.MEDIUM) == request.expires_at + timedelta(days=2, hours=12)
    past = {**JUNE, "start": "2013-05-01", "end": "2013-05-02"}
    assert usable_until(request, frozen(past), RiskTier.MEDIUM) == request.expires_at


def test_a_freeze_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValidationError, match="before it starts"):
        frozen({**JUNE, "end": "2013-06-01"})


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("metric.roc_auc", "slice.*", False),
        ("slice.rows", "slice.*", True),
        ("slice.*", "slice.rows", True),
        ("s*", "slice.*", True),
        ("slice.ro*", "slice.*", True),
        ("*", "slice.*", True),
        ("champion.*", "slice.*", False),
        ("metric.*", "metric.roc_auc", True),
    ],
)
def test_patterns_that_could_name_one_gate(one: str, other: str, meet: bool) -> None:
    assert may_meet(one, other) is may_meet(other, one) is meet
