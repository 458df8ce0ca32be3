"""What a waiver may set aside, and what it does to a verdict. Pure: people, time and waivers are handed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase

from steward.approval.policy import Policy, lacks_role
from steward.gates import Finding, Outcome, Verdict
from steward.ledger import Waiver
from steward.spec import format_duration

NOBODY = "the policy lets nobody sign a waiver"


def signing_role(policy: Policy, by: str, at: datetime) -> str | None:
    """The role that entitles somebody to sign; None when nothing does."""
    entitled = policy.roles_of(by, at.date()) & set(policy.waivers.roles if policy.waivers else ())
    return min(entitled, default=None)


def why_not_sign(policy: Policy, by: str, gate: str, at: datetime, until: datetime) -> str | None:
    """Why this person may not waive this gate for this long; None when they may."""
    rules = policy.waivers
    if rules is None:
        return NOBODY
    if reason := lacks_role(policy, by, rules.roles, at):
        return reason
    if barred := next((each for each in rules.never if may_meet(gate, each)), None):
        return f"nobody may waive {barred}, and {gate} touches it"
    if until <= at:
        return f"it would end at {until:%Y-%m-%d %H:%M} UTC, which is past"
    if until - at > rules.longest:
        return f"a waiver lasts {format_duration(rules.longest)} at most: until {at + rules.longest:%Y-%m-%d %H:%M} UTC"
    return None


def may_meet(one: str, other: str) -> bool:
    """Whether some gate could match both patterns; errs on the side of yes."""
    if fnmatchcase(one, other) or fnmatchcase(other, one):
        return True
    start, start_of_other = one.partition("*")[0], other.partition("*")[0]
    both_open = "*" in one and "*" in other
    return both_open and (start.startswith(start_of_other) or start_of_other.startswith(start))


def set_aside(
    verdict: Verdict, waivers: Sequence[Waiver], version: int, policy: Policy, own: Sequence[str | None]
) -> tuple[Verdict, list[Waiver]]:
    """The verdict as it decides, and the waivers it took. `own` are the people whose work the version is.

    The verdict on record stays what it was. What the policy lets nobody waive stands, whatever was signed before the
    policy said so; a waiver signed for one's own work has no effect.
    """
    never = policy.waivers.never if policy.waivers else ("*",)
    honest = [waiver for waiver in waivers if waiver.by not in own]
    used: list[Waiver] = []

    def settled(finding: Finding) -> Finding:
        if finding.outcome is Outcome.PASSED or any(fnmatchcase(finding.gate, each) for each in never):
            return finding
        taken = next((w for w in honest if w.covers(finding.gate, finding.slice, version)), None)
        if taken is None:
            return finding
        used.append(taken)
        return replace(finding, outcome=Outcome.PASSED)

    effective = Verdict(tuple(settled(finding) for finding in verdict.findings))
    return effective, list({waiver.id: waiver for waiver in used}.values())
