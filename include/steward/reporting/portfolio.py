"""The portfolio as one view: a row for every model there is, worst first, and the answer on top. Plain data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from steward.reporting.health import Health, Signs, state_of, why
from steward.reporting.performing import answer_of
from steward.types import JsonObject, RiskTier

TIERS = (RiskTier.HIGH, RiskTier.MEDIUM, RiskTier.LOW)
STANDINGS = {"retired": Health.RETIRED, "registered elsewhere": Health.ELSEWHERE, "broken spec": Health.BROKEN}
"""What the inventory says of a model before its windows are asked, as `steward.inventory.record.Standing` spells it."""


@dataclass(frozen=True)
class Known:
    """What was found of one model. `record` is its line in the inventory; `window` what its champion's newest says,
    `window_end` where that ends; `incidents` are not resolved; `waiting` are open requests for approval; `back_at` is
    when the present champion came back by a rollback."""

    record: JsonObject
    signs: Signs
    window: JsonObject | None = None
    window_end: datetime | None = None
    retraining: JsonObject | None = None
    incidents: Sequence[JsonObject] = ()
    rollout: JsonObject | None = None
    waiting: Sequence[JsonObject] = ()
    back_at: datetime | None = None
    dag: str | None = None
    notes: Sequence[str] = field(default=())


def portfolio_view(
    models: Iterable[Known], now: datetime, generated_at: datetime, faults: Sequence[str] = ()
) -> JsonObject:
    """`now` is business time. Rows come worst first, high risk before low. `faults`: why models are missing."""
    rows = sorted((row_of(each, now) for each in models), key=_place)
    answer = answer_of(rows, now)
    return {"at": now, "generated_at": generated_at, "faults": list(faults), "answer": answer, "rows": rows}


def row_of(known: Known, now: datetime) -> JsonObject:
    record, window = known.record, known.window or {}
    review = record["next_review_at"]
    return {
        **{
            name: record[name] for name in ("model", "title", "standing", "stage", "stage_at", "owner", "task", "fault")
        },
        "tier": record["risk_tier"],
        "champion": record["champion"],
        "champion_since": record["champion_since"],
        "health": health_of(known),
        "drift": window.get("drift") or {"outcome": None, "worst": None},
        "performance": window.get("performance") or {"outcome": None, "reason": None},
        "estimated": window.get("estimated"),
        "window_end": known.window_end,
        "last_retraining": known.retraining,
        "incidents": list(known.incidents),
        "rollout": known.rollout,
        "waiting": len(known.waiting),
        "requests": list(known.waiting),
        "back_at": known.back_at,
        "next_review_at": review,
        "review_overdue": review is not None and now >= review,
        "dag": known.dag,
    }


def health_of(known: Known) -> JsonObject:
    """`signs` is what windows and incidents alone say: of a model with a broken spec they still count."""
    standing = STANDINGS.get(known.record["standing"])
    said = [*filter(None, [_of_standing(known, standing)]), *why(known.signs)]
    return {
        "state": (state := state_of(known.signs, standing)),
        "place": state.place,
        "signs": state_of(known.signs),
        "why": said,
        "overdue": known.signs.overdue,
    }


def _of_standing(known: Known, standing: Health | None) -> str | None:
    record = known.record
    match standing:
        case Health.RETIRED:
            return f"retired {str(record['retired']['at'])[:10]}" if record["retired"] else "retired"
        case Health.ELSEWHERE:
            return f"runs on {record['environment']}: not judged here"
        case Health.BROKEN:
            return f"its spec is broken: {_in_its_folder(record['fault'], record['model'])}"
        case _:
            return None


def _in_its_folder(fault: str, model: str) -> str:
    """Where the folder of the models lies on the server is in nobody's way here."""
    place, _, _ = fault.partition(f"/{model}/")
    return fault.replace(f"{place}/{model}/", "") if place != fault else fault


def _place(row: JsonObject) -> tuple[int, int, str]:
    return row["health"]["place"], tier_place(row["tier"]), row["model"]


def tier_place(tier: str | None) -> int:
    """High risk first; a tier nobody knows last."""
    return TIERS.index(RiskTier(tier)) if tier else len(TIERS)
