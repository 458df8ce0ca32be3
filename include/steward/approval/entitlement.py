"""Who may do what for one model, and why not. Pure: the same rules the actions judge by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from steward.approval.policy import Policy, Requirement, lacks_role, own_work
from steward.approval.requests import ApprovalRequest
from steward.approval.waivers import NOBODY
from steward.types import JsonObject


@dataclass(frozen=True)
class Entitlement:
    """None where the person may; else why they may not."""

    person: str
    roles: tuple[str, ...]
    approve: str | None
    waive: str | None
    break_glass: str | None
    review: str | None

    def to_json(self) -> JsonObject:
        told = {"approve": self.approve, "waive": self.waive, "break_glass": self.break_glass, "review": self.review}
        verbs = {verb: {"may": why is None, "why_not": why} for verb, why in told.items()}
        return {"person": self.person, "roles": list(self.roles), **verbs}


def entitlements(policy: Policy, request: ApprovalRequest, at: datetime) -> list[Entitlement]:
    """Everybody the policy knows, by name. `request` says whose work it is; it need not have been made."""
    return [
        Entitlement(
            person=name,
            roles=tuple(sorted(policy.roles_of(name, at.date()))),
            approve=why_not_approve(policy, request, name, at),
            waive=why_not_waive(policy, request, name, at),
            break_glass=why_not_break_glass(policy, request, name, at),
            review=why_not_review(policy, request.owner, name, at),
        )
        for name in sorted(policy.people)
    ]


def why_not_approve(policy: Policy, request: ApprovalRequest, by: str, at: datetime) -> str | None:
    needed = Requirement.of(request)
    if needed.quorum == 0:
        return "this tier asks nobody"
    return lacks_role(policy, by, needed.roles, at) or own_work(request, by, policy)


def why_not_waive(policy: Policy, request: ApprovalRequest, by: str, at: datetime) -> str | None:
    if policy.waivers is None:
        return NOBODY
    if reason := lacks_role(policy, by, policy.waivers.roles, at):
        return reason
    own = by in workers(policy, request.owner, request.author, request.editor)
    return f"{by} owns, trained or changed {request.model} and may not waive its gates" if own else None


def why_not_break_glass(policy: Policy, request: ApprovalRequest, by: str, at: datetime) -> str | None:
    if policy.break_glass is None:
        return "the policy lets nobody break the glass"
    return lacks_role(policy, by, policy.break_glass.roles, at) or own_work(request, by, policy)


def why_not_review(policy: Policy, owner: str, by: str, at: datetime) -> str | None:
    """Those review who may approve in any tier, the owner excepted."""
    if reason := lacks_role(policy, by, _approving_roles(policy), at):
        return reason
    return f"{by} owns the model and may not review it" if by == owner else None


def why_not_allow_retraining(policy: Policy, owner: str, by: str, at: datetime) -> str | None:
    """The owner, and those who may approve in any tier: whatever is trained still needs its gates and approvals."""
    return (
        None if by == owner and not policy.left(by, at.date()) else lacks_role(policy, by, _approving_roles(policy), at)
    )


def _approving_roles(policy: Policy) -> list[str]:
    tiers = (policy.tiers.low, policy.tiers.medium, policy.tiers.high)
    return sorted({role for tier in tiers for role in tier.roles})


def workers(policy: Policy, owner: str, author: str | None, editor: str | None) -> tuple[str | None, ...]:
    """The people whose own work a version is."""
    return owner, author, policy.name_of(editor)
