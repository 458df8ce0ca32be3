"""How do we know that our models still perform? Counted from the rows of the portfolio, and said in plain sentences.

Of a serving model exactly one is true: it *holds* (judged on real outcomes in its newest window, on time, within its
limits, and nothing else of it is red), it is *red*, or it *cannot be told*. What is not known is never counted as good.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from steward.gates import Outcome
from steward.reporting.health import Health
from steward.reporting.last_retraining import UNDER_WAY
from steward.types import JsonObject, RiskTier

HOLDS, RED, UNTOLD = "holds", "red", "untold"
_SEVERITIES = ("high", "medium", "low")
_ESTIMATED = {
    Outcome.PASSED: ". Estimated from its answers alone, it holds",
    Outcome.FAILED: ". Estimated from its answers alone, it got worse",
}
_TIERS: tuple[str | None, ...] = (RiskTier.HIGH, RiskTier.MEDIUM, RiskTier.LOW, None)


def answer_of(rows: Sequence[JsonObject], now: datetime) -> JsonObject:
    """`red` and `untold` name models, high risk and the longest trouble first; `sentences` say the counts."""
    serving = [row for row in rows if row["champion"] is not None and row["health"]["state"] != Health.RETIRED]
    by_standing = {row["model"]: standing_of(row) for row in serving}
    red = [row for row in rows if row["health"]["state"] is Health.RED]
    untold = [row for row in serving if by_standing[row["model"]] == UNTOLD]
    counts = {
        "models": len(rows),
        "serving": len(serving),
        "hold": sum(found == HOLDS for found in by_standing.values()),
        "red": sum(found == RED for found in by_standing.values()),
        "untold": len(untold),
        "watched": sum(
            row["health"]["state"] is Health.WATCHED and by_standing[row["model"]] == HOLDS for row in serving
        ),
        "red_not_serving": sum(row["champion"] is None for row in red),
        "broken_not_serving": sum(row["health"]["state"] is Health.BROKEN and row["champion"] is None for row in rows),
        "elsewhere": sum(row["health"]["state"] is Health.ELSEWHERE for row in rows),
        "retired": sum(row["health"]["state"] is Health.RETIRED for row in rows),
    }
    return {
        "question": "How do we know our models still perform?",
        **counts,
        "tiers": list(_by_tier(serving, by_standing)),
        "sentences": list(_sentences(counts)),
        "red_models": [_trouble(row) for row in sorted(red, key=_worst_first)],
        "untold_models": [_untold(row) for row in sorted(untold, key=_worst_first)],
        "waits": sorted(_waits(rows, now), key=lambda each: (each["place"], each["model"])),
    }


def standing_of(row: JsonObject) -> str:
    """Of a serving model."""
    if row["health"]["state"] is Health.RED:
        return RED
    judged = row["performance"]["outcome"] == Outcome.PASSED and not row["health"]["overdue"]
    return HOLDS if judged and row["health"]["state"] in (Health.GREEN, Health.WATCHED) else UNTOLD


# --- counts ---------------------------------------------------------------------------------------


def _sentences(counts: JsonObject) -> Iterator[str]:
    """The first is the answer; the others are what it leaves out."""
    serving, hold = counts["serving"], counts["hold"]
    basis = "judged on real outcomes in the newest window, on time, and within their limits"
    if not serving:
        yield "No model serves here yet: there is nothing to judge." if counts["models"] else "There is no model yet."
    elif hold == serving:
        all_ = "The one" if serving == 1 else f"All {serving}"
        yield f"{all_} serving {_models(serving)} {_holds(serving)}: {basis}."
    else:
        yield f"{hold} of {serving} serving models {_holds(hold)}: {basis}."
    if counts["red"]:
        yield f"{counts['red']} {_are(counts['red'])} red."
    if counts["untold"]:
        yield f"{counts['untold']} cannot be told."
    if counts["watched"]:
        yield f"{counts['watched']} of those that hold {_are(counts['watched'])} watched: inputs drift, without a loss."
    if count := counts["red_not_serving"]:
        yield f"{count} more {_are(count)} red and {'does' if count == 1 else 'do'} not serve."
    if count := counts["broken_not_serving"]:
        yield f"{count} {_models(count)} cannot run: {'its spec is' if count == 1 else 'their specs are'} broken."
    if count := counts["elsewhere"]:
        yield f"{count} {'runs' if count == 1 else 'run'} elsewhere, and {_are(count)} not judged here."


def _by_tier(serving: Sequence[JsonObject], by_standing: dict[str, str]) -> Iterator[JsonObject]:
    for tier in _TIERS:
        found = [by_standing[row["model"]] for row in serving if row["tier"] == tier]
        if found:
            counts = {name: found.count(name) for name in (HOLDS, RED, UNTOLD)}
            yield {"tier": tier, "serving": len(found), **counts}


def _models(count: int) -> str:
    return "model" if count == 1 else "models"


def _holds(count: int) -> str:
    return "holds" if count == 1 else "hold"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


# --- models by name -------------------------------------------------------------------------------


def _named(row: JsonObject) -> JsonObject:
    return {name: row[name] for name in ("model", "title", "tier", "champion", "dag")}


def _worst_first(row: JsonObject) -> tuple[int, int, str, str]:
    severities = [_severity(each["severity"]) for each in row["incidents"]]
    oldest = min((f"{each['since']:%Y-%m-%dT%H:%M}" for each in row["incidents"]), default="9")
    return _TIERS.index(row["tier"]), min(severities, default=len(_SEVERITIES)), oldest, row["model"]


def _severity(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else 0


def _trouble(row: JsonObject) -> JsonObject:
    said = [each for each in row["health"]["why"] if not each.startswith("could not be judged")]
    lost = row["performance"]["reason"] if row["performance"]["outcome"] == Outcome.FAILED else None
    since = min((each["since"] for each in row["incidents"]), default=row["window_end"])
    return {**_named(row), "since": since, "what": said, "lost": lost, "doing": list(being_done(row, since))}


def being_done(row: JsonObject, since: datetime | None) -> Iterator[str]:
    """About a trouble that goes on since then: who has taken it on, and what has begun."""
    if row["back_at"] and since and row["back_at"] >= since:
        yield f"@{row['champion']} came back by a rollback on {row['back_at']:%Y-%m-%d}"
    if row["rollout"]:
        yield f"@{row['rollout']['version']} is being rolled out, at {row['rollout']['percent']} %"
    told = row["last_retraining"]
    if told and (told["outcome"] in UNDER_WAY or (since and told["at"] >= since)):
        yield f"retraining {told['outcome']} ({told['at']:%Y-%m-%d}): {told['said']}"
    yield from _taken_on(row["incidents"])


def _taken_on(incidents: Sequence[JsonObject]) -> Iterator[str]:
    people = sorted({each["acknowledged_by"] for each in incidents if each["acknowledged_by"]})
    if people:
        yield f"taken on by {', '.join(people)}"
    open_ = [each for each in incidents if not each["acknowledged_by"]]
    if open_:
        which = "" if len(open_) == len(incidents) == 1 else f" {len(open_)} of {len(incidents)} incidents"
        yield f"nobody has taken on{which or ' the incident'}"


def _untold(row: JsonObject) -> JsonObject:
    return {**_named(row), "why": why_untold(row)}


def why_untold(row: JsonObject) -> str:
    """The nearest reason why nobody can say whether the model performs."""
    return _not_judged(row) or f"{row['performance']['reason']}{_ESTIMATED.get(row['estimated'], '')}"


def _not_judged(row: JsonObject) -> str | None:
    health = row["health"]
    if row["fault"]:
        return "its spec is broken, so nothing judges it"
    if row["window_end"] is None and not health["overdue"]:
        return "no window of it was judged yet"
    told = health["overdue"] or (health["why"] if row["performance"]["reason"] is None else None)
    return told if told is None or isinstance(told, str) else "; ".join(told) or "no real outcome was judged"


# --- what waits for people ------------------------------------------------------------------------


def _waits(rows: Sequence[JsonObject], now: datetime) -> Iterator[JsonObject]:
    for row in rows:
        of_model, tier = _named(row), _TIERS.index(row["tier"])
        for asked in row["requests"]:
            yield {**of_model, "place": tier, "kind": "approval", **_request_said(row, asked, now)}
        if row["review_overdue"]:
            said = f"its review was due on {row['next_review_at']:%Y-%m-%d}"
            yield {
                **of_model,
                "place": 3 + tier,
                "kind": "review",
                "what": said,
                "do": f"steward review {row['model']} --reason …",
            }


def _request_said(row: JsonObject, asked: JsonObject, now: datetime) -> JsonObject:
    ref, until = f"{row['model']}@{asked['version']}", f"{asked['expires_at']:%Y-%m-%d %H:%M}"
    if asked["expires_at"] <= now:
        return {"what": f"@{asked['version']} was not approved by {until}: that is a no", "do": "steward heal"}
    said = f"@{asked['version']} waits for approval until {until}; no answer is a no"
    return {"what": said, "do": f"steward approve {ref} --reason …, or steward reject"}
