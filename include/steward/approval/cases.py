"""What the policy must decide, written down as cases and run against it: a policy is tested before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field

from steward.approval.entitlement import why_not_break_glass, why_not_review, why_not_waive
from steward.approval.policy import Policy, Requirement, judge_request
from steward.approval.requests import Answer, ApprovalRequest
from steward.approval.waivers import why_not_sign
from steward.spec import Section
from steward.spec.documents import read_document
from steward.spec.fields import Contradiction, Duration
from steward.spec.validation import validate
from steward.types import JsonObject, RiskTier

SOMEBODY = "somebody.else"
SEEN, OTHER = "what was asked about", "something else"
QUESTIONS = ("answers", "release", "waive", "break_glass", "review")
EXPECTED = {
    "answers": ("not_asked", "approved", "rejected", "open", "expired"),
    "release": ("starts", "frozen"),
    "waive": ("allowed", "refused"),
    "break_glass": ("allowed", "refused"),
    "review": ("allowed", "refused"),
}


class GivenAnswer(Section):
    by: str
    approves: bool = True
    after: Duration = timedelta(hours=1)
    stale: bool = Field(default=False, description="On evidence that was overtaken")


class WantedWaiver(Section):
    by: str
    gate: str
    lasts: Duration = timedelta(days=30)


class Case(Section):
    """One question, what it is about, and what must come out. `because` must be part of a reason that was told."""

    name: str = Field(min_length=1)
    tier: RiskTier = RiskTier.MEDIUM
    date: date
    author: str = SOMEBODY
    requester: str = SOMEBODY
    owner: str = SOMEBODY
    editor: str | None = None
    answers: tuple[GivenAnswer, ...] | None = None
    asked_again_after: Duration | None = Field(default=None, description="When to look; right after the last answer")
    release: Literal[True] | None = None
    waive: WantedWaiver | None = None
    break_glass: str | None = Field(default=None, description="Who breaks it")
    review: str | None = Field(default=None, description="Who reviews")
    expect: Literal["not_asked", "approved", "rejected", "open", "expired", "starts", "frozen", "allowed", "refused"]
    because: str | None = None

    def contradictions(self) -> Iterator[Contradiction]:
        asked = [name for name in QUESTIONS if getattr(self, name) is not None]
        if len(asked) != 1:
            yield Contradiction((), f"a case asks one of {', '.join(QUESTIONS)}, not {len(asked)} of them")
        elif self.expect not in EXPECTED[asked[0]]:
            yield Contradiction(("expect",), f"{asked[0]} ends in {', '.join(EXPECTED[asked[0]])}")

    @property
    def at(self) -> datetime:
        return datetime.combine(self.date, time(12), UTC)


class Cases(Section):
    cases: tuple[Case, ...] = Field(min_length=1)

    def contradictions(self) -> Iterator[Contradiction]:
        names = [case.name for case in self.cases]
        for place, name in enumerate(names):
            if name in names[:place]:
                yield Contradiction(("cases", place, "name"), "another case has this name")


@dataclass(frozen=True)
class Tried:
    """What came out of a case, and every reason the policy told on the way."""

    case: Case
    found: str
    told: tuple[str, ...]

    @property
    def passed(self) -> bool:
        wanted = self.case.because
        return self.found == self.case.expect and (wanted is None or any(wanted in reason for reason in self.told))

    def to_json(self) -> JsonObject:
        return {
            "case": self.case.name,
            "expected": self.case.expect,
            "because": self.case.because,
            "found": self.found,
            "told": list(self.told),
            "passed": self.passed,
        }


def load_cases(path: Path) -> Cases:
    """Raises FaultsError (a SpecError) with every fault of the file."""
    return validate(read_document(path), Cases)


def try_case(policy: Policy, case: Case) -> Tried:
    (asked,) = [name for name in QUESTIONS if getattr(case, name) is not None]
    found, told = _WAYS[asked](policy, case)
    return Tried(case, found, told)


def _answers(policy: Policy, case: Case) -> tuple[str, tuple[str, ...]]:
    if policy.tier(case.tier).approvers == 0:
        return "not_asked", ()
    request, given = _request(policy, case), [_answer(case, each) for each in case.answers or ()]
    last = max((answer.at for answer in given), default=case.at)
    now = case.at + case.asked_again_after if case.asked_again_after else last
    judged = judge_request(request, given, policy, now)
    return judged.state.value, tuple(finding.reason for _, finding in judged.refused)


def _answer(case: Case, given: GivenAnswer) -> Answer:
    evidence = OTHER if given.stale else SEEN
    return Answer(case.name, given.by, given.approves, "a case", evidence, case.at + given.after, "case")


def _request(policy: Policy, case: Case) -> ApprovalRequest:
    tier = policy.tier(case.tier)
    needed = Requirement(tier.approvers, tier.roles, tier.expires_after)
    return ApprovalRequest(
        id=case.name,
        model="a_model",
        version=1,
        evidence=SEEN,
        author=case.author,
        requester=case.requester,
        owner=case.owner,
        policy=needed.to_json(),
        requested_at=case.at,
        expires_at=case.at + needed.expires_after,
        editor=case.editor,
    )


def _release(policy: Policy, case: Case) -> tuple[str, tuple[str, ...]]:
    freeze = policy.freeze_at(case.tier, case.at)
    return ("frozen", (str(freeze),)) if freeze else ("starts", ())


def _waive(policy: Policy, case: Case) -> tuple[str, tuple[str, ...]]:
    assert case.waive is not None
    by, gate, until = case.waive.by, case.waive.gate, case.at + case.waive.lasts
    why = why_not_sign(policy, by, gate, case.at, until) or why_not_waive(policy, _request(policy, case), by, case.at)
    return _allowed(why)


def _break_glass(policy: Policy, case: Case) -> tuple[str, tuple[str, ...]]:
    return _allowed(why_not_break_glass(policy, _request(policy, case), case.break_glass or "", case.at))


def _review(policy: Policy, case: Case) -> tuple[str, tuple[str, ...]]:
    return _allowed(why_not_review(policy, case.owner, case.review or "", case.at))


def _allowed(why_not: str | None) -> tuple[str, tuple[str, ...]]:
    return ("refused", (why_not,)) if why_not else ("allowed", ())


_WAYS: dict[str, Callable[[Policy, Case], tuple[str, tuple[str, ...]]]] = {
    "answers": _answers,
    "release": _release,
    "waive": _waive,
    "break_glass": _break_glass,
    "review": _review,
}
