"""The nightly audit of the inventory: what does not fit together becomes incidents, and owners hear of it once."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from steward.actions.effects import deliver, want_notice
from steward.actions.governance.surveying import survey
from steward.actions.incidents.changing import NO_VERSION, resolve_incident, save_incident
from steward.actions.state import Services, Transaction
from steward.approval.policy import Policy
from steward.gates import Evidence
from steward.inventory.rules import RULE_NAMES
from steward.inventory.zombies import Assessment, EstateFinding
from steward.ledger import ALL_MODELS, EventDraft, EventType
from steward.monitoring.severity import worst
from steward.monitoring.windows import Incident, IncidentState
from steward.types import JsonObject, Window

NIGHT = timedelta(days=1)
TOLD = 20  # findings in the answer of the step; all of them are in the evidence

Key = tuple[str, int, str]


def audit_inventory(services: Services, *, actor: str) -> JsonObject:
    """Compare specs, ledger, registry, servers, callers and people; keep one incident per model, version and rule.

    A finding that is new opens one and its owner is told; one that is gone is resolved, unless tonight it could not be
    judged. Findings are no fault: the answer counts them. Repeated, it finds its own incidents and opens none.
    """
    deliver(services)  # an alias that only waits to be set was not moved by hand
    found = survey(services, probe=True)
    with services.database.begin() as tx:
        evidence = tx.evidence.put(Evidence("inventory", ALL_MODELS, found.to_json()))
        audit = _Audit(services, tx, actor, evidence, services.clock.now())
        known = {_key_of(i): i for i in tx.incidents.unresolved_everywhere() if i.cause in RULE_NAMES}
        new = [finding for finding in found.findings if audit.note(finding, known.get(_key(finding)))]
        resolved = [audit.resolve(incident) for incident in _gone(found, known)]
        counts = {"models": found.models, "findings": len(found.findings), "new": len(new), "resolved": len(resolved)}
        said = _said(found, len(new))
        by_rule = found.counts()
        body = {**counts, "rules": by_rule, "undecided": len(found.undecided)}
        tx.events.append(EventDraft(EventType.INVENTORY_AUDITED, ALL_MODELS, actor, said, None, evidence, body))
        for address, theirs in _by_reader(services, new).items():
            want_notice(tx, [address], _title(theirs), _letter(theirs))
    waiting = deliver(services)
    names = [f"{finding.name}: {finding.rule}" for finding in found.findings[:TOLD]]
    return {**counts, "rules": by_rule, "first": names, "evidence": evidence, "waiting": waiting}


@dataclass(frozen=True)
class _Audit:
    """One night's work in one transaction."""

    services: Services
    tx: Transaction
    actor: str
    evidence: str
    now: datetime

    def note(self, finding: EstateFinding, known: Incident | None) -> bool:
        """Open an incident, or change one whose trouble changed. True when it is new."""
        detail = {"reason": finding.reason, "what_to_do": finding.what_to_do}
        if known is None:
            self._save(EventType.INCIDENT_OPENED, self._opened(finding, detail), finding)
        elif self._differs(known, finding):
            changed = replace(known, severity=worst(known.severity, finding.severity), detail=detail)
            changed = replace(changed, evidence=self.evidence, updated_at=self.now)
            self._save(EventType.INCIDENT_UPDATED, changed, finding)
        return known is None

    def _differs(self, known: Incident, finding: EstateFinding) -> bool:
        rose = worst(known.severity, finding.severity) != known.severity
        return rose or (known.detail or {}).get("reason") != finding.reason

    def resolve(self, incident: Incident) -> Incident:
        return resolve_incident(self.tx, incident, self.actor, "the audit no longer finds it", self.now, told=False)

    def _save(self, kind: EventType, incident: Incident, finding: EstateFinding) -> None:
        """Owners hear of what is new by one letter a night."""
        save_incident(self.tx, kind, incident, self.actor, f"{finding.rule}: {finding.reason}", told=False)

    def _opened(self, finding: EstateFinding, detail: JsonObject) -> Incident:
        return Incident(
            id=uuid.uuid4().hex,
            model=finding.model,
            version=finding.version or NO_VERSION,
            cause=finding.rule,
            severity=finding.severity,
            state=IncidentState.OPEN,
            first_bad=Window.ending(self.now, NIGHT),
            opened_at=self.now,
            updated_at=self.now,
            windows=1,
            evidence=self.evidence,
            detail=detail,
        )


def _key(finding: EstateFinding) -> Key:
    return finding.model, finding.version or NO_VERSION, finding.rule


def _key_of(incident: Incident) -> Key:
    return incident.model, incident.version, incident.cause


def _gone(found: Assessment, known: dict[Key, Incident]) -> list[Incident]:
    """Those not found again, but for what tonight could not be judged."""
    present = {_key(finding) for finding in found.findings}
    return [
        incident
        for key, incident in known.items()
        if key not in present and (incident.cause, incident.model) not in found.undecided
    ]


def _said(found: Assessment, new: int) -> str:
    if not found.findings:
        return f"{found.models} models, nothing found"
    return f"{found.models} models, {len(found.findings)} findings, {new} of them new"


def _by_reader(services: Services, new: Iterable[EstateFinding]) -> dict[str, list[EstateFinding]]:
    """Whom to tell: the owner; where there is none, those who may sign waivers, for they answer for the risk."""
    letters: dict[str, list[EstateFinding]] = {}
    owners, policy = _owners(services), services.policy()
    for finding in new:
        for address in owners.get(finding.model) or _risk_owners(policy, services.clock.now()):
            letters.setdefault(address, []).append(finding)
    return letters


def _owners(services: Services) -> dict[str, list[str]]:
    specs, _ = services.specs.all()
    addresses = {model: [spec.owner.email] for model, spec in specs.items()}
    external = services.external().external_models
    return addresses | {model.id: [model.owner.email] for model in external if model.owner}


def _risk_owners(policy: Policy, now: datetime) -> list[str]:
    roles = set(policy.waivers.roles) if policy.waivers else set()
    held = {name: policy.roles_of(name, now.date()) & roles for name in policy.people}
    return sorted(email for name in held if held[name] and (email := policy.people[name].email))


def _title(findings: Sequence[EstateFinding]) -> str:
    names = sorted({finding.name for finding in findings})
    named = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return f"Steward: the audit found something new about {named}"


def _letter(findings: Sequence[EstateFinding]) -> str:
    lines = [f"{f.name} [{f.severity}] {f.rule}: {f.reason}\n  do: {f.what_to_do}" for f in findings]
    return "\n".join([*lines, "", "All findings: `steward audit inventory`."])
