"""What the evidence of a judged window says, in the few words a table and an answer need: drift, and real outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steward.gates import OVERALL, Finding, Outcome, Verdict
from steward.reporting.figures import nearness
from steward.types import JsonObject

# The causes of a judged window that matter here, as `steward.monitoring.windows.Cause` spells them.
DRIFT, PERFORMANCE = "drift", "performance"
ESTIMATED = "drift.estimated:"
ROWS = "monitor.rows"
NOT_WATCHED = "its spec sets no limit on a metric of real outcomes"
_OF_FEATURES = ("drift.psi:", "drift.missing:", "drift.levels:", "drift.words:", "drift.unseen_words:")


def window_told(body: JsonObject) -> JsonObject:
    """`drift.worst` is the feature nearest to its limit, or furthest beyond it. `performance` is of real outcomes, with
    a reason wherever it did not pass; `estimated` of the answers alone, None where that was not asked for."""
    findings = body["verdict"]["findings"]
    return {
        "drift": {"outcome": _outcome(_drifting(findings)), "worst": _worst(findings)},
        "performance": _performance(findings),
        "estimated": _outcome(_about(findings, ESTIMATED)),
    }


def _about(findings: Iterable[JsonObject], *prefixes: str) -> list[Finding]:
    return [Finding.from_json(each) for each in findings if each["gate"].startswith(prefixes)]


def _drifting(findings: Iterable[JsonObject]) -> list[Finding]:
    return _about(findings, f"{DRIFT}.")


def _outcome(findings: Sequence[Finding]) -> str | None:
    return Verdict.of(findings).outcome.value if findings else None


def _worst(findings: Iterable[JsonObject]) -> JsonObject | None:
    known = [each for each in _about(findings, *_OF_FEATURES) if each.value is not None]
    worst = max(known, key=nearness, default=None)
    if worst is None:
        return None
    check, _, feature = worst.gate.partition(":")
    return {
        "feature": feature,
        "check": check.removeprefix(f"{DRIFT}."),
        "value": worst.value,
        "limit": worst.limit,
        "outcome": worst.outcome.value,
    }


def _performance(findings: Sequence[JsonObject]) -> JsonObject:
    found = _about(findings, f"{PERFORMANCE}.")
    if not found:
        too_few = [each for each in _about(findings, ROWS) if each.outcome is not Outcome.PASSED]
        return {"outcome": None, "reason": too_few[0].reason if too_few else NOT_WATCHED}
    outcome = Verdict.of(found).outcome
    of_it = [each for each in found if each.outcome is outcome]
    whole = [each for each in of_it if each.slice == OVERALL] or of_it
    return {"outcome": outcome.value, "reason": None if outcome is Outcome.PASSED else whole[0].reason}
