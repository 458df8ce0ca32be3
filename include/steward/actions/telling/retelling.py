"""The past told again by the present spec: which incidents its judged windows would have opened, and when they ended.

For whoever changes `resolve_after`, a tier or the rules for notifications and wants to know what it would have meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import groupby, pairwise

from steward.actions.incidents.from_windows import LOOKED_BACK, first_reason, recovered_of, severity_of
from steward.actions.state import Transaction
from steward.ledger import AuditEvent, EventType
from steward.monitoring.episodes import Step, retold
from steward.monitoring.messages import Message, message_of
from steward.monitoring.severity import worst
from steward.monitoring.windows import Cause, JudgedWindow
from steward.spec import ModelSpec
from steward.types import JsonObject

_KINDS = {
    "began": EventType.INCIDENT_OPENED,
    "went_on": EventType.INCIDENT_UPDATED,
    "ended": EventType.INCIDENT_RESOLVED,
}


def retold_messages(tx: Transaction, spec: ModelSpec, since: datetime) -> list[Message]:
    """In the words of those that are really sent, oldest first; nobody acknowledges and nobody ends one by hand."""
    windows = sorted(tx.windows.recent(spec.model, LOOKED_BACK), key=lambda w: (w.version, w.window.end))
    reigns = [list(of_version) for _, of_version in groupby(windows, key=lambda w: w.version)]
    followed = [*pairwise([*reigns, None])]
    events = [
        event
        for reign, following in followed
        if reign is not None
        for cause in Cause
        for event in _events(tx, spec, cause, reign, following[0] if following else None)
    ]
    told = [message for event in events if event.at >= since and (message := message_of(event)) is not None]
    return sorted(told, key=lambda message: message.at)


def _events(
    tx: Transaction, spec: ModelSpec, cause: Cause, windows: list[JudgedWindow], following: JudgedWindow | None
) -> Iterator[AuditEvent]:
    """`following`: the first window of the version after it, with which its troubles are over."""
    sound, known, step = spec.monitoring.resolve_after, "", None
    for step in retold(windows, cause, sound, recovered_of(tx, cause)):
        present = severity_of(tx, spec, cause, step.episode)
        severity = worst(known, present) if known else present
        rose = {"rose_from": known} if known and severity != known else {}
        yield _event(tx, cause, step, severity, sound, rose)
        known = "" if step.kind == "ended" else severity
    if step is not None and known and following is not None:
        ended = replace(step.judged, judged_at=following.judged_at)
        yield _event(tx, cause, Step(ended, step.episode, "ended"), known, sound, {})


def _event(tx: Transaction, cause: Cause, step: Step, severity: str, sound: int, more: JsonObject) -> AuditEvent:
    judged, episode = step.judged, step.episode
    said = first_reason(tx, cause, episode) if step.kind == "began" else f"{episode.passed} of {sound} windows passed"
    body = {
        "incident": f"preview-{judged.version}-{cause}",
        "cause": cause.value,
        "severity": severity,
        "first_bad": episode.first_bad.to_json(),
        "windows": episode.failed,
        **more,
    }
    at = judged.judged_at
    reason, digest = f"{cause}: {said}", episode.last_bad.evidence
    return AuditEvent(
        0, at, at, _KINDS[step.kind], judged.model, "preview", reason, judged.version, digest, body, "", ""
    )
