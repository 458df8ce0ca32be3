"""Models of a portfolio by hand: sound unless a test says otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from steward.reporting.health import Signs, Trouble
from steward.reporting.portfolio import Known, portfolio_view
from steward.types import JsonObject

NOW = datetime(2026, 6, 11, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SOUND = {"data": "PASSED", "drift": "PASSED", "performance": "PASSED"}
OWNER = {"team": "risk-models", "name": "Dana Weber", "email": "dana@example.com", "user": "dana"}


def record(model: str, **changes: Any) -> JsonObject:
    """A line of the inventory, as far as the portfolio reads it."""
    return {
        "model": model,
        "title": f"What {model} is for",
        "standing": "declared",
        "stage": "monitoring",
        "stage_at": NOW - 90 * DAY,
        "owner": OWNER,
        "task": "binary_classification",
        "risk_tier": "medium",
        "champion": 3,
        "champion_since": NOW - 30 * DAY,
        "next_review_at": NOW + 100 * DAY,
        "environment": "local",
        "retired": None,
        "fault": None,
        **changes,
    }


def window(performance: str | None = "PASSED", reason: str | None = None, **changes: Any) -> JsonObject:
    worst = {"feature": "income", "check": "psi", "value": 0.04, "limit": 0.25, "outcome": "PASSED"}
    return {
        "drift": {"outcome": "PASSED", "worst": worst},
        "performance": {"outcome": performance, "reason": reason},
        "estimated": None,
        **changes,
    }


def known(model: str, signs: Signs | None = None, *, told: JsonObject | None = None, **changes: Any) -> Known:
    """`changes` of the record, except those that `Known` itself has."""
    own = {name: changes.pop(name) for name in Known.__dataclass_fields__ if name in changes}
    about = record(model, **changes)
    given = {
        "window": window() if told is None else told,
        "window_end": NOW - timedelta(hours=3),
        "dag": f"{model}__train",
        **own,
    }
    return Known(about, signs or Signs(about["champion"] is not None, (), SOUND), **given)


def trouble(cause: str = "performance", severity: str = "medium", days: int = 9, by: str | None = None) -> JsonObject:
    """An incident as the portfolio tells it."""
    since = NOW - days * DAY
    return {"id": "i", "cause": cause, "severity": severity, "since": since, "windows": 3, "acknowledged_by": by}


def in_trouble(model: str, *incidents: JsonObject, **changes: Any) -> Known:
    """Its newest window failed on the cause of each incident that a window can tell."""
    troubles = [Trouble(each["cause"], each["severity"], each["since"]) for each in incidents]
    outcomes = {**SOUND, **{each["cause"]: "FAILED" for each in incidents if each["cause"] in SOUND}}
    serves = changes.get("champion", 3) is not None
    signs = Signs(serves, troubles, outcomes)
    failed = {"performance": {"outcome": outcomes["performance"], "reason": None}}
    if outcomes["performance"] == "FAILED":
        failed = {"performance": {"outcome": "FAILED", "reason": "ROC AUC is 0.61 on 900 rows, 0.72 at evaluation"}}
    told = {**window(), **failed, **changes.pop("window", {})}
    return known(model, signs, told=told, incidents=list(incidents), **changes)


def untold(model: str, reason: str = "ROC AUC waits for outcomes: no outcome is due yet", **changes: Any) -> Known:
    signs = Signs(True, (), {**SOUND, "performance": "INCONCLUSIVE"})
    return known(model, signs, told=window("INCONCLUSIVE", reason, **changes.pop("window", {})), **changes)


def elsewhere(model: str, **changes: Any) -> Known:
    about = {"standing": "registered elsewhere", "environment": "a vendor", "champion": None, "stage": None}
    return known(
        model, Signs(False), told={}, window_end=None, dag=None, **{**about, "champion_since": None, **changes}
    )


def view(*models: Known) -> JsonObject:
    return portfolio_view(models, NOW, NOW)


def a_rich_estate() -> list[Known]:
    """One of every kind a person may meet."""
    drifted = {"feature": "distance", "check": "psi", "value": 0.61, "limit": 0.25, "outcome": "FAILED"}
    declined = {
        "at": NOW - DAY,
        "seq": 9,
        "outcome": "declined",
        "said": "the last training was 2 days ago, 3d is the cooldown",
    }
    under_way = {
        "at": NOW - DAY,
        "seq": 9,
        "outcome": "under way",
        "said": "performance was lost in 2 of the last 3 windows",
    }
    return [
        in_trouble(
            "loan_approval",
            trouble("performance", "high", 9, "vera"),
            trouble("drift", "medium", 16),
            risk_tier="high",
            retraining=under_way,
            window={"drift": {"outcome": "FAILED", "worst": drifted}},
        ),
        in_trouble(
            "flight_delays", trouble("operation", "medium", 1), retraining=declined, back_at=NOW - timedelta(hours=2)
        ),
        in_trouble(
            "card_fraud", trouble("wrong_bytes", "high", 1), champion=None, champion_since=None, stage="deployment"
        ),
        in_trouble(
            "store_footfall",
            trouble("drift", "low", 4),
            risk_tier="low",
            window={"drift": {"outcome": "FAILED", "worst": drifted}},
        ),
        untold(
            "churn_next_quarter",
            window={"estimated": "PASSED"},
            risk_tier="high",
            waiting=[{"version": 4, "expires_at": NOW + DAY}],
        ),
        known("claims_triage", Signs(True, (), None), window_end=None, told={}, rollout={"version": 4, "percent": 25}),
        known(
            "call_volume",
            Signs(True, (), SOUND, "monitor overdue since 2026-06-10 02:00"),
            next_review_at=NOW - 5 * DAY,
        ),
        known(
            "home_value",
            Signs(True, (), SOUND),
            standing="broken spec",
            dag=None,
            fault="include/models/home_value/model.yaml:14:3 monitoring.window: 7 days is no duration; 7d?",
        ),
        known("energy_demand", risk_tier="low"),
        known("parcel_eta", owner={**OWNER, "team": "logistics", "name": "Ravi Iyer"}),
        known("credit_limit", risk_tier="high"),
        known(
            "new_idea",
            Signs(False),
            champion=None,
            champion_since=None,
            window_end=None,
            stage="use_case",
            next_review_at=None,
            told={},
        ),
        elsewhere("vendor_score"),
        known(
            "old_score",
            Signs(False),
            standing="retired",
            champion=None,
            stage="retired",
            window_end=None,
            retired={"at": "2026-02-01T00:00:00Z"},
            next_review_at=None,
            dag=None,
            told={},
        ),
    ]
