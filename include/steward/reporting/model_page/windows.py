"""What nightly windows said: each metric over time, and the drift of each feature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from steward.gates import OVERALL, Outcome
from steward.gates.metrics import METRICS, Better
from steward.reporting.card import NORMAL_95
from steward.reporting.model_page.facts import SeenWindow
from steward.types import JsonObject

PERFORMANCE, PSI, ANSWERS = "performance.", "drift.psi:", "drift.prediction_psi"
MOST_FEATURES, MOST_WINDOWS, MOST_METRICS = 25, 30, 4
THE_ANSWERS = "the answers"


def metrics_over_time(windows: Sequence[SeenWindow]) -> list[JsonObject]:
    """Those with a limit, by name; where none has one, the first two that were measured."""
    gated = sorted({name for window in windows for name in _gated(window)})
    measured = sorted({name for window in windows for name in _measured(window)})
    names = gated[:MOST_METRICS] or measured[:2]
    return [
        {
            "metric": name,
            "title": METRICS[name].title if name in METRICS else name,
            "better": _better(name).value,
            "gated": bool(gated),
            "points": [_point(window, name, gated=bool(gated)) for window in windows],
        }
        for name in names
    ]


def _better(name: str) -> Better:
    return METRICS[name].better if name in METRICS else Better.MORE


def _findings(window: SeenWindow) -> list[JsonObject]:
    return list(((window.body or {}).get("verdict") or {}).get("findings", []))


def _gated(window: SeenWindow) -> Iterator[str]:
    for finding in _findings(window):
        if finding["gate"].startswith(PERFORMANCE):
            yield finding["gate"].removeprefix(PERFORMANCE)


def _measured(window: SeenWindow) -> JsonObject:
    return dict(((window.body or {}).get("performance") or {}).get("metrics") or {})


def _point(window: SeenWindow, name: str, *, gated: bool) -> JsonObject:
    found = [f for f in _findings(window) if f["gate"] == f"{PERFORMANCE}{name}" and f["slice"] == OVERALL]
    measured = _measured(window).get(name) or {}
    value, error = measured.get("value"), measured.get("error")
    if gated and not any(f["limit"] is not None for f in found):
        value = None  # outcomes are awaited, or it was not asked for: what is known of it is no measurement yet
    known = value is not None
    return {
        "start": window.window.start,
        "end": window.window.end,
        "version": window.version,
        "value": value,
        "lower": value - NORMAL_95 * error if known and error is not None else None,
        "upper": value + NORMAL_95 * error if known and error is not None else None,
        "rows": measured.get("rows") if known else None,
        "outcome": _outcome(found) if found else None,
        "reason": _reason(window, found, known=known),
        **_beside(name, value, found),
        "evidence": window.evidence,
    }


def _outcome(findings: Sequence[JsonObject]) -> str:
    said = {finding["outcome"] for finding in findings}
    return next(o.value for o in (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.PASSED) if o.value in said)


def _reason(window: SeenWindow, findings: Sequence[JsonObject], *, known: bool) -> str | None:
    if window.body is None:
        return "the evidence of this window is not kept any more"
    if findings:
        worst = _outcome(findings)
        return str(next(f["reason"] for f in findings if f["outcome"] == worst))
    return None if known else "it was not judged in this window"


def _beside(name: str, value: float | None, findings: Sequence[JsonObject]) -> JsonObject:
    """The limits as values of the metric. A finding that holds the metric itself has an absolute limit; any other holds
    by how much it is worse than at evaluation, so both tell what it was then."""
    if value is None:
        return {"baseline": None, "limits": []}
    sign, baseline, limits = _better(name).sign, None, []
    for finding in findings:
        if finding["value"] is None or finding["limit"] is None:
            continue
        if finding["value"] == value:
            limits.append(finding["limit"])
        else:
            baseline = value + sign * finding["value"]
            limits.append(baseline - sign * finding["limit"])
    return {"baseline": baseline, "limits": limits}


def drift_by_feature(windows: Sequence[SeenWindow]) -> JsonObject | None:
    """PSI of each feature in each of the newest windows, the worst feature first; None where no drift was judged.

    A cell is None where the feature was not judged. `more`: features that are left out for want of room.
    """
    shown = [window for window in windows if window.body is not None][-MOST_WINDOWS:]
    cells = [{_feature(f): _cell(f) for f in _findings(window) if _feature(f)} for window in shown]
    names = {name for of_window in cells for name in of_window if name is not None}
    if not names:
        return None
    features = sorted(names - {THE_ANSWERS}, key=lambda name: (*_worst(name, cells), name))
    kept = [*([THE_ANSWERS] if THE_ANSWERS in names else []), *features[:MOST_FEATURES]]
    return {
        "windows": [
            {"start": w.window.start, "end": w.window.end, "version": w.version, "evidence": w.evidence} for w in shown
        ],
        "rows": [{"feature": name, "cells": [of_window.get(name) for of_window in cells]} for name in kept],
        "features": len(features),
        "more": max(0, len(features) - MOST_FEATURES),
        "summary": _sentence(shown),
    }


def _feature(finding: JsonObject) -> str | None:
    if finding["gate"] == ANSWERS:
        return THE_ANSWERS
    return finding["gate"].removeprefix(PSI) if finding["gate"].startswith(PSI) else None


def _cell(finding: JsonObject) -> JsonObject:
    return {key: finding[key] for key in ("value", "limit", "outcome", "reason")}


def _worst(name: str, cells: Sequence[dict[str | None, Any]]) -> tuple[int, float]:
    """Fewer failures later; of as many, the smaller share of the limit later."""
    mine = [of_window[name] for of_window in cells if name in of_window]
    failed = sum(cell["outcome"] == Outcome.FAILED for cell in mine)
    share = max(
        (cell["value"] / cell["limit"] for cell in mine if cell["value"] is not None and cell["limit"]), default=0
    )
    return -failed, -share


def _sentence(windows: Sequence[SeenWindow]) -> str | None:
    """Of the newest window: whether what moved matters."""
    told = ((windows[-1].body or {}).get("summary") or {}) if windows else {}
    return told.get("sentence")
