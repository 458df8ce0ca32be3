"""Who may approve what, and whether an answer counts. Pure: people and time are handed in.

A policy.yaml is read as strictly as a spec, by the same machinery.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from steward.approval.requests import Answer, ApprovalRequest, RequestState
from steward.gates import Finding, Outcome
from steward.spec import ModelSpec, Section, format_duration
from steward.spec.documents import read_document
from steward.spec.fields import EMAIL_PATTERN, Contradiction, Duration, Identifier
from steward.spec.validation import validate
from steward.types import JsonObject, RiskTier

GATE = "approval"
APPROVER = "approver"

PersonName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")]


class TierPolicy(Section):
    """`approvers` distinct people who hold one of `roles` each; every role is held by another of them."""

    approvers: int = Field(ge=0, le=5)
    roles: tuple[Identifier, ...] = Field(default=(APPROVER,), min_length=1, max_length=5)
    expires_after: Duration = timedelta(days=7)
    valid_for: Duration = Field(default=timedelta(days=365), description="How long an approval stays good")

    def contradictions(self) -> Iterator[Contradiction]:
        if len(set(self.roles)) != len(self.roles):
            yield Contradiction(("roles",), "a role is named twice")
        if len(self.roles) > max(1, self.approvers):
            sentence = f"{len(self.roles)} roles need as many approvers, not {self.approvers}"
            yield Contradiction(("approvers",), sentence)
        if self.expires_after <= timedelta(0):
            yield Contradiction(("expires_after",), "a request needs some time to be answered")


class Tiers(Section):
    low: TierPolicy
    medium: TierPolicy
    high: TierPolicy

    def contradictions(self) -> Iterator[Contradiction]:
        if not self.low.approvers <= self.medium.approvers <= self.high.approvers:
            yield Contradiction((), "a higher tier needs at least as many approvers as a lower one")


class Person(Section):
    """Somebody this deployment knows. `email` names them in version control; from `left_on` on they have no role."""

    roles: tuple[Identifier, ...] = ()
    email: str | None = Field(default=None, pattern=EMAIL_PATTERN)
    left_on: date | None = None


class Freeze(Section):
    """No release starts from the beginning of `start` until the end of `end` (UTC). Rolling back is always allowed."""

    start: date
    end: date
    reason: str = Field(min_length=1)
    tiers: tuple[RiskTier, ...] = Field(default=tuple(RiskTier), min_length=1)

    def contradictions(self) -> Iterator[Contradiction]:
        if self.end < self.start:
            yield Contradiction(("end",), f"the freeze ends {self.end}, before it starts {self.start}")

    @property
    def starts_at(self) -> datetime:
        return datetime.combine(self.start, time(), UTC)

    @property
    def ends_at(self) -> datetime:
        """The first instant after it."""
        return datetime.combine(self.end, time(), UTC) + timedelta(days=1)

    def __str__(self) -> str:
        return f"frozen until the end of {self.end}: {self.reason}"


class WaiverRules(Section):
    """Who may sign a waiver, for how long at most, and which gates nobody may waive."""

    roles: tuple[Identifier, ...] = Field(min_length=1)
    longest: Duration = timedelta(days=90)
    never: tuple[str, ...] = Field(default=(), description="Gates, `*` allowed: never waived")


class BreakGlass(Section):
    """Who may release without the approvals a tier asks for, and how soon others must review it."""

    roles: tuple[Identifier, ...] = Field(min_length=1)
    review_within: Duration = timedelta(days=2)


class Policy(Section):
    """Quorum by risk tier, and the roles of people by Airflow user name."""

    tiers: Tiers
    people: dict[PersonName, Person] = Field(default={})
    freeze: tuple[Freeze, ...] = ()
    waivers: WaiverRules | None = Field(default=None, description="Without it nobody may sign one")
    break_glass: BreakGlass | None = Field(default=None, description="Without it nobody may")

    def contradictions(self) -> Iterator[Contradiction]:
        return _unattainable(dict(self))

    def tier(self, tier: RiskTier) -> TierPolicy:
        return {
            RiskTier.LOW: self.tiers.low,
            RiskTier.MEDIUM: self.tiers.medium,
            RiskTier.HIGH: self.tiers.high,
        }[tier]

    def roles_of(self, person: str, on: date | None = None) -> frozenset[str]:
        """None for somebody unknown, or gone by that day."""
        known = self.people.get(person)
        return frozenset() if known is None or self.left(person, on) else frozenset(known.roles)

    def left(self, person: str, on: date | None) -> date | None:
        """The day somebody left, if they were gone by then."""
        known = self.people.get(person)
        gone = known.left_on if known else None
        return gone if gone is not None and on is not None and on >= gone else None

    def name_of(self, editor: str | None) -> str | None:
        """Who stands behind an address of version control; an address nobody here has stays what it is."""
        for name, known in self.people.items():
            if editor and known.email and known.email.casefold() == editor.casefold():
                return name
        return editor

    def freeze_at(self, tier: RiskTier, at: datetime) -> Freeze | None:
        """The freeze that holds for a tier at this instant; of several the one that ends last."""
        holding = [each for each in self.freeze if tier in each.tiers and each.starts_at <= at < each.ends_at]
        return max(holding, key=lambda each: each.end, default=None)


@dataclass(frozen=True)
class Requirement:
    """What a request needs: `quorum` distinct approvals, each of `roles` held by another of them."""

    quorum: int
    roles: tuple[str, ...]
    expires_after: timedelta

    def to_json(self) -> JsonObject:
        seconds = self.expires_after.total_seconds()
        return {"quorum": self.quorum, "roles": list(self.roles), "expires_after": seconds}

    @classmethod
    def of(cls, request: ApprovalRequest) -> Requirement:
        """As it was when the request was made."""
        wanted = request.policy
        return cls(int(wanted["quorum"]), tuple(wanted["roles"]), request.expires_at - request.requested_at)


@dataclass(frozen=True)
class Judgement:
    """Where a request stands: `counted` are the answers that decide, `refused` says why the others do not."""

    state: RequestState
    counted: tuple[Answer, ...] = ()
    refused: tuple[tuple[Answer, Finding], ...] = ()


def load_policy(path: Path) -> Policy:
    """Raises FaultsError (a SpecError) with every fault of the file."""
    return validate(read_document(path), Policy, _unattainable)


def requirement(policy: Policy, spec: ModelSpec) -> Requirement:
    """The stricter of tier and spec; `steward check` refuses a spec that asks for less."""
    tier = policy.tier(spec.risk_tier)
    wanted = spec.approval
    return Requirement(
        quorum=max(tier.approvers, wanted.approvers or 0),
        roles=tier.roles,
        expires_after=min(tier.expires_after, wanted.expires_after or tier.expires_after),
    )


def weaker_than_policy(policy: Policy, spec: ModelSpec) -> list[Contradiction]:
    """Where a spec asks for less than its tier, or for more than anybody but its owner can give."""
    tier, wanted, name = policy.tier(spec.risk_tier), spec.approval, f"the {spec.risk_tier} tier"
    found = []
    if wanted.approvers is not None and wanted.approvers < tier.approvers:
        sentence = f"{name} asks for {tier.approvers}; a spec may be stricter, not weaker"
        found.append(Contradiction(("approval", "approvers"), sentence))
    if wanted.expires_after is not None and wanted.expires_after > tier.expires_after:
        sentence = f"{name} gives {format_duration(tier.expires_after)}; a spec may be stricter, not weaker"
        found.append(Contradiction(("approval", "expires_after"), sentence))
    needed = requirement(policy, spec)
    others = {person for person in policy.people if person != spec.owner.user}
    if not attained(needed, others, policy):
        sentence = f"no {needed.quorum} of the people in the policy, the owner left out, may approve this model"
        found.append(Contradiction(("owner", "user"), sentence))
    return found


def judge_answer(request: ApprovalRequest, answer: Answer, policy: Policy, now: datetime) -> Finding:
    """PASSED when the answer counts, else FAILED with the reason. Roles are those of today."""
    reason = _refusal(request, answer, policy, now)
    if reason is None:
        return Finding(GATE, Outcome.PASSED, f"the answer of {answer.by} counts")
    return Finding(GATE, Outcome.FAILED, reason)


def judge_request(request: ApprovalRequest, answers: Sequence[Answer], policy: Policy, now: datetime) -> Judgement:
    """APPROVED at the quorum, REJECTED at the first counted rejection, EXPIRED when time ran out, else OPEN.

    Answers are judged as of when they were given; a closed request stays what it is.
    """
    if request.state is not RequestState.OPEN:
        return Judgement(request.state)
    counted: list[Answer] = []
    refused: list[tuple[Answer, Finding]] = []
    for answer in sorted(answers, key=lambda each: each.at):
        finding = judge_answer(request, answer, policy, answer.at)
        if finding.outcome is not Outcome.PASSED:
            refused.append((answer, finding))
            continue
        counted.append(answer)
        state = _state_after(request, counted, policy)
        if state is not RequestState.OPEN:
            return Judgement(state, tuple(counted), tuple(refused))
    state = RequestState.EXPIRED if now >= request.expires_at else RequestState.OPEN
    return Judgement(state, tuple(counted), tuple(refused))


def usable_until(request: ApprovalRequest, policy: Policy, tier: RiskTier) -> datetime:
    """When an approval lapses unused: at the request's expiry, the days of a freeze not counted."""
    until = request.expires_at
    for freeze in sorted((each for each in policy.freeze if tier in each.tiers), key=lambda each: each.start):
        if freeze.starts_at < until and freeze.ends_at > request.requested_at:
            until += freeze.ends_at - max(freeze.starts_at, request.requested_at)
    return until


def attained(needed: Requirement, people: Collection[str], policy: Policy, on: date | None = None) -> bool:
    """Whether these people reach the quorum and hold every role, each role by another person."""
    roles = {person: policy.roles_of(person, on) for person in sorted(set(people))}
    eligible = {person: held for person, held in roles.items() if held & set(needed.roles)}
    if len(eligible) < needed.quorum:
        return False
    return needed.quorum == 0 or _covered(needed.roles, eligible)


def _covered(roles: tuple[str, ...], holders: Mapping[str, Collection[str]]) -> bool:
    return any(
        all(role in holders[person] for role, person in zip(roles, chosen, strict=True))
        for chosen in permutations(holders, len(roles))
    )


def _state_after(request: ApprovalRequest, counted: list[Answer], policy: Policy) -> RequestState:
    if not counted[-1].approved:
        return RequestState.REJECTED
    needed = Requirement.of(request)
    reached = attained(needed, {answer.by for answer in counted}, policy, counted[-1].at.date())
    return RequestState.APPROVED if reached else RequestState.OPEN


def _refusal(request: ApprovalRequest, answer: Answer, policy: Policy, now: datetime) -> str | None:
    if untimely := _untimely(request, answer, now):
        return untimely
    if answer.request != request.id:
        return "the answer is to another request"
    if answer.evidence != request.evidence:
        return "the answer was given on other evidence than the request's; read it again"
    if reason := lacks_role(policy, answer.by, Requirement.of(request).roles, now):
        return reason
    return own_work(request, answer.by, policy) if answer.approved else None


def lacks_role(policy: Policy, by: str, roles: Sequence[str], at: datetime) -> str | None:
    """Why a person may not speak as one of `roles`; None when they may."""
    if left := policy.left(by, at.date()):
        return f"{by} left on {left}"
    if not policy.roles_of(by) & set(roles):
        return f"{by} has none of the roles {', '.join(roles)}"
    return None


def _untimely(request: ApprovalRequest, answer: Answer, now: datetime) -> str | None:
    if request.state is not RequestState.OPEN:
        return f"the request is closed already: {request.state}"
    if max(now, answer.at) >= request.expires_at:
        return f"the request expired at {request.expires_at:%Y-%m-%d %H:%M} UTC"
    return "the answer is older than the request" if answer.at < request.requested_at else None


def own_work(request: ApprovalRequest, by: str, policy: Policy) -> str | None:
    """Separation of duties: saying no to one's own work is welcome, saying yes is not."""
    duties = {
        "trained the version": request.author,
        "asked for the approval": request.requester,
        "owns the model": request.owner,
    }
    editor = policy.name_of(request.editor)
    if editor != request.author:
        duties["changed the model's files last"] = editor or ""
    held = [duty for duty, person in duties.items() if person == by]
    return f"{by} {' and '.join(held)} and may not approve it" if held else None


def _unattainable(sections: Mapping[str, Any]) -> Iterator[Contradiction]:
    """Tiers that nobody could ever approve."""
    if "tiers" not in sections or "people" not in sections:
        return
    policy = Policy.model_construct(**sections)
    for tier in RiskTier:
        wanted = policy.tier(tier)
        needed = Requirement(wanted.approvers, wanted.roles, wanted.expires_after)
        if not attained(needed, policy.people, policy):
            sentence = f"the people listed can never give {wanted.approvers} approvals as {', '.join(wanted.roles)}"
            yield Contradiction(("tiers", tier.value, "approvers"), sentence)
